//! SYSCALL, SYSRET, SYSENTER and SYSEXIT as AMD has them (APM vol. 3): SYSENTER and SYSEXIT do
//! not exist in long mode, SYSCALL and SYSRET do exist outside it, and SYSRET to a
//! non-canonical address faults after the return.

use crate::boundary::{ProbeEvent, ProbeKind};
use crate::cpu::env::Env;
use crate::cpu::flags::{self, Flags};
use crate::cpu::state::{
    BlockEnd, CodeSize, RAX, RCX, RDI, RDX, RSI, RSP, Segment, Vcpu, attr, cr0, efer, seg,
};
use crate::types::Exception;

const R8: usize = 8;
const R9: usize = 9;
const R10: usize = 10;
const R11: usize = 11;

/// A segment over all 4 GiB, present and accessed.
fn flat(selector: u16, cpl: u8, kind: u16) -> Segment {
    let dpl = u16::from(cpl) << attr::DPL_SHIFT;
    Segment {
        selector,
        base: 0,
        limit: u32::MAX,
        attributes: attr::P | attr::S | attr::G | attr::RW | attr::ACCESSED | dpl | kind,
    }
}

fn code32(selector: u16, cpl: u8) -> Segment {
    flat(selector, cpl, attr::CODE | attr::DB)
}

fn code64(selector: u16, cpl: u8) -> Segment {
    flat(selector, cpl, attr::CODE | attr::L)
}

fn stack32(selector: u16, cpl: u8) -> Segment {
    flat(selector, cpl, attr::DB)
}

fn enter(cpu: &mut Vcpu, cpl: u8, cs: Segment, ss: Segment, rip: u64) {
    cpu.cpl = cpl;
    cpu.segs[seg::CS] = cs;
    cpu.segs[seg::SS] = ss;
    cpu.set_rip(rip);
    cpu.refresh();
    cpu.end_block(BlockEnd::Elsewhere);
}

/// What enters a system call, as probes see it.
///
/// # Errors
/// What `enter` raises.
pub fn noted_entry(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    enter: fn(&mut Vcpu) -> Result<(), Exception>,
) -> Result<(), Exception> {
    if !cpu.probes.wants(ProbeKind::Syscall) {
        return enter(cpu);
    }
    let [number, rdi, rsi, rdx, r10, r8, r9] = [RAX, RDI, RSI, RDX, R10, R8, R9].map(|r| cpu.regs[r]);
    let rip = cpu.rip();
    // Of the caller, not of the handler.
    let before = cpu.origin();
    enter(cpu)?;
    let arguments = Box::new([rdi, rsi, rdx, r10, r8, r9]);
    cpu.log_of(env, before, ProbeEvent::Syscall { rip, number, arguments });
    Ok(())
}

/// What returns from a system call, as probes see it.
///
/// # Errors
/// What `leave` raises.
pub fn noted_return(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    leave: fn(&mut Vcpu) -> Result<(), Exception>,
) -> Result<(), Exception> {
    leave(cpu)?;
    let (rip, result) = (cpu.rip(), cpu.regs[RAX]);
    cpu.note(env, ProbeKind::SyscallReturn, || ProbeEvent::SyscallReturn { rip, result });
    Ok(())
}

/// SYSCALL.
///
/// # Errors
/// #UD unless EFER.SCE is set.
pub fn syscall(cpu: &mut Vcpu) -> Result<(), Exception> {
    if cpu.efer & efer::SCE == 0 {
        return Err(Exception::UD);
    }
    let selector = (cpu.msrs.star >> 32) as u16 & !3;
    let ss = stack32(selector.wrapping_add(8), 0);
    let next = cpu.rip();
    cpu.entered_handler = true;
    if cpu.long_mode() {
        let target = if cpu.code_size == CodeSize::Bits64 { cpu.msrs.lstar } else { cpu.msrs.cstar };
        cpu.regs[RCX] = next;
        cpu.regs[R11] = cpu.flags.bits() & !flags::RF;
        cpu.flags = Flags::from_bits(cpu.flags.bits() & !(cpu.msrs.fmask | flags::RF));
        enter(cpu, 0, code64(selector, 0), ss, target);
    } else {
        cpu.regs[RCX] = next & 0xFFFF_FFFF;
        cpu.flags.set_system(flags::IF | flags::VM | flags::RF, false);
        let target = cpu.msrs.star & 0xFFFF_FFFF;
        enter(cpu, 0, code32(selector, 0), ss, target);
    }
    Ok(())
}

