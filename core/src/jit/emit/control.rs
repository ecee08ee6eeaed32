//! Near JMP, Jcc, CALL, RET.
//!
//! Targets that are known are checked here; those that are not are looked up among targets that
//! were reached before, which are good ones.

use super::{Emitted, Emitter};
use crate::codemem::field;
use crate::cpu::access::canonical;
use crate::cpu::exec::form::condition;
use crate::cpu::insn::NO_REG;
use crate::jit::asm::{Mem, Rm, Width, host};
use iced_x86::{Code, Instruction};

/// The linear address that a relative branch goes to, if it is a 64-bit one to a good address.
fn target(e: &Emitter<'_>, i: &Instruction) -> Option<u64> {
    let to = e.next_rip().wrapping_add(e.insn.imm);
    (i.op0_kind() == iced_x86::OpKind::NearBranch64 && canonical(to)).then_some(to)
}

fn jcc(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    let (Some(cc), Some(to)) = (condition(i), target(e, i)) else { return Emitted::No };
    e.branch(cc, to);
    Emitted::Done
}

fn jmp(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    let Some(to) = target(e, i) else { return Emitted::No };
    if e.comes_next(to) {
        return Emitted::Done;
    }
    e.go_to(to);
    Emitted::End
}

/// Pushes the address of the next instruction, and expects a return to it, of a call to `to`, or to where
/// [`Emitter::keep_target`] said.
fn push_return_address(e: &mut Emitter<'_>, to: Option<u64>) {
    let back = e.next_rip();
    let m = e.stack_operand(-8, true);
    if i32::try_from(back as i64).is_ok() {
        e.asm.store_imm(Width::Q, Rm::M(m), back);
    } else {
        e.asm.mov_imm(host::RDX, back);
        e.asm.store(Width::Q, Rm::M(m), host::RDX);
    }
    e.note_store();
    e.release_stack(-8);
    e.note_call(to);
    e.expect_return(back);
}

fn call(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    let Some(to) = target(e, i) else { return Emitted::No };
    push_return_address(e, Some(to));
    e.go_to(to);
    Emitted::End
}

/// The 64-bit target operand in RCX.
fn load_target(e: &mut Emitter<'_>) -> bool {
    let r = e.insn.r[0];
    if r != NO_REG {
        let h = e.read(r, host::RCX);
        e.asm.mov(host::RCX, h);
        return true;
    }
    let Some(m) = e.memory(8, false) else { return false };
    e.asm.load(Width::Q, host::RCX, Rm::M(m));
    true
}

fn jmp_indirect(e: &mut Emitter<'_>) -> Emitted {
    if !load_target(e) {
        return Emitted::No;
    }
    let code = e.look_up();
    e.asm.jmp_rm(Rm::M(code));
    Emitted::End
}

fn call_indirect(e: &mut Emitter<'_>) -> Emitted {
    if !load_target(e) {
        return Emitted::No;
    }
    e.keep_target();
    let code = e.look_up();
    let temp = Mem::at(host::RSP, field::TEMP);
    e.asm.load(Width::Q, host::RDX, Rm::M(code));
    e.asm.store(Width::Q, Rm::M(temp), host::RDX);
    push_return_address(e, None);
    e.asm.jmp_rm(Rm::M(temp));
    Emitted::End
}

fn ret(e: &mut Emitter<'_>) -> Emitted {
    let released = 8 + e.insn.imm as i32;
    let m = e.stack_operand(0, false);
    e.asm.load(Width::Q, host::RCX, Rm::M(m));
    e.note_return();
    e.go_back(released);
    Emitted::End
}

/// The family.
pub fn emit(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    if i.is_jcc_short_or_near() {
        return jcc(e, i);
    }
    match i.code() {
        Code::Jmp_rel8_64 | Code::Jmp_rel32_64 => jmp(e, i),
        Code::Call_rel32_64 => call(e, i),
        Code::Jmp_rm64 => jmp_indirect(e),
        Code::Call_rm64 => call_indirect(e),
        Code::Retnq | Code::Retnq_imm16 => ret(e),
        _ => Emitted::No,
    }
}
