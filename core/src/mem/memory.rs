//! Guest physical memory: where RAM lies, and what is known of each of its pages.

use super::changes::{Change, ChangeLog};
use super::ram::Ram;
use crate::types::{Gpa, PAGE_OFFSET_MASK, PAGE_SHIFT, PAGE_SIZE, Scalar};

/// RAM below this address continues at 4 GiB; between them lies the PCI and APIC hole.
pub const LOW_RAM_LIMIT: u64 = 0xC000_0000;
/// Where RAM beyond [`LOW_RAM_LIMIT`] starts.
pub const HIGH_RAM_BASE: u64 = 1 << 32;

/// Decoded code lies in the page.
const CODE: u8 = 1;
/// A page walk went through the page, and what it found may be cached: as any table.
const DIRECTORY: u8 = 2;
/// The page has not been written since the last [`Memory::take_dirty_pages`].
const CLEAN: u8 = 4;
/// The page has never been written, so it is zero; it is [`CLEAN`] and [`SAVED`], too.
const PRISTINE: u8 = 8;
/// The page has not been written since the last [`Memory::take_unsaved_pages`].
const SAVED: u8 = 16;
/// As [`DIRECTORY`], but as a table of 8-byte entries that map a page each.
const PAGE_TABLE: u8 = 32;

/// Entries that are not both present and accessed were never used (bits 0 and 5 in every
/// paging mode).
const USED_ENTRY: u8 = 0x21;
/// Where 8-byte entries forbid fetches.
const NX: u64 = 1 << 63;

/// After so many stores to a table without a walk through it, it is taken for something else by now:
/// the guest may have freed the page and made a stack of it.
const UNUSED_STORES: u8 = 64;

/// The lines of a page that hold decoded code: bit n for bytes `[64n, 64n + 64)`.
pub type CodeLines = u64;

/// What a store to a watched page means for those who derived something from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteEffect {
    /// Decoded code was overwritten: leave the current block, drop the page's blocks.
    pub code: bool,
    /// Page-table entries that may be cached were overwritten: follow the changes.
    pub translations: bool,
    /// Instructions may have been fetched through them: leave the current block.
    pub fetches: bool,
}

/// What a walk used a table for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableUse {
    /// The last step, to one page, in an entry of 8 bytes.
    PageEntry,
    /// Anything else.
    Other,
}

/// Guest RAM with its page flags.
pub struct Memory {
    /// The bytes.
    pub ram: Ram,
    low_bytes: u64,
    flags: Vec<u8>,
    code_lines: Vec<CodeLines>,
    /// The stores to each page that was used as a table, since the last walk through it.
    table_stores: Vec<u8>,
    dirty: Vec<u32>,
    unsaved: Vec<u32>,
    overwritten_code: Vec<u32>,
    /// What made cached translations or fast stores wrong, for every vCPU to follow.
    pub changes: ChangeLog,
}

impl Memory {
    /// `bytes` of zeroed RAM (rounded up to a page), every page clean.
    ///
    /// # Errors
    /// The host's error if it cannot reserve that much.
    pub fn new(bytes: u64) -> std::io::Result<Self> {
        let bytes = bytes.next_multiple_of(PAGE_SIZE);
        let pages = (bytes >> PAGE_SHIFT) as usize;
        Ok(Self {
            ram: Ram::new(bytes as usize)?,
            low_bytes: bytes.min(LOW_RAM_LIMIT),
            flags: vec![CLEAN | PRISTINE | SAVED; pages],
            code_lines: vec![0; pages],
            table_stores: vec![0; pages],
            dirty: Vec::new(),
            unsaved: Vec::new(),
            overwritten_code: Vec::new(),
            changes: ChangeLog::default(),
        })
    }

    /// The size of RAM, in bytes.
    pub fn bytes(&self) -> u64 {
        self.ram.len() as u64
    }

    /// The RAM below 4 GiB, in bytes from address 0.
    pub fn low_bytes(&self) -> u64 {
        self.low_bytes
    }

