//! Rows of integer instructions with what they must do: code, what goes in, what comes out.
//! The breadth comes from the comparison with the host's CPU; these rows are for what a
//! process cannot try there, and for a first look.

use super::testing::{CODE, DATA, Rig, STACK};
use crate::cpu::flags::{AF, CF, DF, Flags, IF, IOPL, OF, PF, SF, TF, ZF};
use crate::cpu::state::{RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP, attr, seg};
use crate::types::Exception;

const ARITHMETIC: u64 = CF | PF | AF | ZF | SF | OF;

/// Code; registers and arithmetic flags before; the same after.
type Row = (&'static [u8], &'static [(usize, u64)], u64, &'static [(usize, u64)], u64);

fn check(mut rig: Rig, (code, before, flags, after, flags_after): Row) {
    for &(r, v) in before {
        rig.cpu.regs[r] = v;
    }
    rig.cpu.flags = Flags::from_bits(flags);
    rig.run(code).unwrap_or_else(|e| panic!("{code:02x?} raised {e:?}"));
    for &(r, v) in after {
        assert_eq!(rig.cpu.regs[r], v, "register {r} after {code:02x?}");
    }
    assert_eq!(rig.cpu.flags.bits() & ARITHMETIC, flags_after, "flags after {code:02x?}");
}

#[test]
fn long_mode_rows() {
    let rows: &[Row] = &[
        // add rax, rbx
        (&[0x48, 0x01, 0xD8], &[(RAX, u64::MAX), (RBX, 1)], 0, &[(RAX, 0)], CF | ZF | PF | AF),
        // sub eax, 1: upper half zeroed
        (&[0x83, 0xE8, 0x01], &[(RAX, 0x1_0000_0000)], 0, &[(RAX, 0xFFFF_FFFF)], CF | SF | PF | AF),
        // add ah, bl
        (&[0x00, 0xDC], &[(RAX, 0x7F12), (RBX, 1)], 0, &[(RAX, 0x8012)], SF | OF | AF),
        // adc al, 0 with carry
        (&[0x14, 0x00], &[(RAX, 0xFF)], CF, &[(RAX, 0)], CF | ZF | PF | AF),
        // inc keeps CF
        (&[0x48, 0xFF, 0xC0], &[(RAX, 0)], CF, &[(RAX, 1)], CF),
        // neg
        (&[0xF7, 0xD8], &[(RAX, 1)], 0, &[(RAX, 0xFFFF_FFFF)], CF | SF | PF | AF),
        // movzx eax, bh; movsx rax, bl; movsxd rax, ebx
        (&[0x0F, 0xB6, 0xC7], &[(RBX, 0xAB00)], 0, &[(RAX, 0xAB)], 0),
        (&[0x48, 0x0F, 0xBE, 0xC3], &[(RBX, 0x80)], 0, &[(RAX, 0xFFFF_FFFF_FFFF_FF80)], 0),
        (&[0x48, 0x63, 0xC3], &[(RBX, 0x8000_0000)], 0, &[(RAX, 0xFFFF_FFFF_8000_0000)], 0),
        // cmove eax, ebx with ZF clear
        (&[0x0F, 0x44, 0xC3], &[(RAX, u64::MAX), (RBX, 1)], 0, &[(RAX, 0xFFFF_FFFF)], 0),
        // shl eax, 4; sar rax, 63; rol al, 8; rcr eax, 1
        (&[0xC1, 0xE0, 0x04], &[(RAX, 0x1800_0001)], 0, &[(RAX, 0x8000_0010)], CF | AF | SF),
        (&[0x48, 0xC1, 0xF8, 0x3F], &[(RAX, 1 << 63)], 0, &[(RAX, u64::MAX)], SF | PF | AF),
        (&[0xC0, 0xC0, 0x08], &[(RAX, 0x81)], 0, &[(RAX, 0x81)], CF),
        (&[0xD1, 0xD8], &[(RAX, 1)], CF, &[(RAX, 0x8000_0000)], CF | OF),
        // mul rbx; idiv ecx; cqo
        (&[0x48, 0xF7, 0xE3], &[(RAX, 1 << 63), (RBX, 4)], ZF, &[(RAX, 0), (RDX, 2)], ZF | CF | OF),
        (
            &[0xF7, 0xF9],
            &[(RAX, 0xFFFF_FFF9), (RDX, 0xFFFF_FFFF), (RCX, 2)],
            0,
            &[(RAX, 0xFFFF_FFFD), (RDX, 0xFFFF_FFFF)],
            AF,
        ),
        (&[0x48, 0x99], &[(RAX, 1 << 63)], 0, &[(RDX, u64::MAX)], 0),
        // bsf eax, ebx of zero keeps all of rax; with F3 it is still BSF
        (&[0x0F, 0xBC, 0xC3], &[(RAX, u64::MAX), (RBX, 0)], CF, &[(RAX, u64::MAX)], ZF | PF),
        (&[0xF3, 0x0F, 0xBC, 0xC3], &[(RAX, 5), (RBX, 0)], 0, &[(RAX, 5)], ZF | PF),
        (&[0xF3, 0x0F, 0xBD, 0xC3], &[(RBX, 0x10)], 0, &[(RAX, 4)], 0),
        // popcnt, bswap, crc32 of a zero dword
        (&[0xF3, 0x48, 0x0F, 0xB8, 0xC3], &[(RBX, u64::MAX)], CF, &[(RAX, 64)], 0),
        (&[0x48, 0x0F, 0xC8], &[(RAX, 0x0102_0304_0506_0708)], 0, &[(RAX, 0x0807_0605_0403_0201)], 0),
        (&[0xF2, 0x0F, 0x38, 0xF1, 0xC3], &[(RAX, 0xFFFF_FFFF), (RBX, 0)], 0, &[(RAX, 0xB798_B438)], 0),
        // cmpxchg ebx, ecx, both ways
        (&[0x0F, 0xB1, 0xCB], &[(RAX, 1), (RBX, 1), (RCX, 9)], 0, &[(RBX, 9), (RAX, 1)], ZF | PF),
        (
            &[0x0F, 0xB1, 0xCB],
            &[(RAX, 2), (RBX, 1 << 32 | 1), (RCX, 9)],
            0,
            &[(RBX, 1 << 32 | 1), (RAX, 1)],
            0,
        ),
        // lahf, sahf
        (&[0x9F], &[(RAX, 0)], CF | ZF, &[(RAX, 0x4300)], CF | ZF),
        (&[0x9E], &[(RAX, 0x8100)], OF | ZF, &[], OF | SF | CF),
        // push rsp stores the old value; enter 16, 0; leave
        (&[0x54], &[], 0, &[(RSP, STACK - 8)], 0),
        (&[0xC8, 16, 0, 0], &[(RBP, 7)], 0, &[(RBP, STACK - 8), (RSP, STACK - 24)], 0),
        // jmp +2; je not taken; loop
        (&[0xEB, 0x02], &[], 0, &[(16, CODE + 4)], 0),
        (&[0x74, 0x02], &[], 0, &[(16, CODE + 2)], 0),
        (&[0xE2, 0xFE], &[(RCX, 2)], 0, &[(16, CODE), (RCX, 1)], 0),
        // 66 jmp rel16 is cut to 16 bits
        (&[0x66, 0xE9, 0x00, 0xF0], &[], 0, &[(16, (CODE + 4 + 0xF000) & 0xFFFF)], 0),
    ];
    for &row in rows {
        check(Rig::long(), row);
    }
}

#[test]
fn protected_mode_rows() {
    let rows: &[Row] = &[
        // aam, aad, daa, das, aaa
        (&[0xD4, 10], &[(RAX, 123)], 0, &[(RAX, 0x0C03)], PF),
        (&[0xD5, 10], &[(RAX, 0x0203)], 0, &[(RAX, 23)], PF),
        (&[0x27], &[(RAX, 0x9C)], 0, &[(RAX, 0x02)], CF | AF),
        (&[0x2F], &[(RAX, 0x05)], AF, &[(RAX, 0xFF)], CF | AF | SF | PF),
        (&[0x37], &[(RAX, 0x0A)], 0, &[(RAX, 0x100)], CF | AF),
        // The same with flags that only a Zen 4 tells.
        (&[0x37], &[(RAX, 0x7FDB)], AF, &[(RAX, 0x8001)], CF | AF | OF | SF | PF),
        (&[0x3F], &[(RAX, 0x800B)], 0, &[(RAX, 0x7F05)], CF | AF | OF | PF),
        (&[0x27], &[(RAX, 0x68)], CF, &[(RAX, 0xC8)], CF | OF | SF),
        (&[0x2F], &[(RAX, 0xDB)], CF, &[(RAX, 0x75)], CF | OF | AF),
        (&[0xD5, 10], &[(RAX, 0x634A)], 0, &[(RAX, 0x28)], CF | AF | PF),
        // push ax; call +0; ret 4
        (&[0x66, 0x50], &[], 0, &[(RSP, STACK - 2)], 0),
        (&[0xE8, 0, 0, 0, 0], &[], 0, &[(RSP, STACK - 4), (16, CODE + 5)], 0),
        // jcxz uses the address size
        (&[0x67, 0xE3, 0x10], &[(RCX, 0x1_0000)], 0, &[(16, CODE + 0x13)], 0),
    ];
    for &row in rows {
        check(Rig::protected(), row);
    }
}

#[test]
fn pusha_and_popa_are_inverse() {
    let mut rig = Rig::protected();
    for r in 0..8 {
        rig.cpu.regs[r] = if r == RSP { STACK } else { 0x1111 * r as u64 };
    }
    let before = rig.cpu.regs;
    rig.run(&[0x60, 0x61]).expect("pusha");
    assert_eq!(rig.cpu.regs[RSP], STACK - 32);
    assert_eq!(rig.at(STACK - 20) as u32, STACK as u32);
    rig.cpu.regs[..8].fill(0);
    rig.cpu.regs[RSP] = STACK - 32;
    rig.step().expect("popa");
    assert_eq!(rig.cpu.regs[..8], before[..8]);
}

#[test]
fn popf_respects_privilege() {
    for (cpl, iopl, allowed) in [(0, 0, IF | IOPL), (3, 0, 0), (3, 3, IF)] {
        let mut rig = Rig::long();
        rig.cpu.cpl = cpl;
        rig.cpu.flags = Flags::from_bits(iopl << 12);
        rig.cpu.refresh();
        rig.put(STACK, u64::MAX & !TF);
        rig.run(&[0x9D]).expect("popfq");
        let new = rig.cpu.flags.bits();
        assert_eq!(new & (IF | IOPL), (iopl << 12) | allowed, "CPL {cpl}, IOPL {iopl}");
        assert_ne!(new & DF, 0);
    }
}

#[test]
fn division_faults_change_nothing() {
    for (a, d, by) in [(1, 0, 0), (0, 1, 1), (5, 7, 7)] {
        let mut rig = Rig::long();
        (rig.cpu.regs[RAX], rig.cpu.regs[RDX], rig.cpu.regs[RCX]) = (a, d, by);
        assert_eq!(rig.run(&[0x48, 0xF7, 0xF1]), Err(Exception::DE));
        assert_eq!((rig.cpu.regs[RAX], rig.cpu.regs[RDX], rig.cpu.rip()), (a, d, CODE));
    }
}

#[test]
fn branches_out_of_bounds_fault_in_place() {
    let mut rig = Rig::long();
    rig.cpu.regs[RAX] = 1 << 47;
    assert_eq!(rig.run(&[0xFF, 0xE0]), Err(Exception::GP0));
    assert_eq!(rig.run(&[0xFF, 0xD0]), Err(Exception::GP0));
    assert_eq!((rig.cpu.rip(), rig.cpu.regs[RSP]), (CODE, STACK));
    let mut rig = Rig::protected();
    rig.cpu.segs[seg::CS].limit = 0x2000;
    rig.cpu.segs[seg::CS].attributes |= attr::DB;
    assert_eq!(rig.run(&[0xE9, 0x00, 0x10, 0x00, 0x00]), Err(Exception::GP0));
}

#[test]
fn rep_movs_counts_each_iteration_and_stops_at_the_limit() {
    let mut rig = Rig::long();
    rig.cpu.regs[RSI] = DATA;
    rig.cpu.regs[RDI] = DATA + 0x1800;
    rig.cpu.regs[RCX] = 0x1000;
    for k in 0..0x1000 / 8 {
        rig.put(DATA + 8 * k, k * 0x0101_0101);
    }
    rig.clock.limit = 100;
    rig.run(&[0xF3, 0xA4]).expect("rep movsb");
    assert_eq!((rig.clock.icount, rig.cpu.regs[RCX], rig.cpu.rip()), (100, 0x1000 - 100, CODE));
    rig.clock.limit = u64::MAX;
    rig.step().expect("rep movsb");
    assert_eq!((rig.clock.icount, rig.cpu.regs[RCX], rig.cpu.rip()), (0x1000, 0, CODE + 2));
    for k in 0..0x1000 / 8 {
        assert_eq!(rig.at(DATA + 0x1800 + 8 * k), k * 0x0101_0101);
    }
}

#[test]
fn rep_movs_that_overlaps_repeats_its_pattern() {
    let mut rig = Rig::long();
    rig.put(DATA, 0x0303_0201);
    // Written once so that the page takes fast stores from the second iteration on.
    rig.cpu.regs[RSI] = DATA;
    rig.cpu.regs[RDI] = DATA + 3;
    rig.cpu.regs[RCX] = 30;
    rig.run(&[0xF3, 0xA4]).expect("rep movsb");
    for k in 0..30 {
        assert_eq!(rig.at(DATA + k) as u8, (k % 3 + 1) as u8);
    }
}

#[test]
fn a_fault_keeps_the_iterations_before_it() {
    let mut rig = Rig::long();
    rig.unmap(DATA + 0x1000);
    rig.cpu.regs[RAX] = 0x55;
    rig.cpu.regs[RDI] = DATA + 0xFF0;
    rig.cpu.regs[RCX] = 0x100;
    assert_eq!(rig.run(&[0xF3, 0xAA]), Err(Exception::pf(2)));
    assert_eq!(rig.cpu.fault_address, DATA + 0x1000);
    assert_eq!((rig.cpu.regs[RCX], rig.cpu.regs[RDI], rig.cpu.rip()), (0xF0, DATA + 0x1000, CODE));
    assert_eq!(rig.clock.icount, 17);
}

#[test]
fn trap_flag_stops_after_each_iteration() {
    let mut rig = Rig::long();
    rig.cpu.flags.set_system(TF, true);
    rig.cpu.refresh();
    rig.cpu.regs[RDI] = DATA;
    rig.cpu.regs[RCX] = 2;
    rig.run(&[0xF3, 0xAB]).expect("rep stosd");
    assert_eq!((rig.cpu.regs[RCX], rig.cpu.rip()), (1, CODE));
    rig.step().expect("rep stosd");
    assert_eq!((rig.cpu.regs[RCX], rig.cpu.rip(), rig.clock.icount), (0, CODE + 2, 2));
}

#[test]
fn repne_scas_finds_its_byte() {
    let mut rig = Rig::long();
    rig.put(DATA, 0x0000_0700_0000_0000);
    rig.cpu.regs[RAX] = 7;
    rig.cpu.regs[RDI] = DATA;
    rig.cpu.regs[RCX] = 100;
    rig.run(&[0xF2, 0xAE]).expect("repne scasb");
    assert_eq!((rig.cpu.regs[RDI], rig.cpu.regs[RCX]), (DATA + 6, 94));
    assert!(rig.cpu.flags.zf());
}

#[test]
fn sixteen_bit_addresses_wrap() {
    let mut rig = Rig::real();
    rig.cpu.regs[RDI] = 0x9_FFFF;
    rig.cpu.regs[RAX] = 0xAA;
    rig.cpu.regs[RCX] = 2;
    rig.run(&[0xF3, 0xAA]).expect("rep stosb");
    assert_eq!(rig.cpu.regs[RDI], 0x9_0001);
    assert_eq!((rig.at(0xFFF8) >> 56, rig.at(0) & 0xFF), (0xAA, 0xAA));
}

#[test]
fn cmpxchg16b_wants_alignment() {
    let mut rig = Rig::long();
    rig.cpu.regs[RSI] = DATA + 8;
    assert_eq!(rig.run(&[0x48, 0x0F, 0xC7, 0x0E]), Err(Exception::GP0));
    rig.cpu.regs[RSI] = DATA;
    (rig.cpu.regs[RAX], rig.cpu.regs[RDX]) = (0, 0);
    (rig.cpu.regs[RBX], rig.cpu.regs[RCX]) = (3, 4);
    rig.run(&[0xF0, 0x48, 0x0F, 0xC7, 0x0E]).expect("cmpxchg16b");
    assert_eq!((rig.at(DATA), rig.at(DATA + 8)), (3, 4));
    assert!(rig.cpu.flags.zf());
}

#[test]
fn xlat_adds_only_al() {
    let mut rig = Rig::long();
    rig.put(DATA + 0xFF, 0x77);
    rig.cpu.regs[RBX] = DATA;
    rig.cpu.regs[RAX] = 0x1234_56FF;
    rig.run(&[0xD7]).expect("xlat");
    assert_eq!(rig.cpu.regs[RAX], 0x1234_5677);
}
