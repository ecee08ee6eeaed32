//! Permutation of floating-point elements. None of them looks at the values.

use crate::cpu::access::Exec;
use crate::cpu::env::Env;
use crate::cpu::exec::simd::{
    Lane, binary_imm_ops, binary_ops, from_memory, load_vector, sse_ready, xmm_imm_table, xmm_table,
};
use crate::cpu::exec::sse_int::shuffle::quarter;
use crate::cpu::insn::{Handler, Insn};
use crate::cpu::state::Vcpu;
use iced_x86::{Code, Instruction};

/// The handler of a permutation.
pub fn select(i: &Instruction) -> Option<Handler> {
    select_plain(i).or_else(|| select_immediate(i)).or_else(|| select_insert(i))
}

fn select_plain(i: &Instruction) -> Option<Handler> {
    xmm_table! { i;
        Movddup_xmm_xmmm64 => Movddup, u64;
        Movsldup_xmm_xmmm128 => Movsldup;
        Movshdup_xmm_xmmm128 => Movshdup;
    }
}

fn select_immediate(i: &Instruction) -> Option<Handler> {
    xmm_imm_table! { i;
        Shufps_xmm_xmmm128_imm8 => Shufps;
        Shufpd_xmm_xmmm128_imm8 => Shufpd;
        Blendps_xmm_xmmm128_imm8 => Blendps;
        Blendpd_xmm_xmmm128_imm8 => Blendpd;
    }
}

fn select_insert(i: &Instruction) -> Option<Handler> {
    Some(match (i.code(), from_memory(i)) {
        (Code::Insertps_xmm_xmmm32_imm8, true) => insertps::<true>,
        (Code::Insertps_xmm_xmmm32_imm8, false) => insertps::<false>,
        _ => return None,
    })
}

binary_ops! {
    Movddup = |_, b| u64::build(|_| b as u64);
    Movsldup = |_, b| { let v = u32::split(b); u32::build(|k| v[k & 2]) };
    Movshdup = |_, b| { let v = u32::split(b); u32::build(|k| v[k | 1]) };
}

binary_imm_ops! {
    Shufps = |a, b, imm| { let (a, b) = (u32::split(a), u32::split(b)); u32::build(|k| if k < 2 { a[quarter(imm, k)] } else { b[quarter(imm, k)] }) };
    Shufpd = |a, b, imm| { let (a, b) = (u64::split(a), u64::split(b)); u64::build(|k| if k == 0 { a[usize::from(imm & 1)] } else { b[usize::from(imm >> 1 & 1)] }) };
    Blendps = |a, b, imm| blend::<u32>(a, b, imm);
    Blendpd = |a, b, imm| blend::<u64>(a, b, imm);
}

fn blend<L: Lane>(a: u128, b: u128, imm: u8) -> u128 {
    let (a, b) = (L::split(a), L::split(b));
    L::build(|k| if imm >> k & 1 != 0 { b.as_ref()[k] } else { a.as_ref()[k] })
}

/// INSERTPS: an element of the source (the only one, if in memory) replaces one of the
/// destination; then those of the zero mask are cleared.
fn insertps<const MEM: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    sse_ready(cpu)?;
    let imm = insn.imm as u8;
    let v: u32 = if MEM {
        load_vector(cpu, env, insn)?
    } else {
        u32::split(cpu.xmm(insn.r[1]))[usize::from(imm >> 6)]
    };
    let mut lanes = u32::split(cpu.xmm(insn.r[0]));
    lanes[usize::from(imm >> 4 & 3)] = v;
    cpu.set_xmm(insn.r[0], u32::build(|k| if imm >> k & 1 != 0 { 0 } else { lanes[k] }));
    Ok(())
}
