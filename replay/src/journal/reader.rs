//! Reading a journal: finding its chunks, and what is in them. Everything read is checked; what
//! is wrong is told with its place.

use super::compress::decompress;
use super::error::{Damage, JournalError, Place, io};
use super::frame::{self, ChunkHeader, ChunkKind, PREAMBLE_LEN, TRAILER_LEN, Trailer};
use super::payload::{EndBody, EventsBody};
use super::scan::{ChunkEntry, Found, Torn, check_follows, chunk_at};
use super::{End, EventsChunk, Header, ImageHash, ImageRecord, ImageRole, Start, codec, index, start};
use super::{FORMAT_VERSION, FORMAT_VERSION_STATE};
use dejavm_core::boundary::{Images, Position};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// How a journal ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With an end record.
    Clean(End),
    /// Without: whoever recorded died. The run is known up to `last`.
    Unclean {
        /// The end of the last complete chunk.
        last: Position,
        /// The torn chunk after it, if there is one.
        torn: Option<Place>,
    },
}

/// An open journal.
#[derive(Debug)]
pub struct Reader<R> {
    file: R,
    header: Header,
    chunks: Vec<ChunkEntry>,
    ending: Ending,
    first: Position,
}

impl Reader<File> {
    /// Opens the journal at `path`.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        Self::new(File::open(path).map_err(io("open"))?)
    }
}

impl<R: Read + Seek> Reader<R> {
    /// Opens the journal that `file` is.
    pub fn new(mut file: R) -> Result<Self, JournalError> {
        let file_len = file.seek(SeekFrom::End(0)).map_err(io("seek"))?;
        Self::with_len(file, file_len)
    }

    /// Opens the journal that the first `file_len` bytes of `file` are.
    pub(super) fn with_len(mut file: R, file_len: u64) -> Result<Self, JournalError> {
        let version = read_preamble(&mut file, file_len)?;
        let chunks = match read_index(&mut file, file_len)? {
            Some(chunks) => Chunks { list: chunks, torn: None },
            None => scan(&mut file, file_len)?,
        };
        let header = read_header(&mut file, &chunks)?;
        check_images(&header, &chunks)?;
        start::check(&mut file, version, &chunks)?;
        let ending = read_ending(&mut file, &header, &chunks)?;
        let start = chunks.list.iter().rfind(|chunk| chunk.kind == ChunkKind::Start);
        let first = start.map_or(Position::default(), |chunk| chunk.last);
        Ok(Self { file, header, chunks: chunks.list, ending, first })
    }

    /// What the machine is made of.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How it ends.
    pub fn ending(&self) -> &Ending {
        &self.ending
    }

    /// All chunks but for the index.
    pub fn chunks(&self) -> &[ChunkEntry] {
        &self.chunks
    }

