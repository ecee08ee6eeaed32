//! How often blocks were wanted that are not translated yet.
//!
//! Counters are shared by blocks that happen to have the same place; then they are translated somewhat
//! earlier. Nobody loses a count, so that whoever is wanted again and again is translated in the end.

/// The number of counters.
const COUNTERS: usize = 1 << 16;

/// The counters.
pub struct Heat(Box<[u16]>);

impl Default for Heat {
    fn default() -> Self {
        Self(vec![0; COUNTERS].into_boxed_slice())
    }
}

impl Heat {
    /// Counts that a block is wanted, of code of some version; whether that is for the `hot`th time.
    /// It is counted from the beginning then: it is translated now, and will be wanted again when it was
    /// forgotten.
    #[inline]
    pub fn is_hot(&mut self, linear: u64, ram_offset: u64, version: u64, hot: u16) -> bool {
        // The multiplier is 2^64 over the golden ratio; the upper bits depend on all of them.
        let mixed = (linear ^ ram_offset.rotate_left(20) ^ version.rotate_left(44))
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let counter = &mut self.0[(mixed >> 48) as usize % COUNTERS];
        *counter = counter.saturating_add(1);
        let is_hot = *counter >= hot;
        if is_hot {
            *counter = 0;
        }
        is_hot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_hot_after_their_time_whoever_else_is_wanted() {
        let mut heat = Heat::default();
        for round in 1..=16 {
            for block in 0..4096 {
                let hot = heat.is_hot(0xFFFF_FFFF_8100_0000 + block * 7, block * 7, 3, 16);
                assert!(!hot || round > 1, "block {block} in round {round}");
            }
        }
        let mut heat = Heat::default();
        assert!((0..15).all(|_| !heat.is_hot(0x40_1000, 0x1000, 1, 16)));
        assert!(!heat.is_hot(0x40_1000, 0x1000, 2, 16), "other code");
        assert!(heat.is_hot(0x40_1000, 0x1000, 1, 16));
        assert!(!heat.is_hot(0x40_1000, 0x1000, 1, 16), "from the beginning");
        assert!(heat.is_hot(0x40_1000, 0x1000, 5, 0));
    }
}
