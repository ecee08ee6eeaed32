//! CPUID, MSRs, control registers, saved x87 and SSE state, and the start of a second vCPU.

use super::*;
use crate::cpu::state::{Activity, CodeSize, RAX, RBX, RCX, RDX, cr0, cr4, efer};
use crate::types::vector;

fn write_msr(s: &mut System, msr: u64, value: u64) -> Exec {
    s.rig.cpu.regs[RCX] = msr;
    s.rig.cpu.regs[RAX] = value & 0xFFFF_FFFF;
    s.rig.cpu.regs[RDX] = value >> 32;
    s.run(&[0x0F, 0x30])
}

fn read_msr(s: &mut System, msr: u64) -> Exec<u64> {
    s.rig.cpu.regs[RCX] = msr;
    s.run(&[0x0F, 0x32])?;
    Ok(s.rig.cpu.regs[RAX] | s.rig.cpu.regs[RDX] << 32)
}

/// `Exec` of instructions has no value; this one has.
type Exec<T = ()> = Result<T, Exception>;

#[test]
fn msrs_take_what_they_may() {
    let good = 0x0007_0406_0007_0406;
    let rows = [
        (0x277, good, true),
        (0x277, 0x0207_0406_0007_0406, false),
        (0xC000_0082, 0xFFFF_8000_0000_1000, true),
        (0xC000_0082, 1 << 47, false),
        (0xC000_0101, 0x1234, true),
        (0xC000_0080, efer::SCE | efer::LME | efer::LMA, true),
        (0xC000_0080, 1 << 12, false),
        (0xC000_0080, efer::SCE, false),
        (0x2FF, 0xC06, true),
        (0x2FF, 2, false),
        (0x200, 0x8000_0006, true),
        (0x201, 0x100_0000_0800, false),
        (0x179, 0, false),
        (0xC000_0103, 7, true),
        (0x4b56_4d00, 0, false),
    ];
    for (msr, value, accepted) in rows {
        let mut s = System::long();
        let result = write_msr(&mut s, msr, value);
        assert_eq!(result, if accepted { Ok(()) } else { Err(Exception::GP0) }, "{msr:x} {value:x}");
        if accepted {
            assert_eq!(read_msr(&mut s, msr), Ok(value));
        }
    }
    assert_eq!(read_msr(&mut System::long_user(), 0x277), Err(Exception::GP0));
}

#[test]
fn tsc_adjust_and_the_tsc_move_together() {
    let mut s = System::long();
    assert_eq!(write_msr(&mut s, 0x10, 1 << 40), Ok(()));
    let tsc = read_msr(&mut s, 0x10).unwrap();
    assert_eq!(tsc, (1 << 40) + 1, "one instruction later");
    let adjust = read_msr(&mut s, 0x3B).unwrap();
    assert_eq!(write_msr(&mut s, 0x3B, adjust + 1000), Ok(()));
    assert_eq!(read_msr(&mut s, 0x10), Ok(tsc + 1000 + 3));
}

#[test]
fn cpuid_names_the_model() {
    let mut s = System::long();
    let mut leaf = |eax: u64| {
        s.rig.cpu.regs[RAX] = eax;
        s.rig.cpu.regs[RCX] = 0;
        assert_eq!(s.run(&[0x0F, 0xA2]), Ok(()));
        let r = &s.rig.cpu.regs;
        [r[RAX], r[RBX], r[RCX], r[RDX]]
    };
    let [_, b, c, d] = leaf(0);
    let vendor: Vec<u8> = [b, d, c].into_iter().flat_map(|v| (v as u32).to_le_bytes()).collect();
    assert_eq!(vendor, b"AuthenticAMD");
    let [_, b, c, d] = leaf(0x4000_0000);
    let hypervisor: Vec<u8> = [b, c, d].into_iter().flat_map(|v| (v as u32).to_le_bytes()).collect();
    assert_eq!(hypervisor, b"DejaVMDejaVM");
    let signature = leaf(1)[0];
    assert_eq!(signature, 0x0006_0FB1);
    assert_eq!(leaf(0x8000_0008)[..2], [40 | 48 << 8, 1 << 2]);
    assert_eq!(leaf(0x8000_0001)[2] >> 9 & 1, 1, "OSVW");
    assert_eq!(leaf(7)[1] >> 5 & 1, 0, "no AVX2");
    assert_eq!((leaf(1)[3] | leaf(0x8000_0001)[3]) >> 1 & 1, 0, "no VME");
}