    /// The RAM from 4 GiB on, in bytes.
    pub fn high_bytes(&self) -> u64 {
        self.bytes() - self.low_bytes
    }

    /// The offset in RAM of a physical address, if RAM is there.
    #[inline]
    pub fn ram_offset(&self, gpa: Gpa) -> Option<usize> {
        if gpa.0 < self.low_bytes {
            Some(gpa.0 as usize)
        } else if gpa.0 >= HIGH_RAM_BASE && gpa.0 - HIGH_RAM_BASE < self.high_bytes() {
            Some((gpa.0 - HIGH_RAM_BASE + self.low_bytes) as usize)
        } else {
            None
        }
    }

    /// The physical address of an offset in RAM.
    #[inline]
    pub fn gpa_of(&self, ram_offset: usize) -> Gpa {
        let offset = ram_offset as u64;
        Gpa(if offset < self.low_bytes { offset } else { offset - self.low_bytes + HIGH_RAM_BASE })
    }

    /// Whether stores to the page at `ram_offset` may go unseen.
    #[inline]
    pub fn fast_write_allowed(&self, ram_offset: usize) -> bool {
        self.flags[ram_offset >> PAGE_SHIFT] == 0
    }

    /// Reads a scalar that lies within one page; `None` where there is no RAM.
    #[inline]
    pub fn read_phys<T: Scalar>(&self, gpa: Gpa) -> Option<T> {
        debug_assert!((gpa.0 & PAGE_OFFSET_MASK) + T::SIZE as u64 <= PAGE_SIZE);
        self.ram_offset(gpa).map(|o| self.ram.read(o))
    }

    /// Writes `[ram_offset, ram_offset + T::SIZE)`, within one page, seen by whoever derived
    /// something from the page.
    pub fn write_watched<T: Scalar>(&mut self, ram_offset: usize, v: T) -> WriteEffect {
        let effect = self.before_write(ram_offset, T::SIZE);
        self.ram.write(ram_offset, v);
        effect
    }

    /// How many bytes from `offset` on, `len` at most and within one page, may be overwritten at once since
    /// nobody derived anything from them, a multiple of `unit`; they count as written then.
    pub fn begin_quiet_run(&mut self, offset: usize, len: usize, unit: usize) -> usize {
        let page = offset >> PAGE_SHIFT;
        let flags = self.flags[page];
        let quiet = self.quiet_bytes(offset, len) / unit * unit;
        if quiet == 0 {
            return 0;
        }
        self.settle_written(page);
        if quiet == PAGE_SIZE as usize && flags & (DIRECTORY | PAGE_TABLE) != 0 {
            // No entry is used, and none will be before the next walk comes through it.
            self.flags[page] &= !(DIRECTORY | PAGE_TABLE);
        }
        quiet
    }

    fn quiet_bytes(&self, offset: usize, len: usize) -> usize {
        let page = offset >> PAGE_SHIFT;
        let flags = self.flags[page];
        let mut end = offset + len;
        if flags & CODE != 0 {
            let first_line = self.code_lines[page] & lines(offset, len);
            if first_line != 0 {
                let line = (page << PAGE_SHIFT) + first_line.trailing_zeros() as usize * 64;
                end = end.min(line.max(offset));
            }
        }
        if flags & (DIRECTORY | PAGE_TABLE) != 0 {
            let mut entries = (offset & !7..end).step_by(4);
            // Both halves of an entry of 8 bytes have the flags of the lower one.
            let used = |o: usize| self.ram.read::<u8>(o) & USED_ENTRY == USED_ENTRY;
            if let Some(at) = entries.find(|&o| used(o)) {
                end = end.min((at & !7).max(offset));
            }
        }
        end - offset
    }

