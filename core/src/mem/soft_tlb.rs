//! The soft TLB: a direct-mapped cache from linear page to RAM offset, one table per MMU index.

use super::page_walk::Translation;
use crate::types::{PAGE_OFFSET_MASK, PAGE_SHIFT};

/// Which set of access rights an access is checked against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum MmuIndex {
    /// Supervisor, with user pages out of reach for data (CR4.SMAP and not EFLAGS.AC).
    #[default]
    KernelSmap = 0,
    /// Supervisor, user pages within reach.
    Kernel = 1,
    /// User (CPL 3).
    User = 2,
    /// User with alignment checking (CR0.AM and EFLAGS.AC): never cached, every access is slow.
    UserAligned = 3,
}

/// Where generated code finds things in a table of translations.
pub mod tlb_layout {
    use super::TlbEntry;
    use std::mem::offset_of;

    /// The number of entries of a table, indexed by linear page.
    pub const ENTRIES: usize = super::ENTRIES;
    /// log2 of the size of an entry.
    pub const ENTRY_SHIFT: u8 = size_of::<TlbEntry>().trailing_zeros() as u8;
    /// Offset of [`TlbEntry::read_tag`].
    pub const READ_TAG: i32 = offset_of!(TlbEntry, read_tag) as i32;
    /// Offset of [`TlbEntry::write_tag`].
    pub const WRITE_TAG: i32 = offset_of!(TlbEntry, write_tag) as i32;
    /// Offset of [`TlbEntry::ram_offset`].
    pub const RAM_OFFSET: i32 = offset_of!(TlbEntry, ram_offset) as i32;

    const _: () = assert!(size_of::<TlbEntry>().is_power_of_two());
}

/// One cached translation. A tag holds the linear page and the generation it is valid in;
/// one tag per kind of access that is allowed without looking further.
#[derive(Clone, Copy, Default)]
pub struct TlbEntry {
    /// Matches if the page may be read.
    pub read_tag: u64,
    /// Matches if the page may be written at full speed (allowed, dirty bit set, and no page
    /// flag asks to see stores).
    pub write_tag: u64,
    /// Matches if the page may be executed.
    pub exec_tag: u64,
    /// The offset of the page in RAM.
    pub ram_offset: u64,
}

const ENTRIES: usize = 512;
const TABLES: usize = 4;

/// A tag for slot `slot` that no address of the slot matches, not even if only the page is
/// compared.
fn never(slot: usize) -> u64 {
    (slot as u64 ^ 1) << PAGE_SHIFT
}

fn empty() -> [[TlbEntry; ENTRIES]; TABLES] {
    let slot =
        |k: usize| TlbEntry { read_tag: never(k), write_tag: never(k), exec_tag: never(k), ram_offset: 0 };
    [std::array::from_fn(slot); TABLES]
}

/// The soft TLB of one vCPU.
pub struct SoftTlb {
    entries: Box<[[TlbEntry; ENTRIES]; TABLES]>,
    /// The value of [`super::Memory::translation_epoch`] that this TLB is in step with.
    pub epoch: u64,
    /// Counts flushes; what others derive from translations is stale when it changes.
    pub flushes: u64,
}

impl Default for SoftTlb {
    fn default() -> Self {
        Self { entries: Box::new(empty()), epoch: 0, flushes: 0 }
    }
}

impl SoftTlb {
    /// The tag that an entry for `va` must hold.
    #[inline(always)]
    pub fn tag(&self, va: u64) -> u64 {
        va & !PAGE_OFFSET_MASK
    }

    /// The host address of the table of an MMU index, for generated code.
    pub fn table_address(&self, index: MmuIndex) -> u64 {
        self.entries[index as usize].as_ptr() as u64
    }

    /// The one place where a translation of `va` can be.
    #[inline(always)]
    pub fn entry(&self, index: MmuIndex, va: u64) -> &TlbEntry {
        &self.entries[index as usize][(va >> PAGE_SHIFT) as usize % ENTRIES]
    }

    /// Remembers a translation of the page of `va` to RAM at `ram_offset`; `fast_write` says
    /// that no flag of the page wants to see stores.
    pub fn insert(&mut self, index: MmuIndex, va: u64, t: &Translation, ram_offset: u64, fast_write: bool) {
        let tag = self.tag(va);
        let k = (va >> PAGE_SHIFT) as usize % ENTRIES;
        self.entries[index as usize][k] = TlbEntry {
            read_tag: if t.readable { tag } else { never(k) },
            write_tag: if t.writable && fast_write { tag } else { never(k) },
            exec_tag: if t.executable { tag } else { never(k) },
            ram_offset,
        };
    }

    /// Forgets everything.
    pub fn flush(&mut self) {
        self.flushes += 1;
        *self.entries = empty();
    }

    /// Forgets that the page at `ram_offset` may be written at full speed.
    pub fn drop_writes_to(&mut self, ram_offset: u64) {
        for table in self.entries.iter_mut() {
            for (k, e) in table.iter_mut().enumerate() {
                if e.ram_offset == ram_offset {
                    e.write_tag = never(k);
                }
            }
        }
    }
}