    /// The chunks that cover stretches of the run.
    pub fn events_chunks(&self) -> impl DoubleEndedIterator<Item = &ChunkEntry> + use<'_, R> {
        self.chunks.iter().filter(|chunk| chunk.kind == ChunkKind::Events)
    }

    /// Where the run begins: power-on, unless the journal has a start state.
    pub fn first(&self) -> Position {
        self.first
    }

    /// Whether the run begins with a state of its own, and not at power-on.
    pub fn has_start(&self) -> bool {
        self.chunks.iter().any(|chunk| chunk.kind == ChunkKind::Start)
    }

    /// The state that the run begins with; none if it begins at power-on.
    pub fn read_start(&mut self) -> Result<Option<Start>, JournalError> {
        let chunks: Vec<_> =
            self.chunks.iter().filter(|chunk| chunk.kind == ChunkKind::Start).copied().collect();
        let Some((first, rest)) = chunks.split_first() else { return Ok(None) };
        start::read(&mut self.file, &self.header, first, rest).map(Some)
    }

    /// The last position that the journal reaches.
    pub fn last(&self) -> Position {
        self.chunks.last().map_or(Position::default(), |chunk| chunk.last)
    }

    /// Identifies the run: the machine, where it begins and ends, and its state there. Two journals
    /// of one run, as with and without its images, have the same. For files that are made of a run
    /// and kept beside its journal.
    ///
    /// # Errors
    /// If the journal cannot be read, or is damaged.
    pub fn run_binding(&mut self) -> Result<[u8; 16], JournalError> {
        let last = self.events_chunks().next_back().copied();
        let (first_at, last_at) = (self.first(), self.last());
        let state =
            last.map(|chunk| self.read_events(&chunk)).transpose()?.map(|events| events.hash.combined);
        let positions = [first_at.icount, first_at.now_ns, last_at.icount, last_at.now_ns];
        let bytes = codec::encode(&(self.header.identity(), positions, state));
        Ok(xxhash_rust::xxh3::xxh3_128(&bytes).to_le_bytes())
    }

    /// What is in an events chunk.
    pub fn read_events(&mut self, chunk: &ChunkEntry) -> Result<EventsChunk, JournalError> {
        let body = read_body(&mut self.file, chunk, ChunkKind::Events)?;
        let parts = self.header.part_names.len();
        codec::decode::<EventsBody>(&body)
            .and_then(|body| body.resolve(chunk.place(), chunk.first, chunk.last, parts))
            .map_err(|damage| damage.at(chunk.place()))
    }

    /// The images: from the journal, or (where it only refers to them) those `given`, if they
    /// are the recorded ones.
    pub fn read_images(&mut self, given: Images) -> Result<Images, JournalError> {
        let mut images = Images::default();
        let mut parts = self.chunks.iter().filter(|chunk| chunk.kind == ChunkKind::Image);
        for record in &self.header.images {
            let image = if record.embedded {
                let image = read_image(&mut self.file, &mut parts, record.hash.size_bytes)?;
                check_embedded(record, &image, self.chunks[0].place())?;
                image
            } else {
                check_given(record, &given)?
            };
            match record.role {
                ImageRole::Kernel => images.kernel = image,
                ImageRole::Initrd => images.initrd = Some(image),
            }
        }
        Ok(images)
    }

    /// The body of a chunk as it is stored, checked by its checksum.
    pub(super) fn read_stored(&mut self, chunk: &ChunkEntry) -> Result<Vec<u8>, JournalError> {
        stored_body(&mut self.file, chunk, chunk.kind)
    }

    /// Reads every chunk and checks it (images too, where the journal holds them).
    pub fn check_all(&mut self) -> Result<(), JournalError> {
        self.read_start()?;
        for chunk in self.chunks.clone() {
            match chunk.kind {
                ChunkKind::Start => {}
                ChunkKind::Events => drop(self.read_events(&chunk)?),
                kind => drop(read_body(&mut self.file, &chunk, kind)?),
            }
        }
        Ok(())
    }
}

/// The chunks that were found.
pub(super) struct Chunks {
    pub list: Vec<ChunkEntry>,
    pub torn: Option<Torn>,
}

/// The version of the format.
fn read_preamble<R: Read + Seek>(file: &mut R, file_len: u64) -> Result<u32, JournalError> {
    let mut bytes = [0; PREAMBLE_LEN];
    let there = file_len.min(PREAMBLE_LEN as u64) as usize;
    file.seek(SeekFrom::Start(0)).map_err(io("seek"))?;
    file.read_exact(&mut bytes[..there]).map_err(io("read the preamble"))?;
    if there == PREAMBLE_LEN {
        return frame::check_preamble(&bytes);
    }
    let begins = |version| bytes[..there] == frame::preamble(version)[..there];
    if there == 0 || !(begins(FORMAT_VERSION) || begins(FORMAT_VERSION_STATE)) {
        return Err(JournalError::NotAJournal);
    }
    let place = Place { chunk: 0, offset: 0 };
    Err(JournalError::CutShort { place, missing: (PREAMBLE_LEN - there) as u64 })
}

