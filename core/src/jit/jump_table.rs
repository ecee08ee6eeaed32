//! Where jumps that cannot be linked find their target: a direct-mapped table by linear address.
//!
//! What is found is a *checked* entry point, which sees for itself whether its code is at that
//! address now. So an entry holds for every vCPU, address space and privilege level, until the
//! block is forgotten.

use std::mem::offset_of;

/// One target.
#[repr(C)]
#[derive(Clone, Copy)]
struct Entry {
    linear: u64,
    /// The entry point in generated code.
    code: u64,
}

/// The number of entries.
pub const ENTRIES: usize = 16384;
/// log2 of the size of an entry.
pub const ENTRY_SHIFT: u8 = 4;
/// Offset of the linear address.
pub const LINEAR: i32 = offset_of!(Entry, linear) as i32;
/// Offset of the entry point.
pub const CODE: i32 = offset_of!(Entry, code) as i32;
/// The address is rotated right by so much, and XORed with itself, for the index.
pub const FOLD: u8 = 12;

const _: () = assert!(size_of::<Entry>() == 1 << ENTRY_SHIFT);

impl Entry {
    /// One that matches no address: this one belongs to another place.
    fn empty(place: usize) -> Self {
        Self { linear: place as u64 ^ 4, code: 0 }
    }
}

/// The table.
pub struct JumpTable(Box<[Entry; ENTRIES]>);

impl Default for JumpTable {
    fn default() -> Self {
        Self(Box::new(std::array::from_fn(Entry::empty)))
    }
}

/// The index of a linear address.
pub fn index(linear: u64) -> usize {
    (linear as u32 ^ (linear as u32).rotate_right(FOLD.into())) as usize % ENTRIES
}

impl JumpTable {
    /// Its host address.
    pub fn address(&self) -> u64 {
        self.0.as_ptr() as u64
    }

    /// Where to go for `linear`.
    #[inline]
    pub fn find(&self, linear: u64) -> Option<u64> {
        let e = &self.0[index(linear)];
        (e.linear == linear).then_some(e.code)
    }

    /// Remembers a target.
    #[inline]
    pub fn insert(&mut self, linear: u64, code: u64) {
        self.0[index(linear)] = Entry { linear, code };
    }

    /// Forgets a target.
    pub fn forget(&mut self, linear: u64) {
        let place = index(linear);
        if self.0[place].linear == linear {
            self.0[place] = Entry::empty(place);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.iter_mut().enumerate().for_each(|(place, e)| *e = Entry::empty(place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_table_has_no_target() {
        for place in 0..ENTRIES {
            assert_ne!(index(Entry::empty(place).linear), place);
        }
    }

    #[test]
    fn targets_are_found_until_they_are_forgotten() {
        let mut table = JumpTable::default();
        table.insert(0xFFFF_FFFF_8100_0040, 7);
        assert_eq!(table.find(0xFFFF_FFFF_8100_0040), Some(7));
        assert_eq!(table.find(0x8100_0040), None, "the same place");
        table.forget(0x8100_0040);
        table.forget(0xFFFF_FFFF_8100_0040);
        assert_eq!(table.find(0xFFFF_FFFF_8100_0040), None);
    }
}
