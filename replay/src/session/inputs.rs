//! The inputs of a recorded run by number, and what identifies a run up to each of them.

use crate::journal::{ChunkEntry, JournalError, Reader};
use dejavm_core::boundary::{Inbound, Position};
use dejavm_core::types::Icount;
use std::io::{Read, Seek};
use xxhash_rust::xxh3::xxh3_128;

/// The hash of all inputs up to one: by the law of the house a state follows from the machine and
/// these, so a checkpoint with another hash is of another run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InputsHash {
    /// How many inputs.
    pub count: u64,
    /// Their hash.
    pub hash: u128,
}

impl InputsHash {
    /// One more input.
    pub fn add(&mut self, at: Position, event: &Inbound) {
        let one = (self.hash.to_le_bytes(), at.icount, at.now_ns, event);
        let bytes =
            bincode::serde::encode_to_vec(one, bincode::config::standard()).expect("an event is plain data");
        *self = Self { count: self.count + 1, hash: xxh3_128(&bytes) };
    }
}

/// The inputs of a journal.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// After each number of inputs, their hash; the first is that of none.
    hashes: Vec<u128>,
    /// They, and where each came in.
    events: Vec<(Position, Inbound)>,
    /// For each events chunk, how many came in before it.
    before_chunk: Vec<u64>,
}

impl Inputs {
    /// Those of `chunks`.
    pub fn read<F: Read + Seek>(reader: &mut Reader<F>, chunks: &[ChunkEntry]) -> Result<Self, JournalError> {
        let mut inputs = Self { hashes: vec![0], ..Self::default() };
        let mut sum = InputsHash::default();
        for chunk in chunks {
            inputs.before_chunk.push(sum.count);
            for (at, event) in reader.read_events(chunk)?.events {
                sum.add(at, &event);
                inputs.hashes.push(sum.hash);
                inputs.events.push((at, event));
            }
        }
        Ok(inputs)
    }

    /// The hash after so many inputs; None if the journal has fewer.
    pub fn hash(&self, count: u64) -> Option<u128> {
        self.hashes.get(usize::try_from(count).ok()?).copied()
    }

    /// They, and where each came in.
    pub fn events(&self) -> &[(Position, Inbound)] {
        &self.events
    }

    /// Whether one came in at this icount.
    pub fn any_at(&self, icount: Icount) -> bool {
        let first = self.events.partition_point(|(at, _)| at.icount < icount);
        self.events.get(first).is_some_and(|(at, _)| at.icount == icount)
    }

    /// Whether the machine can stand at `at` after `count` inputs with the hash `hash`.
    pub fn agree(&self, at: Position, count: u64, hash: u128) -> bool {
        let position = |n: u64| usize::try_from(n).ok().and_then(|n| self.events.get(n)).map(|(at, _)| *at);
        self.hash(count) == Some(hash)
            && (count == 0 || position(count - 1).is_some_and(|last| last <= at))
            && position(count).is_none_or(|next| next >= at)
    }

    /// The chunk, and how many of its events are over, at `at` after `count` inputs.
    pub fn place(&self, chunks: &[ChunkEntry], at: Position, count: u64) -> (usize, usize) {
        let within = |k: usize| {
            let end = self.before_chunk.get(k + 1).copied().unwrap_or(self.events.len() as u64);
            at <= chunks[k].last && count <= end
        };
        let chunk = (0..chunks.len()).find(|&k| within(k)).unwrap_or(chunks.len());
        let before = self.before_chunk.get(chunk).copied().unwrap_or(count);
        (chunk, (count - before) as usize)
    }
}
