//! XADD, CMPXCHG, CMPXCHG8B, CMPXCHG16B.
//!
//! vCPUs take turns between instructions, so nobody looks on between the steps of one: LOCK has
//! nothing to add, and memory that would be written with what it holds is only checked for it.

use super::sse::check_aligned;
use super::{Emitted, Emitter};
use crate::cpu::exec::form::width;
use crate::cpu::insn::NO_REG;
use crate::cpu::state::{RAX, RBX, RCX, RDX};
use crate::jit::asm::{Alu, Mem, Rm, Width, host};
use crate::jit::regs::pinned;
use iced_x86::{Instruction, Mnemonic};

/// JNE.
const NOT_EQUAL: u8 = 5;

/// In scratch registers, so that the same register twice does as it should: the sum remains.
fn xadd(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    let w = Width::of(width(i));
    let [r0, r1, ..] = e.insn.r;
    let to = if r0 == NO_REG {
        let Some(m) = e.memory(w.bytes(), true) else { return Emitted::No };
        Rm::M(m)
    } else {
        let a = e.read_sized(w, r0, host::RCX);
        e.asm.mov(host::RCX, a);
        Rm::R(host::RCX)
    };
    let b = e.read_sized(w, r1, host::RDX);
    e.asm.mov(host::RDX, b);
    e.asm.sized_with(w, &[0x0F, 0xC0], host::RDX, to);
    e.flags_written();
    e.write(w, r1, host::RDX);
    if r0 != NO_REG {
        e.write(w, r0, host::RCX);
    }
    Emitted::Done
}

/// The flags are those of comparing the accumulator.
fn cmpxchg(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    let w = Width::of(width(i));
    let [r0, r1, ..] = e.insn.r;
    let Some(accumulator) = pinned(RAX as u8) else { return Emitted::No };
    let memory = if r0 == NO_REG {
        let Some(m) = e.memory(w.bytes(), true) else { return Emitted::No };
        Some(m)
    } else {
        None
    };
    // What is compared, in RDX from memory, or in RCX.
    let old = match memory {
        Some(m) => {
            e.asm.load(w, host::RDX, Rm::M(m));
            host::RDX
        }
        None => {
            let h = e.read_sized(w, r0, host::RCX);
            e.asm.mov(host::RCX, h);
            host::RCX
        }
    };
    let (other, done) = (e.asm.label(), e.asm.label());
    e.asm.alu(Alu::Cmp, w, accumulator, Rm::R(old));
    e.asm.jcc(NOT_EQUAL, other);
    let new = e.read_sized(w, r1, host::RDX);
    match memory {
        Some(m) => e.asm.store(w, Rm::M(m), new),
        None => e.write(w, r0, new),
    }
    e.asm.jmp(done);
    e.asm.bind(other);
    e.write(w, RAX as u8, old);
    e.asm.bind(done);
    e.flags_written();
    Emitted::Done
}

/// Both halves, each of width `w`; of the flags ZF alone changes.
fn cmpxchg_pair(e: &mut Emitter<'_>, w: Width) -> Emitted {
    let [Some(a), Some(b), Some(c), Some(d)] = [RAX, RBX, RCX, RDX].map(|r| pinned(r as u8)) else {
        return Emitted::No;
    };
    let bytes = w.bytes() as i32;
    let Some(low) = e.memory(2 * w.bytes(), true) else { return Emitted::No };
    if w == Width::Q {
        check_aligned(e, low);
    }
    let high = Mem { disp: low.disp + bytes, ..low };
    let (other, done) = (e.asm.label(), e.asm.label());
    for (register, half) in [(a, low), (d, high)] {
        e.asm.alu(Alu::Cmp, w, register, Rm::M(half));
        e.asm.jcc(NOT_EQUAL, other);
    }
    e.asm.store(w, Rm::M(low), b);
    e.asm.store(w, Rm::M(high), c);
    // OR AH, ZF
    e.asm.put(&[0x80, 0xCC, 0x40]);
    e.asm.jmp(done);
    e.asm.bind(other);
    e.asm.load(w, a, Rm::M(low));
    e.asm.load(w, d, Rm::M(high));
    // AND AH, not ZF
    e.asm.put(&[0x80, 0xE4, 0xBF]);
    e.asm.bind(done);
    Emitted::Done
}

/// The family.
pub fn emit(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    match i.mnemonic() {
        Mnemonic::Xadd => xadd(e, i),
        Mnemonic::Cmpxchg => cmpxchg(e, i),
        Mnemonic::Cmpxchg8b => cmpxchg_pair(e, Width::D),
        Mnemonic::Cmpxchg16b => cmpxchg_pair(e, Width::Q),
        _ => Emitted::No,
    }
}
