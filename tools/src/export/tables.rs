//! The tables of one recording: made when they are asked for, as far as they are asked for.

use super::cache::{Cache, Checked};
use super::extract::{Destination, Ended, Extractor, about, put_whole};
use super::places::Place;
use crate::error::Failure;
use crate::output_file::OutputFile;
use crate::progress::ReplayProgress;
use dejavm_core::machine::Machine;
use dejavm_core::types::Icount;
use dejavm_replay::session::{ReplaySession, SessionError};
use dejavm_trace::export::{LinuxRows, Segments, Table, TableRows, rows_of};
use std::collections::BTreeSet;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Why a table cannot be had.
#[derive(Debug)]
pub enum TablesError {
    /// The replay failed.
    Session(SessionError),
    /// Something else did.
    Other(Failure),
}

impl From<SessionError> for TablesError {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl From<Failure> for TablesError {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

/// Follows the system calls of a Linux guest through the whole run.
pub type FollowLinux = Box<dyn FnMut() -> Result<LinuxRows, TablesError>>;

/// The tables of a recording.
pub struct Tables {
    session: ReplaySession<Machine, File>,
    cache: Cache,
    machines: usize,
    linux: FollowLinux,
}

/// The files of one table in a cache.
struct InCache<'a>(&'a Cache, Table);

impl Destination for InCache<'_> {
    fn path(&self, place: Place) -> PathBuf {
        self.0.place(self.1, place)
    }

    fn replaces(&self) -> bool {
        true
    }

    fn keep(&self, file: OutputFile, path: &Path) -> Result<(), Failure> {
        self.0.keep(file, path)
    }
}

impl Tables {
    /// Those of a session's run, kept in `cache`, made by at most so many machines at once; `linux` makes
    /// those that need a Linux guest.
    pub fn new(
        session: ReplaySession<Machine, File>,
        cache: Cache,
        machines: usize,
        linux: FollowLinux,
    ) -> Self {
        Self { session, cache, machines, linux }
    }

    /// The run's first icount, and the one behind its last.
    pub fn whole(&self) -> Range<Icount> {
        self.session.first().icount..self.session.last().icount.saturating_add(1)
    }

    /// Where they are kept.
    pub fn folder(&self) -> &Path {
        self.cache.folder()
    }

    /// The file of a table for a place.
    pub fn path(&self, table: Table, place: Place) -> PathBuf {
        self.cache.place(table, place)
    }

    /// Makes the files of a table, as far as they are not there, that hold all its rows of a stretch of
    /// the run, and others; or, if no more than `rows` are wanted, so many.
    ///
    /// # Errors
    /// If one cannot be made.
    pub fn make(
        &mut self,
        table: Table,
        stretch: &Range<Icount>,
        rows: Option<u64>,
    ) -> Result<BTreeSet<Place>, TablesError> {
        if table.is_whole() {
            self.make_whole(table)?;
            return Ok(BTreeSet::from([Place::Whole]));
        }
        let Some(rows) = rows else { return self.make_share(table, stretch, 1, 1) };
        let whole = self.whole();
        let wanted = Segments::of(stretch.start.max(whole.start)..stretch.end.min(whole.end)).numbers();
        let (mut made, mut there) = (BTreeSet::new(), 0);
        for number in wanted {
            if there >= rows {
                break;
            }
            let place = Place::Segment(number);
            if self.is_missing(table, place) {
                self.make_segments(table, number..number + 1)?;
            }
            there += self.rows(table, place)?;
            made.insert(place);
        }
        Ok(made)
    }

    /// The `k`th of `n` shares of what [`Self::make`] makes: workers that share a run make the same files
    /// together as one alone. What is made of the whole run is of the first.
    ///
    /// # Errors
    /// If a file cannot be made.
    pub fn make_share(
        &mut self,
        table: Table,
        stretch: &Range<Icount>,
        k: u64,
        n: u64,
    ) -> Result<BTreeSet<Place>, TablesError> {
        if table.is_whole() {
            return if k == 1 { self.make(table, stretch, None) } else { Ok(BTreeSet::new()) };
        }
        let whole = self.whole();
        let share = Segments::of(stretch.start.max(whole.start)..stretch.end.min(whole.end)).share(k, n);
        for run in self.missing(table, share.clone()) {
            self.make_segments(table, run)?;
        }
        Ok(share.map(Place::Segment).collect())
    }

    fn rows(&self, table: Table, place: Place) -> Result<u64, Failure> {
        let path = self.path(table, place);
        let file = File::open(&path).map_err(|e| Failure::file("read", &path, &e))?;
        rows_of(file).map_err(|e| Failure::new(format!("cannot read {}: {e}", path.display())))
    }

    /// The segments without a good file, as runs of such that follow each other.
    fn missing(&self, table: Table, wanted: Range<u64>) -> Vec<Range<u64>> {
        let mut runs: Vec<Range<u64>> = Vec::new();
        for number in wanted.filter(|number| self.is_missing(table, Place::Segment(*number))) {
            match runs.last_mut() {
                Some(run) if run.end == number => run.end += 1,
                _ => runs.push(number..number + 1),
            }
        }
        runs
    }

    fn is_missing(&self, table: Table, place: Place) -> bool {
        let found = self.cache.check(table, place);
        if found == Checked::Damaged {
            let path = self.cache.place(table, place);
            tracing::warn!(path = %path.display(), "not what was written there; it is made again");
        }
        found != Checked::Good
    }

    fn make_segments(&mut self, table: Table, numbers: Range<u64>) -> Result<(), TablesError> {
        let segments = Segments::of(self.whole());
        let window = segments.window_of(numbers.clone());
        let mut shown = ReplayProgress::new(doing(table), window.start, window.end);
        let Self { session, cache, machines, .. } = self;
        let mut extractor = Extractor { session, machines: *machines, about: about(table) };
        let rows = TableRows::of(table);
        let destination = InCache(cache, table);
        ended(extractor.segments(&rows, &table.probes(), &segments, numbers, &destination, &mut shown)?)
    }

    fn make_whole(&mut self, table: Table) -> Result<(), TablesError> {
        if !self.is_missing(table, Place::Whole) {
            return Ok(());
        }
        if table != Table::Console {
            // Both are made of the same calls.
            let mut rows = (self.linux)()?;
            put_whole(Table::Syscalls, rows.syscalls(), &InCache(&self.cache, Table::Syscalls))?;
            put_whole(Table::Processes, rows.processes(), &InCache(&self.cache, Table::Processes))?;
            return Ok(());
        }
        let whole = self.whole();
        let mut shown = ReplayProgress::new(doing(table), whole.start, whole.end);
        let Self { session, cache, machines, .. } = self;
        let mut extractor = Extractor { session, machines: *machines, about: about(table) };
        ended(extractor.console(&InCache(cache, table), &mut shown)?)
    }
}

fn ended(ended: Ended) -> Result<(), TablesError> {
    match ended {
        Ended::Complete => Ok(()),
        Ended::Interrupted => Err(Failure::new("interrupted").into()),
        Ended::Failed(failure) => Err(failure.into()),
    }
}

fn doing(table: Table) -> &'static str {
    match table {
        Table::Events => "making events",
        Table::Instructions => "making instructions",
        Table::Memory => "making memory",
        Table::Calls => "making calls",
        Table::Interrupts => "making interrupts",
        Table::Console => "making console",
        Table::Syscalls => "making syscalls",
        Table::Processes => "making processes",
    }
}
