//! x87: the guest's instruction on the host's unit, which holds the guest's state.
//!
//! All exceptions are masked, or the state would not be loaded; so no pointers are recorded, and
//! nothing waits. Transcendental functions are not the same on all hosts: they are interpreted.

use super::{Emitted, Emitter};
use crate::codemem::field;
use crate::jit::asm::{Alu, Mem, Rm, Width, host};
use iced_x86::{Instruction, Mnemonic, OpCodeInfo, OpCodeOperandKind};

/// All masks of the control word.
const ALL_MASKED: u64 = 0x3F;

/// What an instruction does besides what the host does by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Reads memory, if anything.
    Plain,
    /// Writes its memory operand, if it has one.
    Store,
    /// Reads the arithmetic flags.
    ReadsFlags,
    /// Writes all arithmetic flags.
    WritesFlags,
}

fn kind(i: &Instruction) -> Option<Kind> {
    use Mnemonic::*;
    Some(match i.mnemonic() {
        Fadd | Faddp | Fiadd | Fsub | Fsubp | Fisub | Fsubr | Fsubrp | Fisubr | Fmul | Fmulp | Fimul
        | Fdiv | Fdivp | Fidiv | Fdivr | Fdivrp | Fidivr | Fsqrt | Fabs | Fchs | Frndint | Fld | Fild
        | Fxch | Fcom | Fcomp | Fcompp | Ficom | Ficomp | Fucom | Fucomp | Fucompp | Ftst | Fxam | Fld1
        | Fldz | Fldpi | Fldl2e | Fldl2t | Fldln2 | Fldlg2 | Fincstp | Fdecstp | Ffree | Fnop | Fldcw
        | Fnclex => Kind::Plain,
        Fst | Fstp | Fist | Fistp | Fisttp | Fnstcw => Kind::Store,
        Fcmovb | Fcmovnb | Fcmove | Fcmovne | Fcmovbe | Fcmovnbe | Fcmovu | Fcmovnu => Kind::ReadsFlags,
        Fcomi | Fcomip | Fucomi | Fucomip => Kind::WritesFlags,
        _ => return None,
    })
}

/// The family.
pub fn emit(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    match i.mnemonic() {
        Mnemonic::Fnstsw if i.op_count() == 1 && e.insn.r[0] == 0 => return store_status(e),
        // Nothing is pending.
        Mnemonic::Wait => {
            e.need_x87();
            return Emitted::Done;
        }
        _ => {}
    }
    let Some(kind) = kind(i) else { return Emitted::No };
    let op = i.code().op_code();
    if op.op_code_len() == 1 {
        return memory(e, i, op, kind);
    }
    e.need_x87();
    if kind == Kind::ReadsFlags {
        e.need_flags(super::Host::All);
    }
    let from = (0..op.op_count()).find(|k| op.op_kind(*k) == OpCodeOperandKind::sti_opcode);
    let st = from.map_or(0, |k| e.insn.r[k as usize] & 7);
    let [.., first, second] = op.op_code().to_be_bytes();
    e.asm.put(&[first, second + st]);
    if kind == Kind::WritesFlags {
        e.flags_written();
    }
    Emitted::Done
}

fn memory(e: &mut Emitter<'_>, i: &Instruction, op: &OpCodeInfo, kind: Kind) -> Emitted {
    // Noted, ten bytes are two accesses.
    if !e.addressable() || (e.notes_accesses() && op.memory_size().size() == 10) {
        return Emitted::No;
    }
    e.need_x87();
    let m = e.memory(op.memory_size().size(), kind == Kind::Store).expect("asked before");
    if i.mnemonic() == Mnemonic::Fldcw {
        only_masked(e, m);
    }
    e.asm.op(None, false, (false, false), &[op.op_code() as u8], op.group_index().max(0) as u8, Rm::M(m));
    if i.mnemonic() == Mnemonic::Fldcw {
        // Interpreted, it may have unmasked something.
        e.x87 = false;
    }
    Emitted::Done
}

/// Leaves to the interpreter a control word that unmasks something.
fn only_masked(e: &mut Emitter<'_>, m: Mem) {
    let slow = e.slow_label();
    e.asm.movzx(host::RDX, Width::W, Rm::M(m));
    e.asm.alu_imm(Alu::And, Width::D, Rm::R(host::RDX), ALL_MASKED);
    e.asm.alu_imm(Alu::Cmp, Width::D, Rm::R(host::RDX), ALL_MASKED);
    e.asm.jcc(5, slow);
}

/// FNSTSW AX: the host's AX is not the guest's.
fn store_status(e: &mut Emitter<'_>) -> Emitted {
    e.need_x87();
    let temp = Rm::M(Mem::at(host::RSP, field::TEMP));
    e.asm.op(None, false, (false, false), &[0xDD], 7, temp);
    e.asm.movzx(host::RDX, Width::W, temp);
    e.write(Width::W, 0, host::RDX);
    Emitted::Done
}
