//! Compatibility mode at the end of its address space: operands wrap at 4 GiB, as they do on
//! Zen 4 for loads, stores, pushes, SSE operands and the fetch, whatever is mapped beyond.

use super::*;
use crate::cpu::state::{RAX, RBX, RDI};
use crate::types::vector;

/// What the segments are based on, so that the end of the address space is within their limit.
const BASE: u64 = 0x1000;
/// The effective address of the last two bytes below 4 GiB.
const LAST_TWO: u64 = 0xFFFF_EFFE;
/// The frame that FFFF_F000h is mapped to; 0 and 1_0000_0000h are mapped to others.
const TOP_FRAME: u64 = 0x11_0000;
const BEYOND_FRAME: u64 = 0x11_1000;

/// Compatibility mode at CPL 0 with segments from [`BASE`] on, and pages about 4 GiB.
fn at_the_end() -> System {
    let mut s = System::long();
    let (directory, table, beyond_directory, beyond_table) = (0x10_4000, 0x10_5000, 0x10_6000, 0x10_7000);
    let pdpt = s.rig.at(s.rig.cpu.cr3) & !0xFFF;
    s.rig.put(pdpt + 3 * 8, directory | 7);
    s.rig.put(directory + 511 * 8, table | 7);
    s.rig.put(table + 511 * 8, TOP_FRAME | 7);
    s.rig.put(pdpt + 4 * 8, beyond_directory | 7);
    s.rig.put(beyond_directory, beyond_table | 7);
    s.rig.put(beyond_table, BEYOND_FRAME | 7);
    s.segments(sel::CODE0, sel::DATA0);
    for r in [seg::DS, seg::ES, seg::SS] {
        s.rig.cpu.segs[r] = Segment { base: BASE, ..s.rig.cpu.segs[seg::SS] };
    }
    s.rig.cpu.regs[RBX] = LAST_TWO;
    s.rig.put(TOP_FRAME + 0xFF8, 0x2211_AAAA_AAAA_AAAA);
    s.rig.put(0, 0xCCCC_CCCC_CCCC_4433);
    s.rig.put(BEYOND_FRAME, u64::MAX);
    s
}

#[test]
fn loads_and_stores_wrap_at_4_gib() {
    let mut s = at_the_end();
    // MOV EAX, [EBX]; then MOV [EBX], EDI.
    assert_eq!(s.run(&[0x8B, 0x03]), Ok(()));
    assert_eq!(s.rig.cpu.regs[RAX], 0x4433_2211);
    s.rig.cpu.regs[RDI] = 0x8877_6655;
    assert_eq!(s.run(&[0x89, 0x3B]), Ok(()));
    assert_eq!((s.rig.at(TOP_FRAME + 0xFF8) >> 48, s.rig.at(0) & 0xFFFF), (0x6655, 0x8877));
    assert_eq!(s.rig.at(BEYOND_FRAME), u64::MAX);
}

#[test]
fn operands_in_parts_wrap_at_4_gib() {
    // LES EAX, [EBX]: the selector is beyond the end.
    let mut s = at_the_end();
    s.rig.put(0, u64::from(sel::DATA0) << 16 | 0x4433);
    assert_eq!(s.run(&[0xC4, 0x03]), Ok(()));
    assert_eq!((s.rig.cpu.regs[RAX], s.rig.cpu.segs[seg::ES].selector), (0x4433_2211, sel::DATA0));
    // SIDT [EBX].
    let mut s = at_the_end();
    s.rig.cpu.idtr = TableRegister { base: 0x1234_5678, limit: 0x9ABC };
    assert_eq!(s.run(&[0x0F, 0x01, 0x0B]), Ok(()));
    assert_eq!((s.rig.at(TOP_FRAME + 0xFF8) >> 48, s.rig.at(0) as u32), (0x9ABC, 0x1234_5678));
    // FNINIT; FLD m80 [EBX]; FISTP m64 [EBX].
    let mut s = at_the_end();
    s.rig.cpu.regs[RBX] = LAST_TWO - 6;
    s.rig.put(TOP_FRAME + 0xFF8, 0x8000_0000_0000_0000);
    s.rig.put(0, 0x3FFF);
    assert_eq!(s.run(&[0xDB, 0xE3]), Ok(()));
    assert_eq!(s.run(&[0xDB, 0x2B]), Ok(()));
    assert_eq!(s.run(&[0xDF, 0x3B]), Ok(()));
    assert_eq!(s.rig.at(TOP_FRAME + 0xFF8), 1);
}

#[test]
fn a_page_that_is_missing_behind_the_wrap_is_page_0() {
    let mut s = at_the_end();
    s.rig.unmap(0);
    assert_eq!(s.run(&[0x8B, 0x03]).map_err(|e| e.vector), Err(vector::PF));
    assert_eq!(s.rig.cpu.fault_address, 0);
}

#[test]
fn flat_segments_end_at_4_gib() {
    let mut s = at_the_end();
    s.rig.cpu.segs[seg::DS].base = 0;
    s.rig.cpu.regs[RBX] = 0xFFFF_FFFE;
    assert_eq!(s.run(&[0x8B, 0x03]), Err(Exception::GP0));
}

/// The processor's own tables are addressed with 64 bits: this IDT lies beyond 4 GiB.
#[test]
fn system_tables_may_lie_beyond_4_gib() {
    let mut s = at_the_end();
    s.idt(vector::BP, sel::CODE64, 0xE, 0, 0);
    let gate = [0, 8].map(|k| s.rig.at(IDT + u64::from(vector::BP) * 16 + k));
    for (k, v) in gate.into_iter().enumerate() {
        s.rig.put(BEYOND_FRAME + u64::from(vector::BP) * 16 + 8 * k as u64, v);
    }
    s.rig.cpu.idtr = TableRegister { base: 1 << 32, limit: 0xFFF };
    assert_eq!(s.run(&[0xCC]), Ok(()));
    assert_eq!(s.rig.cpu.rip(), HANDLER);
}
