//! IRET, RETF, far CALL and JMP, SYSCALL and SYSRET.

use super::*;
use crate::cpu::flags;
use crate::cpu::state::{CodeSize, RCX, efer};

const IRETQ: &[u8] = &[0x48, 0xCF];
const IRETD: &[u8] = &[0xCF];
const IRETW: &[u8] = &[0x66, 0xCF];
const RETFQ: &[u8] = &[0x48, 0xCB];
const R11: usize = 11;

fn words(selector: u16) -> u64 {
    selector.into()
}

#[test]
fn iretq_returns_to_user_mode_and_back_to_its_flags() {
    let mut s = System::long();
    let image = flags::ALWAYS_1 | flags::IF | flags::IOPL | flags::CF | flags::RF;
    s.put_frame(8, &[0x1234, words(sel::CODE64_3 | 3), image, 0x7000, words(sel::DATA3 | 3)]);
    s.rig.cpu.nmi_masked = true;
    assert_eq!(s.run(IRETQ), Ok(()));
    assert_eq!((s.cs(), s.ss(), s.rig.cpu.cpl), (sel::CODE64_3 | 3, sel::DATA3 | 3, 3));
    assert_eq!((s.rig.cpu.rip(), s.rsp()), (0x1234, 0x7000));
    assert_eq!(s.rig.cpu.flags.bits(), image);
    assert!(!s.rig.cpu.nmi_masked);
}

#[test]
fn iretq_to_a_32_bit_segment_enters_compatibility_mode() {
    let mut s = System::long();
    s.put_frame(8, &[0x1234, words(sel::CODE3 | 3), 2, 0x7000, words(sel::DATA3 | 3)]);
    assert_eq!(s.run(IRETQ), Ok(()));
    assert_eq!(s.rig.cpu.code_size, CodeSize::Bits32);
    assert_eq!(s.rsp(), 0x7000);
}

#[test]
fn iretq_refuses_bad_frames_and_changes_nothing() {
    let null_to_user = [0x1234, words(sel::CODE64_3 | 3), 2, 0x7000, 3];
    let not_canonical = [1 << 47, words(sel::CODE64), 2, 0x7000, 0];
    let rows = [
        ([0x1234, 0, 2, 0x7000, 0], Exception::GP0),
        ([0x1234, words(sel::DATA0), 2, 0x7000, 0], Exception::gp(sel::DATA0)),
        ([0x1234, words(sel::CODE64 | 3), 2, 0x7000, 0], Exception::gp(sel::CODE64)),
        ([0x1234, words(sel::ABSENT_CODE), 2, 0x7000, 0], Exception::np(sel::ABSENT_CODE)),
        ([0x1234, 0x800, 2, 0x7000, 0], Exception::gp(0x800)),
        (null_to_user, Exception::GP0),
        (not_canonical, Exception::GP0),
        ([0, words(sel::CODE64), 2, 0x7000, words(sel::DATA3)], Exception::gp(sel::DATA3)),
        ([0, words(sel::CODE64), 2, 0x7000, words(sel::ABSENT_DATA)], Exception::ss(sel::ABSENT_DATA)),
    ];
    for (frame, expected) in rows {
        let mut s = System::long();
        s.put_frame(8, &frame);
        let before = s.rig.cpu.state.clone();
        assert_eq!(s.run(IRETQ), Err(expected), "{frame:x?}");
        assert_eq!(s.rig.cpu.state, before, "{frame:x?}");
    }
}

#[test]
fn nested_task_in_long_mode_is_a_fault() {
    let mut s = System::long();
    s.rig.cpu.flags.set_system(flags::NT, true);
    assert_eq!(s.run(IRETQ), Err(Exception::GP0));
}

#[test]
fn iret_loads_only_the_flags_that_privilege_allows() {
    let all = flags::IF | flags::IOPL | flags::DF;
    for (iopl, loaded) in [(0, flags::DF), (flags::IOPL, flags::DF | flags::IF | flags::IOPL)] {
        let mut s = System::protected_user();
        s.rig.cpu.flags.set_system(flags::IOPL, false);
        s.rig.cpu.flags.set_system(iopl, true);
        s.put_frame(4, &[0x1234, words(sel::CODE3 | 3), all | 2]);
        assert_eq!(s.run(IRETD), Ok(()));
        assert_eq!(s.rig.cpu.flags.bits() & all, loaded);
        assert_eq!(s.rsp(), STACK);
    }
}

#[test]
fn sixteen_bit_iret_keeps_the_upper_flags() {
    let mut s = System::protected();
    s.rig.cpu.flags.set_system(flags::ID | flags::AC, true);
    s.put_frame(2, &[0x1234, words(sel::CODE0), flags::CF | 2]);
    assert_eq!(s.run(IRETW), Ok(()));
    assert_eq!(s.rig.cpu.flags.bits(), flags::ID | flags::AC | flags::CF | 2);
    assert_eq!((s.rig.cpu.rip(), s.rsp()), (0x1234, STACK));
}

