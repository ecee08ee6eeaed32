//! Memory operands of the x87 unit.

use crate::cpu::env::Env;
use crate::cpu::insn::{Exec, Insn};
use crate::cpu::state::Vcpu;
use crate::mem::AccessKind;
use crate::softfloat::{F80, Num};
use crate::types::Exception;

/// A memory operand that becomes a number.
pub trait Source {
    /// Reads it.
    fn load(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Result<Num, Exception>;
}

/// m32fp.
pub struct M32;
/// m64fp.
pub struct M64;
/// m16int.
pub struct I16;
/// m32int.
pub struct I32;
/// m64int.
pub struct I64;

impl Source for M32 {
    #[inline(always)]
    fn load(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Result<Num, Exception> {
        Ok(Num::from_f32(cpu.load_operand(env, insn)?))
    }
}
impl Source for M64 {
    #[inline(always)]
    fn load(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Result<Num, Exception> {
        Ok(Num::from_f64(cpu.load_operand(env, insn)?))
    }
}
impl Source for I16 {
    #[inline(always)]
    fn load(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Result<Num, Exception> {
        let v: u16 = cpu.load_operand(env, insn)?;
        Ok(Num::from_i64(i64::from(v as i16)))
    }
}
impl Source for I32 {
    #[inline(always)]
    fn load(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Result<Num, Exception> {
        let v: u32 = cpu.load_operand(env, insn)?;
        Ok(Num::from_i64(i64::from(v as i32)))
    }
}
impl Source for I64 {
    #[inline(always)]
    fn load(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Result<Num, Exception> {
        let v: u64 = cpu.load_operand(env, insn)?;
        Ok(Num::from_i64(v as i64))
    }
}

/// The address of a ten-byte operand, checked as a whole.
///
/// # Errors
/// What the access would raise.
pub fn probe_ten(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn, write: bool) -> Result<u64, Exception> {
    let va = cpu.linear(insn, 10, write)?;
    cpu.probe(env, va, 10, if write { AccessKind::Write } else { AccessKind::Read })?;
    Ok(va)
}

/// Ten bytes of memory as the low bits of a u128.
///
/// # Errors
/// What the access raises.
pub fn load_ten(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Result<u128, Exception> {
    let va = probe_ten(cpu, env, insn, false)?;
    let low: u64 = cpu.load(env, va)?;
    let high: u16 = cpu.load(env, cpu.further(va, 8))?;
    Ok(u128::from(high) << 64 | u128::from(low))
}

/// Stores the low ten bytes of a u128.
///
/// # Errors
/// What the access raises; nothing was written then.
pub fn store_ten(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn, v: u128) -> Exec {
    let va = probe_ten(cpu, env, insn, true)?;
    cpu.store(env, va, v as u64)?;
    cpu.store(env, cpu.further(va, 8), (v >> 64) as u16)
}

/// A register image of ten bytes.
pub fn f80_at(bytes: &[u8]) -> F80 {
    let mut image = [0; 16];
    image[..10].copy_from_slice(&bytes[..10]);
    F80::from_bits(u128::from_le_bytes(image))
}
