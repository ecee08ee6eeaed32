//! The soft TLB: direct-mapped caches from linear page to RAM offset.
//!
//! Each address space (the registers that decide translation, CR3 foremost) has a context of
//! its own with one table per MMU index. A few contexts are kept: since translations always
//! equal fresh page walks, coming back to an address space finds them valid.
//!
//! A tag is the address of the linear page, so that `va ^ tag` is the offset in the page if the
//! tag matches, and larger than any offset if not: one comparison with what the size of the
//! access leaves tells a hit within one page from everything else. A tag that must not match
//! names a page that belongs to another slot.
//!
//! Fetches have entries of their own, behind those for data: code and a stack, say, whose pages share a
//! slot, do not drive each other out.

use super::changes::Change;
use super::page_filter::Touched;
use super::page_walk::{AccessKind, PagingRegs, Translation};
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

    /// The number of entries of a table for data, indexed by linear page, and of those for fetches.
    pub const ENTRIES: usize = super::ENTRIES;
    /// Offset of the entries for fetches.
    pub const FETCHES: i32 = (super::ENTRIES * size_of::<TlbEntry>()) as i32;
    /// log2 of the size of an entry.
    pub const ENTRY_SHIFT: u8 = size_of::<TlbEntry>().trailing_zeros() as u8;
    /// Offset of [`TlbEntry::read_tag`].
    pub const READ_TAG: i32 = offset_of!(TlbEntry, read_tag) as i32;
    /// Offset of [`TlbEntry::write_tag`].
    pub const WRITE_TAG: i32 = offset_of!(TlbEntry, write_tag) as i32;
    /// Offset of [`TlbEntry::delta`].
    pub const DELTA: i32 = offset_of!(TlbEntry, delta) as i32;
    /// Offset of [`TlbEntry::host`].
    pub const HOST: i32 = offset_of!(TlbEntry, host) as i32;
    /// The bit of a tag that code that notes its accesses does not care about.
    pub const OBSERVED: u64 = super::OBSERVED;

    const _: () = assert!(size_of::<TlbEntry>().is_power_of_two());
}

/// One cached translation, with one tag per kind of access that is allowed without looking
/// further.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct TlbEntry {
    /// Matches if the page may be read; of an entry for fetches, if it may be executed.
    pub read_tag: u64,
    /// Matches if the page may be written at full speed (allowed, dirty bit set, and no page
    /// flag asks to see stores). With one bit flipped: allowed, but stores must be seen.
    pub write_tag: u64,
    /// What to add to a linear address of the page for the host address.
    pub delta: u64,
    /// The host address of the page in RAM.
    pub host: u64,
}

/// What of the accesses to a page an observer must see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Loads.
    pub loads: bool,
    /// Stores.
    pub stores: bool,
    /// It does not suffice that generated code notes them.
    pub hidden: bool,
}

/// The entries of a table for data: a multiple of what a page of page-table entries has, so that entry n
/// of such a page is cached in a slot that is n modulo [`PAGE_ENTRIES`].
pub const ENTRIES: usize = 4096;
/// The entries for data, and as many for fetches.
const SLOTS: usize = 2 * ENTRIES;
/// The entries of a page of 8-byte page-table entries.
const PAGE_ENTRIES: usize = 512;
const _: () = assert!(SLOTS == 16 * PAGE_ENTRIES);
/// The bits of [`Table::used`] that are of entries for fetches.
const FETCH_PARTS: u16 = u16::MAX << (ENTRIES / PAGE_ENTRIES);
/// The MMU indices whose translations are kept: all but the last.
const TABLES: usize = MmuIndex::UserAligned as usize;
/// The address spaces whose translations are kept.
const CONTEXTS: usize = 8;
/// Flipped in a write tag if stores to the page must be seen; it moves the page to another slot.
const WATCHED: u64 = 1 << PAGE_SHIFT;
/// Flipped in a tag if an observer must see the accesses that it would let through. Code that notes its
/// accesses does not care.
const OBSERVED: u64 = 4 << PAGE_SHIFT;
/// Flipped besides if even such code is not to make them.
const HIDDEN: u64 = 8 << PAGE_SHIFT;
/// No RAM page.
const NO_PAGE: u32 = u32::MAX;
/// Set in the addresses of the upper half, which address spaces of a kernel share.
const UPPER: u64 = 1 << 63;
/// The bits of a set of RAM pages.
const SET: usize = 4096;

