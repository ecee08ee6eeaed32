//! A trace as Parquet: a folder with a file per segment of the run.

use super::super::stretch::Stretch;
use crate::args::{Segment, TraceArgs};
use crate::error::Failure;
use crate::exit::Exit;
use crate::export::{Destination, Ended, Extractor, Place, file_of};
use crate::output_file::OutputFile;
use crate::progress::ReplayProgress;
use dejavm_core::boundary::ProbeSettings;
use dejavm_trace::export::{Segments, TableRows};
use std::fs;
use std::path::{Path, PathBuf};

/// The table that a trace is.
const EVENTS: &str = "events";

/// The folder of a trace.
struct Folder<'a> {
    path: &'a Path,
    replaces: bool,
}

impl Destination for Folder<'_> {
    fn path(&self, place: Place) -> PathBuf {
        file_of(self.path, EVENTS, place)
    }

    fn replaces(&self) -> bool {
        self.replaces
    }

    fn keep(&self, file: OutputFile, _path: &Path) -> Result<(), Failure> {
        file.keep()
    }
}

/// Writes the folder, or what of it the segment is that is asked for.
pub fn execute(args: &TraceArgs, journal: &Path, probes: &ProbeSettings) -> Result<Exit, Failure> {
    let Some(path) = args.output.as_deref() else {
        return Err(Failure::new("a trace in Parquet is a folder").advice("say which: -o FOLDER"));
    };
    // Workers that share the segments share the folder.
    let taken = fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
    if taken && !args.force && args.segment.is_none() {
        return Err(Failure::new(format!("{} is there already", path.display()))
            .advice("choose another name, or overwrite what is in it with --force"));
    }
    let mut stretch = Stretch::open(journal, &args.window)?;
    let segments = Segments::of(stretch.from..stretch.to);
    let numbers = match args.segment {
        Some(Segment { k, of }) => segments.share(k.into(), of.into()),
        None => segments.numbers(),
    };
    fs::create_dir_all(path).map_err(|e| Failure::file("create", path, &e))?;
    if numbers.is_empty() {
        return Ok(Exit::Success);
    }
    let mut extractor = Extractor {
        machines: stretch.machines,
        session: &mut stretch.session,
        about: vec![("dejavm.table", EVENTS.to_owned()), ("dejavm.events", args.events.join(" "))],
    };
    let rows = TableRows::of_events(probes);
    let folder = Folder { path, replaces: args.force };
    let window = segments.window_of(numbers.clone());
    let mut shown = ReplayProgress::new("tracing", window.start, window.end);
    let ended = extractor.segments(&rows, probes, &segments, numbers, &folder, &mut shown);
    match ended {
        Ok(Ended::Complete) => Ok(Exit::Success),
        Ok(Ended::Interrupted) => Err(Failure::new("interrupted")),
        Ok(Ended::Failed(failure)) => Err(failure),
        Err(error) => stretch.ended(error).map(|ended| ended.failed().unwrap_or(Exit::Success)),
    }
}
