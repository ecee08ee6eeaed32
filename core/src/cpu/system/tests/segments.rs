//! Loads of segment registers and system tables; LAR and its kin; port permissions.

use super::*;
use crate::cpu::flags;
use crate::cpu::state::{RAX, RCX, RDX, Shadow, cr4};
use crate::types::vector;

/// MOV Sreg, AX.
fn mov(s: &mut System, r: usize, selector: u16) -> Exec {
    s.rig.cpu.regs[RAX] = selector.into();
    s.run(&[0x8E, 0xC0 | (r as u8) << 3])
}

#[test]
fn segment_loads_check_type_privilege_and_presence() {
    let gp = Exception::gp;
    let rows = [
        (seg::DS, false, sel::DATA0, Ok(())),
        (seg::DS, false, 0, Ok(())),
        (seg::DS, false, sel::CODE0, Ok(())),
        (seg::DS, false, sel::READ_ONLY, Ok(())),
        (seg::DS, false, sel::ABSENT_DATA, Err(Exception::np(sel::ABSENT_DATA))),
        (seg::DS, false, sel::TSS, Err(gp(sel::TSS))),
        (seg::DS, false, 0x1000, Err(gp(0x1000))),
        (seg::DS, false, sel::DATA0 | 4, Err(gp(sel::DATA0 | 4))),
        (seg::DS, true, sel::DATA0, Err(gp(sel::DATA0))),
        (seg::DS, true, sel::DATA3 | 3, Ok(())),
        (seg::DS, true, sel::CONFORMING, Ok(())),
        (seg::SS, false, sel::DATA0, Ok(())),
        (seg::SS, false, 0, Err(Exception::GP0)),
        (seg::SS, false, sel::READ_ONLY, Err(gp(sel::READ_ONLY))),
        (seg::SS, false, sel::DATA0 | 3, Err(gp(sel::DATA0))),
        (seg::SS, false, sel::DATA3, Err(gp(sel::DATA3))),
        (seg::SS, false, sel::ABSENT_DATA, Err(Exception::ss(sel::ABSENT_DATA))),
    ];
    for (r, user, selector, expected) in rows {
        let mut s = if user { System::protected_user() } else { System::protected() };
        let before = s.rig.cpu.segs[r];
        assert_eq!(mov(&mut s, r, selector), expected, "{r} {selector:x}");
        let loaded = s.rig.cpu.segs[r];
        assert_eq!(loaded.selector, if expected.is_ok() { selector } else { before.selector });
        let shadow = if r == seg::SS && expected.is_ok() { Shadow::MovSs } else { Shadow::None };
        assert_eq!(s.rig.cpu.shadow, shadow);
    }
}

#[test]
fn a_null_stack_segment_is_allowed_in_64_bit_kernel_code() {
    assert_eq!(mov(&mut System::long(), seg::SS, 0), Ok(()));
    assert_eq!(mov(&mut System::long_user(), seg::SS, 3), Err(Exception::GP0));
}

#[test]
fn loading_sets_the_accessed_bit_in_the_table() {
    let mut s = System::protected();
    let at = GDT + u64::from(sel::DATA0);
    let raw = s.rig.at(at);
    s.rig.put(at, raw & !(1 << 40));
    assert_eq!(mov(&mut s, seg::DS, sel::DATA0), Ok(()));
    assert_eq!(s.rig.at(at), raw);
}

#[test]
fn real_mode_keeps_limits() {
    let mut s = System::new(Rig::real());
    let limit = s.rig.cpu.segs[seg::DS].limit;
    assert_eq!(mov(&mut s, seg::DS, 0x1234), Ok(()));
    let ds = s.rig.cpu.segs[seg::DS];
    assert_eq!((ds.selector, ds.base, ds.limit), (0x1234, 0x1_2340, limit));
}

