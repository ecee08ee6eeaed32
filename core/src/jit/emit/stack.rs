//! PUSH, POP, LEAVE, PUSHF of 64 bits. POPF is interpreted.

use super::{Emitted, Emitter};
use crate::codemem::field;
use crate::cpu::exec::form::{Shape, shape};
use crate::cpu::flags::{ARITHMETIC, OF, RF, VM};
use crate::cpu::state::{RBP, RSP};
use crate::jit::asm::{Alu, Mem, Rm, Width, host};
use crate::jit::regs::pinned;
use iced_x86::{Code, Instruction, Mnemonic, OpKind};

fn host_of(g: usize) -> u8 {
    pinned(g as u8).expect("the stack registers have host registers")
}

fn push(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    if i.stack_pointer_increment() != -8 {
        return Emitted::No;
    }
    let sp = host_of(RSP);
    let r = e.insn.r[0];
    let imm = e.insn.imm;
    match shape(i) {
        Some(Shape::Reg) if i.op0_register().is_gpr() => {
            let m = e.stack_operand(-8, true);
            let from = e.read(r, host::RDX);
            e.asm.store(Width::Q, Rm::M(m), from);
        }
        Some(Shape::Mem) => {
            let Some(m) = e.memory(8, false) else { return Emitted::No };
            let temp = Rm::M(Mem::at(host::RSP, field::TEMP));
            e.asm.load(Width::Q, host::RDX, Rm::M(m));
            e.asm.store(Width::Q, temp, host::RDX);
            let m = e.stack_operand(-8, true);
            e.asm.load(Width::Q, host::RDX, temp);
            e.asm.store(Width::Q, Rm::M(m), host::RDX);
        }
        None if i.op0_kind() != OpKind::Register && i32::try_from(imm as i64).is_ok() => {
            let m = e.stack_operand(-8, true);
            e.asm.store_imm(Width::Q, Rm::M(m), imm);
        }
        _ => return Emitted::No,
    }
    e.asm.lea(Width::Q, sp, Mem::at(sp, -8));
    Emitted::Done
}

fn pop(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    let register = i.op0_kind() == OpKind::Register && i.op0_register().is_gpr64();
    if !register {
        return Emitted::No;
    }
    let sp = host_of(RSP);
    let r = e.insn.r[0];
    let m = e.stack_operand(0, false);
    e.asm.load(Width::Q, host::RDX, Rm::M(m));
    e.asm.lea(Width::Q, sp, Mem::at(sp, 8));
    e.write(Width::Q, r, host::RDX);
    Emitted::Done
}

fn leave(e: &mut Emitter<'_>) -> Emitted {
    let (sp, bp) = (host_of(RSP), host_of(RBP));
    let m = e.translate_at(bp, 0, 8, false);
    e.asm.load(Width::Q, host::RDX, Rm::M(m));
    e.asm.lea(Width::Q, sp, Mem::at(bp, 8));
    e.asm.mov(bp, host::RDX);
    Emitted::Done
}

/// The flags as they are pushed: in [`field::TEMP`]; RCX and RDX are lost.
fn make_image(e: &mut Emitter<'_>) {
    e.spoil_flags();
    // SF, ZF, AF, PF, CF from AH; OF from AL.
    e.asm.rorx(Width::D, host::RDX, host::RAX, 8);
    e.asm.alu_imm(Alu::And, Width::D, Rm::R(host::RDX), ARITHMETIC & 0xFF);
    e.asm.movzx(host::RCX, Width::B, Rm::R(host::RAX));
    e.asm.rorx(Width::D, host::RCX, host::RCX, 32 - OF.trailing_zeros() as u8);
    e.asm.alu(Alu::Or, Width::D, host::RDX, Rm::R(host::RCX));
    e.asm.load(Width::Q, host::RCX, Rm::M(Mem::at(host::RSP, field::SYSTEM_FLAGS)));
    e.asm.load(Width::D, host::RCX, Rm::M(Mem::at(host::RCX, 0)));
    e.asm.alu_imm(Alu::And, Width::D, Rm::R(host::RCX), !(VM | RF) & 0xFFFF_FFFF);
    e.asm.alu(Alu::Or, Width::D, host::RDX, Rm::R(host::RCX));
    e.asm.store(Width::Q, Rm::M(Mem::at(host::RSP, field::TEMP)), host::RDX);
}

fn pushf(e: &mut Emitter<'_>) -> Emitted {
    let sp = host_of(RSP);
    make_image(e);
    let m = e.stack_operand(-8, true);
    e.asm.load(Width::Q, host::RDX, Rm::M(Mem::at(host::RSP, field::TEMP)));
    e.asm.store(Width::Q, Rm::M(m), host::RDX);
    e.asm.lea(Width::Q, sp, Mem::at(sp, -8));
    Emitted::Done
}

/// The family.
pub fn emit(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    match i.mnemonic() {
        Mnemonic::Push => push(e, i),
        Mnemonic::Pop => pop(e, i),
        _ if i.code() == Code::Leaveq => leave(e),
        _ if i.code() == Code::Pushfq => pushf(e),
        _ => Emitted::No,
    }
}
