//! The table of a span: which lines of which pages were written in which pieces.

use super::layout::{LINES_BYTES, Layout, NUMBER_BYTES, PAGE_BYTES, PIECE_BYTES};
use crate::binary::TraceFileError;
use std::collections::BTreeMap;

/// Pieces in a span.
pub const MOST_PIECES: usize = 256;
const PAGE_SHIFT: u32 = 12;
/// A line has 64 bytes, so that a page has as many lines as a word has bits.
const LINE_SHIFT: u32 = 6;

/// A bit for each piece of a span.
pub type Pieces = [u64; MOST_PIECES / 64];

/// The pieces in which something of a page was written, and for each of them, in order, the lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pieces: Pieces,
    lines: Vec<u64>,
}

/// What is known of a span.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The pieces that have stores, with the lengths of their chunks.
    pub pieces: Vec<(u8, u64)>,
    /// By physical page, and by linear page.
    pub pages: [BTreeMap<u64, Page>; 2],
}

impl Page {
    /// Adds the lines that a piece wrote; pieces come in order.
    pub fn add(&mut self, piece: u8, lines: u64) {
        self.pieces[usize::from(piece) / 64] |= 1 << (piece % 64);
        self.lines.push(lines);
    }
}

impl Table {
    /// The table as bytes, and the layout of a span with it. The chunks are for somebody else to add.
    pub fn encode(&self, number: u64) -> (Layout, Vec<u8>) {
        let mut layout = Layout { number, pieces: self.pieces.len() as u32, ..Layout::default() };
        let mut out = Vec::new();
        for &(piece, bytes) in &self.pieces {
            put(&mut out, &[piece.into(), bytes]);
        }
        layout.pieces_crc = crc32fast::hash(&out);
        for (kind, pages) in self.pages.iter().enumerate() {
            let start = out.len();
            pages.keys().for_each(|&page| put(&mut out, &[page]));
            layout.pages[kind] = pages.len() as u32;
            layout.numbers_crc[kind] = crc32fast::hash(&out[start..]);
        }
        let mut sets = Vec::new();
        for page in self.pages.iter().flat_map(|pages| pages.values()) {
            let start = sets.len();
            put(&mut sets, &page.lines);
            let record = PageRecord {
                pieces: page.pieces,
                first: (start / LINES_BYTES) as u64,
                crc: crc32fast::hash(&sets[start..]),
            };
            out.extend(record.to_bytes());
        }
        layout.lines = (sets.len() / LINES_BYTES) as u64;
        out.extend(sets);
        (layout, out)
    }
}

/// What the file says of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRecord {
    /// The pieces in which something of it was written.
    pub pieces: Pieces,
    /// The first of its sets of lines.
    pub first: u64,
    /// CRC-32 of them.
    pub crc: u32,
}

impl PageRecord {
    fn to_bytes(self) -> [u8; PAGE_BYTES] {
        let mut bytes = Vec::with_capacity(PAGE_BYTES);
        put(&mut bytes, &self.pieces);
        put(&mut bytes, &[self.first]);
        bytes.extend(self.crc.to_le_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes.try_into().unwrap_or([0; PAGE_BYTES])
    }

    /// The one that these bytes are.
    ///
    /// # Errors
    /// If they are not what was written.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TraceFileError> {
        let damaged = TraceFileError::Malformed("wrong checksum of a page");
        let Some((body, crc)) = bytes.split_last_chunk::<4>() else { return Err(damaged) };
        let Some((longs, sets)) = body.split_last_chunk::<4>() else { return Err(damaged) };
        if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
            return Err(damaged);
        }
        let [a, b, c, d, first] = numbers(longs)[..] else { return Err(damaged) };
        Ok(Self { pieces: [a, b, c, d], first, crc: u32::from_le_bytes(*sets) })
    }

    /// How many sets of lines it has.
    pub fn count(&self) -> usize {
        self.pieces.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The pieces in which one of the `wanted` lines was written, by their sets.
    pub fn pieces_with(&self, wanted: u64, sets: &[u64]) -> Pieces {
        let mut found = Pieces::default();
        let numbers = (0..MOST_PIECES).filter(|n| self.pieces[n / 64] >> (n % 64) & 1 != 0);
        for (n, _) in numbers.zip(sets).filter(|(_, lines)| *lines & wanted != 0) {
            found[n / 64] |= 1 << (n % 64);
        }
        found
    }
}

/// The pieces of these bytes.
///
/// # Errors
/// If they break the rules of the format.
pub fn decode_pieces(bytes: &[u8]) -> Result<Vec<(u8, u64)>, TraceFileError> {
    let pieces: Option<Vec<(u8, u64)>> = bytes
        .chunks_exact(PIECE_BYTES)
        .map(|piece| match numbers(piece)[..] {
            [number, bytes] => Some((u8::try_from(number).ok()?, bytes)),
            _ => None,
        })
        .collect();
    match pieces.filter(|pieces| pieces.is_sorted_by(|a, b| a.0 < b.0)) {
        Some(pieces) => Ok(pieces),
        None => Err(TraceFileError::Malformed("pieces that are not in order")),
    }
}

/// 8-byte numbers.
pub fn numbers(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(NUMBER_BYTES).map(|b| u64::from_le_bytes(b.try_into().unwrap_or_default())).collect()
}

fn put(out: &mut Vec<u8>, numbers: &[u64]) {
    numbers.iter().for_each(|number| out.extend(number.to_le_bytes()));
}

/// The page of an address.
pub fn page_of(address: u64) -> u64 {
    address >> PAGE_SHIFT
}

/// The line of an address.
pub fn line_of(address: u64) -> u64 {
    address >> LINE_SHIFT
}

/// The page of a line, and its bit there.
pub fn bit_of(line: u64) -> (u64, u64) {
    (line >> (PAGE_SHIFT - LINE_SHIFT), 1 << (line % 64))
}

/// The lines of a page from one address to another.
pub fn lines_within(page: u64, first: u64, last: u64) -> u64 {
    let from = if page_of(first) < page { 0 } else { line_of(first) % 64 };
    let to = if page_of(last) > page { 63 } else { line_of(last) % 64 };
    u64::MAX << from & u64::MAX >> (63 - to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_page() {
        assert_eq!(lines_within(1, 0x1000, 0x1000), 1);
        assert_eq!(lines_within(1, 0xFFF, 0x1040), 3);
        assert_eq!(lines_within(1, 0x1FC0, 0x2000), 1 << 63);
        assert_eq!(lines_within(1, 0, 0x5000), u64::MAX);
    }

    #[test]
    fn a_page_says_in_which_pieces_a_line_was_written() {
        let mut page = Page::default();
        for (piece, lines) in [(0, 1), (63, 6), (64, 5), (255, 1 << 63)] {
            page.add(piece, lines);
        }
        let mut table = Table::default();
        table.pages[1].insert(7, page.clone());
        let (layout, bytes) = table.encode(3);
        let header = super::super::layout::HEADER_BYTES as u64;
        let at = (layout.page(1, 0) - header) as usize;
        let record = PageRecord::from_bytes(&bytes[at..at + PAGE_BYTES]).unwrap();
        assert_eq!((record.count(), layout.lines, layout.pages), (4, 4, [0, 1]));
        assert_eq!(record.pieces_with(1, &page.lines), [1, 1, 0, 0]);
        assert_eq!(record.pieces_with(2, &page.lines), [1 << 63, 0, 0, 0]);
        assert_eq!(record.pieces_with(1 << 63, &page.lines), [0, 0, 0, 1 << 63]);
    }
}