/// The chunks from the index, if the file ends with a trailer.
fn read_index<R: Read + Seek>(file: &mut R, file_len: u64) -> Result<Option<Vec<ChunkEntry>>, JournalError> {
    let Some(at) = file_len.checked_sub(TRAILER_LEN as u64) else { return Ok(None) };
    let Ok(trailer) = read_trailer(file, at)? else { return Ok(None) };
    let place = Place { chunk: trailer.index_sequence, offset: trailer.index_offset };
    if place.offset >= at {
        return Err(Damage::Trailer.at(place));
    }
    let Found::Chunk(header) = chunk_at(file, at, place)? else { return Err(Damage::Trailer.at(place)) };
    let entry = ChunkEntry::new(&header, place.offset);
    let chunks = read_body(file, &entry, ChunkKind::Index)
        .and_then(|body| index::decode(&body).map_err(|damage| damage.at(place)))?;
    check_follows(&entry, chunks.last()).map_err(|damage| damage.at(place))?;
    let tiled = entry.end_offset() == at && chunks.last().is_some_and(|c| c.end_offset() == place.offset);
    if !tiled {
        return Err(Damage::Value("the index does not cover the file").at(place));
    }
    Ok(Some(chunks))
}

fn read_trailer<R: Read + Seek>(file: &mut R, at: u64) -> Result<Result<Trailer, Damage>, JournalError> {
    let mut bytes = [0; TRAILER_LEN];
    file.seek(SeekFrom::Start(at)).map_err(io("seek"))?;
    file.read_exact(&mut bytes).map_err(io("read the trailer"))?;
    Ok(Trailer::from_bytes(&bytes))
}

/// The chunks by walking through the file, up to its end or to a torn one.
fn scan<R: Read + Seek>(file: &mut R, file_len: u64) -> Result<Chunks, JournalError> {
    let mut list: Vec<ChunkEntry> = Vec::new();
    let mut offset = PREAMBLE_LEN as u64;
    loop {
        let place = Place { chunk: list.len() as u32, offset };
        let header = match chunk_at(file, file_len, place)? {
            Found::Chunk(header) => header,
            Found::EndOfFile => return Ok(Chunks { list, torn: None }),
            Found::Torn(torn) => return Ok(Chunks { list, torn: Some(torn) }),
        };
        let entry = ChunkEntry::new(&header, offset);
        check_follows(&entry, list.last()).map_err(|damage| damage.at(place))?;
        offset = entry.end_offset();
        if entry.kind == ChunkKind::Index {
            check_tail(file_len - offset, place)?;
            return Ok(Chunks { list, torn: None });
        }
        list.push(entry);
    }
}

/// What may follow the index if there is no good trailer: the beginning of one.
fn check_tail(tail: u64, index: Place) -> Result<(), JournalError> {
    match tail.checked_sub(TRAILER_LEN as u64) {
        None => Ok(()),
        Some(0) => Err(Damage::Trailer.at(index)),
        Some(more) => Err(Damage::Trailing(more).at(index)),
    }
}

fn read_header<R: Read + Seek>(file: &mut R, chunks: &Chunks) -> Result<Header, JournalError> {
    let Some(chunk) = chunks.list.first() else { return Err(cut_short(chunks)) };
    let body = read_body(file, chunk, ChunkKind::Header)?;
    let header: Header = codec::decode(&body).map_err(|damage| damage.at(chunk.place()))?;
    header.check_read().map_err(|damage| damage.at(chunk.place()))?;
    Ok(header)
}

/// Whether the embedded images are all there.
fn check_images(header: &Header, chunks: &Chunks) -> Result<(), JournalError> {
    let embedded = header.images.iter().filter(|image| image.embedded);
    let expected: u64 = embedded.map(|image| image.hash.size_bytes).sum();
    let parts = chunks.list.iter().filter(|chunk| chunk.kind == ChunkKind::Image);
    let found: u64 = parts.map(|part| u64::from(part.raw_len)).sum();
    let begun =
        chunks.list.iter().any(|c| matches!(c.kind, ChunkKind::Start | ChunkKind::Events | ChunkKind::End));
    match (found == expected, begun) {
        (true, _) => Ok(()),
        (false, false) if found < expected => Err(cut_short(chunks)),
        (false, _) => {
            Err(Damage::Value("the image chunks are not as long as the header says")
                .at(chunks.list[0].place()))
        }
    }
}

/// The machine is not complete: where, and how much is missing of the chunk there.
pub(super) fn cut_short(chunks: &Chunks) -> JournalError {
    let (offset, chunk) =
        (chunks.list.last()).map_or((PREAMBLE_LEN as u64, 0), |last| (last.end_offset(), last.sequence + 1));
    let end = Torn { place: Place { chunk, offset }, missing: frame::CHUNK_HEADER_LEN as u64 };
    let Torn { place, missing } = chunks.torn.unwrap_or(end);
    JournalError::CutShort { place, missing }
}

