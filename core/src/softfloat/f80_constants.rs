//! Mathematical constants to 128 bits, truncated, and those that the FLD instructions load.

use super::f80::{BIAS, F80};
use super::f80_context::{Context, Rounding};
use super::f80_wide::Wide;

/// π.
pub(super) const PI: Wide = Wide::new(false, 1, 0xC90F_DAA2_2168_C234_C4C6_628B_80DC_1CD1);
/// π/2.
pub(super) const HALF_PI: Wide = Wide::new(false, 0, 0xC90F_DAA2_2168_C234_C4C6_628B_80DC_1CD1);
/// π/4.
pub(super) const QUARTER_PI: Wide = Wide::new(false, -1, 0xC90F_DAA2_2168_C234_C4C6_628B_80DC_1CD1);
/// 3π/4.
pub(super) const THREE_QUARTERS_PI: Wide = Wide::new(false, 1, 0x96CB_E3F9_990E_91A7_9394_C9E8_A0A5_159C);
/// ln 2.
pub(super) const LN_2: Wide = Wide::new(false, -1, 0xB172_17F7_D1CF_79AB_C9E3_B398_03F2_F6AF);
/// 2/ln 2.
pub(super) const TWO_OVER_LN_2: Wide = Wide::new(false, 1, 0xB8AA_3B29_5C17_F0BB_BE87_FED0_691D_3E88);
/// log2 10.
pub(super) const LOG2_10: Wide = Wide::new(false, 1, 0xD49A_784B_CD1B_8AFE_492B_F6FF_4DAF_DB4C);
/// log2 e.
pub(super) const LOG2_E: Wide = Wide::new(false, 0, 0xB8AA_3B29_5C17_F0BB_BE87_FED0_691D_3E88);
/// log10 2.
pub(super) const LOG10_2: Wide = Wide::new(false, -2, 0x9A20_9A84_FBCF_F798_8F89_59AC_0B7C_9178);

/// atan(k/8) for k from 1 to 8.
pub(super) const ATAN_EIGHTHS: [Wide; 8] = [
    Wide::new(false, -4, 0xFEAD_D4D5_617B_6E32_C897_989F_3E88_8EF7),
    Wide::new(false, -3, 0xFADB_AFC9_6406_EB15_6DC7_9EF5_F7A2_17E5),
    Wide::new(false, -2, 0xB7B0_CA0F_26F7_8473_8AA3_2122_DCFE_4483),
    Wide::new(false, -2, 0xED63_382B_0DDA_7B45_6FE4_45EC_BC3A_8D03),
    Wide::new(false, -1, 0x8F00_5D5E_F7F5_9F9B_5C83_5E16_65C4_3747),
    Wide::new(false, -1, 0xA4BC_7D19_34F7_0924_19A8_7F2A_457D_AC9E),
    Wide::new(false, -1, 0xB805_3E2B_C231_9E73_CB2D_A552_10A4_443D),
    Wide::new(false, -1, 0xC90F_DAA2_2168_C234_C4C6_628B_80DC_1CD1),
];

/// What FLD1 FLDL2T FLDL2E FLDPI FLDLG2 FLDLN2 FLDZ (`which` 0 to 6) load: rounded as the
/// control word asks, without a flag.
pub fn constant(rounding: Rounding, which: usize) -> F80 {
    let wide = match which {
        0 => return F80::ONE,
        1 => LOG2_10,
        2 => LOG2_E,
        3 => PI,
        4 => LOG10_2,
        5 => LN_2,
        _ => return F80::ZERO,
    };
    let mut ctx = Context { rounding, width: 64, masks: 0x3F, flags: 0 };
    ctx.round(false, wide.exp + BIAS, wide.sig | 1)
}