#[test]
fn ltr_makes_the_tss_busy_once() {
    for mut s in [System::long(), System::protected()] {
        if s.rig.cpu.long_mode() {
            s.rig.put(GDT + u64::from(sel::TSS) + 8, 0xFFFF_8000);
        }
        s.rig.cpu.regs[RAX] = sel::TSS.into();
        let ltr = [0x0F, 0x00, 0xD8];
        assert_eq!(s.run(&ltr), Ok(()));
        let tr = s.rig.cpu.tr;
        let high = if s.rig.cpu.long_mode() { 0xFFFF_8000 << 32 } else { 0 };
        assert_eq!((tr.base, tr.limit, tr.attributes & 0xF), (TSS | high, 0x2FF, 0xB));
        assert_eq!(s.run(&ltr), Err(Exception::gp(sel::TSS)));
    }
}

#[test]
fn user_mode_instruction_prevention() {
    // SGDT, SIDT, SLDT, STR, SMSW.
    let stores: [&[u8]; 5] = [
        &[0x0F, 0x01, 0x00],
        &[0x0F, 0x01, 0x08],
        &[0x0F, 0x00, 0xC0],
        &[0x0F, 0x00, 0xC8],
        &[0x0F, 0x01, 0xE0],
    ];
    for code in stores {
        for umip in [false, true] {
            let mut s = System::long_user();
            s.rig.cpu.regs[RAX] = 0x2_0000;
            s.rig.cpu.cr4 |= if umip { cr4::UMIP } else { 0 };
            let expected = if umip { Err(Exception::GP0) } else { Ok(()) };
            assert_eq!(s.run(code), expected, "{code:x?}");
        }
    }
}

#[test]
fn lar_lsl_verr_verw_answer_in_zf() {
    // Selector, LAR's value, LSL's value, VERR, VERW; at CPL 0.
    let rows = [
        (sel::CODE0, Some(0xCF_9B00 & 0xFF_FF00), Some(0xFFFF_FFFF), true, false),
        (sel::DATA0, Some(0xCF_9300), Some(0xFFFF_FFFF), true, true),
        (sel::READ_ONLY, Some(0xCF_9100), Some(0xFFFF_FFFF), true, false),
        (sel::TSS, Some(0x00_8900), Some(0x2FF), false, false),
        (sel::TASK_GATE, Some(0x00_8500), None, false, false),
        (sel::DATA0 | 3, None, None, false, false),
        (0, None, None, false, false),
        (0x1000, None, None, false, false),
    ];
    for (selector, rights, limit, readable, writable) in rows {
        let ask = |code: &[u8]| {
            let mut s = System::protected();
            s.rig.cpu.regs[RCX] = selector.into();
            s.rig.cpu.regs[RAX] = 0x5555;
            assert_eq!(s.run(code), Ok(()));
            (s.rig.cpu.regs[RAX], s.rig.cpu.flags.zf())
        };
        let value = |v: Option<u64>| (v.unwrap_or(0x5555), v.is_some());
        assert_eq!(ask(&[0x0F, 0x02, 0xC1]), value(rights), "LAR {selector:x}");
        assert_eq!(ask(&[0x0F, 0x03, 0xC1]), value(limit), "LSL {selector:x}");
        assert_eq!(ask(&[0x0F, 0x00, 0xE1]).1, readable, "VERR {selector:x}");
        assert_eq!(ask(&[0x0F, 0x00, 0xE9]).1, writable, "VERW {selector:x}");
    }
}

#[test]
fn arpl_raises_the_rpl() {
    for (destination, source, result, zf) in [(0x10, 0x3, 0x13, true), (0x13, 0x0, 0x13, false)] {
        let mut s = System::protected();
        s.rig.cpu.regs[RAX] = destination;
        s.rig.cpu.regs[RCX] = source;
        assert_eq!(s.run(&[0x63, 0xC8]), Ok(()));
        assert_eq!((s.rig.cpu.regs[RAX], s.rig.cpu.flags.zf()), (result, zf));
    }
}

