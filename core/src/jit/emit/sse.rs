//! SSE to SSE4.2: the guest's instruction on the same vector registers of the host, with its
//! memory operand and general register replaced.
//!
//! What an instruction computes is architectural, down to NaNs and the flags in MXCSR, but for
//! the few that are left to the interpreter: approximations, and dot products (the order of whose
//! steps shows). Exceptions are masked, or the vector registers would not be loaded.

use super::{Emitted, Emitter};

use crate::cpu::exec::{sse_fp, sse_int, wants_alignment};
use crate::cpu::insn::NO_REG;
use crate::jit::asm::{Mem, Rm, Width, host};
use crate::jit::regs::pinned;
use iced_x86::{
    Code, Instruction, MandatoryPrefix, Mnemonic, OpCodeInfo, OpCodeOperandKind, OpCodeTableKind,
};

/// An operand, and where in the instruction it is encoded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A vector register in ModRM.reg, or in ModRM.rm.
    VectorReg,
    VectorRm,
    /// A general register likewise.
    GeneralReg,
    GeneralRm,
    /// ModRM.rm is memory.
    Memory,
    /// Not in ModRM.
    Elsewhere,
}

/// Where operand `k` is; `None` if it is of a kind that is not done here.
fn place(e: &Emitter<'_>, op: &OpCodeInfo, k: u32) -> Option<Place> {
    use OpCodeOperandKind as Kind;
    let memory = e.insn.r[k as usize] == NO_REG;
    Some(match op.op_kind(k) {
        Kind::xmm_reg => Place::VectorReg,
        Kind::xmm_rm => Place::VectorRm,
        Kind::mem => Place::Memory,
        Kind::xmm_or_mem | Kind::r32_or_mem | Kind::r64_or_mem if memory => Place::Memory,
        Kind::xmm_or_mem => Place::VectorRm,
        Kind::r32_reg | Kind::r64_reg => Place::GeneralReg,
        Kind::r32_rm | Kind::r64_rm | Kind::r32_or_mem | Kind::r64_or_mem => Place::GeneralRm,
        Kind::imm8 => Place::Elsewhere,
        _ => return None,
    })
}

/// Whether the host's result is the one and only.
fn defined(i: &Instruction) -> bool {
    use Mnemonic::*;
    let known = sse_int::select(i).or_else(|| sse_fp::select(i)).is_some();
    let varies = matches!(i.mnemonic(), Rcpps | Rcpss | Rsqrtps | Rsqrtss | Dpps | Dppd);
    // Implicit operands in registers that are elsewhere on the host.
    let implicit = matches!(i.mnemonic(), Maskmovdqu | Pcmpestri | Pcmpestrm | Pcmpestri64 | Pcmpestrm64);
    known && !varies && !implicit
}

/// The form that is run for a form: without hints about caches, which the guest's RAM has no use
/// for and other threads of the host would have to know of.
fn run_as(code: Code) -> Code {
    match code {
        Code::Movntps_m128_xmm | Code::Movntpd_m128_xmm | Code::Movntdq_m128_xmm => Code::Movaps_xmmm128_xmm,
        Code::Movntdqa_xmm_m128 => Code::Movaps_xmm_xmmm128,
        other => other,
    }
}

/// The bits of the immediate that mean something.
fn immediate_mask(m: Mnemonic) -> u8 {
    use Mnemonic::*;
    match m {
        Cmpps | Cmppd | Cmpss | Cmpsd => 7,
        Roundps | Roundpd | Roundss | Roundsd => 0xF,
        Pcmpistri | Pcmpistrm => 0x7F,
        _ => 0xFF,
    }
}

/// Whether the instruction writes all six arithmetic flags; the others write none.
fn writes_flags(m: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(m, Comiss | Comisd | Ucomiss | Ucomisd | Ptest | Pcmpistri | Pcmpistrm)
}

/// Leaves to the interpreter unless `m` is a multiple of 16.
pub(super) fn check_aligned(e: &mut Emitter<'_>, m: Mem) {
    e.spoil_flags_lazily();
    let slow = e.slow_label();
    let low = if m.disp & 15 == 0 && m.index == crate::jit::asm::NONE {
        m.base
    } else {
        e.asm.lea(Width::Q, host::RDX, m);
        host::RDX
    };
    // TEST low, 15
    e.asm.sized_ext(Width::B, 0xF6, 0, Rm::R(low));
    e.asm.put(&[15]);
    e.asm.jcc(5, slow);
}

/// The bytes of the instruction with these operands.
fn encode(e: &mut Emitter<'_>, op: &OpCodeInfo, reg: u8, rm: Rm) {
    let prefix = match op.mandatory_prefix() {
        MandatoryPrefix::P66 => Some(0x66),
        MandatoryPrefix::PF3 => Some(0xF3),
        MandatoryPrefix::PF2 => Some(0xF2),
        _ => None,
    };
    let last = op.op_code() as u8;
    let opcode: &[u8] = match op.table() {
        OpCodeTableKind::T0F38 => &[0x0F, 0x38, last],
        OpCodeTableKind::T0F3A => &[0x0F, 0x3A, last],
        _ => &[0x0F, last],
    };
    e.asm.op(prefix, op.operand_size() == 64, (false, false), opcode, reg, rm);
}

/// The family.
pub fn emit(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    if !defined(i) {
        return Emitted::No;
    }
    let code = i.code();
    let op = run_as(code).op_code();
    let mut places = [Place::Elsewhere; 5];
    for k in 0..op.op_count() {
        let Some(place) = place(e, op, k) else { return Emitted::No };
        places[k as usize] = place;
    }
    if places.contains(&Place::Memory) && !e.addressable() {
        return Emitted::No;
    }
    e.need_vectors();
    let mut reg = op.group_index().max(0) as u8;
    let mut rm = Rm::R(0);
    let mut result = None;
    for (k, place) in places.into_iter().enumerate() {
        let r = e.insn.r[k.min(e.insn.r.len() - 1)];
        match place {
            Place::Elsewhere => {}
            Place::VectorReg => reg = r & 15,
            Place::VectorRm => rm = Rm::R(r & 15),
            Place::Memory => rm = Rm::M(memory(e, code, k == 0)),
            Place::GeneralReg | Place::GeneralRm => {
                let h = if k == 0 {
                    result = Some(r);
                    pinned(r).unwrap_or(host::RDX)
                } else {
                    e.read(r, host::RDX)
                };
                if place == Place::GeneralReg { reg = h } else { rm = Rm::R(h) }
            }
        }
    }
    encode(e, op, reg, rm);
    if op.op_count() > 0 && op.op_kind(op.op_count() - 1) == OpCodeOperandKind::imm8 {
        let imm = e.insn.imm as u8 & immediate_mask(i.mnemonic());
        e.asm.put(&[imm]);
    }
    if let Some(r) = result.filter(|r| pinned(*r).is_none()) {
        // A 32-bit result has cleared the upper half.
        e.write(Width::Q, r, host::RDX);
    }
    if i.mnemonic() == Mnemonic::Pcmpistri {
        e.write(Width::D, host::RCX, host::RCX);
    }
    if writes_flags(i.mnemonic()) {
        e.flags_written();
    }
    Emitted::Done
}

fn memory(e: &mut Emitter<'_>, code: Code, write: bool) -> Mem {
    let bytes = code.op_code().memory_size().size();
    if !wants_alignment(code) {
        return e.operand(bytes, write).expect("asked before");
    }
    if let Some(m) = e.window_operand(bytes, write) {
        check_aligned(e, m);
        return m;
    }
    e.memory_lazily(bytes, write, true).expect("asked before")
}
