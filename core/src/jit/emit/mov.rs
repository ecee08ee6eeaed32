//! MOV between general registers, memory and immediates, MOVZX, MOVSX, MOVSXD, MOVNTI, XCHG, LEA,
//! CMOVcc, SETcc, BSWAP. None of them touches flags.

use super::{Effective, Emitted, Emitter, needs_of};
use crate::cpu::exec::form::{Shape, condition, shape, width, width_of};
use crate::jit::asm::{Rm, Width, host};
use crate::jit::regs::{pinned, slot};
use iced_x86::{Instruction, Mnemonic, OpKind};

/// An immediate of 64 bits that a 32-bit one extends to.
fn fits(w: Width, imm: u64) -> bool {
    w != Width::Q || i32::try_from(imm as i64).is_ok()
}

fn mov(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    let general = |k: u32| i.op_kind(k) != OpKind::Register || i.op_register(k).is_gpr();
    if !general(0) || !general(1) {
        return Emitted::No;
    }
    let Some(shape) = shape(i) else { return Emitted::No };
    let w = Width::of(width(i));
    let [r0, r1, ..] = e.insn.r;
    let imm = e.insn.imm;
    match shape {
        Shape::RegReg => match (w, pinned(r0 & 15), pinned(r1 & 15)) {
            (Width::D | Width::Q, Some(h), None) => e.asm.load(w, h, Rm::M(slot(r1))),
            _ => {
                let from = e.read_sized(w, r1, host::RDX);
                e.write(w, r0, from);
            }
        },
        Shape::RegImm => match (w, pinned(r0 & 15)) {
            (Width::D, Some(h)) => e.asm.mov_imm(h, imm & 0xFFFF_FFFF),
            (Width::Q, Some(h)) => e.asm.mov_imm(h, imm),
            _ => {
                let value = if w == Width::Q { imm } else { imm & 0xFFFF_FFFF };
                e.asm.mov_imm(host::RDX, value);
                e.write(w, r0, host::RDX);
            }
        },
        Shape::RegMem => {
            let Some(m) = e.operand(w.bytes(), false) else { return Emitted::No };
            load(e, w, r0, Rm::M(m));
        }
        Shape::MemReg => {
            let Some(m) = e.operand(w.bytes(), true) else { return Emitted::No };
            let from = e.read_sized(w, r1, host::RDX);
            e.asm.store(w, Rm::M(m), from);
        }
        Shape::MemImm if fits(w, imm) => {
            let Some(m) = e.operand(w.bytes(), true) else { return Emitted::No };
            e.asm.store_imm(w, Rm::M(m), imm);
        }
        _ => return Emitted::No,
    }
    Emitted::Done
}

/// Register operand `r` from host memory; 32 bits clear the upper half.
fn load(e: &mut Emitter<'_>, w: Width, r: u8, from: Rm) {
    match pinned(r & 15) {
        Some(h) if r < 16 => e.asm.load(w, h, from),
        _ => {
            e.asm.load(w, host::RDX, from);
            e.write(w, r, host::RDX);
        }
    }
}

fn extend(e: &mut Emitter<'_>, i: &Instruction, signed: bool) -> Emitted {
    let Some(shape) = shape(i) else { return Emitted::No };
    let (w, narrow) = (Width::of(width(i)), Width::of(width_of(i, 1)));
    if i.mnemonic() == Mnemonic::Movsxd && w == Width::W {
        return Emitted::No;
    }
    let [r0, r1, ..] = e.insn.r;
    let from = match shape {
        Shape::RegReg => Rm::R(e.read_sized(narrow, r1, host::RDX)),
        Shape::RegMem => match e.operand(narrow.bytes(), false) {
            Some(m) => Rm::M(m),
            None => return Emitted::No,
        },
        _ => return Emitted::No,
    };
    // A 16-bit register keeps its upper bits: through scratch.
    let to = match pinned(r0) {
        Some(h) if w != Width::W => h,
        _ => host::RDX,
    };
    if signed {
        let wide = if w == Width::W { Width::D } else { w };
        e.asm.movsx(wide, to, narrow, from);
    } else {
        e.asm.movzx(to, narrow, from);
    }
    if to == host::RDX {
        e.write(w, r0, to);
    }
    Emitted::Done
}

