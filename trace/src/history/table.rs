//! The table of a span: which pages were written in which pieces.

use crate::binary::TraceFileError;
use crate::binary::varint::{self, Input};
use std::collections::BTreeMap;

const MOST_PAGES: u64 = 1 << 28;
/// Pieces in a span.
pub const MOST_PIECES: usize = 256;

/// A bit for each piece of a span.
pub type Pieces = [u64; MOST_PIECES / 64];

/// The pages of one kind of addresses.
pub type Pages = BTreeMap<u64, Pieces>;

/// What is known of a span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The pieces that have stores, with the lengths of their chunks.
    pub pieces: Vec<(u8, u64)>,
    /// By physical page.
    pub physical: Pages,
    /// By linear page.
    pub linear: Pages,
}

impl Table {
    /// The table as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        varint::put(&mut out, self.pieces.len() as u64);
        for &(number, bytes) in &self.pieces {
            varint::put(&mut out, number.into());
            varint::put(&mut out, bytes);
        }
        for pages in [&self.physical, &self.linear] {
            varint::put(&mut out, pages.len() as u64);
            let mut before = 0;
            for (&page, pieces) in pages {
                varint::put(&mut out, page - before);
                pieces.iter().for_each(|&word| varint::put(&mut out, word));
                before = page;
            }
        }
        out
    }

    /// The table of these bytes.
    ///
    /// # Errors
    /// If they break the rules of the format.
    pub fn decode(bytes: &[u8]) -> Result<Self, TraceFileError> {
        let mut input = Input(bytes);
        let mut table = Self::default();
        for _ in 0..input.at_most(MOST_PIECES as u64)? {
            let number = input.at_most(MOST_PIECES as u64 - 1)? as u8;
            table.pieces.push((number, input.number()?));
        }
        if !table.pieces.is_sorted_by_key(|(number, _)| *number) {
            return Err(TraceFileError::Malformed("pieces that are not in order"));
        }
        for pages in [&mut table.physical, &mut table.linear] {
            let mut page = 0u64;
            for _ in 0..input.at_most(MOST_PAGES)? {
                page = page.wrapping_add(input.number()?);
                let mut pieces = Pieces::default();
                for word in &mut pieces {
                    *word = input.number()?;
                }
                pages.insert(page, pieces);
            }
        }
        match input.is_empty() {
            true => Ok(table),
            false => Err(TraceFileError::Malformed("more than a table")),
        }
    }
}
