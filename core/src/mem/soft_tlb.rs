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

/// The soft TLB of one vCPU.
pub struct SoftTlb {
    entries: Box<[[TlbEntry; ENTRIES]; TABLES]>,
    /// In the low 12 bits of each valid tag; never 0, so that zeroed entries never match.
    generation: u64,
    /// The value of [`super::Memory::translation_epoch`] that this TLB is in step with.
    pub epoch: u64,
    /// Counts flushes; what others derive from translations is stale when it changes.
    pub flushes: u64,
}

impl Default for SoftTlb {
    fn default() -> Self {
        Self {
            entries: Box::new([[TlbEntry::default(); ENTRIES]; TABLES]),
            generation: 1,
            epoch: 0,
            flushes: 0,
        }
    }
}

impl SoftTlb {
    /// The tag that an entry for `va` must hold.
    #[inline(always)]
    pub fn tag(&self, va: u64) -> u64 {
        (va & !PAGE_OFFSET_MASK) | self.generation
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
        let slot = &mut self.entries[index as usize][(va >> PAGE_SHIFT) as usize % ENTRIES];
        *slot = TlbEntry {
            read_tag: if t.readable { tag } else { 0 },
            write_tag: if t.writable && fast_write { tag } else { 0 },
            exec_tag: if t.executable { tag } else { 0 },
            ram_offset,
        };
    }

    /// Forgets everything.
    pub fn flush(&mut self) {
        self.flushes += 1;
        self.generation += 1;
        if self.generation > PAGE_OFFSET_MASK {
            *self.entries = [[TlbEntry::default(); ENTRIES]; TABLES];
            self.generation = 1;
        }
    }

    /// Forgets that the page at `ram_offset` may be written at full speed.
    pub fn drop_writes_to(&mut self, ram_offset: u64) {
        for e in self.entries.iter_mut().flatten() {
            if e.ram_offset == ram_offset {
                e.write_tag = 0;
            }
        }
    }
}
