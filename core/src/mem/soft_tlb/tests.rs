//! The soft TLB by itself.

use super::*;
use crate::types::Gpa;

const ALL: Translation =
    Translation { frame: Gpa(0), readable: true, writable: true, executable: true, own_entry: true };
const VA: u64 = 0x7FFF_1234_5678;
const RAM: u64 = 0x9000;

fn space(cr3: u64) -> PagingRegs {
    PagingRegs { cr0: 1 << 31, cr3, cr4: 1 << 5, efer: 1 << 10, pdpte: [0; 4] }
}

/// A translation of [`VA`] in address space 0x1000 that came through table page 3.
fn filled(fast_write: bool) -> SoftTlb {
    let mut tlb = SoftTlb::default();
    tlb.select(&space(0x1000));
    tlb.came_through(VA, [3]);
    tlb.insert(MmuIndex::User, VA, &ALL, RAM, fast_write);
    tlb
}

fn reads(tlb: &SoftTlb) -> Option<u64> {
    tlb.find(MmuIndex::User, VA, AccessKind::Read)
}

fn fast_writes(tlb: &SoftTlb) -> bool {
    VA ^ tlb.entry(MmuIndex::User, VA).write_tag <= PAGE_OFFSET_MASK
}

#[test]
fn empty_entries_match_no_address() {
    let tlb = SoftTlb::default();
    for page in (0..2 * ENTRIES as u64).chain((0..64).map(|bit| 1 << bit)) {
        for kind in [AccessKind::Read, AccessKind::Write, AccessKind::Execute] {
            assert_eq!(tlb.find(MmuIndex::Kernel, page << PAGE_SHIFT, kind), None);
            assert_eq!(tlb.find_observed(MmuIndex::Kernel, page << PAGE_SHIFT, kind), None);
        }
    }
}

#[test]
fn what_is_observed_is_found_by_nobody_else() {
    let choices = [(true, false), (false, true), (true, true)].into_iter();
    let choices = choices.flat_map(|(loads, stores)| {
        [(true, true), (true, false), (false, true), (false, false)]
            .map(|(fast, hidden)| (fast, Observed { loads, stores, hidden }))
    });
    for (fast, observed) in choices {
        let mut tlb = filled(true);
        tlb.insert_observed(MmuIndex::User, VA, &ALL, RAM, fast, observed);
        for (kind, seen) in [(AccessKind::Read, observed.loads), (AccessKind::Write, true)] {
            let found = Some(RAM | 0x678);
            assert_eq!(tlb.find_observed(MmuIndex::User, VA, kind), found, "{kind:?} {observed:?}");
            assert_eq!(tlb.find(MmuIndex::User, VA, kind), found.filter(|_| !seen), "{kind:?} {observed:?}");
        }
        // What code finds that notes its accesses.
        let noted =
            |tlb: &SoftTlb| (VA ^ tlb.entry(MmuIndex::User, VA).write_tag) & !OBSERVED <= PAGE_OFFSET_MASK;
        assert_eq!(noted(&tlb), fast && !observed.hidden, "{observed:?}");
        tlb.allow_fast_writes(MmuIndex::User, VA);
        assert!(!fast_writes(&tlb));
        assert_eq!(noted(&tlb), !observed.hidden, "{observed:?}");
        tlb.follow(Change::Watched { page: (RAM >> PAGE_SHIFT) as u32 });
        assert!(!noted(&tlb), "{observed:?}");
    }
}

#[test]
fn code_and_data_whose_pages_share_a_slot_are_both_found() {
    let mut tlb = filled(true);
    let code = VA + ((ENTRIES as u64) << PAGE_SHIFT);
    assert_eq!(tlb.find(MmuIndex::User, VA, AccessKind::Execute), None);
    tlb.insert_fetch(MmuIndex::User, code, 2 * RAM);
    assert_eq!(tlb.find(MmuIndex::User, code, AccessKind::Execute), Some(2 * RAM | 0x678));
    assert_eq!(tlb.find(MmuIndex::User, code, AccessKind::Read), None);
    assert_eq!(reads(&tlb), Some(RAM | 0x678));
    let entry = (slot_of(VA) % PAGE_ENTRIES) as u16;
    tlb.follow(Change::Entries { table: 3, first: entry, last: entry });
    assert_eq!(tlb.find(MmuIndex::User, code, AccessKind::Execute), None);
}

/// Both halves of address space 0x1000: the upper one through tables 1, 5 and 6, the lower one through
/// 1, 7 and 8.
fn both_halves() -> SoftTlb {
    let mut tlb = SoftTlb::default();
    tlb.select(&space(0x1000));
    tlb.came_through(KERNEL, [1, 5, 6]);
    tlb.insert(MmuIndex::Kernel, KERNEL, &ALL, RAM, true);
    tlb.insert_fetch(MmuIndex::Kernel, KERNEL, RAM);
    tlb.came_through(LOWER, [1, 7, 8]);
    tlb.insert(MmuIndex::Kernel, LOWER, &ALL, RAM, true);
    tlb.ancestor();
    tlb
}

const KERNEL: u64 = 0xFFFF_8880_1234_5678;
/// In another slot, of the same entry of its table.
const LOWER: u64 = VA + ((PAGE_ENTRIES as u64) << PAGE_SHIFT);

