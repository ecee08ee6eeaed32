//! PINSRx, PEXTRx, EXTRACTPS: one lane between a vector and a general register or memory.

use crate::cpu::access::Exec;
use crate::cpu::env::Env;
use crate::cpu::exec::operand::Operand;
use crate::cpu::exec::simd::sse_ready;
use crate::cpu::insn::{Handler, Insn, NO_REG};
use crate::cpu::state::Vcpu;
use iced_x86::{Code, Instruction};

/// The handler of an insertion or extraction.
pub fn select(i: &Instruction) -> Option<Handler> {
    Some(match i.code() {
        Code::Pinsrb_xmm_r32m8_imm8 | Code::Pinsrb_xmm_r64m8_imm8 => insert::<u8>,
        Code::Pinsrw_xmm_r32m16_imm8 | Code::Pinsrw_xmm_r64m16_imm8 => insert::<u16>,
        Code::Pinsrd_xmm_rm32_imm8 => insert::<u32>,
        Code::Pinsrq_xmm_rm64_imm8 => insert::<u64>,
        Code::Pextrb_r32m8_xmm_imm8 | Code::Pextrb_r64m8_xmm_imm8 => extract::<u8>,
        Code::Pextrw_r32_xmm_imm8
        | Code::Pextrw_r64_xmm_imm8
        | Code::Pextrw_r32m16_xmm_imm8
        | Code::Pextrw_r64m16_xmm_imm8 => extract::<u16>,
        Code::Pextrd_rm32_xmm_imm8 | Code::Extractps_rm32_xmm_imm8 | Code::Extractps_r64m32_xmm_imm8 => {
            extract::<u32>
        }
        Code::Pextrq_rm64_xmm_imm8 => extract::<u64>,
        _ => return None,
    })
}

/// The bit position of the lane that the immediate selects.
#[inline(always)]
fn position<T: Operand>(insn: &Insn) -> u32 {
    (insn.imm as u32 & (16 / T::SIZE as u32 - 1)) * T::BITS
}

fn insert<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    sse_ready(cpu)?;
    // A register source is at least 32 bits wide: SIL and AH are no choice here.
    let r = insn.r[1];
    let v = if r == NO_REG { cpu.load_operand::<T>(env, insn)?.widen() } else { u64::get(cpu, r) & T::MASK };
    let at = position::<T>(insn);
    let old = cpu.xmm(insn.r[0]) & !(u128::from(T::MASK) << at);
    cpu.set_xmm(insn.r[0], old | u128::from(v) << at);
    Ok(())
}

fn extract<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    sse_ready(cpu)?;
    let v = (cpu.xmm(insn.r[1]) >> position::<T>(insn)) as u64 & T::MASK;
    if insn.r[0] == NO_REG {
        return cpu.store_operand(env, insn, T::narrow(v));
    }
    u64::set(cpu, insn.r[0], v);
    Ok(())
}
