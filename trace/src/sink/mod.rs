//! Where trace events go: one format per file. A format encodes runs of records one by one and
//! keeps nothing from one to the next, so that several threads can encode parts of a trace, and
//! the parts put together are the same bytes as those of one.

mod chrome;
mod json;
mod perfetto;
mod simpletrace;
mod text;

pub use simpletrace::events_file;
pub use text::text_line;

use dejavm_core::boundary::ProbeRecord;
use std::io::{self, Write};

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
}

impl Format {
    /// All formats with their names and what they are for.
    pub const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::Text, "text", "a line per event: icount, virtual ns, vCPU, name, arguments"),
        (Self::Json, "json", "a JSON object per line"),
        (Self::Chrome, "chrome", "JSON for chrome://tracing and Perfetto's UI"),
        (Self::Perfetto, "perfetto", "protobuf for Perfetto's UI and its trace processor"),
        (Self::Simpletrace, "simpletrace", "QEMU's simpletrace, version 4"),
    ];

    /// What opens a trace.
    pub fn begin(self) -> Vec<u8> {
        match self {
            Self::Text | Self::Json => Vec::new(),
            Self::Chrome => chrome::BEGIN.into(),
            Self::Perfetto => perfetto::begin(),
            Self::Simpletrace => simpletrace::begin(),
        }
    }

    /// Some records. Where they are cut decides only about formats that are made of chunks.
    pub fn encode(self, records: &[ProbeRecord]) -> Vec<u8> {
        match self {
            Self::Text => text::encode(records),
            Self::Json => json::encode(records),
            Self::Chrome => chrome::encode(records),
            Self::Perfetto => perfetto::encode(records),
            Self::Simpletrace => simpletrace::encode(records),
        }
    }

    /// What closes a trace that is made of these chunks.
    pub fn end(self, _chunks: &[Chunk]) -> Vec<u8> {
        match self {
            Self::Chrome => chrome::END.into(),
            Self::Text | Self::Json | Self::Perfetto | Self::Simpletrace => Vec::new(),
        }
    }
}

/// A run of records that was encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// The icount of the first record.
    pub first_icount: u64,
    /// That of the last.
    pub last_icount: u64,
    /// How many there are.
    pub records: u64,
    /// Where it begins in the file.
    pub offset: u64,
    /// How many bytes it has.
    pub bytes: u64,
}

impl Chunk {
    /// That of some records, encoded in so many bytes.
    pub fn of(records: &[ProbeRecord], bytes: usize) -> Option<Self> {
        Some(Self {
            first_icount: records.first()?.position.icount,
            last_icount: records.last()?.position.icount,
            records: records.len() as u64,
            offset: 0,
            bytes: bytes as u64,
        })
    }
}

/// Writes a trace.
pub struct Writer {
    format: Format,
    output: Option<Box<dyn Write + Send>>,
    begun: bool,
    written: u64,
    chunks: Vec<Chunk>,
}

impl Writer {
    /// In a format, to `output`.
    pub fn new(format: Format, output: Box<dyn Write + Send>) -> Self {
        Self { format, output: Some(output), begun: false, written: 0, chunks: Vec::new() }
    }

    /// Some records more.
    ///
    /// # Errors
    /// Of the output.
    pub fn write(&mut self, records: &[ProbeRecord]) -> io::Result<()> {
        let bytes = self.format.encode(records);
        match Chunk::of(records, bytes.len()) {
            Some(chunk) => self.write_chunk(chunk, &bytes),
            None => Ok(()),
        }
    }

    /// Records that are encoded.
    ///
    /// # Errors
    /// Of the output.
    pub fn write_chunk(&mut self, chunk: Chunk, bytes: &[u8]) -> io::Result<()> {
        self.begin()?;
        self.chunks.push(Chunk { offset: self.written, ..chunk });
        self.put(bytes)?;
        self.output.as_mut().map_or(Ok(()), |output| output.flush())
    }

    /// Closes the trace; how many records it has.
    ///
    /// # Errors
    /// Of the output.
    pub fn finish(mut self) -> io::Result<u64> {
        self.close()?;
        Ok(self.chunks.iter().map(|chunk| chunk.records).sum())
    }

    /// Writes nothing more.
    pub fn abandon(&mut self) {
        self.output = None;
    }

    fn begin(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.begun, true) {
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
        self.put(&self.format.end(&self.chunks))?;
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