fn known(tlb: &SoftTlb) -> [bool; 3] {
    [(KERNEL, AccessKind::Write), (KERNEL, AccessKind::Execute), (LOWER, AccessKind::Read)]
        .map(|(va, kind)| tlb.find(MmuIndex::Kernel, va, kind).is_some())
}

#[test]
fn what_happens_to_tables_of_the_lower_half_leaves_the_upper_one() {
    for (table, left) in [
        (7, [true, true, false]),
        (8, [true, true, false]),
        (5, [false, false, false]),
        (1, [false, false, false]),
        (9, [true, true, true]),
    ] {
        let mut tlb = both_halves();
        assert_eq!(known(&tlb), [true; 3]);
        tlb.follow(Change::Directory { table });
        assert_eq!(known(&tlb), left, "table {table}");
    }
    let entry = (slot_of(LOWER) % PAGE_ENTRIES) as u16;
    assert_eq!(entry, (slot_of(KERNEL) % PAGE_ENTRIES) as u16, "both come of the same entry");
    for (table, left) in [(8, [true, true, false]), (6, [false; 3])] {
        let mut tlb = both_halves();
        tlb.follow(Change::Entries { table, first: entry, last: entry });
        assert_eq!(known(&tlb), left, "table {table}");
    }
}

#[test]
fn an_address_space_inherits_the_upper_half() {
    for (alike, table, left) in [
        (false, None, [false; 3]),
        (true, None, [true, true, false]),
        (true, Some(5), [false; 3]),
        (true, Some(6), [false; 3]),
        // Tables of the other address space alone.
        (true, Some(7), [true, true, false]),
        (true, Some(1), [true, true, false]),
    ] {
        let mut tlb = both_halves();
        tlb.select(&space(0x2000));
        tlb.came_through(KERNEL, [2]);
        assert_eq!(tlb.ancestor(), Some(space(0x1000).significant()));
        assert_eq!(tlb.ancestor(), None, "asked once");
        tlb.inherit(|va| alike && va >> PAGE_SHIFT == KERNEL >> PAGE_SHIFT);
        if let Some(table) = table {
            tlb.follow(Change::Directory { table });
        }
        assert_eq!(known(&tlb), left, "{alike} {table:?}");
        tlb.follow(Change::Watched { page: (RAM >> PAGE_SHIFT) as u32 });
        assert!(tlb.find_fast(MmuIndex::Kernel, KERNEL, true).is_none());
    }
}

#[test]
fn a_context_survives_switching_away_and_back() {
    let mut tlb = filled(true);
    let address = tlb.entries(MmuIndex::User).as_ptr();
    tlb.select(&space(0x2000));
    assert_eq!(reads(&tlb), None);
    tlb.select(&space(0x1000));
    assert_eq!(reads(&tlb), Some(RAM | 0x678));
    assert_eq!(tlb.entries(MmuIndex::User).as_ptr(), address);
}

#[test]
fn the_context_left_longest_ago_makes_room() {
    let mut tlb = filled(true);
    for n in 2..=CONTEXTS as u64 {
        tlb.select(&space(n << 12));
    }
    tlb.select(&space(0x1000));
    assert!(reads(&tlb).is_some());
    for n in 2..=CONTEXTS as u64 + 1 {
        tlb.select(&space(n << 12));
    }
    tlb.select(&space(0x1000));
    assert!(reads(&tlb).is_none());
}

#[test]
fn a_page_entry_drops_its_slot_alone_in_every_context() {
    let entry = (slot_of(VA) % PAGE_ENTRIES) as u16;
    for (table, first, last, gone) in [
        (3, entry, entry, true),
        (3, entry - 1, entry + 1, true),
        (3, entry + 1, entry + 1, false),
        (4, entry, entry, false),
    ] {
        let mut tlb = filled(true);
        tlb.select(&space(0x2000));
        tlb.follow(Change::Entries { table, first, last });
        tlb.select(&space(0x1000));
        assert_eq!(reads(&tlb).is_none(), gone);
    }
}

#[test]
fn a_directory_drops_the_contexts_that_came_through_it() {
    for (table, gone) in [(3, true), (4, false)] {
        let mut tlb = filled(true);
        tlb.select(&space(0x2000));
        tlb.follow(Change::Directory { table });
        tlb.select(&space(0x1000));
        assert_eq!(reads(&tlb).is_none(), gone);
    }
}

#[test]
fn fast_writes_end_with_watching_and_come_back() {
    let mut tlb = filled(true);
    assert!(fast_writes(&tlb));
    tlb.select(&space(0x2000));
    tlb.follow(Change::Watched { page: (RAM >> PAGE_SHIFT) as u32 });
    tlb.select(&space(0x1000));
    assert!(!fast_writes(&tlb));
    assert_eq!(tlb.find(MmuIndex::User, VA, AccessKind::Write), Some(RAM | 0x678));
    tlb.allow_fast_writes(MmuIndex::User, VA);
    assert!(fast_writes(&tlb));
    tlb.follow(Change::Watched { page: (RAM >> PAGE_SHIFT) as u32 });
    assert!(!fast_writes(&tlb));
    assert!(!fast_writes(&filled(false)));
}

#[test]
fn what_must_not_be_cached_is_not() {
    let mut tlb = SoftTlb::default();
    tlb.insert(MmuIndex::UserAligned, VA, &ALL, RAM, true);
    tlb.allow_fast_writes(MmuIndex::UserAligned, VA);
    assert_eq!(tlb.find(MmuIndex::UserAligned, VA, AccessKind::Read), None);
}
