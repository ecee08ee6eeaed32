//! Maps by addresses, which are many and looked up often. What comes out of one is sorted before
//! anybody sees it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map with addresses, or pairs of them, as keys.
pub type AddressMap<K, V> = HashMap<K, V, BuildHasherDefault<AddressHasher>>;

/// Mixes numbers. Nobody outside chooses enough of them to make it slow.
#[derive(Clone, Copy, Debug, Default)]
pub struct AddressHasher(u64);

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
