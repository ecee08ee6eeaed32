//! What can be wrong with a journal, each with the place in the file.

use super::payload::ImageRole;
use dejavm_core::boundary::Position;
use std::fmt;
use std::io;

/// A place in a journal: the chunk's number (from 0) and where in the file it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The sequence number of the chunk.
    pub chunk: u32,
    /// The file offset, in bytes.
    pub offset: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chunk {} at file offset {} ({:#x})", self.chunk, self.offset, self.offset)
    }
}

/// A journal that cannot be written, or not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The host's file system failed.
    #[error("journal: cannot {doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The file is something else.
    #[error("not a dejavm journal: no journal magic at file offset 0")]
    NotAJournal,
    /// A journal of another format version.
    #[error("journal format version {found} is not supported (this dejavm reads versions up to {supported})")]
    Version {
        /// The version in the file.
        found: u32,
        /// The version that this reader knows.
        supported: u32,
    },
    /// The file ends before the machine is complete (header and images).
    #[error("journal is cut short before the run begins: {place}: {missing} bytes missing")]
    CutShort {
        /// The chunk that is incomplete.
        place: Place,
        /// How many bytes of it are not there.
        missing: u64,
    },
    /// Bytes that cannot be what a writer wrote.
    #[error("journal is damaged: {place}: {damage}")]
    Damaged {
        /// Where.
        place: Place,
        /// What is wrong.
        damage: Damage,
    },
    /// An image is not the one that was recorded with.
    #[error("wrong {role} image: the journal was recorded with SHA-256 {expected}, this one has {found}")]
    WrongImage {
        /// Which image.
        role: ImageRole,
        /// The hash and size in the journal.
        expected: String,
        /// The hash and size of what was given.
        found: String,
    },
    /// The journal only refers to an image and none was given.
    #[error("the journal does not hold the {role} image: give the one with SHA-256 {expected}")]
    MissingImage {
        /// Which image.
        role: ImageRole,
        /// The hash and size in the journal.
        expected: String,
    },
    /// A recording that this format cannot hold.
    #[error("cannot be journalled: {what} exceeds the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
}

/// What is wrong with a chunk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The file's first 16 bytes do not have their checksum.
    #[error("wrong checksum of the file's preamble")]
    PreambleChecksum,
    /// No chunk starts here.
    #[error("no chunk magic")]
    NoMagic,
    /// The chunk header's checksum is wrong.
    #[error("wrong checksum of the chunk header")]
    HeaderChecksum,
    /// The stored bytes' checksum is wrong.
    #[error("wrong checksum of the chunk's {stored_len} stored bytes")]
    BodyChecksum {
        /// The stored length.
        stored_len: u32,
    },
    /// A kind of chunk that the format does not have.
    #[error("unknown kind of chunk {0:#04x}")]
    UnknownKind(u8),
    /// A chunk where another belongs.
    #[error("a chunk of kind {found} where {expected} belongs")]
    WrongKind {
        /// What is there.
        found: &'static str,
        /// What belongs there.
        expected: &'static str,
    },
    /// A chunk is missing or twice there.
    #[error("sequence number {found} instead of {expected}")]
    Sequence {
        /// The number in the chunk.
        found: u32,
        /// The number that follows.
        expected: u32,
    },
    /// A length beyond the limits.
    #[error("{what} of {found} exceeds the limit of {limit}")]
    TooLong {
        /// Which length.
        what: &'static str,
        /// The length in the file.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// A chunk that does not begin where the one before ended.
    #[error("begins at icount {} ({} ns) and not where the chunk before ended, icount {} ({} ns)",
        found.icount, found.now_ns, expected.icount, expected.now_ns)]
    Gap {
        /// Where it begins.
        found: Position,
        /// Where it should.
        expected: Position,
    },
    /// Positions that run backwards or out of their chunk.
    #[error("position out of order: icount {} ({} ns)", .0.icount, .0.now_ns)]
    Order(Position),
    /// The body is not zstd, or not of its length.
    #[error("cannot be decompressed: {0}")]
    Compression(String),
    /// The body does not decode.
    #[error("cannot be decoded: {0}")]
    Encoding(String),
    /// A value that no writer writes.
    #[error("{0}")]
    Value(&'static str),
    /// The pieces of a start state do not make one.
    #[error("the start state: {0}")]
    Start(String),
    /// A start state of another dejavm.
    #[error("a start state of layout {found}; this dejavm has layout {supported}")]
    StateVersion {
        /// The layout of the state.
        found: u32,
        /// The layout that this dejavm has.
        supported: u32,
    },
    /// The trailer at the end of the file is damaged.
    #[error("damaged trailer")]
    Trailer,
    /// Bytes after the end of the journal.
    #[error("{0} bytes follow the end of the journal")]
    Trailing(u64),
}

impl Damage {
    /// This damage, in its place.
    pub(super) fn at(self, place: Place) -> JournalError {
        JournalError::Damaged { place, damage: self }
    }
}

/// For `map_err`: an I/O failure and what was being done.
pub(super) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> JournalError {
    move |source| JournalError::Io { doing, source }
}
