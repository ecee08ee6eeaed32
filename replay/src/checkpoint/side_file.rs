//! The side file of a journal (`*.djc`) as frames: see `FORMAT.md` beside this file. What is in the
//! frames is not known here.

use super::footprint::FOOTPRINT_BYTES;
use super::machine::PAGE_BYTES;
use super::pages::{GROUP_PAGES, LEVEL, PageId};
use super::store::StoreError;
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zstd::bulk::Compressor;

/// The version of the format that is written.
pub const VERSION: u32 = 2;
/// The one without footprints.
const VERSION_BEFORE: u32 = 1;

const MAGIC: [u8; 8] = *b"\x89DJK\r\n\x1a\n";
const PREAMBLE_LEN: usize = 16;
const FRAME_MAGIC: [u8; 3] = *b"DJk";
const HEADER_LEN: usize = 24;

/// The longest raw body of a frame that is no manifest.
const MAX_SMALL_BYTES: usize = GROUP_PAGES * PAGE_BYTES;
/// The longest raw manifest: all pages of the largest RAM would not fit, and get no checkpoint.
pub const MAX_MANIFEST_BYTES: usize = 256 << 20;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// What run the checkpoints are of; always the first.
    Binding = b'B',
    /// A group of pages.
    Pages = b'P',
    /// A checkpoint.
    Checkpoint = b'C',
    /// What the stretch before a checkpoint touched.
    Footprint = b'F',
}

impl FrameKind {
    fn from_code(code: u8) -> Option<Self> {
        [Self::Binding, Self::Pages, Self::Checkpoint, Self::Footprint]
            .into_iter()
            .find(|kind| *kind as u8 == code)
    }

    const fn max_raw_bytes(self) -> usize {
        match self {
            Self::Binding | Self::Pages | Self::Footprint => MAX_SMALL_BYTES,
            Self::Checkpoint => MAX_MANIFEST_BYTES,
        }
    }
}

/// Where a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it holds.
    pub kind: FrameKind,
    /// Of a group, the number of its first page; of a footprint, that of its checkpoint.
    pub tag: u32,
    /// The length of its body decompressed.
    pub raw_len: u32,
    offset: u64,
    stored_len: u32,
    crc: u32,
}

impl Frame {
    /// Its length with its header.
    pub fn total_len(&self) -> u64 {
        (HEADER_LEN as u64) + u64::from(self.stored_len)
    }

    /// Its body; `read_at` fills a buffer from a file offset.
    pub fn read(
        &self,
        kind: FrameKind,
        read_at: impl FnOnce(&mut [u8], u64) -> io::Result<()>,
    ) -> Result<Vec<u8>, StoreError> {
        if self.kind != kind {
            return Err(StoreError::Damaged("a frame of another kind"));
        }
        let stored = self.read_stored(read_at)?;
        let raw = decompress(&stored, self.raw_len as usize)?;
        if raw.len() != self.raw_len as usize {
            return Err(StoreError::Damaged("a frame that decompresses to another length"));
        }
        Ok(raw)
    }

    /// Its body as it is stored.
    pub fn read_stored(
        &self,
        read_at: impl FnOnce(&mut [u8], u64) -> io::Result<()>,
    ) -> Result<Vec<u8>, StoreError> {
        let mut stored = vec![0; self.stored_len as usize];
        read_at(&mut stored, self.offset + HEADER_LEN as u64)?;
        if crc32fast::hash(&stored) != self.crc {
            return Err(StoreError::Damaged("wrong checksum of a frame"));
        }
        Ok(stored)
    }

