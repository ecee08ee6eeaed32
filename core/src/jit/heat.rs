//! How often blocks were wanted that are not translated yet.
//!
//! The counts are not kept with what a vCPU found lately: two blocks that push each other out there
//! would never get warm, and be interpreted for good.

use super::Key;

/// The counters. Blocks share them, which only makes some translated sooner.
const COUNTERS: usize = 1 << 16;

/// A counter for each block, or for a few.
pub struct Heat(Box<[u16]>);

impl Default for Heat {
    fn default() -> Self {
        Self(vec![0; COUNTERS].into())
    }
}

impl Heat {
    /// The block is wanted once more; how often it was so far.
    pub fn add(&mut self, key: Key) -> u16 {
        let count = &mut self.0[place(key)];
        *count = count.saturating_add(1);
        *count
    }

    /// The block is translated: should that be lost, it begins anew.
    pub fn cool(&mut self, key: Key) {
        self.0[place(key)] = 0;
    }
}

fn place(key: Key) -> usize {
    let mixed = (key.linear ^ key.ram_offset.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 48) as usize % COUNTERS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_one_slot_get_warm_side_by_side() {
        let mut heat = Heat::default();
        let key = |linear| Key { ram_offset: 0x5000, linear, plain: false };
        let (a, b) = (key(0xFFFF_FFFF_8100_0000), key(0xFFFF_FFFF_8100_2000));
        for times in 1..=16 {
            assert_eq!((heat.add(a), heat.add(b)), (times, times));
        }
        heat.cool(a);
        assert_eq!((heat.add(a), heat.add(b)), (1, 17));
    }
}