#[inline(always)]
fn slot_of(va: u64) -> usize {
    (va >> PAGE_SHIFT) as usize % ENTRIES
}

#[inline(always)]
fn slot_for(va: u64, kind: AccessKind) -> usize {
    slot_of(va) + if kind == AccessKind::Execute { ENTRIES } else { 0 }
}

/// A tag that matches nothing in `slot`, neither plain nor watched nor observed.
fn no_match(slot: usize) -> u64 {
    (slot as u64 % ENTRIES as u64 ^ 2) << PAGE_SHIFT
}

impl TlbEntry {
    fn empty(slot: usize) -> Self {
        let tag = no_match(slot);
        Self { read_tag: tag, write_tag: tag, delta: 0, host: 0 }
    }

    /// An address in the page or beside it, if it is one in the upper half.
    fn upper(&self) -> Option<u64> {
        [self.read_tag, self.write_tag].into_iter().find(|tag| tag & UPPER != 0)
    }
}

/// The translations of one context for one MMU index. All of it is on the heap, and stays where it is.
struct Table {
    entries: Box<[TlbEntry; SLOTS]>,
    /// The RAM page of each entry for data that may be written at full speed.
    write_pages: Box<[u32; ENTRIES]>,
    /// The slots that may be in use, by the page-table entry that they come of: bit n / 512 of word
    /// n % 512 for slot n.
    used: [u16; PAGE_ENTRIES],
    /// Bit n % [`SUMMARY`] is set if RAM page n was ever among the `write_pages` since they were
    /// all cleared.
    summary: [u64; SUMMARY / 64],
}

/// The bits of a table's summary of the pages that it lets be written.
const SUMMARY: usize = 8192;

fn boxed<T: Clone, const N: usize>(make: impl FnMut(usize) -> T) -> Box<[T; N]> {
    let all: Box<[T]> = (0..N).map(make).collect();
    all.try_into().unwrap_or_else(|_| unreachable!("N of them"))
}

impl Table {
    fn new() -> Self {
        Self {
            entries: boxed(TlbEntry::empty),
            write_pages: boxed(|_| NO_PAGE),
            used: [0; PAGE_ENTRIES],
            summary: [0; SUMMARY / 64],
        }
    }

    fn clear_slot(&mut self, slot: usize) {
        self.entries[slot] = TlbEntry::empty(slot);
        if let Some(page) = self.write_pages.get_mut(slot) {
            *page = NO_PAGE;
        }
    }

    /// Notes that a slot is in use.
    fn use_slot(&mut self, slot: usize) {
        self.used[slot % PAGE_ENTRIES] |= 1 << (slot / PAGE_ENTRIES);
    }

    /// Forgets whatever may come of entry `n` of a page of page-table entries; the upper half only
    /// `with_upper`.
    #[inline]
    fn clear_entry(&mut self, n: usize, with_upper: bool) {
        let (mut bits, mut kept) = (self.used[n], 0);
        while bits != 0 {
            let part = bits.trailing_zeros();
            let slot = n + PAGE_ENTRIES * part as usize;
            if with_upper || self.entries[slot].upper().is_none() {
                self.clear_slot(slot);
            } else {
                kept |= 1 << part;
            }
            bits &= bits - 1;
        }
        self.used[n] = kept;
    }

    fn clear(&mut self, with_upper: bool) {
        const PART: usize = 64;
        for first in (0..PAGE_ENTRIES).step_by(PART) {
            // Compared at once, since most are empty.
            if self.used[first..first + PART] != [0; PART] {
                (first..first + PART).for_each(|n| self.clear_entry(n, with_upper));
            }
        }
        if with_upper {
            self.summary = [0; SUMMARY / 64];
        }
    }

