//! Shifts of lanes by an immediate or by the low quadword of a vector.

use crate::cpu::access::Exec;
use crate::cpu::env::Env;
use crate::cpu::exec::simd::{Lane, binary_ops, sse_ready, xmm_table};
use crate::cpu::insn::{Handler, Insn};
use crate::cpu::state::Vcpu;
use iced_x86::{Code, Instruction};

/// The handler of a shift.
pub fn select(i: &Instruction) -> Option<Handler> {
    select_immediate(i.code()).or_else(|| select_variable(i))
}

fn select_variable(i: &Instruction) -> Option<Handler> {
    xmm_table! { i;
        Psllw_xmm_xmmm128 => Psllw;
        Pslld_xmm_xmmm128 => Pslld;
        Psllq_xmm_xmmm128 => Psllq;
        Psrlw_xmm_xmmm128 => Psrlw;
        Psrld_xmm_xmmm128 => Psrld;
        Psrlq_xmm_xmmm128 => Psrlq;
        Psraw_xmm_xmmm128 => Psraw;
        Psrad_xmm_xmmm128 => Psrad;
    }
}

fn select_immediate(code: Code) -> Option<Handler> {
    Some(match code {
        Code::Psllw_xmm_imm8 => immediate::<Psllw>,
        Code::Pslld_xmm_imm8 => immediate::<Pslld>,
        Code::Psllq_xmm_imm8 => immediate::<Psllq>,
        Code::Psrlw_xmm_imm8 => immediate::<Psrlw>,
        Code::Psrld_xmm_imm8 => immediate::<Psrld>,
        Code::Psrlq_xmm_imm8 => immediate::<Psrlq>,
        Code::Psraw_xmm_imm8 => immediate::<Psraw>,
        Code::Psrad_xmm_imm8 => immediate::<Psrad>,
        Code::Pslldq_xmm_imm8 => immediate::<Pslldq>,
        Code::Psrldq_xmm_imm8 => immediate::<Psrldq>,
        _ => return None,
    })
}

/// The count of a shift: the low quadword, where anything from 255 on means the same.
#[inline(always)]
fn count(b: u128) -> u32 {
    (b as u64).min(255) as u32
}

macro_rules! each_lane {
    ($v:expr, $t:ty, |$x:ident| $f:expr) => {{
        let v = <$t>::split($v);
        <$t>::build(|k| {
            let $x = v[k];
            $f
        })
    }};
}

binary_ops! {
    Psllw = |a, b| { let n = count(b); each_lane!(a, u16, |x| x.checked_shl(n).unwrap_or(0)) };
    Pslld = |a, b| { let n = count(b); each_lane!(a, u32, |x| x.checked_shl(n).unwrap_or(0)) };
    Psllq = |a, b| { let n = count(b); each_lane!(a, u64, |x| x.checked_shl(n).unwrap_or(0)) };
    Psrlw = |a, b| { let n = count(b); each_lane!(a, u16, |x| x.checked_shr(n).unwrap_or(0)) };
    Psrld = |a, b| { let n = count(b); each_lane!(a, u32, |x| x.checked_shr(n).unwrap_or(0)) };
    Psrlq = |a, b| { let n = count(b); each_lane!(a, u64, |x| x.checked_shr(n).unwrap_or(0)) };
    Psraw = |a, b| { let n = count(b).min(15); each_lane!(a, i16, |x| x >> n) };
    Psrad = |a, b| { let n = count(b).min(31); each_lane!(a, i32, |x| x >> n) };
    Pslldq = |a, b| a.checked_shl(8 * count(b)).unwrap_or(0);
    Psrldq = |a, b| a.checked_shr(8 * count(b)).unwrap_or(0);
}

fn immediate<O: crate::cpu::exec::simd::BinaryOp>(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    sse_ready(cpu)?;
    let a = cpu.xmm(insn.r[0]);
    cpu.set_xmm(insn.r[0], O::apply::<16>(a, u128::from(insn.imm as u8)));
    Ok(())
}
