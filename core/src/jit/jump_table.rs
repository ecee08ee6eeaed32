//! Where jumps that cannot be linked find their target: a direct-mapped table by linear address.

use std::mem::offset_of;

/// One target.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Entry {
    linear: u64,
    /// The stamp under which it holds; 0 never does.
    stamp: u64,
    /// The entry point in generated code.
    code: u64,
    reserved: u64,
}

/// The number of entries.
pub const ENTRIES: usize = 16384;
/// log2 of the size of an entry.
pub const ENTRY_SHIFT: u8 = 5;
/// Offset of the linear address.
pub const LINEAR: i32 = offset_of!(Entry, linear) as i32;
/// Offset of the stamp.
pub const STAMP: i32 = offset_of!(Entry, stamp) as i32;
/// Offset of the entry point.
pub const CODE: i32 = offset_of!(Entry, code) as i32;
/// The address is rotated right by so much, and XORed with itself, for the index.
pub const FOLD: u8 = 12;

const _: () = assert!(size_of::<Entry>() == 1 << ENTRY_SHIFT);

/// The table.
pub struct JumpTable(Box<[Entry; ENTRIES]>);

impl Default for JumpTable {
    fn default() -> Self {
        Self(Box::new([Entry::default(); ENTRIES]))
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

    /// Where to go for `linear` now.
    #[inline]
    pub fn find(&self, linear: u64, stamp: u64) -> Option<u64> {
        let e = &self.0[index(linear)];
        (e.linear == linear && e.stamp == stamp).then_some(e.code)
    }

    /// Remembers a target.
    #[inline]
    pub fn insert(&mut self, linear: u64, stamp: u64, code: u64) {
        self.0[index(linear)] = Entry { linear, stamp, code, reserved: 0 };
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.fill(Entry::default());
    }
}
