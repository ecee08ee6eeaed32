//! Writing a journal: chunk after chunk, each in one write, so that a process that dies leaves
//! whole chunks and at most one torn.

use super::compress::{LEVEL_EVENTS, LEVEL_IMAGE, LEVEL_START, compress};
use super::error::{JournalError, io};
use super::frame::{self, CHUNK_HEADER_LEN, ChunkHeader, ChunkKind, PREAMBLE_LEN, Trailer, in_order};
use super::limits::{
    FULL_CHUNK_BYTES, MAX_EVENT_BYTES, MAX_EVENTS_BYTES, MAX_IMAGE_PART_BYTES, MAX_INDEX_BYTES, max_raw_bytes,
};
use super::payload::{EndBody, EventRecord, EventsBody, StartBody, Step, payload_len};
use super::scan::ChunkEntry;
use super::{ChunkHash, End, Header, ImageRole, Start, StateDigest, codec, index};
use super::{FORMAT_VERSION, FORMAT_VERSION_STATE};
use dejavm_core::boundary::{Images, Inbound, Position};
use dejavm_core::types::Icount;
use std::io::Write;
use std::thread::JoinHandle;

/// Fewer instructions than this are run again rather than saved early: a fraction of a second on
/// the slowest host.
const WORTH_SAVING_ICOUNT: Icount = 1 << 20;

/// Images of no more than this are compressed in a few ms: that is not worth a thread.
const QUICKLY_COMPRESSED_BYTES: u64 = 1 << 20;

/// Writes one journal to `W`.
///
/// Who writes decides where chunks end: at [`Writer::next_boundary`] always, and wherever
/// [`Writer::is_due`] says so.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    offset: u64,
    chunks: Vec<ChunkEntry>,
    identity: u128,
    interval_icount: Icount,
    part_names: Vec<String>,
    pending: Vec<EventRecord>,
    pending_bytes: usize,
    pending_last: Position,
    /// Images that are still being compressed: they come before the next chunk.
    images: Option<JoinHandle<Vec<ImagePart>>>,
}

/// A part of an image.
struct ImagePart {
    raw_len: u32,
    stored: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins a journal: preamble, header, and those images that the header says are embedded.
    pub fn new(out: W, header: &Header, images: &Images) -> Result<Self, JournalError> {
        Self::begin(out, header, images, None)
    }

    /// As [`Self::new`], but the images are compressed beside the run, so that a guest runs at once. They are
    /// written by [`Self::put_images_when_ready`], or before whatever comes next. What a process leaves that
    /// dies before is no journal.
    pub fn in_background(out: W, header: &Header, images: &Images) -> Result<Self, JournalError> {
        let bytes: u64 = header.images.iter().map(|record| record.hash.size_bytes).sum();
        if bytes <= QUICKLY_COMPRESSED_BYTES {
            return Self::new(out, header, images);
        }
        let mut writer = Self::begin_with_header(out, header, false)?;
        let records = header.images.iter().filter(|record| record.embedded);
        let embedded: Vec<Vec<u8>> = records.map(|record| image_of(images, record.role).to_vec()).collect();
        let thread = std::thread::Builder::new().name("images".to_owned());
        let parts = move || embedded.iter().flat_map(|image| image_parts(image)).collect();
        match thread.spawn(parts) {
            Ok(thread) => writer.images = Some(thread),
            // The host has no thread to give: at once, then.
            Err(_) => writer.put_images(header, images)?,
        }
        Ok(writer)
    }

    /// Begins a journal of a run that does not begin at power-on but with `start`.
    pub fn from_state(out: W, header: &Header, images: &Images, start: &Start) -> Result<Self, JournalError> {
        Self::begin(out, header, images, Some(start))
    }

    fn begin(out: W, header: &Header, images: &Images, start: Option<&Start>) -> Result<Self, JournalError> {
        let mut writer = Self::begin_with_header(out, header, start.is_some())?;
        writer.put_images(header, images)?;
        if let Some(start) = start {
            writer.put_start(start)?;
        }
        Ok(writer)
    }

    fn begin_with_header(out: W, header: &Header, with_state: bool) -> Result<Self, JournalError> {
        header.check_writable()?;
        assert!(header.interval_icount > 0, "chunks must end somewhere");
        let mut writer = Self {
            out,
            offset: 0,
            chunks: Vec::new(),
            identity: header.identity(),
            interval_icount: header.interval_icount,
            part_names: header.part_names.clone(),
            pending: Vec::new(),
            pending_bytes: 0,
            pending_last: Position::default(),
            images: None,
        };
        let version = if with_state { FORMAT_VERSION_STATE } else { FORMAT_VERSION };
        writer.put(&frame::preamble(version))?;
        writer.put_chunk(ChunkKind::Header, &codec::encode(header), Position::default(), LEVEL_EVENTS)?;
        assert_eq!(writer.chunks[0].offset, PREAMBLE_LEN as u64);
        Ok(writer)
    }

