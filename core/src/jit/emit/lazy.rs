//! Flags that are not saved, since nobody will want them but a handler or an exception on the way.
//!
//! Most flags are overwritten before an instruction reads them, but an access to memory lies in between,
//! which needs the host's flags and may fault. If what made the flags can be done again from registers
//! that are as they were, it is done again where somebody asks: in code that is rarely run.

use super::Emitter;
use super::flags::Host;
use crate::cpu::insn::HIGH_BYTE;
use crate::jit::asm::{Alu, Asm, Rm, Width, host};
use crate::jit::host::{Family, Trust};
use crate::jit::regs::pinned;
use iced_x86::{Code, ConditionCode, Instruction, Mnemonic, OpKind, Register};

/// How far is looked ahead.
const FAR: usize = 24;

/// How flags are made once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Cmp,
    Test,
    /// The first register is the sum of what it was and the second operand.
    Add,
    /// Or the difference.
    Sub,
}

/// The second operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Register(u8),
    Immediate(u64),
}

/// What makes the flags once more. Registers are guest registers that the host has in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Redo {
    how: How,
    w: Width,
    a: u8,
    by: By,
}

/// A register operand that can be read as it is.
fn plain(w: Width, r: u8) -> bool {
    pinned(r & 15).is_some() && (w != Width::B || r < HIGH_BYTE)
}

impl Redo {
    /// For an instruction of register operand `r`, `None` if there is no way.
    pub(super) fn new(how: How, w: Width, r: u8, by: By) -> Option<Self> {
        let by_known = match by {
            By::Register(b) => plain(w, b),
            By::Immediate(_) => true,
        };
        let arithmetic = matches!(how, How::Add | How::Sub);
        let lost = arithmetic && (by == By::Register(r) || matches!(w, Width::B | Width::W));
        (plain(w, r) && by_known && !lost).then_some(Self { how, w, a: r, by })
    }

    fn uses(&self, g: u8) -> bool {
        self.a == g || self.by == By::Register(g)
    }

    /// Makes the flags in the host's; RCX is lost.
    pub(super) fn emit(&self, asm: &mut Asm) {
        let w = self.w;
        let a = pinned(self.a).expect("checked in `new`");
        let alu = |asm: &mut Asm, op, to| match self.by {
            By::Register(b) => asm.alu(op, w, to, Rm::R(pinned(b).expect("checked in `new`"))),
            By::Immediate(imm) => asm.alu_imm(op, w, Rm::R(to), imm),
        };
        match (self.how, self.by) {
            (How::Cmp, _) => alu(asm, Alu::Cmp, a),
            (How::Test, By::Register(b)) => {
                asm.sized(w, 0x84, pinned(b).expect("checked in `new`"), Rm::R(a));
            }
            (How::Test, By::Immediate(imm)) => {
                asm.sized_ext(w, 0xF6, 0, Rm::R(a));
                asm.imm(w, imm);
            }
            (How::Add | How::Sub, _) => {
                let (back, again) =
                    if self.how == How::Add { (Alu::Sub, Alu::Add) } else { (Alu::Add, Alu::Sub) };
                asm.mov(host::RCX, a);
                alu(asm, back, host::RCX);
                alu(asm, again, host::RCX);
            }
        }
    }
}

/// What an instruction has to do with flags.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// It writes all of them and reads none.
    Sets,
    /// Neither.
    Neutral,
    /// Anything else, or not known.
    Other,
}

