//! `dejavm record`: a guest, and all that comes in goes into a journal.

use super::machine;
use super::setup::{Desk, DeskOptions, exit_of, report_end, report_unimplemented};
use crate::args::{RecordArgs, RingSpec};
use crate::console::crash::{CrashSign, CrashWatch};
use crate::console::{live, marks};
use crate::error::Failure;
use crate::exit::Exit;
use crate::output_file::lock;
use crate::perf_map;
use dejavm_core::vcpu::Engine;
use dejavm_monitor::control::Mode;
use dejavm_replay::checkpoint::{Pace, Spacing, side_path};
use dejavm_replay::journal::EndReason;
use dejavm_replay::session::{LiveOptions, RecordOptions, RecordSession, RingSession, SessionError};
use std::fs::{File, OpenOptions};
use std::path::Path;

/// Does it.
pub fn execute(args: &RecordArgs) -> Result<Exit, Failure> {
    let config = machine::config(&args.machine)?;
    let images = machine::images(&args.machine)?;
    let accel = machine::accel(args.accel);
    let engine = machine::engine(&config, &images, accel)?;
    let out = create(&args.output, args.force)?;
    let mut desk = Desk::open(&DeskOptions {
        serial: &args.machine.serial,
        monitors: &args.monitors,
        terminal: None,
        observe: &args.observe,
        interactive: true,
    })?;
    let live_options = LiveOptions {
        idle: machine::idle_policy(args.machine.idle, desk.console.input_open()),
        stop_on_reset: args.machine.no_reboot,
        until_icount: args.until,
    };
    let options = RecordOptions {
        reference_images: args.reference_images,
        kernel_file_name: file_name(&args.machine.kernel),
        initrd_file_name: args.machine.initrd.as_deref().map(file_name).unwrap_or_default(),
        ..RecordOptions::default()
    };
    if args.save_on_crash {
        desk.console.watch_for_crashes(CrashWatch::new(&args.save_on_crash_regex));
    }
    let fail = |e: SessionError| failed(&args.output, &e);
    let mode = Mode::Record { file: args.output.display().to_string() };
    desk.serve_gdb(&args.gdb)?;
    let stopped = args.monitors.stopped;
    let (reason, mut engine) = match args.ring {
        None => {
            let session = RecordSession::start(engine, &config, &images, out, &options, live_options);
            let mut session = session.map_err(fail)?;
            keep_checkpoints(&mut session, args, machine::spacing(accel));
            let reason = live::drive(&mut session, &mut desk.console, &mut desk.monitors, &mode, stopped)?;
            (reason, session.finish().map_err(fail)?.0)
        }
        Some(RingSpec(size)) => {
            // Checkpoints would be of what is not kept, too.
            let _ = std::fs::remove_file(side_path(&args.output));
            let out = (&*args.output, out);
            let session = RingSession::start(engine, &config, &images, out, &options, size, live_options);
            let mut session = session.map_err(fail)?;
            let reason = live::drive(&mut session, &mut desk.console, &mut desk.monitors, &mode, stopped)?;
            (reason, session.finish().map_err(fail)?)
        }
    };
    let crash = desk.console.crash();
    drop(desk);
    perf_map::write_if_wanted(engine.machine());
    report_unimplemented(engine.machine());
    if args.save_on_crash {
        return settle(args, crash, reason);
    }
    report_end(reason);
    Ok(exit_of(reason))
}

/// Checkpoints beside the journal, unless they are not wanted. Without them replays are only slower
/// to begin with, so that they cannot be written is no failure.
fn keep_checkpoints(session: &mut RecordSession<Engine, File>, args: &RecordArgs, spacing: Spacing) {
    let side_file = side_path(&args.output);
    // One of a recording that was here before is of no use any more.
    let _ = std::fs::remove_file(&side_file);
    let Some(budget) = args.checkpoints.budget(&side_file) else { return };
    if let Err(error) = session.keep_checkpoints(&side_file, budget, Pace::measured(spacing)) {
        tracing::warn!(path = %side_file.display(), %error, "recording without checkpoints");
    }
}

/// The journal is kept only after a crash.
fn settle(args: &RecordArgs, crash: Option<CrashSign>, reason: Option<EndReason>) -> Result<Exit, Failure> {
    let journal = args.output.display();
    match crash {
        Some(sign) => {
            eprintln!("dejavm: the guest crashed: {}; what led up to it is in {journal}", sign.text());
            Ok(Exit::Crashed)
        }
        None => {
            std::fs::remove_file(&args.output).map_err(|e| Failure::file("remove", &args.output, &e))?;
            let _ = std::fs::remove_file(side_path(&args.output));
            report_end(reason);
            eprintln!("dejavm: the guest did not crash: {journal} is not kept");
            Ok(exit_of(reason))
        }
    }
}

/// A journal that cannot be written.
pub fn failed(journal: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(format!("recording into {}: {error}", journal.display()))
        .advice("is the disk full? what is written so far can be replayed")
}

/// A new file, or with `force` an old one over which is written.
pub fn create(path: &Path, force: bool) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(!force).create(true);
    let file = options.open(path).map_err(|e| {
        let failure = Failure::file("create", path, &e);
        match e.kind() {
            std::io::ErrorKind::AlreadyExists => {
                failure.advice("choose another name, or overwrite it with --force")
            }
            _ => failure,
        }
    })?;
    // Only now that nobody else writes it is it emptied.
    lock(&file, path)?;
    file.set_len(0).map_err(|e| Failure::file("write", path, &e))?;
    marks::forget(path);
    Ok(file)
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
