//! Moves between XMM registers, memory and general registers, of whatever element type.

use crate::cpu::access::Exec;
use crate::cpu::env::Env;
use crate::cpu::exec::operand::Operand;
use crate::cpu::exec::simd::{load_vector, mmx_enter, mmx_ready, sse_ready, store_vector};
use crate::cpu::insn::{Handler, Insn, NO_REG};
use crate::cpu::state::{RDI, Vcpu};
use crate::mem::AccessKind;
use crate::types::Scalar;
use iced_x86::{Code, Instruction, OpKind};

const LOW: u128 = u64::MAX as u128;

/// The handler of a move.
pub fn select(i: &Instruction) -> Option<Handler> {
    let registers = i.op0_kind() == OpKind::Register && i.op1_kind() == OpKind::Register;
    if registers { select_registers(i.code()) } else { select_memory(i.code()) }
        .or_else(|| select_mixed(i.code()))
}

fn select_registers(code: Code) -> Option<Handler> {
    Some(match code {
        Code::Movups_xmm_xmmm128
        | Code::Movupd_xmm_xmmm128
        | Code::Movdqu_xmm_xmmm128
        | Code::Movaps_xmm_xmmm128
        | Code::Movapd_xmm_xmmm128
        | Code::Movdqa_xmm_xmmm128
        | Code::Movups_xmmm128_xmm
        | Code::Movupd_xmmm128_xmm
        | Code::Movdqu_xmmm128_xmm
        | Code::Movaps_xmmm128_xmm
        | Code::Movapd_xmmm128_xmm
        | Code::Movdqa_xmmm128_xmm => combine::<Whole>,
        Code::Movss_xmm_xmmm32 | Code::Movss_xmmm32_xmm => combine::<Low32>,
        Code::Movsd_xmm_xmmm64 | Code::Movsd_xmmm64_xmm => combine::<Low64>,
        Code::Movq_xmm_xmmm64 | Code::Movq_xmmm64_xmm => combine::<Low64Zero>,
        Code::Movhlps_xmm_xmm => combine::<HighToLow>,
        Code::Movlhps_xmm_xmm => combine::<LowToHigh>,
        _ => return None,
    })
}

fn select_memory(code: Code) -> Option<Handler> {
    Some(match code {
        Code::Movups_xmm_xmmm128
        | Code::Movupd_xmm_xmmm128
        | Code::Movdqu_xmm_xmmm128
        | Code::Lddqu_xmm_m128 => load_unaligned,
        Code::Movaps_xmm_xmmm128
        | Code::Movapd_xmm_xmmm128
        | Code::Movdqa_xmm_xmmm128
        | Code::Movntdqa_xmm_m128 => load::<u128>,
        Code::Movups_xmmm128_xmm | Code::Movupd_xmmm128_xmm | Code::Movdqu_xmmm128_xmm => store_unaligned,
        Code::Movaps_xmmm128_xmm
        | Code::Movapd_xmmm128_xmm
        | Code::Movdqa_xmmm128_xmm
        | Code::Movntps_m128_xmm
        | Code::Movntpd_m128_xmm
        | Code::Movntdq_m128_xmm => store::<u128>,
        Code::Movss_xmm_xmmm32 => load::<u32>,
        Code::Movss_xmmm32_xmm => store::<u32>,
        Code::Movsd_xmm_xmmm64 | Code::Movq_xmm_xmmm64 => load::<u64>,
        Code::Movsd_xmmm64_xmm | Code::Movq_xmmm64_xmm | Code::Movlps_m64_xmm | Code::Movlpd_m64_xmm => {
            store::<u64>
        }
        Code::Movlps_xmm_m64 | Code::Movlpd_xmm_m64 => load_low,
        Code::Movhps_xmm_m64 | Code::Movhpd_xmm_m64 => load_high,
        Code::Movhps_m64_xmm | Code::Movhpd_m64_xmm => store_high,
        Code::Maskmovdqu_rDI_xmm_xmm => maskmovdqu,
        _ => return None,
    })
}

fn select_mixed(code: Code) -> Option<Handler> {
    Some(match code {
        Code::Movd_xmm_rm32 => from_general::<u32>,
        Code::Movq_xmm_rm64 => from_general::<u64>,
        Code::Movd_rm32_xmm => to_general::<u32>,
        Code::Movq_rm64_xmm => to_general::<u64>,
        Code::Movq2dq_xmm_mm => movq2dq,
        Code::Movdq2q_mm_xmm => movdq2q,
        _ => return None,
    })
}

/// How a register-to-register move combines the old destination and the source.
trait Combine {
    fn combine(old: u128, source: u128) -> u128;
}