fn role(i: &Instruction, trust: Trust) -> Role {
    use Mnemonic::*;
    // MOVSD is a string instruction, too, and MOVSXD to 16 bits is interpreted.
    // The block goes on behind it, or ends with it.
    if matches!(i.code(), Code::Jmp_rel8_64 | Code::Jmp_rel32_64) {
        return Role::Neutral;
    }
    let special = i.is_string_instruction() || (i.mnemonic() == Movsxd && i.op0_register().is_gpr16());
    let prefixed = i.has_lock_prefix() || i.has_rep_prefix() || i.has_repne_prefix() || special;
    let operands = (0..i.op_count())
        .all(|k| i.op_kind(k) != OpKind::Register || i.op_register(k).is_gpr() || i.op_register(k).is_xmm());
    if prefixed || !operands || Family::of(i).is_some_and(|family| !trust.has(family)) {
        return Role::Other;
    }
    match i.mnemonic() {
        Add | Sub | Cmp | And | Or | Xor | Test | Neg | Comiss | Comisd | Ucomiss | Ucomisd => Role::Sets,
        Mov | Movzx | Movsx | Movsxd | Lea | Nop | Endbr64 | Not => Role::Neutral,
        Push | Pop if i.op0_kind() == OpKind::Register => Role::Neutral,
        Movaps | Movapd | Movups | Movupd | Movdqa | Movdqu | Movss | Movsd | Movd | Movq | Movlpd
        | Movhpd | Movlps | Movhps | Addss | Addsd | Addps | Addpd | Subss | Subsd | Subps | Subpd
        | Mulss | Mulsd | Mulps | Mulpd | Divss | Divsd | Divps | Divpd | Sqrtss | Sqrtsd | Pxor | Por
        | Pand | Pandn | Xorps | Xorpd | Andps | Andpd | Unpcklpd | Unpcklps | Unpckhpd | Paddb | Paddw
        | Paddd | Paddq | Psubb | Psubd | Psubq | Pcmpeqb | Pcmpeqd | Pmovmskb | Pminub | Cvtsi2sd
        | Cvtss2sd | Cvtsd2ss | Cvttsd2si | Shufps | Pshufd | Punpcklqdq | Punpckldq => Role::Neutral,
        _ => Role::Other,
    }
}

/// Whether a handler may be called for it, or the block be left.
fn may_leave(i: &Instruction) -> bool {
    (0..i.op_count()).any(|k| match i.op_kind(k) {
        OpKind::Memory => i.mnemonic() != Mnemonic::Lea,
        OpKind::Register => i.op_register(k).is_xmm(),
        _ => false,
    }) || i.stack_pointer_increment() != 0
}

/// Whether it may write a register that `redo` needs.
fn spoils(i: &Instruction, redo: &Redo) -> bool {
    use crate::cpu::insn::register_index;
    let written = i.op0_kind() == OpKind::Register
        && i.op0_register().is_gpr()
        && redo.uses(register_index(i.op0_register().full_register()));
    written || (i.stack_pointer_increment() != 0 && redo.uses(register_index(Register::RSP)))
}

impl Emitter<'_> {
    /// Host flags may be overwritten from here on, for an access of this instruction. The guest's are
    /// saved only if they must be.
    pub(super) fn spoil_flags_lazily(&mut self) {
        if !self.flags.ax && self.flags.redo.is_some_and(|redo| self.flags_die(redo)) {
            self.flags.host = Host::None;
        } else {
            self.spoil_flags();
        }
    }

    /// Whether the flags that `redo` makes are overwritten, from this instruction on, before they are
    /// read, and can be made wherever a handler might see them.
    fn flags_die(&self, redo: Redo) -> bool {
        let mut valid = true;
        for i in self.decoded.iter().skip(self.number as usize).take(FAR) {
            let role = role(i, self.trust);
            if role == Role::Other || (may_leave(i) && !valid) {
                return false;
            }
            if role == Role::Sets {
                return true;
            }
            valid &= !spoils(i, &redo);
        }
        false
    }

    /// Behind an instruction: what it wrote may have been needed to make the flags again.
    pub(super) fn forget_redo(&mut self, i: &Instruction) {
        let (role, conditional) = (role(i, self.trust), i.condition_code() != ConditionCode::None);
        let made_here = self.flags.host == Host::All && role == Role::Sets;
        let stays = |redo: &Redo| (role == Role::Neutral || conditional) && !spoils(i, redo);
        if !made_here {
            self.flags.redo = self.flags.redo.filter(stays);
        }
    }
}
