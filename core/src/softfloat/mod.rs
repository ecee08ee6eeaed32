//! IEEE 754 arithmetic in integers: the same bits on every host (80-bit extended, double, single).

mod f80;

pub use f80::F80;
