//! `dejavm replay`: a recorded run again, or a place in it.

use super::go_live;
use super::machine;
use super::setup::{Desk, DeskOptions, report_unimplemented};
use super::verify::{open_with, session_failure, use_checkpoints};
use crate::args::{ReplayArgs, TerminalMonitor};
use crate::console::look;
use crate::console::replay::{Ended, Patience, drive, seek};
use crate::error::Failure;
use crate::exit::Exit;
use crate::hostio::terminal;
use crate::output::print;
use crate::say;
use dejavm_replay::session::{ReplayStop, SessionError};

/// How many instructions are shown at a place.
const INSTRUCTIONS: usize = 8;

/// Does it.
pub fn execute(args: &ReplayArgs) -> Result<Exit, Failure> {
    let accel = machine::accel(args.accel);
    let mut session = open_with(&args.journal, &args.images, accel)?;
    use_checkpoints(&mut session, &args.journal, args.checkpoints, accel);
    let branch = match &args.output {
        Some(path) if args.go_live => Some(go_live::branch(path, args.force)?),
        _ => None,
    };
    let places = args.monitors.places().map_err(Failure::new)?;
    let for_gdb = args.gdb.server().is_some();
    let to_be_looked_at = args.seek.is_some() && args.until.is_none() && branch.is_none();
    let terminal =
        (to_be_looked_at && !for_gdb && terminal::stdin_is_terminal()).then_some(TerminalMonitor::Hmp);
    let given = match places.terminal {
        TerminalMonitor::Console => terminal.unwrap_or(TerminalMonitor::Console),
        given => given,
    };
    let with_monitor =
        matches!(given, TerminalMonitor::Hmp | TerminalMonitor::Qmp) || !places.remote.is_empty();
    let mut desk = Desk::open(&DeskOptions {
        serial: &args.serial,
        monitors: &args.monitors,
        terminal,
        observe: &args.observe,
        interactive: given == TerminalMonitor::Hmp || branch.is_some() || terminal::stdin_is_terminal(),
    })?;
    let place = if branch.is_some() { args.seek.or(Some(session.last().icount)) } else { args.seek };
    if let Some(icount) = place {
        match seek(&mut session, icount, Patience::UntilQuit(&mut desk.console)) {
            Ok(ReplayStop::Interrupted) => return Ok(Exit::Success),
            Ok(ReplayStop::Reached | ReplayStop::Ended | ReplayStop::StopPoint) => {}
            Err(error) => return ended_badly(desk, &args.journal, error),
        }
    }
    if let Some(branch) = branch {
        return go_live::execute(session, desk, branch, args);
    }
    desk.serve_gdb(&args.gdb)?;
    let looked_at = with_monitor || for_gdb || terminal::stdin_is_terminal();
    if looked_at && args.checkpoints.wanted() {
        // Whoever looks around wants to be anywhere at once, soon.
        if let Err(error) = session.fill_in_background() {
            tracing::info!(%error, "no checkpoints are taken in the background");
        }
    }
    let only_a_place = to_be_looked_at && !with_monitor && !for_gdb;
    let ended = if only_a_place {
        Ended::AtLimit
    } else {
        let file = args.journal.display().to_string();
        // A place that was asked for is left only when a monitor says so.
        let stopped = args.monitors.stopped || to_be_looked_at || for_gdb;
        match drive(&mut session, &mut desk.console, &mut desk.monitors, &file, args.until, stopped) {
            Ok(Ended::GoLive(branch)) => return go_live::execute(session, desk, branch, args),
            Ok(ended) => ended,
            Err(error) => return ended_badly(desk, &args.journal, error),
        }
    };
    drop(desk);
    report_unimplemented(session.machine().machine());
    if matches!(ended, Ended::AtLimit) {
        let position = session.position();
        say!("\nicount {}, virtual time {} ns", position.icount, position.now_ns);
        print(format_args!("{}", look::place_text(session.machine().machine(), INSTRUCTIONS)));
    }
    Ok(Exit::Success)
}

/// A divergence has an exit status of its own; all else is an error.
fn ended_badly(desk: Desk, journal: &std::path::Path, error: SessionError) -> Result<Exit, Failure> {
    // The terminal is as it was before anything is said.
    drop(desk);
    match error {
        SessionError::Divergence(divergence) => {
            eprintln!("dejavm: {}: {divergence}", journal.display());
            Ok(Exit::Divergence)
        }
        other => Err(session_failure(journal, &other)),
    }
}
