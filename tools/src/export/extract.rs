//! Makes the files of a table by replaying the run with its probes on.

use super::places::Place;
use crate::error::Failure;
use crate::output_file::OutputFile;
use dejavm_core::boundary::{ProbeRecord, ProbeSettings};
use dejavm_core::machine::Machine;
use dejavm_core::types::Icount;
use dejavm_replay::session::timeline::{Extraction, Piece};
use dejavm_replay::session::{Observer, ReplaySession, SessionError};
use dejavm_trace::export::{
    Batch, ConsoleByte, ConsoleLines, Encoded, ExportError, SEGMENT_ICOUNT, Segments, Table, TableRows,
    TableWriter,
};
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How it went.
#[derive(Debug)]
pub enum Ended {
    /// Every file is there.
    Complete,
    /// The observer stopped it.
    Interrupted,
    /// A file could not be written.
    Failed(Failure),
}

/// Where files go, and what becomes of one that is complete.
pub trait Destination {
    /// Where the file of a place is.
    fn path(&self, place: Place) -> PathBuf;

    /// Whether a file that is there may be replaced.
    fn replaces(&self) -> bool;

    /// A file is complete.
    ///
    /// # Errors
    /// If it cannot be put into its place.
    fn keep(&self, file: OutputFile, path: &Path) -> Result<(), Failure>;
}

/// Makes files of a session's run.
pub struct Extractor<'a> {
    /// The session.
    pub session: &'a mut ReplaySession<Machine, File>,
    /// How many machines at most work at once.
    pub machines: usize,
    /// Names and values for the metadata of files.
    pub about: Vec<(&'static str, String)>,
}

impl Extractor<'_> {
    /// The stretch of the run, one icount behind its last one included.
    pub fn whole(&self) -> Range<Icount> {
        self.session.first().icount..self.session.last().icount.saturating_add(1)
    }

    /// A file for each of the segments `numbers` of a stretch, with the rows that `rows` makes of what
    /// `probes` see.
    ///
    /// # Errors
    /// If the replay fails.
    pub fn segments(
        &mut self,
        rows: &TableRows,
        probes: &ProbeSettings,
        segments: &Segments,
        numbers: Range<u64>,
        destination: &dyn Destination,
        observer: &mut dyn Observer,
    ) -> Result<Ended, SessionError> {
        let window = segments.window_of(numbers.clone());
        let mut files = Files { rows, about: &self.about, destination, next: numbers.start, current: None };
        let encode = |records: &[ProbeRecord]| {
            let segment = records.first().map_or(0, |record| record.position.icount / SEGMENT_ICOUNT);
            (segment, Encoded::of(rows.rows(records)))
        };
        let mut failure = None;
        let extraction = Extraction {
            probes: probes.clone(),
            from: window.start,
            to: window.end,
            machines: self.machines,
            // Parquet takes some ten bytes for a row.
            waiting: 2 * Extraction::FEW_WAITING,
        };
        let mut take = |piece: Piece<(u64, Result<Encoded, ExportError>)>| {
            let (segment, encoded) = piece.encoded;
            failure = files.add(segment, encoded).err();
            failure.is_none()
        };
        let complete = self.session.extract(&extraction, &encode, &mut take, observer)?;
        Ok(match failure {
            Some(failure) => Ended::Failed(failure),
            None if !complete => Ended::Interrupted,
            None => files.finish(numbers.end).map_or_else(Ended::Failed, |()| Ended::Complete),
        })
    }

    /// The file of a table that is made of the whole run.
    ///
    /// # Errors
    /// If the replay fails.
    pub fn console(
        &mut self,
        destination: &dyn Destination,
        observer: &mut dyn Observer,
    ) -> Result<Ended, SessionError> {
        let rows = TableRows::of(Table::Console);
        let encode =
            |records: &[ProbeRecord]| -> Vec<_> { records.iter().filter_map(ConsoleByte::of).collect() };
        let (mut lines, mut batch) = (ConsoleLines::default(), Batch::new(rows.schema().clone()));
        let Range { start, end } = self.whole();
        let probes = Table::Console.probes();
        let waiting = Extraction::FEW_WAITING;
        let extraction = Extraction { probes, from: start, to: end, machines: self.machines, waiting };
        let mut take = |piece: Piece<Vec<ConsoleByte>>| {
            piece.encoded.into_iter().for_each(|byte| lines.add(byte, &mut batch));
            true
        };
        if !self.session.extract(&extraction, &encode, &mut take, observer)? {
            return Ok(Ended::Interrupted);
        }
        lines.finish(&mut batch);
        Ok(put_whole(Table::Console, batch, destination).map_or_else(Ended::Failed, |()| Ended::Complete))
    }
}

