//! BT, BTS, BTR, BTC, BSF, BSR, POPCNT, CRC32.
//!
//! The guest has neither BMI nor LZCNT, so what decodes as TZCNT or LZCNT runs as BSF or BSR.

use super::{Emitted, Emitter, Host};
use crate::cpu::exec::form::{Shape, shape, width, width_of};
use crate::jit::asm::{Alu, Mem, Rm, Width, host};
use iced_x86::{Instruction, Mnemonic};

/// The extension of 0F BA that takes the bit's number from an immediate.
fn extension(m: Mnemonic) -> Option<u8> {
    Some(match m {
        Mnemonic::Bt => 4,
        Mnemonic::Bts => 5,
        Mnemonic::Btr => 6,
        Mnemonic::Btc => 7,
        _ => return None,
    })
}

/// BT: the bit is looked at only.
const TEST: u8 = 4;

/// CF is the bit; the other flags stay.
fn bit_test(e: &mut Emitter<'_>, i: &Instruction, ext: u8) -> Emitted {
    let w = Width::of(width(i));
    let [r0, r1, ..] = e.insn.r;
    let imm = e.insn.imm as u8;
    let by_register = [0x0F, 0x83 | ext << 3];
    match shape(i) {
        Some(Shape::RegReg) => {
            let from = e.read(r1, host::RDX);
            let to = e.target(w, r0, host::RCX);
            e.need_flags(Host::All);
            e.asm.wide(w, &by_register, from, Rm::R(to));
            changed(e, w, r0, to, ext);
        }
        Some(Shape::RegImm) => {
            let to = e.target(w, r0, host::RCX);
            e.need_flags(Host::All);
            e.asm.wide(w, &[0x0F, 0xBA], ext, Rm::R(to));
            e.asm.put(&[imm]);
            changed(e, w, r0, to, ext);
        }
        Some(Shape::MemImm) => {
            let Some(m) = e.memory(w.bytes(), ext != TEST) else { return Emitted::No };
            e.need_flags(Host::All);
            e.asm.wide(w, &[0x0F, 0xBA], ext, Rm::M(m));
            e.asm.put(&[imm]);
            e.flags_written();
        }
        Some(Shape::MemReg) => {
            let Some(m) = bit_string(e, w, r1, ext != TEST) else { return Emitted::No };
            let number = e.read(r1, host::RDX);
            e.asm.load(Width::D, host::RDX, Rm::R(number));
            e.asm.alu_imm(Alu::And, Width::D, Rm::R(host::RDX), 8 * w.bytes() as u64 - 1);
            e.need_flags(Host::All);
            e.asm.wide(w, &by_register, host::RDX, Rm::M(m));
            e.flags_written();
        }
        _ => return Emitted::No,
    }
    Emitted::Done
}

fn changed(e: &mut Emitter<'_>, w: Width, r: u8, to: u8, ext: u8) {
    e.flags_written();
    if ext != TEST {
        e.commit(w, r, to);
    }
}

/// The element of the bit string at the memory operand that holds bit `r`, a signed number.
fn bit_string(e: &mut Emitter<'_>, w: Width, r: u8, write: bool) -> Option<Mem> {
    if !e.addressable() || e.insn.addr_mask != u64::MAX {
        return None;
    }
    e.spoil_flags();
    let found = e.linear();
    debug_assert!(found);
    let log = w.bytes().trailing_zeros() as u8;
    let number = e.read(r, host::RDX);
    match w {
        Width::Q => e.asm.mov(host::RDX, number),
        _ => e.asm.movsx(Width::Q, host::RDX, w, Rm::R(number)),
    }
    // SAR
    e.asm.wide(Width::Q, &[0xC1], 7, Rm::R(host::RDX));
    e.asm.put(&[3 + log]);
    e.asm.lea(Width::Q, host::RCX, Mem { base: host::RCX, index: host::RDX, scale: log, disp: 0 });
    Some(e.translate(w.bytes(), write, false))
}

/// The source operand, and the register of the result with its old value.
fn source(e: &mut Emitter<'_>, i: &Instruction, w: Width, from: Width) -> Option<(Rm, u8)> {
    let [r0, r1, ..] = e.insn.r;
    match shape(i)? {
        Shape::RegReg => {
            let from = e.read_sized(from, r1, host::RDX);
            Some((Rm::R(from), e.target(w, r0, host::RCX)))
        }
        Shape::RegMem => {
            let m = e.memory(from.bytes(), false)?;
            Some((Rm::M(m), e.target(w, r0, host::RDX)))
        }
        _ => None,
    }
}

/// BSF, BSR. A source of zero leaves all of the destination as it was. Processors agree on ZF
/// alone, so the flags are made here: ZF and PF, which is that of the result.
fn scan(e: &mut Emitter<'_>, i: &Instruction, opcode: u8) -> Emitted {
    let w = Width::of(width(i));
    let Some((from, to)) = source(e, i, w, w) else { return Emitted::No };
    e.asm.wide(w, &[0x0F, opcode], to, from);
    // MOV AX, ZF and PF, for a source of zero.
    e.asm.put(&[0x66, 0xB8, 0x00, 0x44]);
    let done = e.asm.label();
    e.asm.jcc(4, done);
    // TEST to, to; LAHF; AND AH, PF
    e.asm.sized(Width::B, 0x84, to, Rm::R(to));
    e.asm.put(&[0x9F, 0x80, 0xE4, 0x04]);
    e.asm.bind(done);
    e.flags_made();
    e.commit(w, e.insn.r[0], to);
    Emitted::Done
}

fn popcnt(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    let w = Width::of(width(i));
    let Some((from, to)) = source(e, i, w, w) else { return Emitted::No };
    if w == Width::W {
        e.asm.put(&[0x66]);
    }
    e.asm.op(Some(0xF3), w == Width::Q, (false, false), &[0x0F, 0xB8], to, from);
    e.flags_written();
    e.commit(w, e.insn.r[0], to);
    Emitted::Done
}

/// The upper half of the destination is zeroed, whatever its width; no flags.
fn crc32(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    let w = Width::of(width_of(i, 1));
    let Some((from, to)) = source(e, i, Width::D, w) else { return Emitted::No };
    if w == Width::W {
        e.asm.put(&[0x66]);
    }
    let opcode = [0x0F, 0x38, 0xF0 | u8::from(w != Width::B)];
    e.asm.op(Some(0xF2), w == Width::Q, (false, w == Width::B), &opcode, to, from);
    e.commit(Width::D, e.insn.r[0], to);
    Emitted::Done
}

/// The family.
pub fn emit(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    if let Some(ext) = extension(i.mnemonic()) {
        return bit_test(e, i, ext);
    }
    match i.mnemonic() {
        Mnemonic::Bsf | Mnemonic::Tzcnt => scan(e, i, 0xBC),
        Mnemonic::Bsr | Mnemonic::Lzcnt => scan(e, i, 0xBD),
        Mnemonic::Popcnt => popcnt(e, i),
        Mnemonic::Crc32 => crc32(e, i),
        _ => Emitted::No,
    }
}
