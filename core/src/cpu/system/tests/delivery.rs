//! Delivery: frames, error codes, stacks, priorities, privilege (SDM vol. 3, chapter 6).

use super::*;
use crate::cpu::flags;
use crate::cpu::state::{Activity, Shadow};
use crate::types::vector;

const INTERRUPT: u16 = 0xE;
const TRAP: u16 = 0xF;

#[test]
fn long_mode_pushes_five_or_six_words_on_an_aligned_stack() {
    for (exception, code, rf) in [(Exception::UD, None, true), (Exception::gp(0x18), Some(0x18), true)] {
        let mut s = System::long();
        s.rig.cpu.regs[RSP] = STACK - 5;
        s.rig.cpu.flags.set_system(flags::IF, true);
        s.idt(exception.vector, sel::CODE64, INTERRUPT, 0, 0);
        assert_eq!(s.raise(exception), Delivery::Done);
        let image = flags::ALWAYS_1 | flags::IF | if rf { flags::RF } else { 0 };
        let mut expected: Vec<u64> = code.into_iter().collect();
        expected.extend([CODE, sel::CODE64.into(), image, STACK - 5, 0]);
        assert_eq!(s.frame(8, expected.len() as u64), expected);
        assert_eq!(s.rsp(), ((STACK - 5) & !15) - 8 * expected.len() as u64);
        assert_eq!((s.cs(), s.rig.cpu.rip()), (sel::CODE64, HANDLER));
        assert!(!s.rig.cpu.flags.system(flags::IF), "an interrupt gate clears IF");
        assert!(!s.rig.cpu.flags.system(flags::RF));
    }
}

#[test]
fn a_trap_gate_keeps_if_and_interrupts_push_no_rf() {
    let mut s = System::long();
    s.rig.cpu.flags.set_system(flags::IF | flags::TF | flags::NT, true);
    s.rig.cpu.activity = Activity::Halted;
    s.rig.cpu.shadow = Shadow::Sti;
    s.idt(0x40, sel::CODE64, TRAP, 0, 0);
    assert_eq!(s.interrupt(0x40), Delivery::Done);
    let pushed = s.frame(8, 3)[2];
    assert_eq!(pushed, flags::ALWAYS_1 | flags::IF | flags::TF | flags::NT);
    assert_eq!(s.rig.cpu.flags.bits(), flags::ALWAYS_1 | flags::IF);
    assert_eq!(s.rig.cpu.activity, Activity::Running);
    assert_eq!(s.rig.cpu.shadow, Shadow::None);
}

#[test]
fn from_user_mode_the_stack_comes_from_the_tss() {
    for (ist, top) in [(0, STACK0), (1, IST1)] {
        let mut s = System::long_user();
        s.idt(vector::UD, sel::CODE64, INTERRUPT, 0, ist);
        assert_eq!(s.raise(Exception::UD), Delivery::Done);
        assert_eq!(s.rsp(), top - 40);
        let frame = s.frame(8, 5);
        assert_eq!(frame[1], u64::from(sel::CODE64_3 | 3));
        assert_eq!(frame[3..], [STACK, u64::from(sel::DATA3 | 3)]);
        assert_eq!((s.cs(), s.ss(), s.rig.cpu.cpl), (sel::CODE64, 0, 0));
    }
}

#[test]
fn an_ist_stack_is_used_without_a_change_of_privilege_too() {
    let mut s = System::long();
    s.idt(vector::NMI, sel::CODE64, INTERRUPT, 0, 1);
    assert_eq!(s.with(|cpu, env| super::super::nmi(cpu, env)), Delivery::Done);
    assert_eq!(s.rsp(), IST1 - 40);
    assert!(s.rig.cpu.nmi_masked);
}

#[test]
fn a_page_fault_sets_cr2() {
    let mut s = System::long();
    s.idt(vector::PF, sel::CODE64, INTERRUPT, 0, 0);
    s.rig.cpu.fault_address = 0x1234_5678;
    assert_eq!(s.raise(Exception::pf(6)), Delivery::Done);
    assert_eq!(s.rig.cpu.cr2, 0x1234_5678);
    assert_eq!(s.frame(8, 1), [6]);
}

