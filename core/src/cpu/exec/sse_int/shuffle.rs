//! Permutation of integer lanes: shuffles, interleaving, alignment, blends.

use crate::cpu::access::Exec;
use crate::cpu::env::Env;
use crate::cpu::exec::simd::{Lane, binary_imm_ops, binary_ops, unpack, xmm_imm_table, xmm_table};
use crate::cpu::exec::simd::{from_memory, load_vector, sse_ready};
use crate::cpu::insn::{Handler, Insn};
use crate::cpu::state::Vcpu;
use iced_x86::{Code, Instruction};

/// The handler of a permutation.
pub fn select(i: &Instruction) -> Option<Handler> {
    select_plain(i).or_else(|| select_immediate(i)).or_else(|| select_variable_blend(i))
}

fn select_plain(i: &Instruction) -> Option<Handler> {
    xmm_table! { i;
        Punpcklbw_xmm_xmmm128 => Punpcklbw;
        Punpcklwd_xmm_xmmm128 => Punpcklwd;
        Punpckldq_xmm_xmmm128 | Unpcklps_xmm_xmmm128 => Punpckldq;
        Punpcklqdq_xmm_xmmm128 | Unpcklpd_xmm_xmmm128 => Punpcklqdq;
        Punpckhbw_xmm_xmmm128 => Punpckhbw;
        Punpckhwd_xmm_xmmm128 => Punpckhwd;
        Punpckhdq_xmm_xmmm128 | Unpckhps_xmm_xmmm128 => Punpckhdq;
        Punpckhqdq_xmm_xmmm128 | Unpckhpd_xmm_xmmm128 => Punpckhqdq;
        Pshufb_xmm_xmmm128 => Pshufb;
    }
}

fn select_immediate(i: &Instruction) -> Option<Handler> {
    xmm_imm_table! { i;
        Pshufd_xmm_xmmm128_imm8 => Pshufd;
        Pshuflw_xmm_xmmm128_imm8 => Pshuflw;
        Pshufhw_xmm_xmmm128_imm8 => Pshufhw;
        Palignr_xmm_xmmm128_imm8 => Palignr;
        Pblendw_xmm_xmmm128_imm8 => Pblendw;
    }
}

fn select_variable_blend(i: &Instruction) -> Option<Handler> {
    Some(match (i.code(), from_memory(i)) {
        (Code::Pblendvb_xmm_xmmm128, true) => variable_blend::<i8, true>,
        (Code::Pblendvb_xmm_xmmm128, false) => variable_blend::<i8, false>,
        (Code::Blendvps_xmm_xmmm128, true) => variable_blend::<i32, true>,
        (Code::Blendvps_xmm_xmmm128, false) => variable_blend::<i32, false>,
        (Code::Blendvpd_xmm_xmmm128, true) => variable_blend::<i64, true>,
        (Code::Blendvpd_xmm_xmmm128, false) => variable_blend::<i64, false>,
        _ => return None,
    })
}

binary_ops! {
    Punpcklbw = |a, b| unpack::<u8, BYTES, false>(a, b);
    Punpcklwd = |a, b| unpack::<u16, BYTES, false>(a, b);
    Punpckldq = |a, b| unpack::<u32, BYTES, false>(a, b);
    Punpcklqdq = |a, b| unpack::<u64, BYTES, false>(a, b);
    Punpckhbw = |a, b| unpack::<u8, BYTES, true>(a, b);
    Punpckhwd = |a, b| unpack::<u16, BYTES, true>(a, b);
    Punpckhdq = |a, b| unpack::<u32, BYTES, true>(a, b);
    Punpckhqdq = |a, b| unpack::<u64, BYTES, true>(a, b);
    Pshufb = |a, b| shuffle_bytes::<BYTES>(a, b);
}

binary_imm_ops! {
    Pshufd = |_, b, imm| { let v = u32::split(b); u32::build(|k| v[quarter(imm, k)]) };
    Pshuflw = |_, b, imm| { let v = u16::split(b); u16::build(|k| if k < 4 { v[quarter(imm, k)] } else { v[k] }) };
    Pshufhw = |_, b, imm| { let v = u16::split(b); u16::build(|k| if k < 4 { v[k] } else { v[4 + quarter(imm, k - 4)] }) };
    Palignr = |a, b, imm| align::<BYTES>(a, b, imm);
    Pblendw = |a, b, imm| { let (a, b) = (u16::split(a), u16::split(b)); u16::build(|k| if imm >> k & 1 != 0 { b[k] } else { a[k] }) };
}

/// Bits 2k+1:2k of an immediate.
#[inline(always)]
pub fn quarter(imm: u8, k: usize) -> usize {
    usize::from(imm >> (2 * k) & 3)
}

fn shuffle_bytes<const BYTES: usize>(a: u128, b: u128) -> u128 {
    let (a, b) = (u8::split(a), u8::split(b));
    u8::build(|k| if b[k] & 0x80 != 0 { 0 } else { a[usize::from(b[k]) & (BYTES - 1)] })
}

/// `a` above `b`, shifted right by `imm` bytes.
fn align<const BYTES: usize>(a: u128, b: u128, imm: u8) -> u128 {
    let shift = 8 * u32::from(imm);
    let width = 8 * BYTES as u32;
    if BYTES == 8 {
        return (a << 64 | b).checked_shr(shift).unwrap_or(0);
    }
    match shift {
        0 => b,
        s if s < width => b >> s | a << (width - s),
        s => a.checked_shr(s - width).unwrap_or(0),
    }
}

/// PBLENDVB, BLENDVPS, BLENDVPD: the sign bits of the lanes of XMM0 select.
fn variable_blend<L: Lane + PartialOrd, const MEM: bool>(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    insn: &Insn,
) -> Exec<()> {
    sse_ready(cpu)?;
    let b: u128 = if MEM { load_vector(cpu, env, insn)? } else { cpu.xmm(insn.r[1]) };
    let (a, b, mask) = (L::split(cpu.xmm(insn.r[0])), L::split(b), L::split(cpu.xmm(0)));
    let zero = L::default();
    let v = L::build(|k| if mask.as_ref()[k] < zero { b.as_ref()[k] } else { a.as_ref()[k] });
    cpu.set_xmm(insn.r[0], v);
    Ok(())
}
