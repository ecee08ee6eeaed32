//! The stores of a recorded run, kept beside its journal and found by page: see `FORMAT.md` beside this
//! file. So the last store to some bytes is found at once.

mod file;
mod layout;
mod table;

pub use file::{History, HistoryError};

use crate::binary::{ChunkPlace, Encoder};
use dejavm_core::boundary::{ProbeEvent, ProbeKind, ProbeRecord, ProbeSettings};
use table::{MOST_PIECES, Table, bit_of, line_of};

/// A span has so many icounts.
pub const SPAN_ICOUNT: u64 = 1 << 26;
/// A piece has so many; what is indexed must be cut at multiples of it.
pub const PIECE_ICOUNT: u64 = SPAN_ICOUNT / MOST_PIECES as u64;

/// A chunk has at most so many stores: what is decoded in vain where the last one is wanted stays short.
const CHUNK_RECORDS: usize = 1 << 14;

/// The events that it is made of.
pub fn probes() -> ProbeSettings {
    ProbeSettings::of([ProbeKind::Store])
}

/// What is kept of a piece; any thread can make it.
#[derive(Clone, Debug)]
pub struct Piece {
    icount: u64,
    chunks: Vec<(ChunkPlace, Vec<u8>)>,
    /// The lines that were written, by physical and by linear address, in order.
    lines: [Vec<u64>; 2],
}

impl Piece {
    /// Of the stores in a piece, all of them within one multiple of [`PIECE_ICOUNT`]; None without
    /// any.
    pub fn of(records: &[ProbeRecord]) -> Option<Self> {
        let icount = records.first()?.position.icount;
        let mut lines = [Lines::new(), Lines::new()];
        for record in records {
            let ProbeEvent::Store(access) = &record.event else { continue };
            let last = u64::from(access.size).max(1) - 1;
            for (lines, address) in lines.iter_mut().zip([access.physical, access.address]) {
                lines.put(line_of(address), line_of(address.wrapping_add(last)));
            }
        }
        let mut encoder = Encoder::default();
        let in_chunk = |records| {
            encoder.add(records);
            encoder.finish()
        };
        let chunks = records.chunks(CHUNK_RECORDS).flat_map(in_chunk).collect();
        Some(Self { icount, chunks, lines: lines.map(Lines::sorted) })
    }

    /// The span that it is of.
    pub fn span(&self) -> u64 {
        self.icount / SPAN_ICOUNT
    }
}

/// Lines as they come. The same ones come again and again: what came lately is not noted anew.
struct Lines {
    noted: Vec<u64>,
    lately: [Option<u64>; 64],
}

impl Lines {
    fn new() -> Self {
        Self { noted: Vec::new(), lately: [None; 64] }
    }

    /// Notes the lines of an access; it has the last one if not the first alone.
    fn put(&mut self, first: u64, last: u64) {
        for line in [first, last] {
            let lately = &mut self.lately[line as usize % 64];
            if lately.replace(line) != Some(line) {
                self.noted.push(line);
            }
        }
    }

    fn sorted(mut self) -> Vec<u64> {
        self.noted.sort_unstable();
        self.noted.dedup();
        self.noted
    }
}

/// A span that is made of its pieces.
#[derive(Clone, Debug)]
pub struct Span {
    number: u64,
    table: Table,
    chunks: Vec<u8>,
}

impl Span {
    /// Span `number`, with nothing in it so far.
    pub fn new(number: u64) -> Self {
        Self { number, table: Table::default(), chunks: Vec::new() }
    }

    /// Adds a piece of it; pieces come in order.
    pub fn add(&mut self, piece: Piece) {
        let number = (piece.icount / PIECE_ICOUNT % MOST_PIECES as u64) as u8;
        for (pages, lines) in self.table.pages.iter_mut().zip(piece.lines) {
            for of_page in lines.chunk_by(|&a, &b| bit_of(a).0 == bit_of(b).0) {
                let written = of_page.iter().fold(0, |lines, &line| lines | bit_of(line).1);
                pages.entry(bit_of(of_page[0]).0).or_default().add(number, written);
            }
        }
        let bytes = piece.chunks.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        self.table.pieces.push((number, bytes));
        piece.chunks.into_iter().for_each(|(_, bytes)| self.chunks.extend(bytes));
    }
}