#[test]
fn iret_to_an_outer_level_with_a_16_bit_stack_keeps_the_upper_half_of_esp() {
    let mut s = System::protected();
    s.rig.put(GDT + u64::from(sel::DATA16), descriptor(0, 0xFFFF, DATA | DPL3));
    s.put_frame(4, &[0x1234, words(sel::CODE3 | 3), 2, 0x5_7000, words(sel::DATA16 | 3)]);
    s.rig.cpu.regs[RSP] |= 0;
    assert_eq!(s.run(IRETD), Ok(()));
    assert_eq!(s.rsp(), 0x7000);
    assert_eq!(s.ss(), sel::DATA16 | 3);
}

#[test]
fn iret_to_virtual_8086_mode() {
    let mut s = System::protected();
    let frame = [0x1234, 0x700, flags::VM | 2, 0x55, 0x600, 0x100, 0x200, 0x300, 0x400];
    s.put_frame(4, &frame);
    assert_eq!(s.run(IRETD), Ok(()));
    let selectors: Vec<u16> = s.rig.cpu.segs[..6].iter().map(|g| g.selector).collect();
    assert_eq!(selectors, [0x100, 0x700, 0x600, 0x200, 0x300, 0x400]);
    assert_eq!((s.rig.cpu.cpl, s.rig.cpu.rip(), s.rsp()), (3, 0x1234, 0x55));
    assert_eq!(s.rig.cpu.segs[seg::CS].base, 0x7000);
    assert_eq!(s.rig.cpu.code_size, CodeSize::Bits16);
}

#[test]
fn far_return_to_an_outer_level_hides_inner_data_segments() {
    let mut s = System::long();
    let inner = s.rig.cpu.segs[seg::SS];
    assert_eq!(inner.attributes & attr::P, 0);
    for (r, selector) in [(seg::DS, sel::DATA0), (seg::ES, sel::DATA3 | 3)] {
        s.rig.cpu.segs[r].selector = selector;
        let dpl = if r == seg::ES { DPL3 } else { 0 };
        s.rig.cpu.segs[r].attributes = DATA | dpl;
    }
    s.put_frame(8, &[0x1234, words(sel::CODE64_3 | 3), 0x7000, words(sel::DATA3 | 3)]);
    assert_eq!(s.run(RETFQ), Ok(()));
    assert_eq!((s.rig.cpu.segs[seg::DS].selector, s.rig.cpu.segs[seg::ES].selector), (0, sel::DATA3 | 3));
    assert_eq!((s.rig.cpu.cpl, s.rsp()), (3, 0x7000));
}

#[test]
fn far_return_releases_parameters_on_both_stacks() {
    let mut s = System::protected();
    // RETF 8: offset, selector, two parameters, ESP, SS.
    s.put_frame(4, &[0x1234, words(sel::CODE3 | 3), 1, 2, 0x7000, words(sel::DATA3 | 3)]);
    assert_eq!(s.run(&[0xCA, 8, 0]), Ok(()));
    assert_eq!((s.rig.cpu.cpl, s.rsp()), (3, 0x7008));
}

#[test]
fn far_jumps_check_privilege() {
    let rows = [
        (sel::CODE0, false, Ok(sel::CODE0)),
        (sel::CODE0 | 3, false, Err(Exception::gp(sel::CODE0))),
        (sel::CODE3 | 3, false, Err(Exception::gp(sel::CODE3))),
        (sel::CONFORMING, true, Ok(sel::CONFORMING | 3)),
        (sel::CODE0, true, Err(Exception::gp(sel::CODE0))),
        (sel::DATA0, false, Err(Exception::gp(sel::DATA0))),
        (sel::ABSENT_CODE, false, Err(Exception::np(sel::ABSENT_CODE))),
        (0, false, Err(Exception::GP0)),
    ];
    for (selector, user, expected) in rows {
        let mut s = if user { System::protected_user() } else { System::protected() };
        let [low, high] = selector.to_le_bytes();
        let result = s.run(&[0xEA, 0x34, 0x12, 0, 0, low, high]);
        assert_eq!(result.map(|()| s.cs()), expected);
    }
}

/// The way of a kernel: 32-bit protected mode to 64-bit mode by a far jump.
#[test]
fn a_far_jump_to_a_long_segment_enters_64_bit_mode() {
    let mut s = System::long();
    s.segments(sel::CODE0, sel::DATA0);
    assert_eq!(s.rig.cpu.code_size, CodeSize::Bits32);
    assert_eq!(s.run(&[0xEA, 0x34, 0x12, 0, 0, sel::CODE64 as u8, 0]), Ok(()));
    assert_eq!(s.rig.cpu.code_size, CodeSize::Bits64);
    assert_eq!(s.rig.cpu.rip(), 0x1234);
}

