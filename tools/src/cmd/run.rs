//! `dejavm run`: a guest, and nothing is kept of it.

use super::machine;
use super::setup::{Desk, DeskOptions, exit_of, report_end, report_unimplemented};
use crate::args::RunArgs;
use crate::console::live;
use crate::error::Failure;
use crate::exit::Exit;
use crate::perf_map;
use dejavm_monitor::control::Mode;
use dejavm_replay::session::{LiveOptions, LiveSession};

/// Does it.
pub fn execute(args: &RunArgs) -> Result<Exit, Failure> {
    let config = machine::config(&args.machine)?;
    let engine = machine::engine(&config, &machine::images(&args.machine)?, machine::accel(args.accel))?;
    let mut desk = Desk::open(&DeskOptions {
        serial: &args.machine.serial,
        monitors: &args.monitors,
        terminal: None,
        observe: &args.observe,
        interactive: true,
    })?;
    let options = LiveOptions {
        idle: machine::idle_policy(args.machine.idle, desk.console.input_open()),
        stop_on_reset: args.machine.no_reboot,
        until_icount: args.until,
    };
    let mut session = LiveSession::new(engine, options);
    desk.serve_gdb(&args.gdb)?;
    let reason =
        live::drive(&mut session, &mut desk.console, &mut desk.monitors, &Mode::Live, args.monitors.stopped)?;
    drop(desk);
    if let Some(stats) = session.machine().machine().jit_stats() {
        tracing::info!("translator: {stats:?}");
        let forms = session.machine().machine().untranslated_forms();
        tracing::info!("interpreted for want of a translation: {:?}", &forms[..forms.len().min(40)]);
    }
    perf_map::write_if_wanted(session.machine().machine());
    report_unimplemented(session.machine().machine());
    report_end(reason);
    Ok(exit_of(reason))
}