/// What the handler that is entered finds as vector (by its gate) and error code, when the
/// gate of `first` has a defect.
#[test]
fn faults_during_delivery() {
    struct Row {
        first: Exception,
        defect: fn(&mut System, u8),
        arrives_as: u8,
        code: u64,
    }
    fn absent_gate(s: &mut System, v: u8) {
        s.idt(v, sel::CODE64, INTERRUPT & !attr::P, 0, 0);
        let at = IDT + u64::from(v) * 16;
        let raw = s.rig.at(at) & !(1 << 47);
        s.rig.put(at, raw);
    }
    fn wrong_type(s: &mut System, v: u8) {
        s.idt(v, sel::CODE64, 5, 0, 0);
    }
    fn null_selector(s: &mut System, v: u8) {
        s.idt(v, 0, INTERRUPT, 0, 0);
    }
    fn compatibility_code(s: &mut System, v: u8) {
        s.idt(v, sel::CODE0, INTERRUPT, 0, 0);
    }
    let rows = [
        // Benign first: the second is delivered as it is, EXT set.
        Row { first: Exception::UD, defect: absent_gate, arrives_as: vector::NP, code: 6 * 8 + 3 },
        Row { first: Exception::UD, defect: wrong_type, arrives_as: vector::GP, code: 6 * 8 + 3 },
        Row { first: Exception::UD, defect: null_selector, arrives_as: vector::GP, code: 1 },
        Row {
            first: Exception::UD,
            defect: compatibility_code,
            arrives_as: vector::GP,
            code: u64::from(sel::CODE0) | 1,
        },
        // Contributory or page fault first: a double fault.
        Row { first: Exception::DE, defect: absent_gate, arrives_as: vector::DF, code: 0 },
        Row { first: Exception::pf(0), defect: wrong_type, arrives_as: vector::DF, code: 0 },
        Row { first: Exception::ss(0), defect: null_selector, arrives_as: vector::DF, code: 0 },
    ];
    for row in rows {
        let mut s = System::long();
        for v in [vector::NP, vector::GP, vector::DF] {
            s.idt(v, sel::CODE64, INTERRUPT, 0, 0);
            let at = IDT + u64::from(v) * 16;
            let raw = s.rig.at(at);
            s.rig.put(at, raw & !0xFFFF | (HANDLER + 16 * u64::from(v)));
        }
        (row.defect)(&mut s, row.first.vector);
        assert_eq!(s.raise(row.first), Delivery::Done);
        assert_eq!(s.rig.cpu.rip(), HANDLER + 16 * u64::from(row.arrives_as), "{:?}", row.first);
        assert_eq!(s.frame(8, 1), [row.code], "{:?}", row.first);
    }
}

#[test]
fn without_a_double_fault_handler_the_vcpu_shuts_down() {
    let mut s = System::long();
    s.rig.cpu.idtr.limit = 0;
    let before = s.rig.cpu.regs;
    assert_eq!(s.raise(Exception::UD), Delivery::TripleFault);
    assert_eq!(s.rig.cpu.activity, Activity::Shutdown);
    assert_eq!(s.rig.cpu.regs, before);
}

#[test]
fn an_unmapped_kernel_stack_is_a_double_fault_with_the_stack_in_cr2() {
    let mut s = System::long();
    s.idt(vector::PF, sel::CODE64, INTERRUPT, 0, 0);
    s.idt(vector::DF, sel::CODE64, INTERRUPT, 0, 1);
    s.rig.unmap(STACK - 1);
    s.rig.cpu.fault_address = 0x55_0000;
    assert_eq!(s.raise(Exception::pf(0)), Delivery::Done);
    assert_eq!(s.rsp(), IST1 - 48);
    assert_eq!(s.rig.cpu.cr2, STACK - 8);
}

#[test]
fn software_interrupts_check_the_privilege_of_the_gate() {
    for (dpl, expected) in [(3, Ok(())), (0, Err(Exception::gp(0x80 * 8 + 2)))] {
        let mut s = System::long_user();
        s.idt(0x80, sel::CODE64, INTERRUPT, dpl, 0);
        assert_eq!(s.run(&[0xCD, 0x80]), expected);
        if expected.is_ok() {
            assert_eq!(s.frame(8, 1), [CODE + 2], "a trap returns behind the instruction");
            assert_eq!(s.frame(8, 3)[2], flags::ALWAYS_1);
        } else {
            assert_eq!((s.rig.cpu.rip(), s.rsp()), (CODE, STACK));
        }
    }
}

#[test]
fn int3_and_int1_differ_in_gate_privilege() {
    let mut s = System::long_user();
    s.idt(vector::BP, sel::CODE64, INTERRUPT, 0, 0);
    s.idt(vector::DB, sel::CODE64, INTERRUPT, 0, 0);
    assert_eq!(s.run(&[0xCC]), Err(Exception::gp(3 * 8 + 2)));
    assert_eq!(s.run(&[0xF1]), Ok(()));
    assert_eq!(s.frame(8, 1), [CODE + 1]);
}