#[test]
fn instructions_outside_the_model_do_not_exist() {
    // VPXOR, ANDN, MOVBE, AESENC.
    let absent: [&[u8]; 4] = [
        &[0xC5, 0xF9, 0xEF, 0xC0],
        &[0xC4, 0xE2, 0x78, 0xF2, 0xC0],
        &[0x0F, 0x38, 0xF0, 0],
        &[0x66, 0x0F, 0x38, 0xDC, 0xC0],
    ];
    for code in absent {
        assert_eq!(System::long().run(code), Err(Exception::UD), "{code:x?}");
    }
    // F3 BSF is BSF: a zero source leaves the destination, where TZCNT would give 64.
    let mut s = System::long();
    s.rig.cpu.regs[RAX] = 5;
    s.rig.cpu.regs[RCX] = 0;
    assert_eq!(s.run(&[0xF3, 0x48, 0x0F, 0xBC, 0xC1]), Ok(()));
    assert_eq!(s.rig.cpu.regs[RAX], 5);
}

/// CR4 bits of virtual-8086 mode extensions, which the model lacks.
const VME: u64 = 1;
const PVI: u64 = 1 << 1;

#[test]
fn control_registers_refuse_what_the_mode_forbids() {
    let (gp, ok) = (Err(Exception::GP0), Ok(()));
    // In long mode: register, what is flipped, outcome.
    let rows = [
        (0, cr0::PG, gp),
        (0, cr0::NW, gp),
        (0, cr0::PE, gp),
        (0, 1 << 32, gp),
        (0, cr0::WP, ok),
        (4, cr4::PAE, gp),
        (4, VME, gp),
        (4, PVI, gp),
        (4, cr4::PCIDE, ok),
        (4, cr4::SMEP | cr4::SMAP | cr4::OSXSAVE, ok),
        (3, 1 << 40, gp),
        (3, 1 << 63, gp),
        (3, 0x18, ok),
    ];
    for (n, flip, expected) in rows {
        let mut s = System::long();
        s.rig.cpu.cr0 &= !(cr0::CD | cr0::NW);
        let old = [s.rig.cpu.cr0, 0, 0, s.rig.cpu.cr3, s.rig.cpu.cr4][n];
        s.rig.cpu.regs[RAX] = old ^ flip;
        assert_eq!(s.run(&[0x0F, 0x22, 0xC0 | (n as u8) << 3]), expected, "CR{n} ^ {flip:x}");
        let new = [s.rig.cpu.cr0, 0, 0, s.rig.cpu.cr3, s.rig.cpu.cr4][n];
        assert_eq!(new, if expected.is_ok() { old ^ flip } else { old });
    }
    assert_eq!(System::long_user().run(&[0x0F, 0x20, 0xC0]), gp);
    assert_eq!(System::long().run(&[0x0F, 0x20, 0xC8]), Err(Exception::UD), "CR1");
}

#[test]
fn debug_registers_can_be_guarded() {
    let mut s = System::long();
    s.rig.cpu.regs[RAX] = 1 << 13;
    assert_eq!(s.run(&[0x0F, 0x23, 0xF8]), Ok(()));
    assert_eq!(s.rig.cpu.dr[7], 1 << 13 | 0x400);
    assert_eq!(s.run(&[0x0F, 0x21, 0xC0]), Err(Exception::plain(vector::DB)));
    assert_ne!(s.rig.cpu.dr[6] & 1 << 13, 0);
    s.idt(vector::DB, sel::CODE64, 0xE, 0, 0);
    assert_eq!(s.raise(Exception::DB), Delivery::Done);
    assert_eq!(s.rig.cpu.dr[7], 0x400, "the handler may use them");
}

#[test]
fn fxsave_and_xsave_round_trip() {
    // FXSAVE64, FXRSTOR64, XSAVE64, XRSTOR64 at [RBX].
    let pairs: [[&[u8]; 2]; 2] = [
        [&[0x48, 0x0F, 0xAE, 0x03], &[0x48, 0x0F, 0xAE, 0x0B]],
        [&[0x48, 0x0F, 0xAE, 0x23], &[0x48, 0x0F, 0xAE, 0x2B]],
    ];
    for [save, restore] in pairs {
        let mut s = System::long();
        s.rig.cpu.cr4 |= cr4::OSFXSR | cr4::OSXSAVE;
        s.rig.cpu.xcr0 = 3;
        s.rig.cpu.regs[RBX] = 0x2_0000;
        s.rig.cpu.regs[RAX] = 3;
        s.rig.cpu.regs[RDX] = 0;
        s.rig.cpu.x87.status = 3 << 11;
        s.rig.cpu.x87.valid = 0x18;
        s.rig.cpu.x87.control = 0x27F;
        s.rig.cpu.x87.regs[3].significand = 0x1234_5678;
        s.rig.cpu.x87.regs[3].sign_exponent = 0x8001;
        s.rig.cpu.xmm[15] = u128::MAX / 3;
        s.rig.cpu.mxcsr = 0x1F81;
        let before = s.rig.cpu.state.clone();
        assert_eq!(s.run(save), Ok(()));
        // ST0 comes first, whatever TOP is.
        assert_eq!(s.rig.at(0x2_0020), 0x1234_5678);
        s.rig.cpu.x87 = Default::default();
        s.rig.cpu.xmm = [7; 16];
        s.rig.cpu.mxcsr = 0x1F80;
        assert_eq!(s.run(restore), Ok(()));
        assert_eq!(s.rig.cpu.x87, before.x87);
        assert_eq!((s.rig.cpu.xmm, s.rig.cpu.mxcsr), (before.xmm, before.mxcsr));
        s.rig.cpu.regs[RBX] += 8;
        assert_eq!(s.run(save), Err(Exception::GP0), "alignment");
        s.rig.cpu.regs[RBX] -= 8;
        s.rig.put(0x2_0018, 0x1_0000);
        assert_eq!(s.run(restore), Err(Exception::GP0), "reserved MXCSR bits");
    }
}

