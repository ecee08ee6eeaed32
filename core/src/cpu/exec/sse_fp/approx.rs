//! RCPPS, RCPSS, RSQRTPS, RSQRTSS: see `softfloat::ieee` for the result.

use super::shape::{ElementOp, Lowest, Packed, fp_table};
use crate::cpu::insn::Handler;
use crate::softfloat::ieee::{Context, Format, Single, reciprocal, reciprocal_sqrt};
use iced_x86::Instruction;

/// The handler of an approximation.
pub fn select(i: &Instruction) -> Option<Handler> {
    fp_table! { i;
        Rcpps_xmm_xmmm128 => Packed<Single, Reciprocal>;
        Rcpss_xmm_xmmm32 => Lowest<Single, Reciprocal>, u32;
        Rsqrtps_xmm_xmmm128 => Packed<Single, ReciprocalSqrt>;
        Rsqrtss_xmm_xmmm32 => Lowest<Single, ReciprocalSqrt>, u32;
    }
}

struct Reciprocal;

impl ElementOp for Reciprocal {
    fn apply<F: Format>(_: u64, b: u64, _: u8, _: &mut Context) -> u64 {
        reciprocal(b)
    }
}

struct ReciprocalSqrt;

impl ElementOp for ReciprocalSqrt {
    fn apply<F: Format>(_: u64, b: u64, _: u8, _: &mut Context) -> u64 {
        reciprocal_sqrt(b)
    }
}