    fn header(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..3].copy_from_slice(&FRAME_MAGIC);
        bytes[3] = self.kind as u8;
        bytes[4..8].copy_from_slice(&self.stored_len.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.raw_len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.crc.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.tag.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..20]);
        bytes[20..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn from_header(bytes: &[u8; HEADER_LEN], offset: u64) -> Option<Self> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if bytes[..3] != FRAME_MAGIC || crc32fast::hash(&bytes[..20]) != word(20) {
            return None;
        }
        let kind = FrameKind::from_code(bytes[3])?;
        let (stored_len, raw_len, crc, tag) = (word(4), word(8), word(12), word(16));
        let most = kind.max_raw_bytes();
        let fits = raw_len as usize <= most && stored_len as usize <= most + most / 128 + 512;
        fits.then_some(Self { kind, tag, offset, stored_len, raw_len, crc })
    }
}

/// A side file that is written to.
pub struct SideFile {
    file: Arc<File>,
    path: PathBuf,
    binding: Vec<u8>,
    len: u64,
}

impl SideFile {
    /// Begins a new one, which is to take at most so many bytes. The file is locked while it is open.
    pub fn create(path: &Path, binding: &[u8], budget_bytes: u64) -> Result<Self, StoreError> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        file.try_lock().map_err(|_| StoreError::Locked)?;
        file.set_len(0)?;
        let (path, binding) = (path.to_owned(), binding.to_owned());
        let mut side = Self { file: Arc::new(file), path, binding, len: 0 };
        side.put(&preamble())?;
        let (stored, raw_len) = (compress(&side.binding), side.binding.len() as u32);
        side.put_frame(FrameKind::Binding, kib(budget_bytes), &stored, raw_len)?;
        Ok(side)
    }

    /// Goes on with one that is locked, behind its last whole frame.
    pub fn resume(file: Arc<File>, path: &Path, binding: &[u8], len: u64) -> Result<Self, StoreError> {
        // A torn frame goes.
        file.set_len(len)?;
        // It may have been begun by a version before this one.
        file.write_all_at(&preamble(), 0)?;
        Ok(Self { file, path: path.to_owned(), binding: binding.to_owned(), len })
    }

    /// Notes in the file what it may take.
    pub fn set_budget(&mut self, bytes: u64) -> Result<(), StoreError> {
        let mut first = first_frame(&self.file)?;
        if first.tag != kib(bytes) {
            first.tag = kib(bytes);
            self.file.write_all_at(&first.header(), first.offset)?;
        }
        Ok(())
    }

    /// The file.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Adds a frame.
    pub fn append(&mut self, kind: FrameKind, raw: &[u8]) -> Result<Frame, StoreError> {
        assert!(raw.len() <= kind.max_raw_bytes());
        self.put_frame(kind, 0, &compress(raw), raw.len() as u32)
    }

    /// Adds a group of pages, which is compressed already from `raw_len` bytes.
    pub fn append_group(
        &mut self,
        first: PageId,
        stored: &[u8],
        raw_len: usize,
    ) -> Result<Frame, StoreError> {
        self.put_frame(FrameKind::Pages, first, stored, raw_len as u32)
    }

    /// Adds the footprint of the checkpoint with the number `serial`, as it is stored.
    pub fn append_footprint(&mut self, serial: u32, stored: &[u8]) -> Result<Frame, StoreError> {
        self.put_frame(FrameKind::Footprint, serial, stored, FOOTPRINT_BYTES as u32)
    }

    /// A new file for the same run, which does not have this one's place yet.
    pub fn successor(&self) -> Result<Self, StoreError> {
        let budget_bytes = budget_of(&self.file)?;
        let new = Self::create(&successor_path(&self.path), &self.binding, budget_bytes)?;
        Ok(Self { path: self.path.clone(), ..new })
    }

    /// Puts a [`Self::successor`] in the place of the file that it is to replace.
    pub fn take_place(&self) -> Result<(), StoreError> {
        Ok(std::fs::rename(successor_path(&self.path), &self.path)?)
    }

    /// Adds a frame of another file as it is.
    pub fn copy(&mut self, from: &File, frame: &Frame) -> Result<Frame, StoreError> {
        let stored = frame.read_stored(|bytes, at| from.read_exact_at(bytes, at))?;
        self.put_frame(frame.kind, frame.tag, &stored, frame.raw_len)
    }

    fn put_frame(
        &mut self,
        kind: FrameKind,
        tag: u32,
        stored: &[u8],
        raw_len: u32,
    ) -> Result<Frame, StoreError> {
        let crc = crc32fast::hash(stored);
        let frame = Frame { kind, tag, offset: self.len, stored_len: stored.len() as u32, raw_len, crc };
        let mut bytes = Vec::with_capacity(HEADER_LEN + stored.len());
        bytes.extend(frame.header());
        bytes.extend_from_slice(stored);
        self.put(&bytes)?;
        Ok(frame)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all_at(bytes, self.len)?;
        self.len += bytes.len() as u64;
        Ok(())
    }
}