    /// Copies bytes into RAM from outside the CPU (loader, DMA, debugger), any length; the
    /// translations of every vCPU are flushed if page tables were among them.
    ///
    /// # Panics
    /// If the range is not all RAM, or crosses the hole below 4 GiB.
    pub fn write_bytes(&mut self, gpa: Gpa, bytes: &[u8]) {
        let mut offset = self.ram_offset(gpa).expect("write_bytes outside RAM");
        let mut rest = bytes;
        while !rest.is_empty() {
            let n = rest.len().min((PAGE_SIZE - (offset as u64 & PAGE_OFFSET_MASK)) as usize);
            self.before_write(offset, n);
            self.ram.slice_mut(offset, n).copy_from_slice(&rest[..n]);
            offset += n;
            rest = &rest[n..];
        }
    }

    /// Sets accessed and dirty bits: a store to a page-table entry that changes no
    /// translation that could be cached.
    pub fn write_table_bits<T: Scalar>(&mut self, ram_offset: usize, v: T) {
        let page = ram_offset >> PAGE_SHIFT;
        let table = self.flags[page] & (DIRECTORY | PAGE_TABLE);
        self.flags[page] &= !table;
        self.before_write(ram_offset, T::SIZE);
        self.flags[page] |= table;
        self.ram.write(ram_offset, v);
    }

    /// Notes that a page is no longer as it was.
    #[inline]
    fn settle_written(&mut self, page: usize) {
        let flags = self.flags[page];
        if flags & CLEAN != 0 {
            self.flags[page] &= !(CLEAN | PRISTINE);
            self.dirty.push(page as u32);
        }
        if flags & SAVED != 0 {
            self.flags[page] &= !(SAVED | PRISTINE);
            self.unsaved.push(page as u32);
        }
    }

    /// What a store to `[offset, offset + len)` means; the flags it settles are cleared.
    fn before_write(&mut self, offset: usize, len: usize) -> WriteEffect {
        let page = offset >> PAGE_SHIFT;
        let flags = self.flags[page];
        let mut effect = WriteEffect::default();
        self.settle_written(page);
        if flags & CODE != 0 && self.code_lines[page] & lines(offset, len) != 0 {
            self.flags[page] &= !CODE;
            self.code_lines[page] = 0;
            self.overwritten_code.push(page as u32);
            effect.code = true;
        }
        let unused = flags & (DIRECTORY | PAGE_TABLE) != 0 && self.seems_unused(page);
        if unused || (flags & DIRECTORY != 0 && self.directory_entries_used(offset, len)) {
            // Everything that came through this page goes, so it need not be watched until the
            // next walk comes through it: a loop over its entries pays once.
            self.flags[page] &= !(DIRECTORY | PAGE_TABLE);
            self.changes.push(Change::Directory { table: page as u32 });
            effect.translations = true;
            effect.fetches = true;
        } else if flags & PAGE_TABLE != 0
            && let Some(executable) = self.page_entries_used(offset, len)
        {
            let entry = |offset| (offset as u64 & PAGE_OFFSET_MASK) as u16 / 8;
            let (first, last) = (entry(offset), entry(offset + len - 1));
            self.changes.push(Change::Entries { table: page as u32, first, last });
            effect.translations = true;
            effect.fetches = executable;
        }
        effect
    }

    /// Counts a store to a table; whether nobody seems to use it as one any more.
    fn seems_unused(&mut self, page: usize) -> bool {
        self.table_stores[page] += 1;
        self.table_stores[page] >= UNUSED_STORES
    }

    /// Whether a table entry in the range, of 4 or 8 bytes, could have been used.
    fn directory_entries_used(&self, offset: usize, len: usize) -> bool {
        let first = offset & !3;
        let last = (offset + len - 1) & !3;
        (first..=last).step_by(4).any(|o| {
            // The low half of an 8-byte entry holds its flags; its high half is looked up there.
            [o, o & !7].into_iter().any(|e| self.ram.read::<u8>(e) & USED_ENTRY == USED_ENTRY)
        })
    }

    /// Whether an 8-byte entry in the range could have been used, and then, whether one that
    /// allows fetches.
    fn page_entries_used(&self, offset: usize, len: usize) -> Option<bool> {
        let first = offset & !7;
        let last = (offset + len - 1) & !7;
        let entries = (first..=last).step_by(8).map(|o| self.ram.read::<u64>(o));
        let used = entries.filter(|e| *e as u8 & USED_ENTRY == USED_ENTRY);
        used.map(|e| e & NX == 0).reduce(|a, b| a | b)
    }

