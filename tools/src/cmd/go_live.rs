//! Leaving a replay: the machine goes on live from where it stands, as a new recording.

use super::machine::idle_policy;
use super::record::{create, failed};
use super::setup::{Desk, exit_of, report_end, report_unimplemented};
use crate::args::ReplayArgs;
use crate::console::live;
use crate::console::replay::{Branch, FileReplay};
use crate::error::Failure;
use crate::exit::Exit;
use dejavm_monitor::control::Mode;
use dejavm_replay::session::{LiveOptions, RecordSession};
use std::path::Path;

/// Opens the journal that a branch goes into.
pub fn branch(path: &Path, force: bool) -> Result<Branch, Failure> {
    Ok(Branch { file: create(path, force)?, path: path.to_path_buf() })
}

/// Goes on where `session` stands.
pub fn execute(
    mut session: FileReplay,
    mut desk: Desk,
    branch: Branch,
    args: &ReplayArgs,
) -> Result<Exit, Failure> {
    let Branch { path, file } = branch;
    let at = session.position().icount;
    if session.machine().machine().off().is_some() {
        // It is still empty.
        let _ = std::fs::remove_file(&path);
        return Err(Failure::new(format!("at icount {at} the machine is off: it cannot go on"))
            .advice("go live at an earlier place, with --seek ICOUNT"));
    }
    let header = session.journal().header().clone();
    let mut engine = session.into_machine();
    let images = engine.machine().images().clone();
    let live = LiveOptions {
        idle: idle_policy(None, desk.console.input_open()),
        stop_on_reset: args.no_reboot,
        until_icount: None,
    };
    let mut session =
        RecordSession::go_live(engine, &header, &images, file, live).map_err(|e| failed(&path, &e))?;
    let name = path.display().to_string();
    desk.console.print(&format!("\nlive from icount {at} on, recording into {name}\n"));
    let mode = Mode::Record { file: name };
    // gdb, if it is there, has stopped the machine and will let it go on.
    let stopped = desk.console.is_debugged();
    let reason = live::drive(&mut session, &mut desk.console, &mut desk.monitors, &mode, stopped)?;
    let (mut engine, _) = session.finish().map_err(|e| failed(&path, &e))?;
    drop(desk);
    report_unimplemented(engine.machine());
    report_end(reason);
    Ok(exit_of(reason))
}