/// SYSRET; `to_64` with a 64-bit operand.
///
/// # Errors
/// #UD unless EFER.SCE is set; #GP(0) outside protected mode or privilege level 0.
pub fn sysret(cpu: &mut Vcpu, to_64: bool) -> Result<(), Exception> {
    if cpu.efer & efer::SCE == 0 {
        return Err(Exception::UD);
    }
    if cpu.cr0 & cr0::PE == 0 || cpu.cpl != 0 {
        return Err(Exception::GP0);
    }
    let base = (cpu.msrs.star >> 48) as u16 & !3;
    let ss = stack32(base.wrapping_add(8) | 3, 3);
    if cpu.long_mode() {
        let image = cpu.regs[R11] & !(flags::RF | flags::VM);
        cpu.flags = Flags::from_bits(image & EXISTING);
    } else {
        cpu.flags.set_system(flags::IF, true);
    }
    if to_64 {
        let rip = cpu.regs[RCX];
        enter(cpu, 3, code64(base.wrapping_add(16) | 3, 3), ss, rip);
    } else {
        let rip = cpu.regs[RCX] & 0xFFFF_FFFF;
        enter(cpu, 3, code32(base | 3, 3), ss, rip);
    }
    Ok(())
}

/// RFLAGS bits that can be set.
const EXISTING: u64 =
    flags::ARITHMETIC | flags::TF | flags::IF | flags::DF | flags::IOPL | flags::NT | flags::AC | flags::ID;

/// SYSENTER.
///
/// # Errors
/// #UD in long mode; #GP(0) in real mode or without IA32_SYSENTER_CS.
pub fn sysenter(cpu: &mut Vcpu) -> Result<(), Exception> {
    if cpu.long_mode() {
        return Err(Exception::UD);
    }
    let selector = cpu.msrs.sysenter_cs as u16 & !3;
    if cpu.real_mode() || selector == 0 {
        return Err(Exception::GP0);
    }
    cpu.flags.set_system(flags::IF | flags::VM | flags::RF, false);
    cpu.regs[RSP] = cpu.msrs.sysenter_esp & 0xFFFF_FFFF;
    let rip = cpu.msrs.sysenter_eip & 0xFFFF_FFFF;
    enter(cpu, 0, code32(selector, 0), stack32(selector.wrapping_add(8), 0), rip);
    Ok(())
}

/// SYSEXIT.
///
/// # Errors
/// #GP(0) outside privilege level 0 of protected mode, or without IA32_SYSENTER_CS; #UD at
/// privilege level 0 of long mode (Zen 4 looks at the level first).
pub fn sysexit(cpu: &mut Vcpu) -> Result<(), Exception> {
    if cpu.long_mode() && cpu.cpl == 0 {
        return Err(Exception::UD);
    }
    let selector = cpu.msrs.sysenter_cs as u16 & !3;
    if cpu.real_mode() || cpu.cpl != 0 || selector == 0 {
        return Err(Exception::GP0);
    }
    cpu.regs[RSP] = cpu.regs[RCX] & 0xFFFF_FFFF;
    let rip = cpu.regs[RDX] & 0xFFFF_FFFF;
    enter(cpu, 3, code32(selector.wrapping_add(16) | 3, 3), stack32(selector.wrapping_add(24) | 3, 3), rip);
    Ok(())
}