    /// The icount at which the next chunk must end, if none ends before.
    pub fn next_boundary(&self) -> Icount {
        (self.last().icount / self.interval_icount + 1).saturating_mul(self.interval_icount)
    }

    /// Whether a chunk should end at `at`: at a boundary, when much is pending, or when the
    /// caller's clock says that it is time and there is something to save: events, or enough
    /// instructions that a slow host would be sorry to run them again.
    pub fn is_due(&self, at: Position, flush_due: bool) -> bool {
        at.icount >= self.next_boundary()
            || self.pending_bytes >= FULL_CHUNK_BYTES
            || (flush_due && (self.has_pending() || at.icount - self.last().icount >= WORTH_SAVING_ICOUNT))
    }

    /// The hash of the machine and its images.
    pub(crate) fn identity(&self) -> u128 {
        self.identity
    }

    /// Writes the images, if they were being compressed beside the run and that is done.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn put_images_when_ready(&mut self) -> Result<(), JournalError> {
        if self.images.as_ref().is_some_and(JoinHandle::is_finished) {
            self.put_awaited_images()
        } else {
            Ok(())
        }
    }

    /// Whether events wait to be written.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The position up to which the run is in the file.
    pub fn last(&self) -> Position {
        self.chunks.last().map_or(Position::default(), |chunk| chunk.last)
    }

    /// The length of the file so far, in bytes.
    pub fn len_bytes(&self) -> u64 {
        self.offset
    }

    /// Takes in an event that was applied at `at`.
    pub fn append(&mut self, at: Position, event: &Inbound) -> Result<(), JournalError> {
        if payload_len(event) > MAX_EVENT_BYTES {
            return Err(JournalError::TooLarge { what: "one event", limit: MAX_EVENT_BYTES as u64 });
        }
        let record = EventRecord { step: Step::between(self.pending_last, at), event: event.clone() };
        let bytes = codec::encode(&record).len();
        if self.pending_bytes + bytes > MAX_EVENTS_BYTES as usize / 2 {
            let limit = u64::from(MAX_EVENTS_BYTES / 2);
            return Err(JournalError::TooLarge { what: "the input between two chunk ends", limit });
        }
        self.pending_bytes += bytes;
        self.pending.push(record);
        self.pending_last = at;
        Ok(())
    }

    /// Ends a chunk at `at`, where the state is `hash` (after all events at `at`).
    pub fn end_chunk(&mut self, at: Position, hash: &StateDigest) -> Result<(), JournalError> {
        self.check_parts(hash);
        self.end_chunk_short(at, hash.shorten())
    }

    /// The same, where only the short form of the hash is known: from another journal of the run.
    pub fn end_chunk_short(&mut self, at: Position, hash: ChunkHash) -> Result<(), JournalError> {
        assert!(in_order(self.pending_last, at), "a chunk ends after its events");
        assert_eq!(hash.parts.len(), self.part_names.len(), "a hash of the same machine");
        let events = std::mem::take(&mut self.pending);
        let body = codec::encode(&EventsBody { events, hash });
        self.put_chunk(ChunkKind::Events, &body, at, LEVEL_EVENTS)?;
        self.pending_bytes = 0;
        self.pending_last = at;
        Ok(())
    }

    /// Ends the journal cleanly: what is pending, the end record, index and trailer.
    pub fn finish(mut self, end: &End) -> Result<W, JournalError> {
        if self.has_pending() || end.position != self.last() {
            self.end_chunk(end.position, &end.hash)?;
        }
        self.check_parts(&end.hash);
        self.put_chunk(ChunkKind::End, &codec::encode(&EndBody::of(end)), end.position, LEVEL_EVENTS)?;
        self.put_index()?;
        Ok(self.out)
    }

    /// Appends a chunk of another journal, whose stored bytes are `stored`.
    pub(super) fn copy_chunk(&mut self, chunk: &ChunkEntry, stored: &[u8]) -> Result<(), JournalError> {
        assert_eq!(chunk.first, self.last(), "a copied chunk goes on where the copy stands");
        self.put_stored(chunk.kind, chunk.raw_len, stored, chunk.last)?;
        self.pending_last = chunk.last;
        Ok(())
    }

    /// Ends a copy whose last chunk is the end record.
    pub(super) fn finish_copy(mut self) -> Result<W, JournalError> {
        assert!(self.chunks.last().is_some_and(|chunk| chunk.kind == ChunkKind::End), "the end is copied");
        self.put_index()?;
        Ok(self.out)
    }

    /// Index and trailer.
    fn put_index(&mut self) -> Result<(), JournalError> {
        let index = index::encode(&self.chunks);
        if index.len() <= MAX_INDEX_BYTES as usize {
            let trailer = Trailer { index_offset: self.offset, index_sequence: self.chunks.len() as u32 };
            self.put_chunk(ChunkKind::Index, &index, self.last(), LEVEL_EVENTS)?;
            self.put(&trailer.to_bytes())?;
        }
        Ok(())
    }

    /// What was written to, as it is: without an end.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn check_parts(&self, hash: &StateDigest) {
        let names = hash.parts.iter().map(|(name, _)| name);
        assert!(names.eq(&self.part_names), "a state hash always has the parts that the header names");
    }

    fn put_images(&mut self, header: &Header, images: &Images) -> Result<(), JournalError> {
        for record in header.images.iter().filter(|record| record.embedded) {
            let image = image_of(images, record.role);
            assert_eq!(image.len() as u64, record.hash.size_bytes, "the header describes these images");
            image_parts(image).try_for_each(|part| self.put_image_part(&part))?;
        }
        Ok(())
    }

    fn put_image_part(&mut self, part: &ImagePart) -> Result<(), JournalError> {
        self.put_stored(ChunkKind::Image, part.raw_len, &part.stored, Position::default())
    }

    /// Writes the images that were compressed beside the run; waits for them if need be.
    fn put_awaited_images(&mut self) -> Result<(), JournalError> {
        let Some(thread) = self.images.take() else { return Ok(()) };
        let parts = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        parts.iter().try_for_each(|part| self.put_image_part(part))
    }

    fn put_start(&mut self, start: &Start) -> Result<(), JournalError> {
        self.check_parts(&start.hash);
        let at = start.checkpoint.at;
        let (body, pieces) = StartBody::split(start);
        self.put_chunk(ChunkKind::Start, &codec::encode(&body), at, LEVEL_START)?;
        for piece in pieces {
            self.put_chunk(ChunkKind::Start, &piece, at, LEVEL_START)?;
        }
        self.pending_last = at;
        Ok(())
    }

    fn put_chunk(
        &mut self,
        kind: ChunkKind,
        raw: &[u8],
        last: Position,
        level: i32,
    ) -> Result<(), JournalError> {
        assert!(raw.len() <= max_raw_bytes(kind) as usize, "a {} chunk within its limit", kind.name());
        self.put_stored(kind, raw.len() as u32, &compress(raw, level), last)
    }

    fn put_stored(
        &mut self,
        kind: ChunkKind,
        raw_len: u32,
        stored: &[u8],
        last: Position,
    ) -> Result<(), JournalError> {
        if kind != ChunkKind::Header {
            self.put_awaited_images()?;
        }
        let header = ChunkHeader {
            kind,
            sequence: self.chunks.len() as u32,
            stored_len: stored.len() as u32,
            raw_len,
            stored_crc: crc32fast::hash(stored),
            first: self.last(),
            last,
        };
        let mut bytes = Vec::with_capacity(CHUNK_HEADER_LEN + stored.len());
        bytes.extend(header.to_bytes());
        bytes.extend(stored);
        let entry = ChunkEntry::new(&header, self.offset);
        self.put(&bytes)?;
        self.chunks.push(entry);
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        self.out.write_all(bytes).and_then(|()| self.out.flush()).map_err(io("write"))?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}

/// An image in parts, each compressed when it is asked for.
fn image_parts(image: &[u8]) -> impl Iterator<Item = ImagePart> {
    let parts = image.chunks(MAX_IMAGE_PART_BYTES as usize);
    parts.map(|part| ImagePart { raw_len: part.len() as u32, stored: compress(part, LEVEL_IMAGE) })
}

/// The bytes of the image for `role`; none are as good as empty ones.
fn image_of(images: &Images, role: ImageRole) -> &[u8] {
    match role {
        ImageRole::Kernel => &images.kernel,
        ImageRole::Initrd => images.initrd.as_deref().unwrap_or_default(),
    }
}
