//! What the host cannot show in ring 3: #NM, #MF, the pointers of a faulting instruction, and
//! the environment in the formats of real-address mode.
#![allow(dead_code)]

#[path = "x87/cases.rs"]
mod cases;
#[path = "x87/compare.rs"]
mod compare;
#[path = "x87/emulated.rs"]
mod emulated;

use dejavm_core::cpu::state::{RAX, RCX, cr0, seg};
use dejavm_core::softfloat::F80;
use dejavm_core::types::{Exception, Gpa};
use emulated::Emulated;

const FLD1: [u8; 2] = [0xD9, 0xE8];
const FLDZ: [u8; 2] = [0xD9, 0xEE];
const FDIVP: [u8; 2] = [0xDE, 0xF9];
const FDIV_M32: [u8; 2] = [0xD8, 0x31];
const FNOP: [u8; 2] = [0xD9, 0xD0];
const FNSTSW_AX: [u8; 2] = [0xDF, 0xE0];
const FNCLEX: [u8; 2] = [0xDB, 0xE2];
const FNINIT: [u8; 2] = [0xDB, 0xE3];
const FNSTENV: [u8; 2] = [0xD9, 0x31];
const FNSTENV_OTHER_SIZE: [u8; 3] = [0x66, 0xD9, 0x31];
const WAIT: [u8; 1] = [0x9B];
const MEMORY: u64 = 0x3000;

fn machine() -> Emulated {
    let mut m = Emulated::new();
    m.attempt(&FNINIT).expect("FNINIT");
    m.cpu.state.regs[RCX] = MEMORY;
    m
}

/// 1 / 0 with ZE unmasked.
fn pending() -> Emulated {
    let mut m = machine();
    m.cpu.state.x87.set_control(0x37B);
    for bytes in [FLD1, FLDZ, FDIVP] {
        m.attempt(&bytes).expect("the exception comes later");
    }
    m
}

#[test]
fn a_pending_exception_is_raised_by_the_next_waiting_instruction() {
    for numeric_error in [0, cr0::NE] {
        let mut m = pending();
        m.cpu.state.cr0 = cr0::PE | numeric_error;
        m.attempt(&FNSTSW_AX).expect("does not wait");
        assert_eq!(m.cpu.regs[RAX] as u16, 0xB084, "ES, B and ZE; TOP is 6: nothing was popped");
        for waiting in [&FNOP[..], &FLD1, &WAIT] {
            assert_eq!(m.attempt(waiting), Err(Exception::MF));
        }
        m.attempt(&FNCLEX).expect("does not wait");
        m.attempt(&FNOP).expect("nothing is pending");
        assert_eq!(m.cpu.x87.st(0), F80::ZERO);
        assert_eq!(m.cpu.x87.st(1), F80::ONE);
    }
}

#[test]
fn the_unit_is_not_available_under_ts_and_em() {
    let nm = Err(Exception::NM);
    let all_but_wait: [&[u8]; 5] = [&FNOP, &FNINIT, &FNCLEX, &FNSTSW_AX, &FNSTENV];
    for (bits, wait) in
        [(cr0::TS, Ok(())), (cr0::EM, Ok(())), (cr0::TS | cr0::MP, nm), (cr0::EM | cr0::MP, Ok(()))]
    {
        let mut m = machine();
        m.cpu.state.cr0 |= bits;
        for bytes in all_but_wait {
            assert_eq!(m.attempt(bytes), nm, "{bytes:02x?}");
        }
        assert_eq!(m.attempt(&WAIT), wait);
    }
    let mut m = pending();
    m.cpu.state.cr0 |= cr0::TS;
    assert_eq!(m.attempt(&FNOP), nm, "#NM comes before #MF");
}

/// A division of 1 by a zero in memory, at a place with distinct pointers.
fn pending_with_pointers() -> Emulated {
    let mut m = machine();
    m.cpu.state.x87.set_control(0x37B);
    m.attempt(&FLD1).expect("FLD1");
    m.cpu.state.segs[seg::CS].selector = 0x1234;
    m.cpu.state.segs[seg::DS].selector = 0x5678;
    m.cpu.set_rip(0x4321);
    m.mem.write_bytes(Gpa(0x4321), &FDIV_M32);
    m.attempt(&FDIV_M32).expect("the exception comes later");
    m
}

fn words(m: &Emulated, n: usize) -> Vec<u16> {
    let bytes = m.mem.ram.slice(MEMORY as usize, 2 * n);
    bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect()
}

#[test]
fn the_environment_names_the_faulting_instruction() {
    let mut m = pending_with_pointers();
    m.attempt(&FNSTENV).expect("does not wait");
    let expected =
        [0x37B, 0xFFFF, 0xB884, 0xFFFF, 0x3FFF, 0xFFFF, 0x4321, 0, 0x1234, 0x031, 0x3000, 0, 0x5678, 0xFFFF];
    assert_eq!(words(&m, 14), expected);
    assert_eq!(m.cpu.x87.control, 0x37F, "all is masked now");
    m.attempt(&FNOP).expect("so that nothing is pending");

    let mut m = pending_with_pointers();
    m.attempt(&FNSTENV_OTHER_SIZE).expect("does not wait");
    assert_eq!(words(&m, 7), [0x37B, 0xB884, 0x3FFF, 0x4321, 0x1234, 0x3000, 0x5678]);
}

#[test]
fn in_real_mode_the_environment_has_linear_addresses() {
    let mut m = pending_with_pointers();
    m.cpu.state.cr0 &= !cr0::PE;
    m.attempt(&FNSTENV).expect("does not wait");
    // 0x12340 + 0x4321 and 0x56780 + 0x3000
    let expected =
        [0x37B, 0xFFFF, 0xB884, 0xFFFF, 0x3FFF, 0xFFFF, 0x6661, 0xFFFF, 0x1031, 0, 0x9780, 0xFFFF, 0x5000, 0];
    assert_eq!(words(&m, 14), expected);

    let mut m = pending_with_pointers();
    m.cpu.state.cr0 &= !cr0::PE;
    m.attempt(&FNSTENV_OTHER_SIZE).expect("does not wait");
    assert_eq!(words(&m, 7), [0x37B, 0xB884, 0x3FFF, 0x6661, 0x1031, 0x9780, 0x5000]);
}

#[test]
fn without_an_unmasked_exception_the_pointers_stay_zero() {
    let mut m = machine();
    for bytes in [&FLD1[..], &FLDZ, &FDIVP, &FNSTENV] {
        m.attempt(bytes).expect("all is masked");
    }
    assert_eq!(words(&m, 14)[6..13], [0; 7]);
}
