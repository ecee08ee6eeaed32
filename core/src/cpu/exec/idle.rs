//! Instructions that do nothing, or nothing but wait: HLT, PAUSE, NOP, fences, prefetches,
//! CLFLUSH, ENDBR (SDM vol. 2).

use crate::cpu::access::canonical;
use crate::cpu::decode_cache::BLOCK_LIMIT;
use crate::cpu::env::{Env, PAUSE_NS};
use crate::cpu::insn::{Exec, Handler, Insn};
use crate::cpu::state::{Activity, Vcpu};
use crate::types::Exception;
use iced_x86::{Code, Instruction, Mnemonic, OpKind};

/// The handler of a form of this family.
pub fn select(i: &Instruction) -> Option<Handler> {
    Some(match i.mnemonic() {
        Mnemonic::Reservednop if prefetch_of_register(i) => super::invalid,
        Mnemonic::Hlt => hlt,
        Mnemonic::Pause => pause,
        Mnemonic::Clflush => clflush,
        Mnemonic::Nop
        | Mnemonic::Reservednop
        | Mnemonic::Lfence
        | Mnemonic::Mfence
        | Mnemonic::Sfence
        | Mnemonic::Prefetch
        | Mnemonic::Prefetchw
        | Mnemonic::Prefetchwt1
        | Mnemonic::Prefetchnta
        | Mnemonic::Prefetcht0
        | Mnemonic::Prefetcht1
        | Mnemonic::Prefetcht2
        | Mnemonic::Prefetchit0
        | Mnemonic::Prefetchit1
        | Mnemonic::Endbr32
        | Mnemonic::Endbr64 => nop,
        Mnemonic::Ud0 | Mnemonic::Ud1 | Mnemonic::Ud2 => super::invalid,
        _ => return hint(i),
    })
}

/// 0F 0D is PREFETCH, not part of the hint space: with a register AMD raises #UD.
fn prefetch_of_register(i: &Instruction) -> bool {
    let prefetch = matches!(
        i.code(),
        Code::Reservednop_rm16_r16_0F0D | Code::Reservednop_rm32_r32_0F0D | Code::Reservednop_rm64_r64_0F0D
    );
    prefetch && i.op0_kind() == OpKind::Register
}

/// Encodings in the hint space (0F 18 to 0F 1F) whose meaning the CPU model lacks: NOPs.
fn hint(i: &Instruction) -> Option<Handler> {
    match i.code() {
        Code::Cldemote_m8 | Code::Rdsspd_r32 | Code::Rdsspq_r64 => Some(nop),
        _ => None,
    }
}

fn nop(_: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    Ok(())
}

fn hlt(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    if cpu.cpl != 0 {
        return Err(Exception::GP0);
    }
    cpu.activity = Activity::Halted;
    cpu.leave_block();
    Ok(())
}

fn pause(cpu: &mut Vcpu, env: &mut Env<'_>, _: &Insn) -> Exec {
    env.clock.skip(PAUSE_NS);
    // Alone, it yields to nobody, and what comes of the time that passed is that the slice ends so
    // much earlier. Near its end the run loop takes over, as it does if somebody counts steps.
    let left = env.clock.limit.saturating_sub(env.clock.icount);
    if cpu.vcpu_count == 1 && left > PAUSE_NS + 2 * BLOCK_LIMIT as u64 && !cpu.careful {
        env.clock.limit -= PAUSE_NS;
        return Ok(());
    }
    cpu.yielded = true;
    cpu.leave_block();
    Ok(())
}

/// CLFLUSH is checked like a load of a byte.
fn clflush(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let va = cpu.linear(insn, 1, false)?;
    if cpu.long_mode() && !canonical(va) {
        return Err(Exception::GP0);
    }
    cpu.probe(env, va, 1, crate::mem::AccessKind::Read)
}
