//! The stores of a recorded run, kept beside its journal and found by page: see `FORMAT.md` beside this
//! file. So the last store to some bytes is found at once.

mod file;
mod table;

pub use file::{History, HistoryError};

use crate::binary::{ChunkPlace, encode};
use dejavm_core::boundary::{ProbeEvent, ProbeKind, ProbeRecord, ProbeSettings};
use table::{MOST_PIECES, Pages, Table};

/// A span has so many icounts.
pub const SPAN_ICOUNT: u64 = 1 << 26;
/// A piece has so many; what is indexed must be cut at multiples of it.
pub const PIECE_ICOUNT: u64 = SPAN_ICOUNT / MOST_PIECES as u64;

const PAGE_SHIFT: u32 = 12;

/// The events that it is made of.
pub fn probes() -> ProbeSettings {
    ProbeSettings::of([ProbeKind::Store])
}

/// What is kept of a piece; any thread can make it.
#[derive(Clone, Debug)]
pub struct Piece {
    icount: u64,
    chunks: Vec<(ChunkPlace, Vec<u8>)>,
    physical: Vec<u64>,
    linear: Vec<u64>,
}

impl Piece {
    /// Of the stores in a piece, all of them within one multiple of [`PIECE_ICOUNT`]; None without
    /// any.
    pub fn of(records: &[ProbeRecord]) -> Option<Self> {
        let icount = records.first()?.position.icount;
        let (mut physical, mut linear) = (Vec::new(), Vec::new());
        for record in records {
            let ProbeEvent::Store(access) = &record.event else { continue };
            let last = u64::from(access.size).max(1) - 1;
            put(&mut physical, access.physical, last);
            put(&mut linear, access.address, last);
        }
        for pages in [&mut physical, &mut linear] {
            pages.sort_unstable();
            pages.dedup();
        }
        Some(Self { icount, chunks: encode(records), physical, linear })
    }

    /// The span that it is of.
    pub fn span(&self) -> u64 {
        self.icount / SPAN_ICOUNT
    }
}

/// Notes the pages of an access. Neighbours are most often the same page.
fn put(pages: &mut Vec<u64>, address: u64, last: u64) {
    for page in [address >> PAGE_SHIFT, address.wrapping_add(last) >> PAGE_SHIFT] {
        if pages.last() != Some(&page) {
            pages.push(page);
        }
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
        let mark = |pages: &mut Pages, marked: Vec<u64>| {
            for page in marked {
                pages.entry(page).or_default()[usize::from(number) / 64] |= 1 << (number % 64);
            }
        };
        mark(&mut self.table.physical, piece.physical);
        mark(&mut self.table.linear, piece.linear);
        let bytes = piece.chunks.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        self.table.pieces.push((number, bytes));
        piece.chunks.into_iter().for_each(|(_, bytes)| self.chunks.extend(bytes));
    }
}
