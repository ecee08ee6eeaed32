//! `dejavm trim`: a stretch of a recording as a journal of its own.

use super::machine;
use super::verify::{open_with, session_failure, use_checkpoints};
use crate::args::{CheckpointArgs, TrimArgs};
use crate::console::replay::{Patience, Silently};
use crate::error::Failure;
use crate::exit::Exit;
use crate::output_file::OutputFile;
use crate::progress::Progress;
use crate::say;
use dejavm_replay::session::{SessionError, trim};
use std::io::BufWriter;

/// Does it.
pub fn execute(args: &TrimArgs) -> Result<Exit, Failure> {
    let accel = machine::accel(args.accel);
    let mut session = open_with(&args.journal, &args.images, accel)?;
    use_checkpoints(&mut session, &args.journal, CheckpointArgs::default(), accel);
    let from = args.from.unwrap_or(session.first().icount);
    let to = args.to.unwrap_or(session.last().icount);
    let images = session.machine().machine().images().clone();
    let out = OutputFile::create(&args.output, args.force)?;
    let first = session.first().icount;
    let progress = Progress::icount("trimming", first, to);
    let observer = &mut Silently::new(&progress, first, Patience::Endless);
    let trimmed = trim(&mut session, &images, (from, to), BufWriter::new(out.file()), observer);
    drop(progress);
    match trimmed {
        Ok(Some(trimmed)) => {
            let bytes = out.file().metadata().map_or(0, |data| data.len());
            out.keep()?;
            let (first, last) = (trimmed.first.icount, trimmed.last.icount);
            say!("{}: icount {first} to {last}, {bytes} bytes", args.output.display());
            Ok(Exit::Success)
        }
        Ok(None) => Err(Failure::new("interrupted")),
        Err(SessionError::Divergence(divergence)) => {
            eprintln!("dejavm: {}: {divergence}", args.journal.display());
            Ok(Exit::Divergence)
        }
        Err(other) => Err(session_failure(&args.journal, &other)),
    }
}
