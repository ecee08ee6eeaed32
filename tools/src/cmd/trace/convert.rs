//! Traces in dejavm's own format into other formats; several into one.

use super::output::Output;
use crate::args::TraceArgs;
use crate::error::Failure;
use crate::exit::Exit;
use dejavm_core::boundary::{ProbeRecord, ProbeSettings};
use dejavm_replay::session::timeline::PIECE_ICOUNT;
use dejavm_trace::binary::{Reader, TraceFileError};
use dejavm_trace::filter::wanted;
use dejavm_trace::sink::{Ends, Format};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// Writes what is in the files, in pieces as an extraction has them: so that the same events give
/// the same bytes.
pub fn execute(args: &TraceArgs, format: Format, only: Option<&ProbeSettings>) -> Result<Exit, Failure> {
    let mut readers = Vec::new();
    for path in &args.files {
        let file = File::open(path).map_err(|e| Failure::file("open", path, &e))?;
        readers.push((path, Reader::open(BufReader::new(file)).map_err(|e| failure(path, e))?));
    }
    let mut pieces = Pieces { output: Output::create(args, format, Ends::BOTH)?, format, piece: Vec::new() };
    let (from, to) = (args.window.from.unwrap_or(0), args.window.to.unwrap_or(u64::MAX));
    let mut whole = true;
    let mut last = None;
    for (path, reader) in &mut readers {
        let mut disorder = false;
        let read = reader.window(from, to, |records| {
            disorder = last.is_some_and(|last| records[0].position.icount < last);
            last = records.last().map(|record| record.position.icount);
            !disorder && pieces.add(records, only)
        });
        read.map_err(|e| failure(path, e))?;
        if disorder {
            return Err(Failure::new(format!(
                "{} is of an earlier stretch than what is before it",
                path.display()
            ))
            .advice("give the traces in the order of the run"));
        }
        if !reader.is_whole() {
            eprintln!("dejavm: {} was not written to its end: this is what was written", path.display());
            whole = false;
        }
    }
    pieces.flush();
    let exit = pieces.output.finish()?;
    Ok(if whole { exit } else { Exit::Torn })
}

fn failure(path: &Path, error: TraceFileError) -> Failure {
    let failure = Failure::new(format!("{}: {error}", path.display()));
    match error {
        TraceFileError::Damaged { .. } => failure.advice("extract it again from the journal"),
        TraceFileError::Version { .. } | TraceFileError::UnknownEvent(_) => {
            failure.advice("use the dejavm that wrote it")
        }
        TraceFileError::NotATrace => {
            failure.advice("`dejavm trace JOURNAL -e EVENT -o FILE.djt` makes traces")
        }
        _ => failure,
    }
}

struct Pieces {
    output: Output,
    format: Format,
    piece: Vec<ProbeRecord>,
}

impl Pieces {
    fn add(&mut self, records: &[ProbeRecord], only: Option<&ProbeSettings>) -> bool {
        for record in records.iter().filter(|record| only.is_none_or(|only| wanted(only, record))) {
            let number = |record: &ProbeRecord| record.position.icount / PIECE_ICOUNT;
            if self.piece.last().is_some_and(|before| number(before) != number(record)) && !self.flush() {
                return false;
            }
            self.piece.push(record.clone());
        }
        true
    }

    fn flush(&mut self) -> bool {
        let go_on = self.piece.is_empty() || self.output.write(self.format.prepare(&self.piece));
        self.piece.clear();
        go_on
    }
}