fn xchg(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    let w = Width::of(width(i));
    let [r0, r1, ..] = e.insn.r;
    if shape(i) == Some(Shape::RegReg) {
        let a = e.read_sized(w, r0, host::RCX);
        e.asm.mov(host::RCX, a);
        let b = e.read_sized(w, r1, host::RDX);
        e.asm.mov(host::RDX, b);
        e.write(w, r0, host::RDX);
        e.write(w, r1, host::RCX);
        return Emitted::Done;
    }
    let r = r0.min(r1);
    let Some(m) = e.memory(w.bytes(), true) else { return Emitted::No };
    // No other processor looks on: no need for the host's lock.
    match pinned(r & 15).filter(|_| r < 16) {
        Some(own) => {
            e.asm.load(w, host::RDX, Rm::M(m));
            e.asm.store(w, Rm::M(m), own);
            e.asm.load(w, own, Rm::R(host::RDX));
        }
        None => {
            let from = e.read_sized(w, r, host::RDX);
            e.asm.mov(host::RDX, from);
            e.asm.sized(w, 0x86, host::RDX, Rm::M(m));
            e.write(w, r, host::RDX);
        }
    }
    Emitted::Done
}

fn lea(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    let w = Width::of(width(i));
    let r = e.insn.r[0];
    let address = match e.insn.addr_mask {
        u64::MAX => Width::Q,
        0xFFFF_FFFF => Width::D,
        _ => return Emitted::No,
    };
    // The narrower of both; 32 bits clear the upper half, as they must.
    let narrow = if w.bytes() < address.bytes() { w } else { address };
    let to = match pinned(r) {
        Some(h) if w != Width::W => h,
        _ => host::RCX,
    };
    match e.effective() {
        Effective::Constant(ea) => {
            let ea = if narrow == Width::Q { ea } else { ea & 0xFFFF_FFFF };
            e.asm.mov_imm(to, ea);
        }
        Effective::Sum(m) => e.asm.lea(if narrow == Width::Q { Width::Q } else { Width::D }, to, m),
        // Cold registers may have been loaded, which changes nothing.
        Effective::Unknown => return Emitted::No,
    }
    if to == host::RCX {
        e.write(w, r, to);
    }
    Emitted::Done
}

fn cmov(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    let (Some(cc), Some(shape)) = (condition(i), shape(i)) else { return Emitted::No };
    let w = Width::of(width(i));
    let [r0, r1, ..] = e.insn.r;
    let (from, to) = match shape {
        Shape::RegReg => {
            let from = Rm::R(e.read(r1, host::RDX));
            (from, e.target(w, r0, host::RCX))
        }
        Shape::RegMem => {
            let Some(m) = e.operand(w.bytes(), false) else { return Emitted::No };
            (Rm::M(m), e.target(w, r0, host::RDX))
        }
        _ => return Emitted::No,
    };
    e.need_flags(needs_of(cc));
    e.asm.wide(w, &[0x0F, 0x40 | cc], to, from);
    e.commit(w, r0, to);
    Emitted::Done
}

fn setcc(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    let Some(cc) = condition(i) else { return Emitted::No };
    let r = e.insn.r[0];
    let set = |e: &mut Emitter<'_>, to: Rm| {
        e.need_flags(needs_of(cc));
        e.asm.op(None, false, (false, true), &[0x0F, 0x90 | cc], 0, to);
    };
    match shape(i) {
        Some(Shape::Reg) => {
            let to = e.target(Width::B, r, host::RCX);
            set(e, Rm::R(to));
            e.commit(Width::B, r, to);
        }
        Some(Shape::Mem) => {
            let Some(m) = e.operand(1, true) else { return Emitted::No };
            set(e, Rm::M(m));
        }
        _ => return Emitted::No,
    }
    Emitted::Done
}

fn bswap(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    let w = Width::of(width(i));
    if w == Width::W {
        return Emitted::No;
    }
    let r = e.insn.r[0];
    let to = e.target(w, r, host::RCX);
    let rex = u8::from(w == Width::Q) << 3 | to >> 3;
    if rex != 0 {
        e.asm.put(&[0x40 | rex]);
    }
    e.asm.put(&[0x0F, 0xC8 | to & 7]);
    e.commit(w, r, to);
    Emitted::Done
}

/// The family.
pub fn emit(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    use Mnemonic::*;
    match i.mnemonic() {
        Mov | Movnti => mov(e, i),
        Movzx => extend(e, i, false),
        Movsx | Movsxd => extend(e, i, true),
        Xchg => xchg(e, i),
        Lea => lea(e, i),
        Bswap => bswap(e, i),
        Cmovo | Cmovno | Cmovb | Cmovae | Cmove | Cmovne | Cmovbe | Cmova | Cmovs | Cmovns | Cmovp
        | Cmovnp | Cmovl | Cmovge | Cmovle | Cmovg => cmov(e, i),
        Seto | Setno | Setb | Setae | Sete | Setne | Setbe | Seta | Sets | Setns | Setp | Setnp | Setl
        | Setge | Setle | Setg => setcc(e, i),
        _ => Emitted::No,
    }
}