fn read_ending<R: Read + Seek>(
    file: &mut R,
    header: &Header,
    chunks: &Chunks,
) -> Result<Ending, JournalError> {
    let last = chunks.list.last().expect("the header was read");
    if last.kind != ChunkKind::End {
        let torn = chunks.torn.map(|torn| torn.place);
        return Ok(Ending::Unclean { last: last.last, torn });
    }
    let body = read_body(file, last, ChunkKind::End)?;
    let end = codec::decode::<EndBody>(&body).and_then(|end| end.resolve(last.last, &header.part_names));
    end.map(Ending::Clean).map_err(|damage| damage.at(last.place()))
}

/// The body of `chunk`, whose header must be what `chunk` says.
pub(super) fn read_body<R: Read + Seek>(
    file: &mut R,
    chunk: &ChunkEntry,
    expected: ChunkKind,
) -> Result<Vec<u8>, JournalError> {
    let stored = stored_body(file, chunk, expected)?;
    decompress(&stored, chunk.raw_len).map_err(|damage| damage.at(chunk.place()))
}

/// The same as it is stored, with its checksum.
fn stored_body<R: Read + Seek>(
    file: &mut R,
    chunk: &ChunkEntry,
    expected: ChunkKind,
) -> Result<Vec<u8>, JournalError> {
    let place = chunk.place();
    let Found::Chunk(header) = chunk_at(file, chunk.end_offset(), place)? else {
        return Err(Damage::Value("another length than the index says").at(place));
    };
    if header.kind != expected {
        let (found, expected) = (header.kind.name(), expected.name());
        return Err(Damage::WrongKind { found, expected }.at(place));
    }
    if ChunkEntry::new(&header, chunk.offset) != *chunk {
        return Err(Damage::Value("the chunk's header and the index disagree").at(place));
    }
    let stored = read_stored(file, &header)?;
    if crc32fast::hash(&stored) != header.stored_crc {
        return Err(Damage::BodyChecksum { stored_len: header.stored_len }.at(place));
    }
    Ok(stored)
}

/// The stored bytes behind `header`, where the file stands.
fn read_stored<R: Read>(file: &mut R, header: &ChunkHeader) -> Result<Vec<u8>, JournalError> {
    let mut stored = vec![0; header.stored_len as usize];
    file.read_exact(&mut stored).map_err(io("read a chunk"))?;
    Ok(stored)
}

/// The next image: as many chunks as make up its size.
fn read_image<'c, R: Read + Seek>(
    file: &mut R,
    parts: &mut impl Iterator<Item = &'c ChunkEntry>,
    size_bytes: u64,
) -> Result<Vec<u8>, JournalError> {
    let mut image = Vec::new();
    while (image.len() as u64) < size_bytes {
        let part = parts.next().expect("check_images found as many bytes as the header says");
        image.extend(read_body(file, part, ChunkKind::Image)?);
        if image.len() as u64 > size_bytes {
            return Err(Damage::Value("a chunk holds parts of two images").at(part.place()));
        }
    }
    Ok(image)
}

fn check_embedded(record: &ImageRecord, image: &[u8], header: Place) -> Result<(), JournalError> {
    if ImageHash::of(image) != record.hash {
        return Err(Damage::Value("an embedded image does not have its SHA-256").at(header));
    }
    Ok(())
}

fn check_given(record: &ImageRecord, given: &Images) -> Result<Vec<u8>, JournalError> {
    let image = match record.role {
        ImageRole::Kernel => Some(&given.kernel).filter(|kernel| !kernel.is_empty()),
        ImageRole::Initrd => given.initrd.as_ref(),
    };
    let (role, expected) = (record.role, record.hash.to_string());
    let Some(image) = image else { return Err(JournalError::MissingImage { role, expected }) };
    let found = ImageHash::of(image);
    if found != record.hash {
        return Err(JournalError::WrongImage { role, expected, found: found.to_string() });
    }
    Ok(image.clone())
}
