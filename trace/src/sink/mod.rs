//! Where trace events go: one format per file. A format encodes runs of records one by one and
//! keeps nothing from one to the next, so that several threads can encode parts of a trace, and
//! the parts put together are the same bytes as those of one.

mod chrome;
mod ctf;
mod json;
mod perfetto;
mod simpletrace;
mod text;

pub use ctf::metadata as ctf_metadata;
pub use simpletrace::events_file;
pub use text::text_line;

use crate::binary::{self, ChunkPlace};
use dejavm_core::boundary::ProbeRecord;
use std::io::{self, Write};

/// Fewer records than this get no chunk of their own.
const FEW: usize = 1 << 12;

/// The formats of traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A line of text per event.
    Text,
    /// A JSON object per line.
    Json,
    /// Chrome's trace events.
    Chrome,
    /// Perfetto's protobuf.
    Perfetto,
    /// QEMU's simpletrace.
    Simpletrace,
    /// dejavm's own, for [`binary::Reader`].
    Binary,
    /// The Common Trace Format.
    Ctf,
}

impl Format {
    /// All formats with their names and what they are for.
    pub const ALL: [(Self, &'static str, &'static str); 7] = [
        (Self::Text, "text", "a line per event: icount, virtual ns, vCPU, name, arguments"),
        (Self::Json, "json", "a JSON object per line"),
        (Self::Chrome, "chrome", "JSON for chrome://tracing and Perfetto's UI"),
        (Self::Perfetto, "perfetto", "protobuf for Perfetto's UI and its trace processor"),
        (Self::Simpletrace, "simpletrace", "QEMU's simpletrace, version 4"),
        (
            Self::Binary,
            "djt",
            "dejavm's own: compact, found by icount; `dejavm trace FILE.djt` makes the others of it",
        ),
        (Self::Ctf, "ctf", "a folder in the Common Trace Format 1.8, for babeltrace2 and Trace Compass"),
    ];

    /// What opens a trace.
    pub fn begin(self) -> Vec<u8> {
        match self {
            Self::Text | Self::Json => Vec::new(),
            Self::Chrome => chrome::BEGIN.into(),
            Self::Perfetto => perfetto::begin(),
            Self::Simpletrace => simpletrace::begin(),
            Self::Binary => binary::begin(),
            Self::Ctf => Vec::new(),
        }
    }

    /// Some records, for a writer. Where they are cut decides only about formats that are made of
    /// chunks.
    pub fn prepare(self, records: &[ProbeRecord]) -> Encoded {
        let Some(place) = ChunkPlace::of(records) else { return Encoded::Chunks(Vec::new()) };
        let bytes = match self {
            Self::Binary if records.len() < FEW => return Encoded::Few(records.to_vec()),
            Self::Binary => return Encoded::Chunks(binary::encode(records)),
            Self::Text => text::encode(records),
            Self::Json => json::encode(records),
            Self::Chrome => chrome::encode(records),
            Self::Perfetto => perfetto::encode(records),
            Self::Simpletrace => simpletrace::encode(records),
            Self::Ctf => ctf::encode(records),
        };
        Encoded::Chunks(vec![(place, bytes)])
    }

    /// Records are in the order of the run, and may be taken out of the list: more of a piece.
    pub fn add(self, piece: &mut Preparation, records: &mut Vec<ProbeRecord>) {
        if self == Self::Binary && (piece.begun || piece.records.len() + records.len() >= FEW) {
            piece.begun = true;
            piece.encoder.add(&piece.records);
            piece.encoder.add(records);
            piece.records.clear();
            records.clear();
        } else {
            piece.records.append(records);
        }
    }

    /// What [`Self::prepare`] would make of all records of a piece. The preparation is of the next piece
    /// then.
    pub fn finish(self, piece: &mut Preparation) -> Encoded {
        let encoded = match std::mem::take(&mut piece.begun) {
            true => Encoded::Chunks(piece.encoder.finish()),
            false => self.prepare(&piece.records),
        };
        piece.records.clear();
        encoded
    }

    /// What closes a trace of so many bytes that is made of these chunks.
    fn end(self, written: u64, chunks: &[ChunkPlace]) -> Vec<u8> {
        match self {
            Self::Chrome => chrome::END.into(),
            Self::Binary => binary::end(written, chunks),
            Self::Text | Self::Json | Self::Perfetto | Self::Simpletrace | Self::Ctf => Vec::new(),
        }
    }

    /// Whether a trace of it can be put together of parts of the run by appending files: the first
    /// opens it, the last closes it. If not, each part is a trace of its own.
    pub fn can_be_appended(self) -> bool {
        !matches!(self, Self::Binary | Self::Ctf)
    }

