//! Comparison of lanes, masks of sign bits, PTEST.

use crate::cpu::access::Exec;
use crate::cpu::env::Env;
use crate::cpu::exec::operand::Operand;
use crate::cpu::exec::simd::{binary_ops, equal_bytes, from_memory, load_vector, sse_ready, xmm_table, zip};
use crate::cpu::flags;
use crate::cpu::insn::{Handler, Insn};
use crate::cpu::state::Vcpu;
use iced_x86::{Code, Instruction};

/// The handler of a comparison.
pub fn select(i: &Instruction) -> Option<Handler> {
    select_other(i).or_else(|| select_lanes(i))
}

fn select_lanes(i: &Instruction) -> Option<Handler> {
    xmm_table! { i;
        Pcmpeqb_xmm_xmmm128 => Pcmpeqb;
        Pcmpeqw_xmm_xmmm128 => Pcmpeqw;
        Pcmpeqd_xmm_xmmm128 => Pcmpeqd;
        Pcmpeqq_xmm_xmmm128 => Pcmpeqq;
        Pcmpgtb_xmm_xmmm128 => Pcmpgtb;
        Pcmpgtw_xmm_xmmm128 => Pcmpgtw;
        Pcmpgtd_xmm_xmmm128 => Pcmpgtd;
        Pcmpgtq_xmm_xmmm128 => Pcmpgtq;
    }
}

fn select_other(i: &Instruction) -> Option<Handler> {
    Some(match i.code() {
        Code::Pmovmskb_r32_xmm | Code::Pmovmskb_r64_xmm => sign_mask::<8>,
        Code::Movmskps_r32_xmm | Code::Movmskps_r64_xmm => sign_mask::<32>,
        Code::Movmskpd_r32_xmm | Code::Movmskpd_r64_xmm => sign_mask::<64>,
        Code::Ptest_xmm_xmmm128 if from_memory(i) => ptest::<true>,
        Code::Ptest_xmm_xmmm128 => ptest::<false>,
        _ => return None,
    })
}

binary_ops! {
    Pcmpeqb = |a, b| equal_bytes(a, b);
    Pcmpeqw = |a, b| zip(a, b, |x: i16, y| -i16::from(x == y));
    Pcmpeqd = |a, b| zip(a, b, |x: i32, y| -i32::from(x == y));
    Pcmpeqq = |a, b| zip(a, b, |x: i64, y| -i64::from(x == y));
    Pcmpgtb = |a, b| zip(a, b, |x: i8, y| -i8::from(x > y));
    Pcmpgtw = |a, b| zip(a, b, |x: i16, y| -i16::from(x > y));
    Pcmpgtd = |a, b| zip(a, b, |x: i32, y| -i32::from(x > y));
    Pcmpgtq = |a, b| zip(a, b, |x: i64, y| -i64::from(x > y));
}

/// The top bits of the 8 bytes of a quadword.
#[inline(always)]
pub fn byte_signs(v: u64) -> u64 {
    // Each sign bit, moved to the bottom of its byte, is shifted by its own distance into the
    // top byte; no two products meet in one bit.
    ((v >> 7 & 0x0101_0101_0101_0101).wrapping_mul(0x0102_0408_1020_4080)) >> 56
}

fn sign_mask<const BITS: u32>(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    sse_ready(cpu)?;
    let v = cpu.xmm(insn.r[1]);
    let mask = match BITS {
        8 => byte_signs(v as u64) | byte_signs((v >> 64) as u64) << 8,
        32 => (0..4).map(|k| ((v >> (32 * k + 31)) as u64 & 1) << k).sum(),
        _ => (0..2).map(|k| ((v >> (64 * k + 63)) as u64 & 1) << k).sum(),
    };
    u64::set(cpu, insn.r[0], mask);
    Ok(())
}

fn ptest<const MEM: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    sse_ready(cpu)?;
    let b: u128 = if MEM { load_vector(cpu, env, insn)? } else { cpu.xmm(insn.r[1]) };
    let a = cpu.xmm(insn.r[0]);
    let zf = if a & b == 0 { flags::ZF } else { 0 };
    let cf = if !a & b == 0 { flags::CF } else { 0 };
    cpu.flags.set_arithmetic(zf | cf);
    Ok(())
}