#[test]
fn xsaveopt_leaves_out_initial_state_and_xrstor_initialises() {
    let mut s = System::long();
    s.rig.cpu.cr4 |= cr4::OSFXSR | cr4::OSXSAVE;
    s.rig.cpu.xcr0 = 3;
    s.rig.cpu.x87 = Default::default();
    s.rig.cpu.xmm[1] = 9;
    s.rig.cpu.regs[RBX] = 0x2_0000;
    s.rig.cpu.regs[RAX] = 3;
    s.rig.put(0x2_0000, 0xDEAD);
    assert_eq!(s.run(&[0x48, 0x0F, 0xAE, 0x33]), Ok(()));
    assert_eq!(s.rig.at(0x2_0200), 2, "XSTATE_BV");
    assert_eq!(s.rig.at(0x2_0000), 0xDEAD);
    s.rig.put(0x2_0200, 0);
    assert_eq!(s.run(&[0x48, 0x0F, 0xAE, 0x2B]), Ok(()));
    assert_eq!(s.rig.cpu.xmm, [0; 16]);
}

#[test]
fn a_start_up_ipi_starts_real_mode_code() {
    let mut s = System::long();
    s.rig.cpu.id = 1;
    super::super::init(&mut s.rig.cpu);
    assert_eq!(s.rig.cpu.activity, Activity::WaitForSipi);
    super::super::startup(&mut s.rig.cpu, 0x10);
    assert_eq!(s.rig.cpu.activity, Activity::Running);
    assert_eq!((s.cs(), s.rig.cpu.segs[seg::CS].base, s.rig.cpu.rip()), (0x1000, 0x1_0000, 0));
    assert_eq!(s.rig.cpu.code_size, CodeSize::Bits16);
    super::super::startup(&mut s.rig.cpu, 0x20);
    assert_eq!(s.cs(), 0x1000, "only the first one counts");
}

/// From real mode to 64-bit code, as the trampoline of an application processor goes.
#[test]
fn from_real_mode_to_long_mode() {
    let mut s = System::long();
    let cr3 = s.rig.cpu.cr3;
    let long = s.rig.cpu.gdtr;
    s.rig.cpu.id = 1;
    super::super::init(&mut s.rig.cpu);
    super::super::startup(&mut s.rig.cpu, 0x10);
    s.rig.put(0x1_0100, u64::from(long.limit) | long.base << 16);
    let code: &[&[u8]] = &[
        // LGDT CS:[100h]; MOV EAX, CR0; OR AL, 1; MOV CR0, EAX; far jump to 32-bit code.
        &[0x2E, 0x66, 0x0F, 0x01, 0x16, 0x00, 0x01],
        &[0x0F, 0x20, 0xC0, 0x0C, 0x01, 0x0F, 0x22, 0xC0],
        &[0x66, 0xEA, 0x20, 0x00, 0x01, 0x00, sel::CODE0 as u8, 0],
    ];
    s.rig.mem.write_bytes(Gpa(0x1_0000), &code.concat());
    for _ in 0..5 {
        assert_eq!(s.rig.step(), Ok(()));
    }
    assert_eq!((s.cs(), s.rig.cpu.rip(), s.rig.cpu.code_size), (sel::CODE0, 0x1_0020, CodeSize::Bits32));
    let mut code = vec![0xB8];
    code.extend((cr4::PAE as u32).to_le_bytes());
    code.extend([0x0F, 0x22, 0xE0, 0xB8]);
    code.extend((cr3 as u32).to_le_bytes());
    code.extend([0x0F, 0x22, 0xD8, 0xB9, 0x80, 0, 0, 0xC0, 0xB8, 0, 1, 0, 0, 0x31, 0xD2, 0x0F, 0x30]);
    code.extend([0xB8, 0x11, 0, 0, 0x80, 0x0F, 0x22, 0xC0]);
    code.extend([0xEA, 0x80, 0x00, 0x01, 0x00, sel::CODE64 as u8, 0]);
    s.rig.mem.write_bytes(Gpa(0x1_0020), &code);
    for _ in 0..11 {
        assert_eq!(s.rig.step(), Ok(()));
    }
    assert!(s.rig.cpu.long_mode());
    assert_eq!((s.rig.cpu.rip(), s.rig.cpu.code_size), (0x1_0080, CodeSize::Bits64));
}
