//! `dejavm dump`: memory and registers at a place of a recorded run, in a file for other tools.

use super::machine;
use super::verify::{open_to_follow, session_failure};
use crate::args::DumpArgs;
use crate::console::replay::{Patience, seek};
use crate::error::Failure;
use crate::exit::Exit;
use crate::progress::Progress;
use crate::say;
use dejavm_monitor::dump::{self, Destination, DumpError, MachineSource, Request};
use dejavm_replay::session::SessionError;

/// Does it.
pub fn execute(args: &DumpArgs) -> Result<Exit, Failure> {
    let request =
        Request { format: args.format.format(), paging: args.paging, range: args.begin.zip(args.length) };
    let mut session = open_to_follow(&args.journal, &args.images, machine::accel(args.accel))?;
    let at = args.at.unwrap_or(session.last().icount);
    // Before the replay, which may take long.
    request.check(&MachineSource::new(session.machine().machine())).map_err(|e| failure(&e))?;
    match seek(&mut session, at, Patience::Endless) {
        Ok(_) => {}
        Err(SessionError::Divergence(divergence)) => {
            eprintln!("dejavm: {}: {divergence}", args.journal.display());
            return Ok(Exit::Divergence);
        }
        Err(other) => return Err(session_failure(&args.journal, &other)),
    }
    let source = MachineSource::new(session.machine().machine());
    let progress = Progress::bytes("dumping");
    let destination = Destination::Path(args.output.clone());
    dump::write(&source, &request, destination, &mut |done, total| progress.done_of(done, total))
        .map_err(|e| failure(&e))?;
    drop(progress);
    say!("{}: memory at icount {}", args.output.display(), session.position().icount);
    Ok(Exit::Success)
}

fn failure(error: &DumpError) -> Failure {
    let failure = Failure::new(error.to_string());
    match error {
        DumpError::KdumpIsWhole | DumpError::WindowsIsWhole => {
            failure.advice("use --format elf, or leave out --paging, --begin and --length")
        }
        DumpError::NoMemory => failure.advice("`dejavm info FILE` tells how much RAM the guest has"),
        DumpError::Create { .. } => failure.advice("check the path, and the permissions of its folder"),
        DumpError::Write(_) => failure.advice("free some space, or write elsewhere; no file was left"),
        _ => failure,
    }
}
