//! Entropy that a recording can bring back.

use serde::{Deserialize, Serialize};

/// The entropy of RDRAND and RDSEED: SplitMix64 from a recorded seed (Steele, Lea, Flood 2014).
///
/// Not for secrets: a recording holds its seed, so that it can be replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entropy {
    state: u64,
}

impl Entropy {
    /// The sequence that belongs to a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
