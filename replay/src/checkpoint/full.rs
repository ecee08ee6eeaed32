//! A checkpoint that stands alone: with the configuration and the images of its machine it is
//! all that is needed to go on from there. A journal of a part of a run begins with one.

use super::error::CheckpointError;
use super::machine::{PAGE_BYTES, SaveMachine};
use dejavm_core::boundary::Position;
use serde::{Deserialize, Serialize};

/// The most pages in one piece.
const PIECE_PAGES: usize = 1000;

/// The longest piece: whoever stores pieces must take so many bytes.
pub const MAX_PIECE_BYTES: usize = PIECE_PAGES * (PAGE_BYTES + 4) + 4;

/// All of a machine at one position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullCheckpoint {
    /// Where; before the input there that did not come in yet.
    pub at: Position,
    state: Vec<u8>,
    ram_pages: u32,
    /// The pages that are not zero, ascending.
    numbers: Vec<u32>,
    /// Their bytes, one after the other.
    bytes: Vec<u8>,
}

/// The first piece.
#[derive(Serialize, Deserialize)]
struct Head {
    icount: u64,
    now_ns: u64,
    ram_pages: u32,
    page_count: u32,
    state: Vec<u8>,
}

impl FullCheckpoint {
    /// That of `machine`, which stands at `at`, settled, with nothing to give out.
    pub fn save<M: SaveMachine>(machine: &mut M, at: Position) -> Self {
        let numbers = machine.pages_not_zero();
        let mut bytes = Vec::with_capacity(numbers.len() * PAGE_BYTES);
        for &number in &numbers {
            bytes.extend_from_slice(machine.page(number));
        }
        Self { at, state: machine.save_state(), ram_pages: machine.ram_pages(), numbers, bytes }
    }

    /// Puts `machine`, which is of the same configuration and images, where this one was taken.
    ///
    /// # Errors
    /// If it is of another machine; then nothing has changed.
    pub fn load<M: SaveMachine>(&self, machine: &mut M) -> Result<(), CheckpointError> {
        if machine.ram_pages() != self.ram_pages {
            return Err(CheckpointError::Damaged("a RAM of another size"));
        }
        machine.load_state(&self.state)?;
        let mut there = machine.pages_not_zero();
        there.retain(|number| self.numbers.binary_search(number).is_err());
        let zero = [0; PAGE_BYTES];
        machine.load_pages(&mut there.iter().map(|&number| (number, &zero[..])));
        let pages = self.bytes.chunks_exact(PAGE_BYTES);
        machine.load_pages(&mut self.numbers.iter().copied().zip(pages));
        Ok(())
    }

    /// It as pieces of bytes, none longer than [`MAX_PIECE_BYTES`], not compressed.
    pub fn pieces(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        let head = Head {
            icount: self.at.icount,
            now_ns: self.at.now_ns,
            ram_pages: self.ram_pages,
            page_count: self.numbers.len() as u32,
            state: self.state.clone(),
        };
        let head = bincode::serde::encode_to_vec(&head, config()).expect("a state without RAM is small");
        let bytes = self.bytes.chunks(PIECE_PAGES * PAGE_BYTES);
        let pages = self.numbers.chunks(PIECE_PAGES).zip(bytes).map(|(numbers, bytes)| {
            let mut piece = Vec::with_capacity(4 + 4 * numbers.len() + bytes.len());
            piece.extend((numbers.len() as u32).to_le_bytes());
            piece.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
            piece.extend_from_slice(bytes);
            piece
        });
        std::iter::once(head).chain(pages)
    }

    /// From its pieces, in order. `max_ram_bytes` bounds what is allocated.
    ///
    /// # Errors
    /// If they are not what [`Self::pieces`] gives, the first wrong one at once.
    pub fn from_pieces<E: From<CheckpointError>>(
        pieces: impl IntoIterator<Item = Result<Vec<u8>, E>>,
        max_ram_bytes: u64,
    ) -> Result<Self, E> {
        let mut pieces = pieces.into_iter();
        let head = pieces.next().transpose()?.ok_or(CheckpointError::Damaged("it has no pieces"))?;
        let (mut full, page_count) = Self::from_head(&head, max_ram_bytes)?;
        for piece in pieces {
            full.add(&piece?)?;
        }
        if full.numbers.len() != page_count {
            return Err(CheckpointError::Damaged("pages are missing").into());
        }
        Ok(full)
    }

    /// It without pages, and how many it will have.
    fn from_head(bytes: &[u8], max_ram_bytes: u64) -> Result<(Self, usize), CheckpointError> {
        let (head, used): (Head, usize) = bincode::serde::decode_from_slice(bytes, config())
            .map_err(|_| CheckpointError::Damaged("its head cannot be decoded"))?;
        if used != bytes.len() {
            return Err(CheckpointError::Damaged("its head is too long"));
        }
        if u64::from(head.ram_pages) * PAGE_BYTES as u64 > max_ram_bytes || head.page_count > head.ram_pages {
            return Err(CheckpointError::Damaged("more pages than RAM has"));
        }
        let Head { icount, now_ns, ram_pages, page_count, state } = head;
        let at = Position { icount, now_ns };
        let full = Self { at, state, ram_pages, numbers: Vec::new(), bytes: Vec::new() };
        Ok((full, page_count as usize))
    }

    fn add(&mut self, piece: &[u8]) -> Result<(), CheckpointError> {
        let wrong = || CheckpointError::Damaged("a piece of another length than it says");
        let (count, rest) = piece.split_first_chunk().ok_or_else(wrong)?;
        let count = u32::from_le_bytes(*count) as usize;
        if count > PIECE_PAGES || rest.len() != count * (4 + PAGE_BYTES) {
            return Err(wrong());
        }
        let (numbers, bytes) = rest.split_at(4 * count);
        for number in numbers.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)) {
            if number >= self.ram_pages || self.numbers.last().is_some_and(|&last| last >= number) {
                return Err(CheckpointError::Damaged("pages out of order"));
            }
            self.numbers.push(number);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<MAX_PIECE_BYTES>()
}
