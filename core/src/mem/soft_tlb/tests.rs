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
    tlb.came_through(3);
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
        }
    }
}

#[test]
fn a_context_survives_switching_away_and_back() {
    let mut tlb = filled(true);
    let stamp = tlb.stamp();
    let address = tlb.entries(MmuIndex::User).as_ptr();
    tlb.select(&space(0x2000));
    assert_eq!(reads(&tlb), None);
    assert_ne!(tlb.stamp(), stamp);
    tlb.select(&space(0x1000));
    assert_eq!(reads(&tlb), Some(RAM | 0x678));
    assert_eq!((tlb.stamp(), tlb.entries(MmuIndex::User).as_ptr()), (stamp, address));
}

#[test]
fn the_context_left_longest_ago_makes_room() {
    let mut tlb = filled(true);
    let stamp = tlb.stamp();
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
    assert_ne!(tlb.stamp(), stamp);
}

#[test]
fn a_page_entry_drops_its_slot_alone_in_every_context() {
    let slot = slot_of(VA) as u16;
    for (table, first, last, executable, gone) in [
        (3, slot, slot, false, true),
        (3, slot - 1, slot + 1, true, true),
        (3, slot + 1, slot + 1, true, false),
        (4, slot, slot, true, false),
    ] {
        let mut tlb = filled(true);
        let stamp = tlb.stamp();
        tlb.select(&space(0x2000));
        tlb.follow(Change::Entries { table, first, last, executable });
        tlb.select(&space(0x1000));
        assert_eq!(reads(&tlb).is_none(), gone);
        assert_eq!(tlb.stamp() != stamp, executable && table == 3);
    }
}

#[test]
fn a_directory_drops_the_contexts_that_came_through_it() {
    for (table, gone) in [(3, true), (4, false)] {
        let mut tlb = filled(true);
        let stamp = tlb.stamp();
        tlb.select(&space(0x2000));
        tlb.follow(Change::Directory { table });
        tlb.select(&space(0x1000));
        assert_eq!(reads(&tlb).is_none(), gone);
        assert_eq!(tlb.stamp() != stamp, gone);
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
fn stamps_change_with_decoded_code() {
    let mut tlb = filled(true);
    let stamp = tlb.stamp();
    tlb.follow_code(0);
    assert_eq!(tlb.stamp(), stamp);
    tlb.follow_code(1);
    assert_ne!(tlb.stamp(), stamp);
    assert!(reads(&tlb).is_some());
}