#[test]
fn a_call_gate_copies_parameters_to_the_inner_stack() {
    let mut s = System::protected_user();
    s.rig.put(GDT + u64::from(sel::GATE), gate(sel::CODE0, HANDLER, 0xC, 3, 2));
    s.put_frame(4, &[0x11, 0x22]);
    assert_eq!(s.run(&[0x9A, 0, 0, 0, 0, sel::GATE as u8 | 3, 0]), Ok(()));
    let expected = [CODE + 7, words(sel::CODE3 | 3), 0x11, 0x22, STACK - 8, words(sel::DATA3 | 3)];
    assert_eq!(s.frame(4, 6), expected);
    assert_eq!((s.rig.cpu.cpl, s.rig.cpu.rip(), s.rsp()), (0, HANDLER, STACK0 - 24));
}

#[test]
fn a_call_gate_in_long_mode_switches_to_rsp0() {
    let mut s = System::long_user();
    s.rig.put(GDT + u64::from(sel::GATE), gate(sel::CODE64, HANDLER, 0xC, 3, 0));
    s.rig.put(GDT + u64::from(sel::GATE) + 8, 0);
    // CALL FAR [RSP] with a 32-bit offset.
    s.put_frame(4, &[0, words(sel::GATE | 3)]);
    assert_eq!(s.run(&[0xFF, 0x1C, 0x24]), Ok(()));
    assert_eq!(s.frame(8, 4), [CODE + 3, words(sel::CODE64_3 | 3), STACK - 8, words(sel::DATA3 | 3)]);
    assert_eq!((s.cs(), s.ss(), s.rig.cpu.cpl), (sel::CODE64, 0, 0));
}

fn enable_syscall(s: &mut System) {
    s.rig.cpu.efer |= efer::SCE;
    s.rig.cpu.msrs.star = 0x0018_0028 << 32;
    s.rig.cpu.msrs.lstar = 0x7777;
    s.rig.cpu.msrs.fmask = flags::IF | flags::DF;
}

#[test]
fn syscall_saves_rip_and_flags_and_masks() {
    let mut s = System::long_user();
    assert_eq!(s.run(&[0x0F, 0x05]), Err(Exception::UD));
    enable_syscall(&mut s);
    s.rig.cpu.flags.set_system(flags::IF | flags::DF | flags::AC, true);
    assert_eq!(s.run(&[0x0F, 0x05]), Ok(()));
    assert_eq!(s.rig.cpu.regs[RCX], CODE + 2);
    assert_eq!(s.rig.cpu.regs[R11], 2 | flags::IF | flags::DF | flags::AC);
    assert_eq!(s.rig.cpu.flags.bits(), 2 | flags::AC);
    assert_eq!((s.cs(), s.ss(), s.rig.cpu.cpl, s.rig.cpu.rip()), (0x28, 0x30, 0, 0x7777));
    assert_eq!(s.rsp(), STACK);
}

#[test]
fn sysret_to_a_non_canonical_address_faults_in_user_mode() {
    let mut s = System::long();
    enable_syscall(&mut s);
    s.rig.cpu.regs[RCX] = 1 << 47;
    s.rig.cpu.regs[R11] = flags::IF | flags::RF | flags::VM;
    assert_eq!(s.run(&[0x48, 0x0F, 0x07]), Ok(()));
    assert_eq!((s.cs(), s.ss(), s.rig.cpu.cpl), (0x18 + 16 | 3, 0x18 + 8 | 3, 3));
    assert_eq!(s.rig.cpu.flags.bits(), 2 | flags::IF);
    assert_eq!(s.rig.step(), Err(Exception::GP0));
}

#[test]
fn sysret_to_32_bit_code_and_from_user_mode() {
    let mut s = System::long();
    enable_syscall(&mut s);
    s.rig.cpu.regs[RCX] = 0xFFFF_FFFF_0000_1234;
    assert_eq!(s.run(&[0x0F, 0x07]), Ok(()));
    assert_eq!((s.cs(), s.rig.cpu.rip()), (0x1B, 0x1234));
    assert_eq!(s.rig.cpu.code_size, CodeSize::Bits32);
    let mut s = System::long_user();
    enable_syscall(&mut s);
    assert_eq!(s.run(&[0x48, 0x0F, 0x07]), Err(Exception::GP0));
}

#[test]
fn sysenter_exists_outside_long_mode_only() {
    let mut s = System::long_user();
    assert_eq!(s.run(&[0x0F, 0x34]), Err(Exception::UD));
    let mut s = System::protected_user();
    assert_eq!(s.run(&[0x0F, 0x34]), Err(Exception::GP0));
    s.rig.cpu.msrs.sysenter_cs = sel::CODE0.into();
    s.rig.cpu.msrs.sysenter_esp = 0x8800;
    s.rig.cpu.msrs.sysenter_eip = 0x7700;
    assert_eq!(s.run(&[0x0F, 0x34]), Ok(()));
    assert_eq!((s.cs(), s.ss(), s.rig.cpu.cpl), (8, 0x10, 0));
    assert_eq!((s.rig.cpu.rip(), s.rsp()), (0x7700, 0x8800));
}
