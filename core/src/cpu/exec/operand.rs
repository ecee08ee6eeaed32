//! Reading and writing general registers, and operands that are register or memory.

use crate::cpu::access::Exec;
use crate::cpu::env::Env;
use crate::cpu::insn::{HIGH_BYTE, Insn};
use crate::cpu::state::Vcpu;
use crate::types::Scalar;

/// The integer widths of general registers.
pub trait Operand: Scalar {
    /// The register `r`, zero-extended.
    fn get(cpu: &Vcpu, r: u8) -> u64;
    /// Writes the register `r`: 32 bits zero the upper half, 8 and 16 leave the rest.
    fn set(cpu: &mut Vcpu, r: u8, v: u64);
    /// The number of bits.
    const BITS: u32 = 8 * Self::SIZE as u32;
    /// All bits of the width.
    const MASK: u64 = u64::MAX >> (64 - Self::BITS);
    /// The top bit of the width.
    const SIGN: u64 = 1 << (Self::BITS - 1);
    /// The value as a u64, zero-extended.
    fn widen(self) -> u64;
    /// The low bits of a u64.
    fn narrow(v: u64) -> Self;
}

/// A width that the low bits of a whole register have; a write keeps the bits in `$kept`.
macro_rules! low_bits_operand {
    ($t:ty, $kept:expr) => {
        impl Operand for $t {
            #[inline(always)]
            fn get(cpu: &Vcpu, r: u8) -> u64 {
                cpu.state.regs[(r & 15) as usize] & Self::MASK
            }
            #[inline(always)]
            fn set(cpu: &mut Vcpu, r: u8, v: u64) {
                let slot = &mut cpu.state.regs[(r & 15) as usize];
                *slot = *slot & $kept | v & Self::MASK;
            }
            #[inline(always)]
            fn widen(self) -> u64 {
                self as u64
            }
            #[inline(always)]
            fn narrow(v: u64) -> Self {
                v as $t
            }
        }
    };
}

low_bits_operand!(u64, 0);
low_bits_operand!(u32, 0);
low_bits_operand!(u16, !0xFFFF);

impl Operand for u8 {
    // AH, CH, DH, BH are 16..=19: the low bits name the register, bit 4 asks for its bits 15:8.
    #[inline(always)]
    fn get(cpu: &Vcpu, r: u8) -> u64 {
        u64::from((cpu.state.regs[(r & 15) as usize] >> ((r & HIGH_BYTE) >> 1)) as u8)
    }
    #[inline(always)]
    fn set(cpu: &mut Vcpu, r: u8, v: u64) {
        let shift = (r & HIGH_BYTE) >> 1;
        let slot = &mut cpu.state.regs[(r & 15) as usize];
        *slot = (*slot & !(0xFF << shift)) | (v & 0xFF) << shift;
    }
    #[inline(always)]
    fn widen(self) -> u64 {
        u64::from(self)
    }
    #[inline(always)]
    fn narrow(v: u64) -> Self {
        v as u8
    }
}

impl Vcpu {
    /// Loads the memory operand.
    ///
    /// # Errors
    /// What the access raises.
    #[inline(always)]
    pub fn load_operand<T: Scalar>(&mut self, env: &mut Env<'_>, insn: &Insn) -> Exec<T> {
        let va = self.linear(insn, T::SIZE, false)?;
        self.load(env, va)
    }

    /// Stores to the memory operand.
    ///
    /// # Errors
    /// What the access raises; nothing was written then.
    #[inline(always)]
    pub fn store_operand<T: Scalar>(&mut self, env: &mut Env<'_>, insn: &Insn, v: T) -> Exec<()> {
        let va = self.linear(insn, T::SIZE, true)?;
        self.store(env, va, v)
    }

    /// Operand `k` of the instruction: its register, or the memory operand.
    ///
    /// # Errors
    /// What the access raises.
    #[inline(always)]
    pub fn operand<T: Operand>(&mut self, env: &mut Env<'_>, insn: &Insn, k: usize) -> Exec<u64> {
        let r = insn.r[k];
        if r == crate::cpu::insn::NO_REG {
            Ok(self.load_operand::<T>(env, insn)?.widen())
        } else {
            Ok(T::get(self, r))
        }
    }

    /// Writes operand `k`: its register, or the memory operand.
    ///
    /// # Errors
    /// What the access raises; nothing was written then.
    #[inline(always)]
    pub fn set_operand<T: Operand>(&mut self, env: &mut Env<'_>, insn: &Insn, k: usize, v: u64) -> Exec<()> {
        let r = insn.r[k];
        if r == crate::cpu::insn::NO_REG {
            self.store_operand(env, insn, T::narrow(v))
        } else {
            T::set(self, r, v);
            Ok(())
        }
    }
}