macro_rules! combinations {
    ($($name:ident = |$old:pat_param, $source:pat_param| $body:expr;)*) => {$(
        struct $name;
        impl Combine for $name {
            #[inline(always)]
            fn combine($old: u128, $source: u128) -> u128 {
                $body
            }
        }
    )*};
}
combinations! {
    Whole = |_, s| s;
    Low32 = |old, s| old & !0xFFFF_FFFF | s & 0xFFFF_FFFF;
    Low64 = |old, s| old & !LOW | s & LOW;
    Low64Zero = |_, s| s & LOW;
    HighToLow = |old, s| old & !LOW | s >> 64;
    LowToHigh = |old, s| old & LOW | s << 64;
}

fn combine<C: Combine>(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    sse_ready(cpu)?;
    let v = C::combine(cpu.xmm(insn.r[0]), cpu.xmm(insn.r[1]));
    cpu.set_xmm(insn.r[0], v);
    Ok(())
}

fn load<T: Scalar>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    sse_ready(cpu)?;
    let v = load_vector::<T>(cpu, env, insn)?;
    cpu.set_xmm(insn.r[0], v.to_u128());
    Ok(())
}

fn store<T: Scalar>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    sse_ready(cpu)?;
    let v = T::from_u128(cpu.xmm(insn.r[1]));
    store_vector(cpu, env, insn, v)
}

fn load_unaligned(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    sse_ready(cpu)?;
    let v = cpu.load_operand::<u128>(env, insn)?;
    cpu.set_xmm(insn.r[0], v);
    Ok(())
}

fn store_unaligned(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    sse_ready(cpu)?;
    let v = cpu.xmm(insn.r[1]);
    cpu.store_operand(env, insn, v)
}

fn load_low(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    sse_ready(cpu)?;
    let v = cpu.load_operand::<u64>(env, insn)?;
    let old = cpu.xmm(insn.r[0]);
    cpu.set_xmm(insn.r[0], old & !LOW | u128::from(v));
    Ok(())
}

fn load_high(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    sse_ready(cpu)?;
    let v = cpu.load_operand::<u64>(env, insn)?;
    let old = cpu.xmm(insn.r[0]);
    cpu.set_xmm(insn.r[0], old & LOW | u128::from(v) << 64);
    Ok(())
}

fn store_high(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    sse_ready(cpu)?;
    let v = (cpu.xmm(insn.r[1]) >> 64) as u64;
    cpu.store_operand(env, insn, v)
}

fn from_general<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    sse_ready(cpu)?;
    let v = cpu.operand::<T>(env, insn, 1)?;
    cpu.set_xmm(insn.r[0], v.into());
    Ok(())
}

fn to_general<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    sse_ready(cpu)?;
    let v = cpu.xmm(insn.r[1]) as u64;
    cpu.set_operand::<T>(env, insn, 0, v)
}

fn movq2dq(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    sse_ready(cpu)?;
    mmx_ready(cpu)?;
    mmx_enter(cpu);
    let v = cpu.mm(insn.r[1]);
    cpu.set_xmm(insn.r[0], v.into());
    Ok(())
}

fn movdq2q(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    sse_ready(cpu)?;
    mmx_ready(cpu)?;
    mmx_enter(cpu);
    let v = cpu.xmm(insn.r[1]) as u64;
    cpu.set_mm(insn.r[0], v);
    Ok(())
}

fn maskmovdqu(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    sse_ready(cpu)?;
    debug_assert_eq!(insn.r[0], NO_REG);
    let (v, mask) = (cpu.xmm(insn.r[1]), cpu.xmm(insn.r[2]));
    store_masked::<16>(cpu, env, insn, v, mask)
}

/// Stores those of the low `BYTES` bytes of `v` whose byte in `mask` has its top bit set, at
/// DS:rDI. Every quadword must be writable, even if nothing of it is selected, as Zen 4 has it.
///
/// # Errors
/// What the accesses raise; nothing was written then.
pub fn store_masked<const BYTES: usize>(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    insn: &Insn,
    v: u128,
    mask: u128,
) -> Exec<()> {
    let ea = cpu.regs[RDI] & insn.addr_mask;
    let start = cpu.linear_at(insn, insn.seg as usize, ea, BYTES, true)?;
    for quadword in (0..BYTES as u64).step_by(8) {
        cpu.probe(env, cpu.further(start, quadword), 8, AccessKind::Write)?;
    }
    for k in (0..BYTES).filter(|k| mask >> (8 * k + 7) & 1 != 0) {
        cpu.store(env, cpu.further(start, k as u64), (v >> (8 * k)) as u8)?;
    }
    Ok(())
}