    /// Notes that a walk uses a table in the page.
    pub fn watch_table(&mut self, ram_offset: usize, used_for: TableUse) {
        let flag = if used_for == TableUse::PageEntry { PAGE_TABLE } else { DIRECTORY };
        let page = ram_offset >> PAGE_SHIFT;
        self.table_stores[page] = 0;
        self.watch(page, flag);
    }

    /// Notes that `[ram_offset, ram_offset + len)`, within one page, was decoded.
    pub fn watch_code(&mut self, ram_offset: usize, len: usize) {
        let page = ram_offset >> PAGE_SHIFT;
        self.code_lines[page] |= lines(ram_offset, len);
        self.watch(page, CODE);
    }

    fn watch(&mut self, page: usize, flag: u8) {
        if self.flags[page] & flag == 0 {
            self.flags[page] |= flag;
            self.changes.push(Change::Watched { page: page as u32 });
        }
    }

    /// The pages (by RAM page number) whose code was overwritten since the last call.
    pub fn take_overwritten_code(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.overwritten_code)
    }

    /// Whether [`Self::take_overwritten_code`] has something to give.
    #[inline]
    pub fn has_overwritten_code(&self) -> bool {
        !self.overwritten_code.is_empty()
    }

    /// The pages (by RAM page number, ascending) written since the last call, now clean again.
    pub fn take_dirty_pages(&mut self) -> Vec<u32> {
        let mut pages = std::mem::take(&mut self.dirty);
        pages.sort_unstable();
        for &p in &pages {
            self.flags[p as usize] |= CLEAN;
        }
        if !pages.is_empty() {
            self.changes.push(Change::Everything);
        }
        pages
    }

    /// How many pages [`Self::take_unsaved_pages`] would give.
    pub fn unsaved_pages(&self) -> usize {
        self.unsaved.len()
    }

    /// The pages (by RAM page number, ascending) written since the last call: what a checkpoint
    /// must save, or a restore must overwrite. Of no concern to [`Self::take_dirty_pages`].
    pub fn take_unsaved_pages(&mut self) -> Vec<u32> {
        let mut pages = std::mem::take(&mut self.unsaved);
        pages.sort_unstable();
        for &p in &pages {
            self.flags[p as usize] |= SAVED;
        }
        if !pages.is_empty() {
            self.changes.push(Change::Everything);
        }
        pages
    }

    /// The bytes of a page, by RAM page number.
    ///
    /// # Panics
    /// If there is no such page.
    pub fn page(&self, number: u32) -> &[u8] {
        self.ram.slice((number as usize) << PAGE_SHIFT, PAGE_SIZE as usize)
    }

    /// Zeroes everything, seen by whoever derived something from it.
    pub fn clear(&mut self) {
        for page in 0..self.flags.len() {
            if self.page_if_not_zero(page).is_some() {
                let offset = page << PAGE_SHIFT;
                self.before_write(offset, PAGE_SIZE as usize);
                self.ram.slice_mut(offset, PAGE_SIZE as usize).fill(0);
            }
        }
    }

    /// The pages that are not zero, with their RAM page numbers, ascending.
    pub fn pages_not_zero(&self) -> impl Iterator<Item = (u32, &[u8])> {
        (0..self.flags.len()).filter_map(|page| Some((page as u32, self.page_if_not_zero(page)?)))
    }

    /// The page of RAM at `gpa` (a multiple of the page size); `None` if it is zero, or no RAM.
    pub fn page_not_zero(&self, gpa: Gpa) -> Option<&[u8]> {
        self.page_if_not_zero(self.ram_offset(gpa)? >> PAGE_SHIFT)
    }

    fn page_if_not_zero(&self, page: usize) -> Option<&[u8]> {
        if self.flags[page] & PRISTINE != 0 {
            return None;
        }
        let bytes = self.ram.slice(page << PAGE_SHIFT, PAGE_SIZE as usize);
        bytes.iter().any(|&b| b != 0).then_some(bytes)
    }
}