#[test]
fn legacy_frames_depend_on_the_gate_and_on_privilege() {
    // Gate type, user: width, words without an error code.
    for (kind, user, width, words) in
        [(0xE, false, 4, 3), (0xE, true, 4, 5), (6, false, 2, 3), (7, true, 2, 5)]
    {
        let mut s = if user { System::protected_user() } else { System::protected() };
        s.idt(vector::GP, sel::CODE0, kind, 0, 0);
        let (cs, ss) = (s.cs(), s.ss());
        assert_eq!(s.raise(Exception::gp(0x77)), Delivery::Done);
        let frame = s.frame(width, words + 1);
        let top = if user { STACK0 } else { STACK };
        assert_eq!(s.rsp(), top - width * (words + 1), "type {kind}");
        assert_eq!(frame[..3], [0x77, CODE, cs.into()]);
        if user {
            assert_eq!(frame[4..], [STACK, u64::from(ss)]);
            assert_eq!((s.ss(), s.rig.cpu.cpl), (sel::DATA0, 0));
        }
    }
}

#[test]
fn conforming_handlers_keep_the_privilege() {
    let mut s = System::protected_user();
    s.idt(vector::UD, sel::CONFORMING, INTERRUPT, 0, 0);
    assert_eq!(s.raise(Exception::UD), Delivery::Done);
    assert_eq!((s.cs(), s.rig.cpu.cpl), (sel::CONFORMING | 3, 3));
    assert_eq!(s.rsp(), STACK - 12);
}

#[test]
fn a_bad_stack_in_the_tss_is_an_invalid_tss() {
    for (ss, expected) in [
        (sel::DATA3 | 3, u64::from(sel::DATA3) | 1),
        (sel::READ_ONLY, u64::from(sel::READ_ONLY) | 1),
        (0, 1),
        (0x400, 0x401),
    ] {
        let mut s = System::protected_user();
        s.rig.put(TSS + 4, STACK0 | u64::from(ss) << 32);
        s.idt(vector::UD, sel::CODE0, INTERRUPT, 0, 0);
        s.idt(vector::TS, sel::CONFORMING, INTERRUPT, 0, 0);
        assert_eq!(s.raise(Exception::UD), Delivery::Done);
        assert_eq!(s.cs(), sel::CONFORMING | 3);
        assert_eq!(s.frame(4, 1), [expected]);
    }
}

#[test]
fn real_mode_goes_through_the_vector_table() {
    let mut s = System::new(Rig::real());
    s.rig.cpu.idtr = TableRegister { base: 0, limit: 0x3FF };
    s.rig.cpu.segs[seg::CS].selector = 0x77;
    s.rig.put(0x21 * 4, 0x1234_5678);
    s.rig.cpu.flags.set_system(flags::IF, true);
    assert_eq!(s.run(&[0xCD, 0x21]), Ok(()));
    assert_eq!(s.frame(2, 3), [CODE + 2, 0x77, flags::ALWAYS_1 | flags::IF]);
    assert_eq!((s.cs(), s.rig.cpu.rip()), (0x1234, 0x5678));
    assert_eq!(s.rig.cpu.segs[seg::CS].base, 0x1_2340);
    assert!(!s.rig.cpu.flags.system(flags::IF));
}

#[test]
fn virtual_8086_mode_saves_its_data_segments() {
    let mut s = System::protected();
    s.rig.cpu.flags.set_system(flags::VM, true);
    for r in 0..6 {
        s.rig.cpu.segs[r] = super::super::load_segment::v86_segment(0x100 + r as u16);
    }
    s.rig.cpu.cpl = 3;
    s.rig.cpu.refresh();
    s.idt(vector::GP, sel::CODE0, INTERRUPT, 0, 0);
    assert_eq!(s.raise(Exception::GP0), Delivery::Done);
    let f = s.frame(4, 10);
    assert_eq!(f[1..3], [CODE, 0x101]);
    assert_ne!(f[3] & flags::VM, 0);
    assert_eq!(f[4..], [STACK, 0x102, 0x100, 0x103, 0x104, 0x105]);
    assert_eq!((s.cs(), s.ss(), s.rig.cpu.cpl), (sel::CODE0, sel::DATA0, 0));
    assert_eq!(s.rig.cpu.segs[seg::DS].selector, 0);
    assert!(!s.rig.cpu.virtual_8086());
}
