//! Hardware task switches (SDM vol. 3, 7.3).

use super::*;
use crate::cpu::flags;
use crate::cpu::state::{RAX, cr0};
use crate::types::vector;

/// A second task that starts at [`HANDLER`] in the kernel's segments.
fn with_task() -> System {
    let mut s = System::protected();
    s.rig.put(TSS2 + 32, HANDLER | 2 << 32);
    s.rig.put(TSS2 + 40, 0xAAAA);
    s.rig.put(TSS2 + 56, 0x7800);
    for (k, selector) in [sel::DATA0, sel::CODE0, sel::DATA0, sel::DATA0, 0, 0].into_iter().enumerate() {
        s.rig.put(TSS2 + 72 + 4 * k as u64, selector.into());
    }
    s.rig.put(TSS2 + 96, 0);
    s.rig.put(GDT + u64::from(sel::TSS), descriptor(TSS, 0x2FF, attr::P | 0xB));
    s
}

fn busy(s: &System, selector: u16) -> bool {
    s.rig.at(GDT + u64::from(selector)) >> 41 & 1 != 0
}

#[test]
fn jump_call_and_gate_differ_in_busy_bits_and_nesting() {
    // Opcode, target, nested.
    for (opcode, target, nested) in
        [(0xEA, sel::TSS2, false), (0x9A, sel::TSS2, true), (0x9A, sel::TASK_GATE, true)]
    {
        let mut s = with_task();
        s.rig.cpu.regs[RAX] = 0xBBBB;
        assert_eq!(s.run(&[opcode, 0, 0, 0, 0, target as u8, 0]), Ok(()));
        assert_eq!((s.rig.cpu.rip(), s.rig.cpu.regs[RAX], s.rsp()), (HANDLER, 0xAAAA, 0x7800));
        assert_eq!(s.rig.cpu.tr.selector, sel::TSS2);
        assert_eq!((busy(&s, sel::TSS), busy(&s, sel::TSS2)), (nested, true));
        assert_eq!(s.rig.cpu.flags.system(flags::NT), nested);
        assert_ne!(s.rig.cpu.cr0 & cr0::TS, 0);
        assert_eq!(s.rig.at(TSS + 32) as u32, CODE as u32 + 7);
        assert_eq!(s.rig.at(TSS + 40) as u32, 0xBBBB);
        if nested {
            assert_eq!(s.rig.at(TSS2) as u16, sel::TSS);
        }
    }
}

#[test]
fn iret_goes_back_to_the_nesting_task() {
    let mut s = with_task();
    s.rig.cpu.regs[RAX] = 0xBBBB;
    let (cs, ss) = (s.cs(), s.ss());
    for r in [seg::ES, seg::DS, seg::FS, seg::GS] {
        s.rig.cpu.segs[r].selector = 0;
    }
    assert_eq!(s.run(&[0x9A, 0, 0, 0, 0, sel::TSS2 as u8, 0]), Ok(()));
    s.rig.mem.write_bytes(Gpa(HANDLER), &[0xCF]);
    assert_eq!(s.rig.step(), Ok(()));
    assert_eq!((s.cs(), s.ss(), s.rig.cpu.rip()), (cs, ss, CODE + 7));
    assert_eq!((s.rig.cpu.regs[RAX], s.rsp()), (0xBBBB, STACK));
    assert_eq!((busy(&s, sel::TSS), busy(&s, sel::TSS2)), (true, false));
    assert!(!s.rig.cpu.flags.system(flags::NT));
    assert_eq!(s.rig.at(TSS2 + 36) & flags::NT, 0);
}

#[test]
fn a_task_gate_in_the_idt_pushes_the_error_code_in_the_new_task() {
    let mut s = with_task();
    s.idt(vector::DF, sel::TSS2, 5, 0, 0);
    assert_eq!(s.raise(Exception::with_code(vector::DF, 0)), Delivery::Done);
    assert_eq!((s.rig.cpu.rip(), s.rsp()), (HANDLER, 0x77FC));
    assert_eq!(s.frame(4, 1), [0]);
}

#[test]
fn targets_that_are_no_free_task_are_refused() {
    let far_call = |s: &mut System, selector: u16| s.run(&[0x9A, 0, 0, 0, 0, selector as u8, 0]);
    let mut s = with_task();
    assert_eq!(far_call(&mut s, sel::TSS), Err(Exception::gp(sel::TSS)), "busy");
    s.rig.put(GDT + u64::from(sel::TSS2), descriptor(TSS2, 0x67, 9));
    assert_eq!(far_call(&mut s, sel::TSS2), Err(Exception::np(sel::TSS2)));
    s.rig.put(GDT + u64::from(sel::TSS2), descriptor(TSS2, 0x66, attr::P | 9));
    assert_eq!(far_call(&mut s, sel::TSS2), Err(Exception::ts(sel::TSS2)));
}

#[test]
fn a_bad_segment_in_the_new_task_faults_there() {
    let mut s = with_task();
    s.rig.put(TSS2 + 84, sel::ABSENT_DATA.into());
    s.idt(vector::NP, sel::CODE0, 0xE, 0, 0);
    assert_eq!(s.run(&[0xEA, 0, 0, 0, 0, sel::TSS2 as u8, 0]), Ok(()));
    assert_eq!(s.rig.cpu.tr.selector, sel::TSS2);
    assert_eq!(s.frame(4, 3), [sel::ABSENT_DATA.into(), HANDLER, sel::CODE0.into()]);
}