#[test]
fn ports_follow_iopl_and_the_bitmap() {
    // IOPL, bitmap offset, bitmap word, port; allowed?
    let rows = [
        (3, 0xFFFF, 0, 0x3F8, true),
        (0, 0xFFFF, 0, 0x3F8, false),
        (0, 0x80, 0xFFFF_FEFF, 0x3F8, true),
        (0, 0x80, 0xFFFF_FFFF, 0x3F8, false),
        // The word at the port reaches beyond the limit.
        (0, 0x280, 0, 0x3F8, false),
    ];
    for (iopl, offset, bitmap, port, allowed) in rows {
        let mut s = System::protected_user();
        s.rig.cpu.flags.set_system(iopl << 12, true);
        s.rig.put(TSS + 100, offset << 16);
        s.rig.put(TSS + offset.min(0x400) + port / 8 - 1, bitmap);
        s.rig.cpu.regs[RDX] = port;
        let expected = if allowed { Ok(()) } else { Err(Exception::GP0) };
        assert_eq!(s.run(&[0xEC]), expected, "{iopl} {offset:x} {bitmap:x}");
    }
}

#[test]
fn a_repeated_insb_does_one_iteration_at_a_time() {
    let mut s = System::protected();
    s.rig.cpu.regs[RCX] = 2;
    s.rig.cpu.regs[crate::cpu::state::RDI] = 0x2_0000;
    let code = [0xF3, 0x6C];
    assert_eq!(s.run(&code), Ok(()));
    assert_eq!((s.rig.cpu.rip(), s.rig.cpu.regs[RCX]), (CODE, 1));
    assert_eq!(s.rig.step(), Ok(()));
    assert_eq!((s.rig.cpu.rip(), s.rig.cpu.regs[RCX]), (CODE + 2, 0));
    assert_eq!(s.rig.at(0x2_0000), 0xFFFF);
    assert_eq!(s.run(&code), Ok(()));
    assert_eq!(s.rig.cpu.rip(), CODE + 2);
}

#[test]
fn sti_shadows_only_when_it_sets_if() {
    let mut s = System::long();
    assert_eq!(s.run(&[0xFB]), Ok(()));
    assert_eq!(s.rig.cpu.shadow, Shadow::Sti);
    s.rig.cpu.shadow = Shadow::None;
    assert_eq!(s.run(&[0xFB]), Ok(()));
    assert_eq!(s.rig.cpu.shadow, Shadow::None);
    let mut s = System::long_user();
    assert_eq!(s.run(&[0xFB]), Err(Exception::GP0));
    assert!(!s.rig.cpu.flags.system(flags::IF));
}

#[test]
fn bound_and_into() {
    let mut s = System::protected();
    let bound = [0x62, 0x05, 0, 0, 2, 0];
    s.rig.put(0x2_0000, 0x0000_0007_FFFF_FFFE);
    for (index, inside) in [(7u32, true), (8, false), (0xFFFF_FFFE, true), (0xFFFF_FFFD, false)] {
        s.rig.cpu.regs[RAX] = index.into();
        let expected = if inside { Ok(()) } else { Err(Exception::plain(vector::BR)) };
        assert_eq!(s.run(&bound), expected);
    }
    assert_eq!(s.run(&[0xCE]), Ok(()));
    assert_eq!(s.rig.cpu.rip(), CODE + 1);
}

#[test]
fn stac_opens_user_pages_to_the_kernel_under_smap() {
    let mut s = System::long();
    s.rig.cpu.cr4 |= cr4::SMAP;
    s.rig.cpu.refresh();
    // The rig's pages are all user pages; code in them may be executed without SMEP.
    let load = [0x8B, 0x04, 0x25, 0, 0, 2, 0];
    assert_eq!(s.run(&load), Err(Exception::pf(1)));
    assert_eq!(s.run(&[0x0F, 0x01, 0xCB]), Ok(()));
    assert_eq!(s.run(&load), Ok(()));
    assert_eq!(s.run(&[0x0F, 0x01, 0xCA]), Ok(()));
    assert_eq!(s.run(&load), Err(Exception::pf(1)));
    assert_eq!(System::long_user().run(&[0x0F, 0x01, 0xCB]), Err(Exception::UD));
}

#[test]
fn an_instruction_ends_within_its_code_segment() {
    for (limit, expected) in [(CODE + 4, Ok(())), (CODE + 3, Err(Exception::GP0))] {
        let mut s = System::protected();
        s.rig.cpu.segs[seg::CS].limit = limit as u32;
        // MOV EAX, imm32.
        assert_eq!(s.run(&[0xB8, 1, 2, 3, 4]), expected, "{limit:x}");
    }
}
