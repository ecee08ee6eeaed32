//! CMPPS and its kin, COMISS, UCOMISS.

use super::shape::{ElementOp, Lowest, Packed, element, finish, fp_table, source};
use crate::cpu::access::Exec;
use crate::cpu::env::Env;
use crate::cpu::exec::simd::from_memory;
use crate::cpu::flags;
use crate::cpu::insn::{Handler, Insn};
use crate::cpu::state::Vcpu;
use crate::softfloat::ieee::{Context, Double, Format, Ordering, Single, ordered_quiet, ordered_signaling};
use crate::types::Scalar;
use iced_x86::{Code, Instruction};

/// The handler of a comparison.
pub fn select(i: &Instruction) -> Option<Handler> {
    select_flags(i).or_else(|| select_masks(i))
}

fn select_masks(i: &Instruction) -> Option<Handler> {
    fp_table! { i;
        Cmpps_xmm_xmmm128_imm8 => Packed<Single, Compare>;
        Cmppd_xmm_xmmm128_imm8 => Packed<Double, Compare>;
        Cmpss_xmm_xmmm32_imm8 => Lowest<Single, Compare>, u32;
        Cmpsd_xmm_xmmm64_imm8 => Lowest<Double, Compare>, u64;
    }
}

fn select_flags(i: &Instruction) -> Option<Handler> {
    Some(match (i.code(), from_memory(i)) {
        (Code::Comiss_xmm_xmmm32, true) => comis::<Single, u32, true, true>,
        (Code::Comiss_xmm_xmmm32, false) => comis::<Single, u32, true, false>,
        (Code::Comisd_xmm_xmmm64, true) => comis::<Double, u64, true, true>,
        (Code::Comisd_xmm_xmmm64, false) => comis::<Double, u64, true, false>,
        (Code::Ucomiss_xmm_xmmm32, true) => comis::<Single, u32, false, true>,
        (Code::Ucomiss_xmm_xmmm32, false) => comis::<Single, u32, false, false>,
        (Code::Ucomisd_xmm_xmmm64, true) => comis::<Double, u64, false, true>,
        (Code::Ucomisd_xmm_xmmm64, false) => comis::<Double, u64, false, false>,
        _ => return None,
    })
}

/// The outcomes for which each predicate holds, one bit per [`Ordering`]: equal, less, less or
/// equal, unordered, and their opposites.
const PREDICATES: [u8; 8] = {
    const LESS: u8 = 1 << Ordering::Less as u8;
    const EQUAL: u8 = 1 << Ordering::Equal as u8;
    const UNORDERED: u8 = 1 << Ordering::Unordered as u8;
    const ALL: u8 = 0xF;
    [EQUAL, LESS, LESS | EQUAL, UNORDERED, ALL ^ EQUAL, ALL ^ LESS, ALL ^ (LESS | EQUAL), ALL ^ UNORDERED]
};

/// Of predicates 0 to 7, those that raise IE for quiet NaNs: the ones with "less".
const SIGNALING: u8 = 0b0110_0110;

/// CMPPS: all ones where the predicate holds.
struct Compare;

impl ElementOp for Compare {
    #[inline(always)]
    fn apply<F: Format>(a: u64, b: u64, imm: u8, cx: &mut Context) -> u64 {
        let predicate = imm & 7;
        let ordering = if SIGNALING >> predicate & 1 != 0 {
            ordered_signaling::<F>(a, b, cx)
        } else {
            ordered_quiet::<F>(a, b, cx)
        };
        let holds = PREDICATES[usize::from(predicate)] >> ordering as u8 & 1 != 0;
        if holds { F::SIGN | (F::SIGN - 1) } else { 0 }
    }
}

fn comis<F: Format, T: Scalar, const SIGNALING: bool, const MEM: bool>(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    insn: &Insn,
) -> Exec<()> {
    let b = element::<F>(source::<T, MEM>(cpu, env, insn)?, 0);
    let a = element::<F>(cpu.xmm(insn.r[0]), 0);
    let mut cx = Context::new(cpu.mxcsr);
    let ordering =
        if SIGNALING { ordered_signaling::<F>(a, b, &mut cx) } else { ordered_quiet::<F>(a, b, &mut cx) };
    finish(cpu, &cx)?;
    cpu.flags.set_arithmetic(match ordering {
        Ordering::Unordered => flags::ZF | flags::PF | flags::CF,
        Ordering::Greater => 0,
        Ordering::Less => flags::CF,
        Ordering::Equal => flags::ZF,
    });
    Ok(())
}