fn preamble() -> [u8; PREAMBLE_LEN] {
    let mut preamble = [0; PREAMBLE_LEN];
    preamble[..8].copy_from_slice(&MAGIC);
    preamble[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let crc = crc32fast::hash(&preamble[..12]);
    preamble[12..].copy_from_slice(&crc.to_le_bytes());
    preamble
}

/// A budget as a frame's header has it: in KiB, and never 0, which says nothing.
fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).max(1)
}

fn first_frame(file: &File) -> Result<Frame, StoreError> {
    let mut header = [0; HEADER_LEN];
    file.read_exact_at(&mut header, PREAMBLE_LEN as u64)?;
    let first = Frame::from_header(&header, PREAMBLE_LEN as u64);
    first.filter(|frame| frame.kind == FrameKind::Binding).ok_or(StoreError::Damaged("it has no beginning"))
}

/// What a side file says that it may take, in bytes; 0 if it does not say.
pub fn budget_of(file: &File) -> Result<u64, StoreError> {
    Ok(u64::from(first_frame(file)?.tag) * 1024)
}

fn successor_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// The whole frames of a side file, in order, and where the last of them ends. A frame that is torn
/// or damaged ends it.
pub fn scan(file: &File) -> Result<(Vec<Frame>, u64), StoreError> {
    let file_len = file.metadata()?.len();
    let mut preamble = [0; PREAMBLE_LEN];
    file.read_exact_at(&mut preamble, 0).map_err(|_| StoreError::Damaged("it has no preamble"))?;
    if preamble[..8] != MAGIC || crc32fast::hash(&preamble[..12]).to_le_bytes() != preamble[12..] {
        return Err(StoreError::Damaged("its preamble is not that of a checkpoint file"));
    }
    if ![VERSION, VERSION_BEFORE].iter().any(|version| preamble[8..12] == version.to_le_bytes()) {
        return Err(StoreError::Stale("it has another version"));
    }
    let (mut frames, mut at) = (Vec::new(), PREAMBLE_LEN as u64);
    let mut header = [0; HEADER_LEN];
    while file_len - at >= HEADER_LEN as u64 {
        file.read_exact_at(&mut header, at)?;
        let Some(frame) = Frame::from_header(&header, at) else { break };
        if file_len - at < frame.total_len() {
            break;
        }
        at += frame.total_len();
        frames.push(frame);
    }
    Ok((frames, at))
}

thread_local! {
    /// To make one is dearer than to compress a group with it.
    static COMPRESSOR: RefCell<Compressor<'static>> =
        RefCell::new(Compressor::new(LEVEL).expect("zstd has memory for a compressor"));
}

/// `raw` as one zstd frame.
pub fn compress(raw: &[u8]) -> Vec<u8> {
    COMPRESSOR
        .with_borrow_mut(|compressor| compressor.compress(raw))
        .expect("zstd compresses any bytes into a buffer of its own bound")
}

/// What the zstd frame `stored` holds, no more than `most` bytes.
pub fn decompress(stored: &[u8], most: usize) -> Result<Vec<u8>, StoreError> {
    zstd::bulk::decompress(stored, most).map_err(|_| StoreError::Damaged("a frame that does not decompress"))
}