    /// Takes over what another table knows of the upper half, as far as `alike` says so of an address.
    fn inherit(&mut self, other: &Self, alike: impl Fn(u64) -> bool) {
        for n in 0..PAGE_ENTRIES {
            let mut bits = other.used[n];
            while bits != 0 {
                let slot = n + PAGE_ENTRIES * bits.trailing_zeros() as usize;
                bits &= bits - 1;
                if !other.entries[slot].upper().is_some_and(&alike) {
                    continue;
                }
                self.clear_slot(slot);
                self.entries[slot] = other.entries[slot];
                if let Some(&page) = other.write_pages.get(slot).filter(|page| **page != NO_PAGE) {
                    self.allow_writes(slot, page);
                }
                self.use_slot(slot);
            }
        }
    }

    /// Lets a slot be written at full speed.
    fn allow_writes(&mut self, slot: usize, page: u32) {
        self.write_pages[slot] = page;
        let bit = page as usize % SUMMARY;
        self.summary[bit / 64] |= 1 << (bit % 64);
    }

    fn drop_fetches(&mut self) {
        for n in 0..PAGE_ENTRIES {
            let mut bits = self.used[n] & FETCH_PARTS;
            self.used[n] ^= bits;
            while bits != 0 {
                self.clear_slot(n + PAGE_ENTRIES * bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
    }

    fn drop_all_writes(&mut self) {
        if self.summary == [0; SUMMARY / 64] {
            return;
        }
        for (entry, page) in self.entries.iter_mut().zip(self.write_pages.iter_mut()) {
            if *page != NO_PAGE {
                *page = NO_PAGE;
                entry.write_tag ^= WATCHED;
            }
        }
        self.summary = [0; SUMMARY / 64];
    }

    fn drop_writes_to(&mut self, page: u32) {
        let bit = page as usize % SUMMARY;
        if self.summary[bit / 64] >> (bit % 64) & 1 == 0 {
            return;
        }
        for (part, pages) in self.write_pages.chunks_exact_mut(32).enumerate() {
            // Without an early end, so that many are compared at once.
            if !pages.iter().fold(false, |any, &p| any | (p == page)) {
                continue;
            }
            for (k, p) in pages.iter_mut().enumerate().filter(|(_, p)| **p == page) {
                *p = NO_PAGE;
                self.entries[part * 32 + k].write_tag ^= WATCHED;
            }
        }
    }
}

/// A set that RAM pages may be in: bit n % [`SET`] for page n.
#[derive(Clone)]
struct PageSet(Box<[u64; SET / 64]>);

impl PageSet {
    fn new() -> Self {
        Self(boxed(|_| 0))
    }

    fn insert(&mut self, page: u32) {
        let bit = page as usize % SET;
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    fn may_have(&self, page: u32) -> bool {
        let bit = page as usize % SET;
        self.0[bit / 64] >> (bit % 64) & 1 != 0
    }

    fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0.iter()).for_each(|(to, from)| *to |= from);
    }
}

/// The translations of one address space.
struct Context {
    regs: PagingRegs,
    /// When it was left last.
    left: u64,
    /// The page-table pages that its translations came through.
    walked: PageSet,
    /// Those of them that translations of the upper half came through, but for the topmost.
    upper: PageSet,
    /// The topmost one, once a translation came through it.
    top: Option<u32>,
    /// Nothing was asked of it since it was emptied.
    fresh: bool,
    tables: [Table; TABLES],
}

impl Context {
    fn new(regs: PagingRegs) -> Self {
        Self {
            regs,
            left: 0,
            walked: PageSet::new(),
            upper: PageSet::new(),
            top: None,
            fresh: true,
            tables: std::array::from_fn(|_| Table::new()),
        }
    }

    fn clear(&mut self) {
        self.tables.iter_mut().for_each(|t| t.clear(true));
        self.walked.0.fill(0);
        self.upper.0.fill(0);
        self.top = None;
        self.fresh = true;
    }

    fn came_through(&self, table: u32) -> bool {
        self.walked.may_have(table)
    }

    /// Whether translations of the upper half may have come through a page-table page.
    fn upper_came_through(&self, table: u32) -> bool {
        self.top == Some(table) || self.upper.may_have(table)
    }

    fn follow_entries(&mut self, table: u32, entries: std::ops::RangeInclusive<u16>) {
        if !self.came_through(table) {
            return;
        }
        let with_upper = self.upper_came_through(table);
        for t in &mut self.tables {
            entries.clone().for_each(|n| t.clear_entry(n.into(), with_upper));
        }
    }

    fn follow_directory(&mut self, table: u32) {
        if !self.came_through(table) {
            return;
        }
        if self.upper_came_through(table) {
            self.clear();
        } else {
            self.tables.iter_mut().for_each(|t| t.clear(false));
        }
    }
}

/// The soft TLB of one vCPU.
pub struct SoftTlb {
    live: Context,
    parked: Vec<Context>,
    /// What there is where nothing is cached: it stays empty.
    nothing: Table,
    /// The host address of the RAM that translations lead to.
    ram: u64,
    /// Counts switches between contexts.
    switches: u64,
    /// The number of the first change to memory that this TLB has not followed.
    pub next_change: u64,
    /// What was stored to and fetched from since [`Self::take_touched`]. An entry that lets a store or a
    /// fetch through at full speed is noted here when it is made.
    touched: Touched,
}

impl Default for SoftTlb {
    fn default() -> Self {
        Self {
            live: Context::new(PagingRegs::default()),
            parked: Vec::new(),
            nothing: Table::new(),
            ram: 0,
            switches: 0,
            next_change: 0,
            touched: Touched::default(),
        }
    }
}

impl SoftTlb {
    /// The host address of [`Self::entries`], for generated code.
    pub fn table_address(&self, index: MmuIndex) -> u64 {
        self.entries(index).as_ptr() as u64
    }

    /// The one place where a translation of `va` for data can be.
    #[inline(always)]
    pub fn entry(&self, index: MmuIndex, va: u64) -> &TlbEntry {
        &self.entries(index)[slot_of(va)]
    }

    /// The entries for an MMU index in the current context, by `va >> 12` modulo their number: those for
    /// data, then those for fetches. Each context has them at an address that never changes.
    #[inline(always)]
    pub fn entries(&self, index: MmuIndex) -> &[TlbEntry; SLOTS] {
        &self.live.tables.get(index as usize).unwrap_or(&self.nothing).entries
    }

    /// The RAM offset of `va` if a translation that allows the access is known.
    #[inline]
    pub fn find(&self, index: MmuIndex, va: u64, kind: AccessKind) -> Option<u64> {
        self.lookup(index, va, kind, (0, WATCHED))
    }

    /// The RAM offset of `va` if the tag for the access matches, but for the bits of `ignored`: those of a
    /// read tag, those of a write tag.
    #[inline(always)]
    fn lookup(&self, index: MmuIndex, va: u64, kind: AccessKind, ignored: (u64, u64)) -> Option<u64> {
        let e = &self.entries(index)[slot_for(va, kind)];
        let offset = match kind {
            AccessKind::Read => (va ^ e.read_tag) & !ignored.0,
            AccessKind::Write => (va ^ e.write_tag) & !ignored.1,
            AccessKind::Execute => va ^ e.read_tag,
        };
        (offset <= PAGE_OFFSET_MASK).then(|| e.host - self.ram + offset)
    }

    /// [`Self::find`], for who lets the observer of an access know.
    #[inline]
    pub fn find_observed(&self, index: MmuIndex, va: u64, kind: AccessKind) -> Option<u64> {
        self.lookup(index, va, kind, (OBSERVED | HIDDEN, WATCHED | OBSERVED | HIDDEN))
    }

    /// [`Self::insert`], but an observer must see loads, stores, or both. What may be written is read
    /// so, too.
    pub fn insert_observed(
        &mut self,
        index: MmuIndex,
        va: u64,
        t: &Translation,
        ram_offset: u64,
        fast_write: bool,
        observed: Observed,
    ) {
        let Observed { loads, stores, hidden } = observed;
        self.insert(index, va, t, ram_offset, fast_write);
        let Some(table) = self.live.tables.get_mut(index as usize) else { return };
        let e = &mut table.entries[slot_of(va)];
        let flipped = if hidden { OBSERVED | HIDDEN } else { OBSERVED };
        if t.readable && loads {
            e.read_tag ^= flipped;
        }
        if t.writable && (loads || stores) {
            e.write_tag ^= flipped;
        }
    }

    /// The RAM offset of `va` if an access to it needs nobody to look on.
    #[inline]
    pub fn find_fast(&self, index: MmuIndex, va: u64, write: bool) -> Option<u64> {
        self.lookup(index, va, if write { AccessKind::Write } else { AccessKind::Read }, (0, 0))
    }

    /// Translations lead to the RAM at this host address from now on. What led elsewhere is forgotten.
    #[inline]
    pub fn bind(&mut self, ram: u64) {
        if self.ram != ram {
            self.flush();
            self.ram = ram;
        }
    }

    /// Remembers a translation of the page of `va` to RAM at `ram_offset`, for data; `fast_write` says
    /// that no flag of the page wants to see stores.
    pub fn insert(&mut self, index: MmuIndex, va: u64, t: &Translation, ram_offset: u64, fast_write: bool) {
        let page = va & !PAGE_OFFSET_MASK;
        let slot = slot_of(va);
        let none = no_match(slot);
        let Some(table) = self.live.tables.get_mut(index as usize) else { return };
        table.entries[slot] = TlbEntry {
            read_tag: if t.readable { page } else { none },
            write_tag: match (t.writable, fast_write) {
                (false, _) => none,
                (true, false) => page ^ WATCHED,
                (true, true) => page,
            },
            delta: (self.ram + ram_offset).wrapping_sub(page),
            host: self.ram + ram_offset,
        };
        table.write_pages[slot] = NO_PAGE;
        if t.writable && fast_write {
            self.touched.stores.insert(va >> PAGE_SHIFT);
            table.allow_writes(slot, (ram_offset >> PAGE_SHIFT) as u32);
        }
        table.use_slot(slot);
    }

    /// Remembers a translation of the page of `va`, which may be executed, to RAM at `ram_offset`, for
    /// fetches.
    pub fn insert_fetch(&mut self, index: MmuIndex, va: u64, ram_offset: u64) {
        let slot = slot_for(va, AccessKind::Execute);
        let none = no_match(slot);
        let Some(table) = self.live.tables.get_mut(index as usize) else { return };
        let (page, host) = (va & !PAGE_OFFSET_MASK, self.ram + ram_offset);
        table.entries[slot] =
            TlbEntry { read_tag: page, write_tag: none, delta: host.wrapping_sub(page), host };
        table.use_slot(slot);
    }

    /// Nobody wants to see stores to the page of `va` any more, if its translation is known.
    pub fn allow_fast_writes(&mut self, index: MmuIndex, va: u64) {
        let slot = slot_of(va);
        let Some(table) = self.live.tables.get_mut(index as usize) else { return };
        let e = &mut table.entries[slot];
        let page = va & !PAGE_OFFSET_MASK;
        if (e.write_tag ^ page) & !(OBSERVED | HIDDEN) == WATCHED {
            e.write_tag ^= WATCHED;
            self.touched.stores.insert(va >> PAGE_SHIFT);
            let ram_page = ((e.host - self.ram) >> PAGE_SHIFT) as u32;
            table.allow_writes(slot, ram_page);
        }
    }

    /// Notes a store of so many bytes that no entry lets through at full speed.
    #[inline]
    pub fn note_store(&mut self, va: u64, bytes: usize) {
        self.touched.note_store(va, bytes);
    }

    /// Notes a store by which any linear address may have been meant.
    pub fn note_store_anywhere(&mut self) {
        self.touched.stores.insert_all();
    }

    /// Notes a fetch for which there is no entry.
    #[inline]
    pub fn note_fetch(&mut self, va: u64) {
        self.touched.fetches.insert(va >> PAGE_SHIFT);
    }

    /// What was stored to and fetched from since the last call goes into `all`. From now on nothing is,
    /// without being noted anew.
    pub fn take_touched(&mut self, all: &mut Touched) {
        all.add(&self.touched);
        self.touched.clear();
        for table in self.contexts().flat_map(|c| &mut c.tables) {
            table.drop_all_writes();
            table.drop_fetches();
        }
    }

    /// Notes that the translation of `va` in the current context comes through these page-table pages,
    /// the topmost first.
    pub fn came_through(&mut self, va: u64, tables: impl IntoIterator<Item = u32>) {
        let live = &mut self.live;
        for (n, table) in tables.into_iter().enumerate() {
            live.walked.insert(table);
            if n == 0 {
                live.top = Some(table);
            } else if va & UPPER != 0 {
                live.upper.insert(table);
            }
        }
    }

    /// The registers of the address space that was left last, of which something is known, if the current
    /// one has just been emptied; the first time that it is asked.
    pub fn ancestor(&mut self) -> Option<PagingRegs> {
        if !std::mem::replace(&mut self.live.fresh, false) {
            return None;
        }
        self.latest_parked().map(|place| self.parked[place].regs)
    }

    fn latest_parked(&self) -> Option<usize> {
        let known = (0..self.parked.len()).filter(|&n| !self.parked[n].fresh);
        known.max_by_key(|&n| self.parked[n].left)
    }

    /// Takes over what [`Self::ancestor`] knows of the upper half, where its entry in the topmost table is
    /// the same in both address spaces, which `alike` says of an address. Below such an entry they
    /// translate alike.
    pub fn inherit(&mut self, alike: impl Fn(u64) -> bool) {
        let Some(place) = self.latest_parked() else { return };
        let (live, other) = (&mut self.live, &self.parked[place]);
        for (to, from) in live.tables.iter_mut().zip(&other.tables) {
            to.inherit(from, &alike);
        }
        live.walked.add(&other.upper);
        live.upper.add(&other.upper);
    }

    /// Makes the context of `regs` the current one.
    pub fn select(&mut self, regs: &PagingRegs) {
        let regs = regs.significant();
        if regs == self.live.regs {
            return;
        }
        self.switches += 1;
        self.live.left = self.switches;
        let place = match self.parked.iter().position(|c| c.regs == regs) {
            Some(place) => place,
            None => self.new_context(regs),
        };
        std::mem::swap(&mut self.live, &mut self.parked[place]);
    }

    /// An empty context for `regs`, instead of the one that was left longest ago if there are
    /// enough; its place among the parked ones.
    fn new_context(&mut self, regs: PagingRegs) -> usize {
        if self.parked.len() < CONTEXTS - 1 {
            self.parked.push(Context::new(regs));
            return self.parked.len() - 1;
        }
        let oldest = (0..self.parked.len()).min_by_key(|&n| self.parked[n].left).unwrap_or(0);
        self.parked[oldest].clear();
        self.parked[oldest].regs = regs;
        oldest
    }

    fn contexts(&mut self) -> impl Iterator<Item = &mut Context> {
        std::iter::once(&mut self.live).chain(&mut self.parked)
    }

    /// Forgets everything.
    pub fn flush(&mut self) {
        self.contexts().for_each(Context::clear);
    }

    /// Drops what a change to memory makes wrong.
    pub fn follow(&mut self, change: Change) {
        match change {
            Change::Entries { table, first, last } => {
                self.contexts().for_each(|c| c.follow_entries(table, first..=last));
            }
            Change::Directory { table } => {
                self.contexts().for_each(|c| c.follow_directory(table));
            }
            Change::Watched { page } => {
                self.contexts().flat_map(|c| &mut c.tables).for_each(|t| t.drop_writes_to(page));
            }
            Change::Everything => {
                self.contexts().flat_map(|c| &mut c.tables).for_each(Table::drop_all_writes);
            }
        }
    }
}

#[cfg(test)]
mod tests;
