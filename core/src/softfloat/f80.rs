//! The 80-bit double extended-precision format (SDM vol. 1, 4.2.2).

use serde::{Deserialize, Serialize};

/// An 80-bit value as its encoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct F80 {
    /// The significand with its explicit integer bit.
    pub significand: u64,
    /// Sign in bit 15, biased exponent in bits 14:0.
    pub sign_exponent: u16,
}