/// Writes the file of a table that is made of the whole run.
///
/// # Errors
/// If the host refuses.
pub fn put_whole(table: Table, batch: Batch, destination: &dyn Destination) -> Result<(), Failure> {
    let mut open = Open::begin(&TableRows::of(table), &about(table), destination, Place::Whole)?;
    open.add(Encoded::of(batch))?;
    open.finish(destination)
}

/// What the metadata of a table's files say.
pub fn about(table: Table) -> Vec<(&'static str, String)> {
    vec![("dejavm.table", table.name().to_owned())]
}

/// The files of segments that follow each other.
struct Files<'a> {
    rows: &'a TableRows,
    about: &'a [(&'static str, String)],
    destination: &'a dyn Destination,
    /// The first segment that has no file yet.
    next: u64,
    current: Option<Open>,
}

impl Files<'_> {
    fn add(&mut self, segment: u64, encoded: Result<Encoded, ExportError>) -> Result<(), Failure> {
        self.advance(segment + 1)?;
        match &mut self.current {
            Some(open) => open.add(encoded),
            None => unreachable!("records of a segment that is over"),
        }
    }

    /// Begins files until that of the segment before `end` is open.
    fn advance(&mut self, end: u64) -> Result<(), Failure> {
        while self.next < end {
            if let Some(open) = self.current.take() {
                open.finish(self.destination)?;
            }
            let place = Place::Segment(self.next);
            self.current = Some(Open::begin(self.rows, self.about, self.destination, place)?);
            self.next += 1;
        }
        Ok(())
    }

    fn finish(mut self, end: u64) -> Result<(), Failure> {
        // Segments without rows have files, too: one that is missing is one that was not made.
        self.advance(end)?;
        self.current.take().map_or(Ok(()), |open| open.finish(self.destination))
    }
}

/// A file that is being written.
struct Open {
    path: PathBuf,
    file: OutputFile,
    writer: TableWriter<BufWriter<File>>,
}

impl Open {
    fn begin(
        rows: &TableRows,
        about: &[(&'static str, String)],
        destination: &dyn Destination,
        place: Place,
    ) -> Result<Self, Failure> {
        let path = destination.path(place);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|e| Failure::file("create", folder, &e))?;
        }
        let file = OutputFile::create(&path, destination.replaces())?;
        let output = file.file().try_clone().map_err(|e| Failure::file("write", &path, &e))?;
        let writer = TableWriter::new(BufWriter::new(output), rows.schema(), about);
        let writer = writer.map_err(|e| unwritten(&path, &e))?;
        Ok(Self { path, file, writer })
    }

    fn add(&mut self, encoded: Result<Encoded, ExportError>) -> Result<(), Failure> {
        encoded.and_then(|encoded| self.writer.add(encoded)).map_err(|e| unwritten(&self.path, &e))
    }

    fn finish(self, destination: &dyn Destination) -> Result<(), Failure> {
        let Self { path, file, writer } = self;
        let (output, _) = writer.finish().map_err(|e| unwritten(&path, &e))?;
        output.into_inner().map_err(|e| unwritten(&path, e.error()))?;
        destination.keep(file, &path)
    }
}

fn unwritten(path: &Path, error: &(dyn std::error::Error + 'static)) -> Failure {
    // What the host says is at the bottom of what the library says.
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match cause.downcast_ref::<io::Error>() {
        Some(error) => Failure::file("write", path, error),
        None => Failure::new(format!("cannot write {}: {error}", path.display())),
    }
    .advice("free some space, or write elsewhere; nothing incomplete was left")
}
