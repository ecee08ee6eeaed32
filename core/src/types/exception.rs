//! Exceptions as values: vector and error code (Intel SDM vol. 3, chapter 6).

use serde::{Deserialize, Serialize};

/// Exception vectors (SDM vol. 3, table 6-1).
pub mod vector {
    /// Divide error.
    pub const DE: u8 = 0;
    /// Debug.
    pub const DB: u8 = 1;
    /// Non-maskable interrupt.
    pub const NMI: u8 = 2;
    /// Breakpoint.
    pub const BP: u8 = 3;
    /// Overflow.
    pub const OF: u8 = 4;
    /// BOUND range exceeded.
    pub const BR: u8 = 5;
    /// Invalid opcode.
    pub const UD: u8 = 6;
    /// Device not available.
    pub const NM: u8 = 7;
    /// Double fault.
    pub const DF: u8 = 8;
    /// Invalid TSS.
    pub const TS: u8 = 10;
    /// Segment not present.
    pub const NP: u8 = 11;
    /// Stack-segment fault.
    pub const SS: u8 = 12;
    /// General protection.
    pub const GP: u8 = 13;
    /// Page fault.
    pub const PF: u8 = 14;
    /// x87 floating-point error.
    pub const MF: u8 = 16;
    /// Alignment check.
    pub const AC: u8 = 17;
    /// Machine check.
    pub const MC: u8 = 18;
    /// SIMD floating-point exception.
    pub const XM: u8 = 19;
}

/// A guest exception raised by an instruction: a value, not an error of ours.
///
/// For #PF the faulting linear address is left in the vCPU's `fault_address` by whoever
/// raised it and reaches CR2 on delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// The vector, one of [`vector`].
    pub vector: u8,
    /// The error code pushed on delivery, for the vectors that have one.
    pub error_code: Option<u16>,
}

impl Exception {
    /// An exception without an error code.
    pub const fn plain(vector: u8) -> Self {
        Self { vector, error_code: None }
    }

    /// An exception with an error code.
    pub const fn with_code(vector: u8, code: u16) -> Self {
        Self { vector, error_code: Some(code) }
    }

    /// #DE, divide error.
    pub const DE: Self = Self::plain(vector::DE);
    /// #DB, debug exception (the cause is in DR6 by then).
    pub const DB: Self = Self::plain(vector::DB);
    /// #UD, invalid opcode.
    pub const UD: Self = Self::plain(vector::UD);
    /// #NM, device not available.
    pub const NM: Self = Self::plain(vector::NM);
    /// #GP(0), general protection.
    pub const GP0: Self = Self::with_code(vector::GP, 0);
    /// #SS(0), stack-segment fault.
    pub const SS0: Self = Self::with_code(vector::SS, 0);
    /// #MF, x87 floating-point error.
    pub const MF: Self = Self::plain(vector::MF);
    /// #AC(0), alignment check.
    pub const AC0: Self = Self::with_code(vector::AC, 0);
    /// #XM, SIMD floating-point exception.
    pub const XM: Self = Self::plain(vector::XM);

    /// #GP with a selector (or other) error code.
    pub const fn gp(code: u16) -> Self {
        Self::with_code(vector::GP, code)
    }

    /// #SS with a selector error code.
    pub const fn ss(code: u16) -> Self {
        Self::with_code(vector::SS, code)
    }

    /// #NP with a selector error code.
    pub const fn np(code: u16) -> Self {
        Self::with_code(vector::NP, code)
    }

    /// #TS with a selector error code.
    pub const fn ts(code: u16) -> Self {
        Self::with_code(vector::TS, code)
    }

    /// #PF with its error code (SDM vol. 3, 4.7).
    pub const fn pf(code: u16) -> Self {
        Self::with_code(vector::PF, code)
    }
}
