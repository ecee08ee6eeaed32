//! What goes into a test case and what comes out of it: the state of ring 3 as plain data.

use crate::layout::WINDOW_BYTES;
use dejavm_core::cpu::flags;

/// An FXSAVE image, 64-bit form (SDM vol. 1, 10.5.1).
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct FxImage(pub [u8; 512]);

impl FxImage {
    /// The image after FNINIT with the default MXCSR.
    pub fn new() -> Self {
        let mut fx = Self([0; 512]);
        fx.set_u16(0, 0x037F);
        fx.0[24..28].copy_from_slice(&0x1F80u32.to_le_bytes());
        fx
    }

    /// The little-endian word at a byte offset.
    pub fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.0[at], self.0[at + 1]])
    }

    /// Sets the word at a byte offset.
    pub fn set_u16(&mut self, at: usize, v: u16) {
        self.0[at..at + 2].copy_from_slice(&v.to_le_bytes());
    }

    /// MXCSR.
    pub fn mxcsr(&self) -> u32 {
        u32::from_le_bytes(self.0[24..28].try_into().expect("4 bytes"))
    }

    /// ST(i): significand, and sign with exponent.
    pub fn st(&self, i: usize) -> (u64, u16) {
        let at = 32 + 16 * i;
        (u64::from_le_bytes(self.0[at..at + 8].try_into().expect("8 bytes")), self.u16(at + 8))
    }

    /// Sets ST(i).
    pub fn set_st(&mut self, i: usize, significand: u64, sign_exponent: u16) {
        let at = 32 + 16 * i;
        self.0[at..at + 8].copy_from_slice(&significand.to_le_bytes());
        self.set_u16(at + 8, sign_exponent);
    }

    /// XMM register i.
    pub fn xmm(&self, i: usize) -> u128 {
        let at = 160 + 16 * i;
        u128::from_le_bytes(self.0[at..at + 16].try_into().expect("16 bytes"))
    }

    /// Sets XMM register i.
    pub fn set_xmm(&mut self, i: usize, v: u128) {
        let at = 160 + 16 * i;
        self.0[at..at + 16].copy_from_slice(&v.to_le_bytes());
    }
}

impl Default for FxImage {
    fn default() -> Self {
        Self::new()
    }
}

/// The registers of ring 3.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Registers {
    /// x87, MMX, XMM, MXCSR.
    pub fx: FxImage,
    /// RAX to R15 in encoding order.
    pub gpr: [u64; 16],
    /// RIP.
    pub rip: u64,
    /// RFLAGS.
    pub flags: u64,
    /// The base of FS.
    pub fs_base: u64,
    /// The base of GS.
    pub gs_base: u64,
}

/// How an execution ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Ending {
    /// The vector of the exception that ended it: #BP (the INT3 after the block) or #DB (the
    /// single step) if all went well.
    pub vector: u64,
    /// The error code of those vectors that have one, else 0.
    pub error_code: u64,
    /// CR2 of a #PF, else 0.
    pub address: u64,
}

/// How far a case runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// To the INT3 that follows the block.
    Block,
    /// One instruction, with RFLAGS.TF set: for branches.
    SingleStep,
}

/// Everything that decides the outcome of a case.
#[derive(Clone)]
pub struct Input {
    /// The code.
    pub code: Vec<u8>,
    /// How far it runs.
    pub extent: Extent,
    /// The registers; RIP is [`crate::layout::CODE`].
    pub registers: Registers,
    /// The data at [`crate::layout::WINDOW`].
    pub window: Box<[u8; WINDOW_BYTES]>,
}

/// What an execution left.
#[derive(Clone)]
pub struct Output {
    /// The registers.
    pub registers: Registers,
    /// The data.
    pub window: Box<[u8; WINDOW_BYTES]>,
    /// How it ended.
    pub ending: Ending,
}

/// The flags that ring 3 can see and change, and that a case compares.
pub const COMPARED_FLAGS: u64 = flags::ARITHMETIC | flags::DF | flags::NT | flags::AC | flags::ID;

/// Whether a vector comes with an error code.
pub fn has_error_code(vector: u64) -> bool {
    matches!(vector, 8 | 10..=14 | 17)
}
