//! `dejavm trace`: events of a recorded run, switched on afterwards.

use super::setup::event_specs;
use super::verify::{open_here, session_failure, use_checkpoints};
use crate::args::{CheckpointArgs, TraceArgs};
use crate::error::Failure;
use crate::exit::Exit;
use crate::output_file::OutputFile;
use crate::progress::Progress;
use dejavm_core::boundary::{ProbeRecord, ProbeSettings};
use dejavm_core::machine::{Accel, Machine};
use dejavm_core::types::Icount;
use dejavm_replay::session::timeline::{Extraction, Piece};
use dejavm_replay::session::{Observer, ReplaySession, SessionError};
use dejavm_trace::event::{ArgumentType, Description, all};
use dejavm_trace::sink::{Chunk, Format, Writer, events_file};
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;

/// Does it.
pub fn execute(args: &TraceArgs) -> Result<Exit, Failure> {
    let Some(journal) = args.journal.as_deref().filter(|_| !args.list) else {
        list(args.format);
        return Ok(Exit::Success);
    };
    let mut probes = ProbeSettings::default();
    for spec in event_specs(&args.events)? {
        spec.apply(&mut probes).map_err(|e| Failure::new(e.to_string()))?;
    }
    if probes.on.is_empty() {
        return Err(Failure::new("no event is switched on").advice("`dejavm trace --list` lists all events"));
    }
    let output = args.output.as_deref().map(|path| OutputFile::create(path, args.force)).transpose()?;
    let destination: Box<dyn Write + Send> = match &output {
        Some(output) => {
            let file = output.file().try_clone();
            let name = args.output.as_deref().unwrap_or(Path::new("output"));
            Box::new(BufWriter::new(file.map_err(|e| Failure::file("write", name, &e))?))
        }
        None => Box::new(io::stdout()),
    };
    let mut session = open_here(journal, &args.images)?;
    use_checkpoints(&mut session, journal, CheckpointArgs::default(), Accel::Interp);
    let mut trace = Trace { writer: Writer::new(args.format, destination), error: None };
    let complete = match extract(args, &mut session, probes, &mut trace) {
        Ok(complete) => complete,
        Err(SessionError::Divergence(divergence)) => {
            eprintln!("dejavm: {}: {divergence}", journal.display());
            return Ok(Exit::Divergence);
        }
        Err(error) => return Err(session_failure(journal, &error)),
    };
    let Trace { writer, mut error } = trace;
    match error {
        None if complete => error = writer.finish().err(),
        _ => drop(writer),
    }
    match error {
        // Whoever reads has seen enough.
        Some(error) if error.kind() == ErrorKind::BrokenPipe && output.is_none() => Ok(Exit::Success),
        Some(error) => Err(Failure::new(format!("the trace cannot be written: {error}"))),
        None if !complete => Err(Failure::new("interrupted")),
        None => output.map_or(Ok(()), OutputFile::keep).map(|()| Exit::Success),
    }
}

/// What is written to.
struct Trace {
    writer: Writer,
    error: Option<io::Error>,
}

/// Shows how far it is.
struct Shown(Progress, Icount);

impl Observer for Shown {
    fn progress(&mut self, icount: Icount, _total: Icount) -> bool {
        self.0.done(icount.saturating_sub(self.1));
        true
    }
}

fn extract(
    args: &TraceArgs,
    session: &mut ReplaySession<Machine, File>,
    probes: ProbeSettings,
    trace: &mut Trace,
) -> Result<bool, SessionError> {
    let from = args.from.unwrap_or(session.first().icount);
    let to = args.to.unwrap_or(Icount::MAX);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let machines = args.jobs.map_or(cores, |jobs| jobs as usize);
    let format: Format = args.format;
    let encode = |records: &[ProbeRecord]| {
        let bytes = format.encode(records);
        (Chunk::of(records, bytes.len()), bytes)
    };
    let end = to.min(session.last().icount);
    let mut progress = Shown(Progress::icount("tracing", from, end), from);
    session.extract(
        &Extraction { probes, from, to, machines },
        &encode,
        &mut |piece: Piece<(Option<Chunk>, Vec<u8>)>| {
            let (Some(chunk), bytes) = piece.encoded else { return true };
            trace.error = trace.writer.write_chunk(chunk, &bytes).err();
            trace.error.is_none()
        },
        &mut progress,
    )
}

fn list(format: Format) {
    if format == Format::Simpletrace {
        crate::output::print(format_args!("{}", events_file()));
        return;
    }
    for Description { name, arguments, about, .. } in all() {
        let of = |&(name, kind): &(&'static str, ArgumentType)| match kind {
            ArgumentType::U64 => name.to_owned(),
            ArgumentType::Text => format!("{name}:text"),
        };
        let arguments: Vec<String> = arguments.iter().map(of).collect();
        crate::say!("{name:<24} {about} ({})", arguments.join(", "));
    }
}
