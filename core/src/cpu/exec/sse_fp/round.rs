//! ROUNDPS, ROUNDPD, ROUNDSS, ROUNDSD.

use super::shape::{ElementOp, Lowest, Packed, fp_table};
use crate::cpu::insn::Handler;
use crate::softfloat::ieee::{Context, Double, Format, Rounding, Single, round_to_integral};
use iced_x86::Instruction;

/// The handler of a rounding form.
pub fn select(i: &Instruction) -> Option<Handler> {
    fp_table! { i;
        Roundps_xmm_xmmm128_imm8 => Packed<Single, Round>;
        Roundpd_xmm_xmmm128_imm8 => Packed<Double, Round>;
        Roundss_xmm_xmmm32_imm8 => Lowest<Single, Round>, u32;
        Roundsd_xmm_xmmm64_imm8 => Lowest<Double, Round>, u64;
    }
}

/// Immediate bit 3 suppresses PE, bit 2 chooses MXCSR's rounding mode over that of bits 1:0.
struct Round;

impl ElementOp for Round {
    #[inline(always)]
    fn apply<F: Format>(_: u64, b: u64, imm: u8, cx: &mut Context) -> u64 {
        let rounding = if imm & 4 != 0 { cx.rounding() } else { Rounding::from_rc(imm.into()) };
        round_to_integral::<F>(b, rounding, imm & 8 == 0, cx)
    }
}
