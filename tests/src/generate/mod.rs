//! Test cases from a seed: [`encode`] makes the bytes of an instruction with random operands,
//! [`state`] makes registers and memory in which these bytes have something to do.

pub mod encode;
pub mod state;
pub mod values;
