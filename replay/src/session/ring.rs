//! The flight recorder: a journal of the last stretch of a run only, of bounded size.
//!
//! There are two journals at a time. The current one is at the path that the user named. The next
//! is written beside it: it begins with a state and takes down the same from there on. Once it
//! covers enough by itself it takes the place of the current one, with one rename, and another
//! next one is begun. So at any moment, however the process ends, a complete journal of at least
//! the stretch that was asked for is at the path.

use super::SessionError;
use super::live::{LiveOptions, LiveSession, Log};
use super::machine::RunMachine;
use super::record::RecordOptions;
use crate::journal::{End, EndReason, Header, JournalError, Start, StateDigest, Writer};
use dejavm_core::boundary::{Images, Inbound, MachineConfig, Position};
use dejavm_core::types::{Icount, VirtualNs};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingSize {
    /// At least the last so many ns of virtual time, and at most about twice as much.
    Time(VirtualNs),
    /// At most about so many bytes on disk, in both journals; more, if a few states do not fit.
    Bytes(u64),
}

/// A byte limit is at least so many times the size of a journal that has just begun.
const LEAST_STATES: u64 = 4;

/// A journal being written.
struct Part {
    writer: Writer<File>,
    from: Position,
    /// Its length when it had its state and nothing else.
    begun_bytes: u64,
}

impl Part {
    fn new(writer: Writer<File>, from: Position) -> Self {
        let begun_bytes = writer.len_bytes();
        Self { writer, from, begun_bytes }
    }
}

/// The log of a flight recorder.
pub struct Ring {
    path: PathBuf,
    draft: PathBuf,
    header: Header,
    images: Images,
    size: RingSize,
    current: Part,
    next: Option<Part>,
}

impl Ring {
    fn start(
        path: &Path,
        file: File,
        header: Header,
        images: &Images,
        size: RingSize,
    ) -> Result<Self, JournalError> {
        let mut draft = path.as_os_str().to_owned();
        draft.push(".ring");
        let current = Part::new(Writer::new(file, &header, images)?, Position::default());
        let (path, images) = (path.to_path_buf(), images.clone());
        Ok(Self { path, draft: draft.into(), header, images, size, current, next: None })
    }

    /// Whether the next journal should be begun, so that it can take the place of this one.
    fn wants_next(&self, at: Position) -> bool {
        match self.size {
            // When it has covered the stretch, the current one has covered it twice.
            RingSize::Time(ns) => at.now_ns - self.current.from.now_ns >= ns,
            RingSize::Bytes(bytes) => self.current.writer.len_bytes() >= self.at_least(bytes) / 2,
        }
    }

    /// Whether the next journal covers enough by itself.
    fn next_suffices(&self, at: Position) -> bool {
        let Some(next) = &self.next else { return false };
        match self.size {
            RingSize::Time(ns) => at.now_ns - next.from.now_ns >= ns,
            RingSize::Bytes(bytes) => {
                self.current.writer.len_bytes() + next.writer.len_bytes() >= self.at_least(bytes)
            }
        }
    }

    fn at_least(&self, bytes: u64) -> u64 {
        let begun = self.next.as_ref().unwrap_or(&self.current).begun_bytes;
        bytes.max(LEAST_STATES * begun)
    }

    /// Puts the next journal into the place of the current one.
    fn rotate(&mut self, next: Part) -> io::Result<()> {
        File::open(&self.draft)?.sync_all()?;
        std::fs::rename(&self.draft, &self.path)?;
        self.current = next;
        Ok(())
    }

    fn finish(self, end: &End) -> Result<(), JournalError> {
        self.current.writer.finish(end)?;
        if self.next.is_some() {
            drop(self.next);
            std::fs::remove_file(&self.draft).map_err(failed("remove the other journal of the ring"))?;
        }
        Ok(())
    }
}

impl Log for Ring {
    fn boundary(&self) -> Icount {
        self.current.writer.next_boundary()
    }

    fn is_due(&self, at: Position, flush_due: bool) -> bool {
        // A guest that sleeps comes to no regular end of a chunk for a long time.
        let turns = self.next_suffices(at) || self.wants_state(at);
        turns || self.current.writer.is_due(at, flush_due)
    }

    fn has_pending(&self) -> bool {
        self.current.writer.has_pending()
    }

    fn append(&mut self, at: Position, event: &Inbound) -> Result<(), JournalError> {
        self.current.writer.append(at, event)?;
        self.next.as_mut().map_or(Ok(()), |next| next.writer.append(at, event))
    }

    fn end_chunk(&mut self, at: Position, hash: &StateDigest) -> Result<(), JournalError> {
        self.current.writer.end_chunk(at, hash)?;
        self.next.as_mut().map_or(Ok(()), |next| next.writer.end_chunk(at, hash))?;
        if self.next_suffices(at)
            && let Some(next) = self.next.take()
        {
            self.rotate(next).map_err(failed("replace the journal"))?;
        }
        Ok(())
    }

    fn wants_state(&self, at: Position) -> bool {
        self.next.is_none() && self.wants_next(at)
    }

    fn take_state(&mut self, start: &Start) -> Result<(), JournalError> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).open(&self.draft);
        let file = file.map_err(failed("create the other journal of the ring"))?;
        // Whoever wants to write it must not, once it is in its place.
        file.try_lock().map_err(|e| failed("lock the other journal of the ring")(e.into()))?;
        let writer = Writer::from_state(file, &self.header, &self.images, start)?;
        self.next = Some(Part::new(writer, start.checkpoint.at));
        Ok(())
    }
}

fn failed(doing: &'static str) -> impl FnOnce(io::Error) -> JournalError {
    move |source| JournalError::Io { doing, source }
}

/// A live run of which the last stretch is kept.
pub type RingSession<M> = LiveSession<M, Ring>;

impl<M: RunMachine> RingSession<M> {
    /// Begins a journal in `file`, which is at `path`, for `machine`, which is at power-on and was
    /// made of `config` and `images`.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn start(
        mut machine: M,
        config: &MachineConfig,
        images: &Images,
        (path, file): (&Path, File),
        options: &RecordOptions,
        size: RingSize,
        live: LiveOptions,
    ) -> Result<Self, SessionError> {
        assert_eq!(machine.position(), Position::default(), "a recording begins at power-on");
        let header = options.header(config, images, machine.digest().part_names());
        let ring = Ring::start(path, file, header, images, size)?;
        Ok(Self::with_log(machine, ring, live))
    }

    /// Ends the journal where the machine stands.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(mut self) -> Result<M, SessionError> {
        self.settle();
        let reason = self.ended().unwrap_or(EndReason::UserQuit);
        let (mut machine, ring) = self.into_parts();
        let end = End { reason, position: machine.position(), hash: machine.digest() };
        ring.finish(&end)?;
        Ok(machine)
    }
}
