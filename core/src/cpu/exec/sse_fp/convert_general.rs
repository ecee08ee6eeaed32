//! Conversions between XMM registers and general or MMX registers.
//!
//! Those with an MMX operand put the x87 unit into MMX operation, and do so (as Zen 4 does) even if
//! they end in #XM. With a memory operand, CVTPI2PS and CVTPI2PD have nothing to do with MMX.

use super::convert::{pair_to_i32, truncating};
use super::shape::{element, finish, replace_low, source};
use crate::cpu::access::Exec;
use crate::cpu::env::Env;
use crate::cpu::exec::operand::Operand;
use crate::cpu::exec::simd::{from_memory, load_vector, mmx_enter, mmx_ready, sse_ready};
use crate::cpu::insn::{Handler, Insn};
use crate::cpu::state::Vcpu;
use crate::softfloat::ieee::{self, Context, Double, Format, Single};
use crate::types::Scalar;
use iced_x86::{Code, Instruction};

/// The handler of a conversion.
pub fn select(i: &Instruction) -> Option<Handler> {
    if from_memory(i) { select_form::<true>(i.code()) } else { select_form::<false>(i.code()) }
}

fn select_form<const MEM: bool>(code: Code) -> Option<Handler> {
    Some(match code {
        Code::Cvtsi2ss_xmm_rm32 => from_general::<Single, u32>,
        Code::Cvtsi2ss_xmm_rm64 => from_general::<Single, u64>,
        Code::Cvtsi2sd_xmm_rm32 => from_general::<Double, u32>,
        Code::Cvtsi2sd_xmm_rm64 => from_general::<Double, u64>,
        Code::Cvtss2si_r32_xmmm32 => to_general::<Single, u32, u32, false, MEM>,
        Code::Cvtss2si_r64_xmmm32 => to_general::<Single, u32, u64, false, MEM>,
        Code::Cvtsd2si_r32_xmmm64 => to_general::<Double, u64, u32, false, MEM>,
        Code::Cvtsd2si_r64_xmmm64 => to_general::<Double, u64, u64, false, MEM>,
        Code::Cvttss2si_r32_xmmm32 => to_general::<Single, u32, u32, true, MEM>,
        Code::Cvttss2si_r64_xmmm32 => to_general::<Single, u32, u64, true, MEM>,
        Code::Cvttsd2si_r32_xmmm64 => to_general::<Double, u64, u32, true, MEM>,
        Code::Cvttsd2si_r64_xmmm64 => to_general::<Double, u64, u64, true, MEM>,
        Code::Cvtpi2ps_xmm_mmm64 => cvtpi2ps::<MEM>,
        Code::Cvtpi2pd_xmm_mmm64 => cvtpi2pd::<MEM>,
        Code::Cvtps2pi_mm_xmmm64 => to_mmx::<Single, u64, false, MEM>,
        Code::Cvttps2pi_mm_xmmm64 => to_mmx::<Single, u64, true, MEM>,
        Code::Cvtpd2pi_mm_xmmm128 => to_mmx::<Double, u128, false, MEM>,
        Code::Cvttpd2pi_mm_xmmm128 => to_mmx::<Double, u128, true, MEM>,
        _ => return None,
    })
}

fn from_general<F: Format, G: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    sse_ready(cpu)?;
    let v = cpu.operand::<G>(env, insn, 1)?;
    let mut cx = Context::new(cpu.mxcsr);
    let low = ieee::from_i64::<F>(crate::cpu::flags::sign_extend::<G>(v) as i64, &mut cx);
    finish(cpu, &cx)?;
    let old = cpu.xmm(insn.r[0]);
    cpu.set_xmm(insn.r[0], replace_low::<F>(old, low));
    Ok(())
}

fn to_general<F: Format, T: Scalar, G: Operand, const TRUNCATE: bool, const MEM: bool>(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    insn: &Insn,
) -> Exec<()> {
    let b = element::<F>(source::<T, MEM>(cpu, env, insn)?, 0);
    let mut cx = Context::new(cpu.mxcsr);
    let integer = |cx: &mut Context| {
        if G::BITS == 32 { ieee::to_i32::<F>(b, cx).into() } else { ieee::to_i64::<F>(b, cx) }
    };
    let v: i64 = if TRUNCATE { truncating(&mut cx, integer) } else { integer(&mut cx) };
    finish(cpu, &cx)?;
    G::set(cpu, insn.r[0], v as u64);
    Ok(())
}

/// The two doublewords of an MMX register or of memory.
fn mmx_pair<const MEM: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<[i32; 2]> {
    sse_ready(cpu)?;
    let v: u64 = if MEM {
        load_vector(cpu, env, insn)?
    } else {
        mmx_ready(cpu)?;
        mmx_enter(cpu);
        cpu.mm(insn.r[1])
    };
    Ok([v as i32, (v >> 32) as i32])
}

fn cvtpi2ps<const MEM: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    let pair = mmx_pair::<MEM>(cpu, env, insn)?;
    let mut cx = Context::new(cpu.mxcsr);
    let [low, high] = pair.map(|v| ieee::from_i32::<Single>(v, &mut cx));
    finish(cpu, &cx)?;
    let old = cpu.xmm(insn.r[0]);
    cpu.set_xmm(insn.r[0], replace_low::<Double>(old, low | high << 32));
    Ok(())
}

/// Exact: no exceptions.
fn cvtpi2pd<const MEM: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    let pair = mmx_pair::<MEM>(cpu, env, insn)?;
    let mut cx = Context::new(cpu.mxcsr);
    let [low, high] = pair.map(|v| ieee::from_i32::<Double>(v, &mut cx));
    cpu.set_xmm(insn.r[0], u128::from(low) | u128::from(high) << 64);
    Ok(())
}

fn to_mmx<F: Format, T: Scalar, const TRUNCATE: bool, const MEM: bool>(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    insn: &Insn,
) -> Exec<()> {
    sse_ready(cpu)?;
    mmx_ready(cpu)?;
    let b = source::<T, MEM>(cpu, env, insn)?;
    mmx_enter(cpu);
    let mut cx = Context::new(cpu.mxcsr);
    let pair = |cx: &mut Context| pair_to_i32::<F>(b, cx);
    let v = if TRUNCATE { truncating(&mut cx, pair) } else { pair(&mut cx) };
    finish(cpu, &cx)?;
    cpu.set_mm(insn.r[0], v);
    Ok(())
}
