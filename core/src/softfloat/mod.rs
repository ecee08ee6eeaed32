//! IEEE 754 arithmetic in integers: the same bits on every host (80-bit extended, double, single).

mod f80;
pub mod f80_arith;
pub mod f80_bcd;
pub mod f80_compare;
pub mod f80_constants;
pub mod f80_context;
pub mod f80_convert;
pub mod f80_exp_log;
pub mod f80_rem;
pub mod f80_scale;
pub mod f80_trig;
mod f80_wide;
pub mod ieee;

pub use f80::{Class, F80, Num};