    /// Whether a trace of it is a folder.
    pub fn is_folder(self) -> bool {
        self == Self::Ctf
    }
}

/// Records of a piece that are prepared as they come.
#[derive(Default)]
pub struct Preparation {
    /// Those that nothing was made of yet.
    records: Vec<ProbeRecord>,
    begun: bool,
    encoder: binary::Encoder,
}

/// Records in a format, as any thread can make them, for a [`Writer`].
#[derive(Clone, Debug)]
pub enum Encoded {
    /// Too few for a chunk of their own.
    Few(Vec<ProbeRecord>),
    /// Chunks with their bytes; or bytes, of a format without chunks.
    Chunks(Vec<(ChunkPlace, Vec<u8>)>),
}

impl Encoded {
    /// How many records.
    pub fn records(&self) -> u64 {
        match self {
            Self::Few(records) => records.len() as u64,
            Self::Chunks(chunks) => chunks.iter().map(|(place, _)| u64::from(place.records)).sum(),
        }
    }
}

/// Which ends of a trace a writer is to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// What opens it.
    pub opening: bool,
    /// What closes it.
    pub closing: bool,
}

impl Ends {
    /// A whole trace.
    pub const BOTH: Self = Self { opening: true, closing: true };
}

/// Writes a trace.
pub struct Writer {
    format: Format,
    ends: Ends,
    output: Option<Box<dyn Write + Send>>,
    begun: bool,
    written: u64,
    records: u64,
    chunks: Vec<ChunkPlace>,
    /// Too few for a chunk so far.
    waiting: Vec<ProbeRecord>,
}

impl Writer {
    /// In a format, to `output`.
    pub fn new(format: Format, output: Box<dyn Write + Send>) -> Self {
        Self::part(format, Ends::BOTH, output)
    }

    /// A part of a trace, if the format [can be appended](Format::can_be_appended).
    pub fn part(format: Format, ends: Ends, output: Box<dyn Write + Send>) -> Self {
        let ends = if format.can_be_appended() { ends } else { Ends::BOTH };
        let (chunks, waiting) = (Vec::new(), Vec::new());
        Self { format, ends, output: Some(output), begun: false, written: 0, records: 0, chunks, waiting }
    }

    /// Some records more.
    ///
    /// # Errors
    /// Of the output.
    pub fn write(&mut self, records: &[ProbeRecord]) -> io::Result<()> {
        self.write_encoded(self.format.prepare(records))?;
        self.output.as_mut().map_or(Ok(()), |output| output.flush())
    }

    /// Records that are encoded.
    ///
    /// # Errors
    /// Of the output.
    pub fn write_encoded(&mut self, encoded: Encoded) -> io::Result<()> {
        match encoded {
            Encoded::Few(records) => {
                self.waiting.extend(records);
                if self.waiting.len() >= FEW { self.put_waiting() } else { Ok(()) }
            }
            Encoded::Chunks(chunks) => {
                self.put_waiting()?;
                self.put_chunks(chunks)
            }
        }
    }

    /// Closes the trace; how many records it has.
    ///
    /// # Errors
    /// Of the output.
    pub fn finish(mut self) -> io::Result<u64> {
        self.close()?;
        Ok(self.records)
    }

    /// Writes nothing more.
    pub fn abandon(&mut self) {
        self.output = None;
    }

    fn put_waiting(&mut self) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        self.put_chunks(binary::encode(&waiting))
    }

    fn put_chunks(&mut self, chunks: Vec<(ChunkPlace, Vec<u8>)>) -> io::Result<()> {
        self.begin()?;
        for (place, bytes) in chunks {
            self.records += u64::from(place.records);
            if self.format == Format::Binary {
                self.chunks.push(ChunkPlace { offset: self.written, ..place });
            }
            self.put(&bytes)?;
        }
        Ok(())
    }

    fn begin(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.begun, true) || !self.ends.opening {
            return Ok(());
        }
        self.put(&self.format.begin())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.output.as_mut().map_or(Ok(()), |output| output.write_all(bytes))
    }

    fn close(&mut self) -> io::Result<()> {
        self.begin()?;
        self.put_waiting()?;
        if self.ends.closing {
            self.put(&self.format.end(self.written, &self.chunks))?;
        }
        self.output.take().map_or(Ok(()), |mut output| output.flush())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Who wants to know of errors finishes it. A trace without events leaves no mark.
        if self.output.is_some() && self.begun {
            let _ = self.close();
        }
    }
}
