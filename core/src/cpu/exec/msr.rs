//! RDMSR, WRMSR, CPUID, RDTSC, RDTSCP, RDPMC, RDRAND, RDSEED (SDM vol. 2). The registers
//! themselves are in [`crate::cpu::system::msr`].

use super::Operand;
use crate::boundary::{ProbeEvent, ProbeKind};
use crate::cpu::env::Env;
use crate::cpu::flags;
use crate::cpu::insn::{Exec, Handler, Insn};
use crate::cpu::model;
use crate::cpu::state::{RAX, RBX, RCX, RDX, Vcpu, cr4};
use crate::cpu::system::msr::{read_msr, tsc, write_msr};
use crate::types::Exception;
use iced_x86::{Code, Instruction};

/// The handler of a form of this family.
pub fn select(i: &Instruction) -> Option<Handler> {
    Some(match i.code() {
        Code::Rdmsr => rdmsr,
        Code::Wrmsr => wrmsr,
        Code::Cpuid => cpuid,
        Code::Rdtsc => rdtsc,
        Code::Rdtscp => rdtscp,
        Code::Rdpmc => rdpmc,
        Code::Rdrand_r16 | Code::Rdseed_r16 => random::<u16>,
        Code::Rdrand_r32 | Code::Rdseed_r32 => random::<u32>,
        Code::Rdrand_r64 | Code::Rdseed_r64 => random::<u64>,
        _ => return None,
    })
}

fn set_edx_eax(cpu: &mut Vcpu, v: u64) {
    cpu.regs[RAX] = v & 0xFFFF_FFFF;
    cpu.regs[RDX] = v >> 32;
}

fn check_cpl0(cpu: &Vcpu) -> Exec {
    if cpu.cpl == 0 { Ok(()) } else { Err(Exception::GP0) }
}

fn rdmsr(cpu: &mut Vcpu, env: &mut Env<'_>, _: &Insn) -> Exec {
    check_cpl0(cpu)?;
    let value = read_msr(cpu, env, cpu.regs[RCX] as u32).ok_or(Exception::GP0)?;
    let msr = cpu.regs[RCX] as u32;
    cpu.note(env, ProbeKind::MsrRead, || ProbeEvent::MsrRead { msr, value });
    set_edx_eax(cpu, value);
    Ok(())
}

fn wrmsr(cpu: &mut Vcpu, env: &mut Env<'_>, _: &Insn) -> Exec {
    check_cpl0(cpu)?;
    let value = cpu.regs[RAX] & 0xFFFF_FFFF | cpu.regs[RDX] << 32;
    let msr = cpu.regs[RCX] as u32;
    if !write_msr(cpu, env, msr, value) {
        return Err(Exception::GP0);
    }
    cpu.note(env, ProbeKind::MsrWrite, || ProbeEvent::MsrWrite { msr, value });
    Ok(())
}

fn cpuid(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    let leaf = model::cpuid(cpu, cpu.regs[RAX] as u32, cpu.regs[RCX] as u32);
    for (r, v) in [RAX, RBX, RCX, RDX].into_iter().zip(leaf) {
        cpu.regs[r] = v.into();
    }
    Ok(())
}

fn check_tsd(cpu: &Vcpu) -> Exec {
    if cpu.cpl > 0 && cpu.cr4 & cr4::TSD != 0 { Err(Exception::GP0) } else { Ok(()) }
}

fn rdtsc(cpu: &mut Vcpu, env: &mut Env<'_>, _: &Insn) -> Exec {
    check_tsd(cpu)?;
    let value = tsc(cpu, env);
    set_edx_eax(cpu, value);
    Ok(())
}

fn rdtscp(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    rdtsc(cpu, env, insn)?;
    cpu.regs[RCX] = cpu.msrs.tsc_aux;
    Ok(())
}

/// The model has no performance counters.
fn rdpmc(_: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    Err(Exception::GP0)
}

/// Entropy never runs out: CF is always set.
fn random<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let value = env.entropy.next_u64();
    T::set(cpu, insn.r[0], value);
    cpu.flags.set_arithmetic(flags::CF);
    Ok(())
}
