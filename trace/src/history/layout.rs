//! Where everything of a span stands in the file.

use super::SPAN_ICOUNT;
use super::table::MOST_PIECES;

const MAGIC: [u8; 4] = *b"DJmS";
/// The length of a span's header.
pub const HEADER_BYTES: usize = 64;
/// A piece: its number in the span, and the length of its chunks.
pub const PIECE_BYTES: usize = 16;
/// A page number.
pub const NUMBER_BYTES: usize = 8;
/// What is known of a page.
pub const PAGE_BYTES: usize = 48;
/// The lines of a page that were written in a piece.
pub const LINES_BYTES: usize = 8;
const MOST_PAGES: u32 = 1 << 28;
const MOST_LINES: u64 = 1 << 36;
/// More than 2^18 instructions can store in 2^8 pieces.
const MOST_CHUNK_BYTES: u64 = 1 << 36;

/// The header of a span: how much of everything it has, and the checksums of what is read as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// The number of the span.
    pub number: u64,
    /// How many pieces.
    pub pieces: u32,
    /// How many pages: physical ones, linear ones.
    pub pages: [u32; 2],
    /// How many sets of lines, of all pages.
    pub lines: u64,
    /// The length of the chunks.
    pub chunks: u64,
    /// CRC-32 of the pieces.
    pub pieces_crc: u32,
    /// CRC-32 of the numbers of the pages, of each kind.
    pub numbers_crc: [u32; 2],
}

impl Layout {
    /// The header as bytes.
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        let words = [
            self.pieces,
            self.pages[0],
            self.pages[1],
            self.pieces_crc,
            self.numbers_crc[0],
            self.numbers_crc[1],
        ];
        for (at, word) in (4..).step_by(4).zip(words) {
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        for (at, long) in (32..).step_by(8).zip([self.number, self.lines, self.chunks]) {
            bytes[at..at + 8].copy_from_slice(&long.to_le_bytes());
        }
        let crc = crc32fast::hash(&bytes[..HEADER_BYTES - 4]);
        bytes[HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header that these bytes are; None if they are none, or one beyond the limits.
    pub fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let crc = crc32fast::hash(&bytes[..HEADER_BYTES - 4]);
        if bytes[..4] != MAGIC || crc != word(HEADER_BYTES - 4) {
            return None;
        }
        let layout = Self {
            number: long(32),
            pieces: word(4),
            pages: [word(8), word(12)],
            lines: long(40),
            chunks: long(48),
            pieces_crc: word(16),
            numbers_crc: [word(20), word(24)],
        };
        let fits = layout.pieces as usize <= MOST_PIECES
            && layout.pages.iter().all(|&pages| pages <= MOST_PAGES)
            && layout.lines <= MOST_LINES
            && layout.chunks <= MOST_CHUNK_BYTES
            && layout.number <= u64::MAX / SPAN_ICOUNT;
        fits.then_some(layout)
    }

    /// Where the numbers of the pages of a kind are, from the span's beginning.
    pub fn numbers(&self, kind: usize) -> u64 {
        let before = if kind == 0 { 0 } else { self.pages[0] };
        (HEADER_BYTES + self.pieces as usize * PIECE_BYTES) as u64 + u64::from(before) * NUMBER_BYTES as u64
    }

    /// Where what is known of page `index` of a kind is.
    pub fn page(&self, kind: usize, index: usize) -> u64 {
        let before = if kind == 0 { 0 } else { self.pages[0] as usize };
        self.numbers(1)
            + u64::from(self.pages[1]) * NUMBER_BYTES as u64
            + ((before + index) * PAGE_BYTES) as u64
    }

    /// Where set `index` of lines is.
    pub fn lines(&self, index: u64) -> u64 {
        self.page(1, self.pages[1] as usize) + index * LINES_BYTES as u64
    }

    /// Where the chunks begin.
    pub fn chunks(&self) -> u64 {
        self.lines(self.lines)
    }

    /// How long the span is.
    pub fn len(&self) -> u64 {
        self.chunks() + self.chunks
    }
}
