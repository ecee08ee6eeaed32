//! The state hash as the journal keeps it: in full at the end, shortened in every chunk.

use serde::{Deserialize, Serialize};

/// The state of a machine as numbers: one over everything, and one for each part, so that a
/// divergence can name what differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateDigest {
    /// The hash of all parts.
    pub combined: u128,
    /// The parts: each vCPU's registers, each device, memory; always the same, in the same order.
    pub parts: Vec<(String, u128)>,
}

impl StateDigest {
    /// The names of the parts.
    pub fn part_names(&self) -> Vec<String> {
        self.parts.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The short form.
    pub fn shorten(&self) -> ChunkHash {
        let short = |hash: &u128| (*hash as u16).to_le_bytes();
        ChunkHash {
            combined: (self.combined as u64).to_le_bytes(),
            parts: self.parts.iter().map(|(_, hash)| short(hash)).collect(),
        }
    }
}

/// A [`StateDigest`] in a chunk: the low 64 bits of the combined hash decide, the low 16 bits of
/// each part name what differs (missing a part once in 65,536 differences).
///
/// Bytes and not integers, since these do not shrink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkHash {
    /// The low 64 bits of the combined hash, little-endian.
    pub combined: [u8; 8],
    /// The low 16 bits of each part's hash, little-endian, in the order of the header's names.
    pub parts: Vec<[u8; 2]>,
}

impl ChunkHash {
    /// The combined hash as a number.
    pub fn combined(&self) -> u64 {
        u64::from_le_bytes(self.combined)
    }

    /// The names of the parts in which `self` and `other` differ.
    pub fn differing<'n>(&self, other: &Self, names: &'n [String]) -> Vec<&'n str> {
        let differ = |k: usize| self.parts.get(k) != other.parts.get(k);
        names.iter().enumerate().filter(|(k, _)| differ(*k)).map(|(_, n)| n.as_str()).collect()
    }
}
