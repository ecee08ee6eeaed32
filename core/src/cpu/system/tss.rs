//! What the processor reads from the task-state segment: inner stacks, interrupt stacks, the
//! I/O permission bitmap (SDM vol. 3, 7.2, 7.7; vol. 1, 19.5.2).

use super::descriptor::{self, error_code, is_null, system_type, table_address};
use super::load_segment::check_stack_rights;
use crate::cpu::env::Env;
use crate::cpu::state::{Segment, Vcpu, attr};
use crate::types::{Exception, vector};

/// Whether TR holds a 16-bit TSS.
pub fn is_tss16(tr: &Segment) -> bool {
    tr.attributes & attr::TYPE & !system_type::BUSY == system_type::TSS16
}

/// Reads bytes of the current TSS, within its limit.
fn check_limit(cpu: &Vcpu, offset: u32, size: u32, ext: u16) -> Result<u64, Exception> {
    if cpu.tr.attributes & attr::P == 0 || offset + size - 1 > cpu.tr.limit {
        return Err(Exception::ts(error_code(cpu.tr.selector) | ext));
    }
    Ok(table_address(cpu, cpu.tr.base, u64::from(offset)))
}

/// SS and ESP for privilege level `cpl` from a 16-bit or 32-bit TSS, checked as a stack.
///
/// # Errors
/// #TS, #SS or #PF.
pub fn inner_stack(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    cpl: u8,
    ext: u16,
) -> Result<(Segment, u64), Exception> {
    let (sp, ss) = if is_tss16(&cpu.tr) {
        let at = check_limit(cpu, u32::from(cpl) * 4 + 2, 4, ext)?;
        (u64::from(cpu.load_system::<u16>(env, at)?), cpu.load_system::<u16>(env, at + 2)?)
    } else {
        let at = check_limit(cpu, u32::from(cpl) * 8 + 4, 6, ext)?;
        (u64::from(cpu.load_system::<u32>(env, at)?), cpu.load_system::<u16>(env, at + 4)?)
    };
    if is_null(ss) {
        return Err(Exception::ts(ext));
    }
    let mut d = descriptor::read(cpu, env, ss, vector::TS, ext)?;
    check_stack_rights(&d, ss, cpl, vector::TS, ext)?;
    descriptor::mark_accessed(cpu, env, &mut d)?;
    Ok((d.segment(ss), sp))
}

/// RSP for privilege level `cpl` from a 64-bit TSS.
///
/// # Errors
/// #TS or #PF.
pub fn rsp(cpu: &mut Vcpu, env: &mut Env<'_>, cpl: u8, ext: u16) -> Result<u64, Exception> {
    let at = check_limit(cpu, u32::from(cpl) * 8 + 4, 8, ext)?;
    cpu.load_system(env, at)
}

/// Entry `n` (1 to 7) of the interrupt stack table of a 64-bit TSS.
///
/// # Errors
/// #TS or #PF.
pub fn interrupt_stack(cpu: &mut Vcpu, env: &mut Env<'_>, n: u8, ext: u16) -> Result<u64, Exception> {
    let at = check_limit(cpu, u32::from(n) * 8 + 28, 8, ext)?;
    cpu.load_system(env, at)
}

/// Whether IOPL, or else the I/O permission bitmap, lets the program use `size` bytes from
/// `port` on.
///
/// # Errors
/// #GP(0) if not; #PF.
pub fn check_io(cpu: &mut Vcpu, env: &mut Env<'_>, port: u16, size: u16) -> Result<(), Exception> {
    let by_level = cpu.cpl <= cpu.flags.iopl() && !cpu.virtual_8086();
    if cpu.real_mode() || by_level {
        return Ok(());
    }
    let tr = cpu.tr;
    if tr.attributes & attr::P == 0 || is_tss16(&tr) || tr.limit < 103 {
        return Err(Exception::GP0);
    }
    let base = u32::from(cpu.load_system::<u16>(env, table_address(cpu, tr.base, 102))?);
    let offset = base + u32::from(port / 8);
    // Two bytes are read always, so that a bitmap needs a byte of ones at its end.
    if offset + 1 > tr.limit {
        return Err(Exception::GP0);
    }
    let bits = cpu.load_system::<u16>(env, table_address(cpu, tr.base, u64::from(offset)))?;
    let mask = (1u16 << size) - 1;
    if bits >> (port % 8) & mask == 0 { Ok(()) } else { Err(Exception::GP0) }
}
