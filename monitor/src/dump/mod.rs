//! Dumps of guest memory for crash, gdb, drgn, makedumpfile and their kin: one file per format.
//!
//! A dump is made of a [`Source`]: the pages of RAM, the vCPUs and what the guest says of itself,
//! all of one position. Nothing of a dump depends on the host: the same position gives the same
//! bytes. docs/dumps.md tells what each reader can do with which format.

pub mod elf;
pub mod file;
pub mod job;
pub mod kdump;
mod notes;
mod paging;
pub mod source;
pub mod vmcoreinfo;
mod win_context;
pub mod win_dmp;

pub use job::{Jobs, State, Status};
pub use source::{Announced, MachineSource, Snapshot, Source};

use std::io;
use std::ops::Range;
use std::path::PathBuf;

/// How page data of a kdump-compressed file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// zlib (RFC 1950).
    Zlib,
    /// LZO1X.
    Lzo,
    /// Snappy, raw blocks.
    Snappy,
}

/// The format of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// ELF core.
    Elf,
    /// kdump-compressed, as makedumpfile writes it.
    Kdump {
        /// How pages are compressed.
        compression: Compression,
        /// As it lies on disk; else flattened, so that it can go through a pipe.
        raw: bool,
    },
    /// Windows crash dump.
    Windows,
}

impl Format {
    /// The names of all formats in QMP.
    pub const NAMES: [&'static str; 8] = [
        "elf",
        "kdump-zlib",
        "kdump-lzo",
        "kdump-snappy",
        "kdump-raw-zlib",
        "kdump-raw-lzo",
        "kdump-raw-snappy",
        "win-dmp",
    ];

    /// All formats, in the order of their names.
    pub fn all() -> impl Iterator<Item = Self> {
        let kdump = [false, true].into_iter().flat_map(|raw| {
            let all = [Compression::Zlib, Compression::Lzo, Compression::Snappy];
            all.map(|compression| Self::Kdump { compression, raw })
        });
        [Self::Elf].into_iter().chain(kdump).chain([Self::Windows])
    }

    /// Its name.
    ///
    /// # Panics
    /// If [`Self::all`] lacks it.
    pub fn name(self) -> &'static str {
        let known = Self::all().zip(Self::NAMES).find(|(format, _)| *format == self);
        known.map(|(_, name)| name).expect("all formats have names")
    }

    /// The format of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().zip(Self::NAMES).find(|(_, n)| *n == name).map(|(format, _)| format)
    }
}

/// What is to be dumped, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The format.
    pub format: Format,
    /// Virtual addresses, by the page tables of all vCPUs (ELF only).
    pub paging: bool,
    /// Only these physical addresses: begin and length in bytes (ELF only).
    pub range: Option<(u64, u64)>,
}

/// Where a dump goes.
#[derive(Debug)]
pub enum Destination {
    /// A path. A regular file appears there when it is complete, and not before.
    Path(PathBuf),
    /// A file that is open already, a pipe too unless the format needs to seek.
    Open(std::fs::File),
}

/// Why there is no dump.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The format cannot do what is asked.
    #[error("kdump-compressed format doesn't support paging or filter")]
    KdumpIsWhole,
    /// The format cannot do what is asked.
    #[error("Windows crash dumps support neither paging nor filter")]
    WindowsIsWhole,
    /// A range of nothing.
    #[error("parameter 'length' expects a non-zero size")]
    EmptyRange,
    /// No RAM in the range.
    #[error("dump: no guest memory to dump")]
    NoMemory,
    /// The tables cannot be walked.
    #[error("dump: the guest's page tables refer to each other without end")]
    PageTables,
    /// One at a time.
    #[error("There is a dump in process, please wait.")]
    Busy,
    /// The file cannot be made.
    #[error("Could not create '{path}': {}", reason(error), path = path.display())]
    Create {
        /// Where.
        path: PathBuf,
        /// The host's reason.
        error: io::Error,
    },
    /// The file cannot be written.
    #[error("dump: failed to save memory: {}", reason(.0))]
    Write(#[from] io::Error),
    /// The guest is not one that the format is for.
    #[error("win-dump: {0}")]
    NotWindows(String),
}

/// The host's reason, as `strerror` has it.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Hears how many bytes of guest memory are done, and of how many.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// Writes a dump.
///
/// # Errors
/// If the request makes no sense for the source, or the host refuses; no half file is left.
pub fn write(
    source: &dyn Source,
    request: &Request,
    destination: Destination,
    progress: Progress<'_>,
) -> Result<(), DumpError> {
    request.check(source)?;
    write_to(source, request, file::Output::open(destination)?, progress)
}

fn write_to(
    source: &dyn Source,
    request: &Request,
    mut file: file::Output,
    progress: Progress<'_>,
) -> Result<(), DumpError> {
    let ram = request.check(source)?;
    match request.format {
        Format::Elf => elf::write(source, &ram, request.paging, &mut file, progress)?,
        Format::Kdump { compression, raw } => kdump::write(source, compression, raw, &mut file, progress)?,
        Format::Windows => win_dmp::write(source, &mut file, progress)?,
    }
    file.commit()
}

impl Request {
    /// All memory, as an ELF core.
    pub const ELF: Self = Self { format: Format::Elf, paging: false, range: None };

    /// The RAM that is to be dumped, in ascending order.
    ///
    /// # Errors
    /// If the request makes no sense for the source.
    pub fn check(&self, source: &dyn Source) -> Result<Vec<Range<u64>>, DumpError> {
        if self.paging || self.range.is_some() {
            match self.format {
                Format::Elf => {}
                Format::Kdump { .. } => return Err(DumpError::KdumpIsWhole),
                Format::Windows => return Err(DumpError::WindowsIsWhole),
            }
        }
        let wanted = match self.range {
            None => 0..u64::MAX,
            Some((_, 0)) => return Err(DumpError::EmptyRange),
            Some((begin, length)) => begin..begin.saturating_add(length),
        };
        let cut = |ram: &Range<u64>| ram.start.max(wanted.start)..ram.end.min(wanted.end);
        let ram: Vec<_> = source.ram().iter().map(cut).filter(|r| r.start < r.end).collect();
        if ram.is_empty() { Err(DumpError::NoMemory) } else { Ok(ram) }
    }
}

/// The sum of the sizes of `ranges`.
fn total(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|r| r.end - r.start).sum()
}