/// The lines that `[offset, offset + len)` of a page touches.
fn lines(offset: usize, len: usize) -> CodeLines {
    let start = offset as u64 & PAGE_OFFSET_MASK;
    let first = start >> 6;
    let last = ((start + len as u64 - 1) & PAGE_OFFSET_MASK) >> 6;
    (u64::MAX << first) & (u64::MAX >> (63 - last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ram_goes_round_the_hole() {
        let mem = Memory::new(LOW_RAM_LIMIT + 0x10_0000).unwrap();
        assert_eq!(mem.ram_offset(Gpa(LOW_RAM_LIMIT - 1)), Some(LOW_RAM_LIMIT as usize - 1));
        assert_eq!(mem.ram_offset(Gpa(LOW_RAM_LIMIT)), None);
        assert_eq!(mem.ram_offset(Gpa(HIGH_RAM_BASE)), Some(LOW_RAM_LIMIT as usize));
        assert_eq!(mem.ram_offset(Gpa(HIGH_RAM_BASE + 0x10_0000)), None);
        assert_eq!(mem.gpa_of(LOW_RAM_LIMIT as usize + 5), Gpa(HIGH_RAM_BASE + 5));
    }

    #[test]
    fn lines_of_a_store() {
        assert_eq!(lines(0x1000, 1), 1);
        assert_eq!(lines(0x103F, 2), 3);
        assert_eq!(lines(0x1FF8, 8), 1 << 63);
        assert_eq!(lines(0x1000, 4096), u64::MAX);
    }

    #[test]
    fn a_store_tells_what_it_overwrote() {
        let mut mem = Memory::new(1 << 16).unwrap();
        mem.watch_code(0x2000, 64);
        assert_eq!(mem.write_watched(0x2040, 0u8), WriteEffect::default());
        assert!(mem.write_watched(0x203F, 0u8).code);
        assert_eq!(mem.take_overwritten_code(), [2]);
        mem.watch_table(0x3000, TableUse::Other);
        assert!(!mem.write_watched(0x3008, 0x5021u64).translations, "the old entry was not present");
        assert!(mem.write_watched(0x300C, 0u32).translations, "the high half of a used entry");
        assert!(!mem.write_watched(0x3008, 0u64).translations, "no longer watched");
    }

    #[test]
    fn a_store_to_a_page_entry_tells_which() {
        let mut mem = Memory::new(1 << 16).unwrap();
        mem.watch_table(0x3000, TableUse::PageEntry);
        let before = mem.changes.next();
        assert!(!mem.write_watched(0x3008, 0x5021u64 | NX).translations, "the old entry was not present");
        let effect = mem.write_watched(0x300C, 0u32);
        assert!(effect.translations && !effect.fetches, "not executable");
        let effect = mem.write_watched(0x3008, 0u64);
        assert!(effect.translations && effect.fetches, "still watched, and executable now");
        let change = Change::Entries { table: 3, first: 1, last: 1 };
        assert_eq!(mem.changes.since(before).unwrap(), [change, change]);
    }

    #[test]
    fn a_table_that_nobody_walks_through_becomes_a_page_like_any_other() {
        for used_for in [TableUse::PageEntry, TableUse::Other] {
            let mut mem = Memory::new(1 << 16).unwrap();
            mem.watch_table(0x3000, used_for);
            let stores = |mem: &mut Memory, count: u8| {
                (0..count).filter(|_| mem.write_watched(0x3010, 0u64).translations).count()
            };
            assert_eq!(stores(&mut mem, UNUSED_STORES - 1), 0);
            mem.watch_table(0x3000, used_for);
            assert_eq!(stores(&mut mem, UNUSED_STORES - 1), 0, "a walk came through it meanwhile");
            assert!(!mem.fast_write_allowed(0x3000));
            let before = mem.changes.next();
            assert_eq!(stores(&mut mem, 1), 1, "what came through it is forgotten");
            assert_eq!(mem.changes.since(before).unwrap(), [Change::Directory { table: 3 }]);
            assert!(mem.fast_write_allowed(0x3000));
            mem.watch_table(0x3000, used_for);
            assert!(!mem.fast_write_allowed(0x3000));
        }
    }

    #[test]
    fn pages_that_are_not_zero_are_found_and_cleared() {
        let mut mem = Memory::new(1 << 16).unwrap();
        mem.write_bytes(Gpa(0x1FFF), &[1, 2]);
        mem.write_watched(0x5000, 0u8);
        assert_eq!(
            mem.pages_not_zero().map(|(page, bytes)| (page, bytes[0])).collect::<Vec<_>>(),
            [(1, 0), (2, 2)]
        );
        mem.clear();
        assert_eq!(mem.pages_not_zero().count(), 0);
        mem.write_watched(0x2000, 3u8);
        assert_eq!(mem.pages_not_zero().count(), 1);
    }

    #[test]
    fn a_run_goes_up_to_what_somebody_derived_something_from() {
        let mut mem = Memory::new(1 << 16).unwrap();
        assert_eq!(mem.begin_quiet_run(0x1000, 4096, 8), 4096);
        assert_eq!(mem.take_dirty_pages(), [1]);
        mem.watch_code(0x2100, 64);
        assert_eq!(mem.begin_quiet_run(0x2003, 0xF00, 8), 0xF8, "whole elements");
        assert_eq!(mem.begin_quiet_run(0x2100, 8, 8), 0);
        assert_eq!(mem.begin_quiet_run(0x2140, 0x100, 8), 0x100);
        mem.watch_table(0x3000, TableUse::PageEntry);
        mem.ram.write(0x3100, 0x5021u64);
        assert_eq!(mem.begin_quiet_run(0x3000, 4096, 8), 0x100);
        assert_eq!(mem.begin_quiet_run(0x3104, 8, 4), 0, "its high half");
        mem.begin_quiet_run(0x3108, 8, 8);
        assert!(mem.write_watched(0x3100, 0u64).translations, "still watched");
        assert_eq!(mem.begin_quiet_run(0x3000, 4096, 8), 4096);
        mem.ram.write(0x3100, 0x5021u64);
        assert!(!mem.write_watched(0x3100, 0u64).translations, "no table any more");
        assert!(mem.take_overwritten_code().is_empty());
    }

    #[test]
    fn dirty_pages_come_once() {
        let mut mem = Memory::new(1 << 16).unwrap();
        mem.write_bytes(Gpa(0x1FFF), &[1, 2]);
        mem.write_watched(0x1000, 1u8);
        assert_eq!(mem.take_dirty_pages(), [1, 2]);
        assert_eq!(mem.take_dirty_pages(), [0u32; 0]);
        assert!(!mem.fast_write_allowed(0x1000));
        mem.write_watched(0x1000, 1u8);
        assert!(mem.fast_write_allowed(0x1000));
    }

    #[test]
    fn unsaved_pages_come_once_whoever_takes_the_dirty_ones() {
        let mut mem = Memory::new(1 << 16).unwrap();
        mem.write_bytes(Gpa(0x1FFF), &[1, 2]);
        assert_eq!(mem.take_dirty_pages(), [1, 2]);
        mem.write_watched(0x1000, 1u8);
        assert_eq!(mem.unsaved_pages(), 2);
        let before = mem.changes.next();
        assert_eq!(mem.take_unsaved_pages(), [1, 2]);
        assert_ne!(mem.changes.next(), before, "fast stores are dropped");
        assert!(!mem.fast_write_allowed(0x1000));
        mem.write_watched(0x1000, 2u8);
        assert!(mem.fast_write_allowed(0x1000));
        assert_eq!(mem.take_unsaved_pages(), [1]);
        assert_eq!(mem.take_dirty_pages(), [1]);
    }
}
