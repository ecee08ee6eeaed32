//! IN, OUT, INS, OUTS (SDM vol. 2; vol. 1, chapter 19). One iteration of a repeated
//! instruction is executed at a time: each may change interrupt lines.

use super::Operand;
use crate::boundary::{IoAccess, ProbeEvent, ProbeKind};
use crate::cpu::env::{Env, PORT_IO_NS};
use crate::cpu::flags;
use crate::cpu::insn::{Exec, Handler, Insn, insn_flags};
use crate::cpu::state::{BlockEnd, RAX, RCX, RDI, RDX, RSI, Vcpu, seg};
use crate::cpu::system::tss::check_io;
use crate::mem::AccessKind;
use iced_x86::{Code, Instruction};

/// The handler of a form of this family.
pub fn select(i: &Instruction) -> Option<Handler> {
    Some(match i.code() {
        Code::In_AL_imm8 => input::<u8, IMMEDIATE>,
        Code::In_AX_imm8 => input::<u16, IMMEDIATE>,
        Code::In_EAX_imm8 => input::<u32, IMMEDIATE>,
        Code::In_AL_DX => input::<u8, IN_DX>,
        Code::In_AX_DX => input::<u16, IN_DX>,
        Code::In_EAX_DX => input::<u32, IN_DX>,
        Code::Out_imm8_AL => output::<u8, IMMEDIATE>,
        Code::Out_imm8_AX => output::<u16, IMMEDIATE>,
        Code::Out_imm8_EAX => output::<u32, IMMEDIATE>,
        Code::Out_DX_AL => output::<u8, IN_DX>,
        Code::Out_DX_AX => output::<u16, IN_DX>,
        Code::Out_DX_EAX => output::<u32, IN_DX>,
        Code::Insb_m8_DX => ins::<u8>,
        Code::Insw_m16_DX => ins::<u16>,
        Code::Insd_m32_DX => ins::<u32>,
        Code::Outsb_DX_m8 => outs::<u8>,
        Code::Outsw_DX_m16 => outs::<u16>,
        Code::Outsd_DX_m32 => outs::<u32>,
        _ => return None,
    })
}

const IMMEDIATE: bool = false;
const IN_DX: bool = true;

fn port<const DX: bool>(cpu: &Vcpu, insn: &Insn) -> u16 {
    if DX { cpu.regs[RDX] as u16 } else { u16::from(insn.imm as u8) }
}

fn read_port<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, port: u16) -> u64 {
    cpu.end_block(BlockEnd::Devices);
    cpu.note_port_access(port, T::SIZE);
    env.clock.skip(PORT_IO_NS);
    cpu.stamp_chips(env);
    let value = env.io.pio_read(cpu.id, env.clock.now_ns(), port, T::SIZE as u8).into();
    let access = IoAccess { address: port.into(), size: T::SIZE as u8, value };
    cpu.note(env, ProbeKind::PortRead, || ProbeEvent::PortRead(access));
    value
}

fn write_port<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, port: u16, v: u64) {
    cpu.end_block(BlockEnd::Devices);
    cpu.note_port_access(port, T::SIZE);
    env.clock.skip(PORT_IO_NS);
    let access = IoAccess { address: port.into(), size: T::SIZE as u8, value: v & T::MASK };
    cpu.note(env, ProbeKind::PortWrite, || ProbeEvent::PortWrite(access));
    cpu.stamp_chips(env);
    env.io.pio_write(cpu.id, env.clock.now_ns(), port, T::SIZE as u8, (v & T::MASK) as u32);
}

fn input<T: Operand, const DX: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let port = port::<DX>(cpu, insn);
    check_io(cpu, env, port, T::SIZE as u16)?;
    let v = read_port::<T>(cpu, env, port);
    T::set(cpu, RAX as u8, v);
    Ok(())
}

fn output<T: Operand, const DX: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let port = port::<DX>(cpu, insn);
    check_io(cpu, env, port, T::SIZE as u16)?;
    write_port::<T>(cpu, env, port, T::get(cpu, RAX as u8));
    Ok(())
}

/// A counting register at the address size.
fn get(cpu: &Vcpu, insn: &Insn, r: usize) -> u64 {
    cpu.regs[r] & insn.addr_mask
}

fn set(cpu: &mut Vcpu, insn: &Insn, r: usize, v: u64) {
    cpu.regs[r] = match insn.addr_mask {
        0xFFFF => cpu.regs[r] & !0xFFFF | v & 0xFFFF,
        mask => v & mask,
    };
}

fn repeats(insn: &Insn) -> bool {
    insn.has(insn_flags::REP | insn_flags::REPNE)
}

/// Moves the index register, and counts an iteration of a repeated instruction.
fn advance(cpu: &mut Vcpu, insn: &Insn, index: usize, size: usize) {
    let step = if cpu.flags.system(flags::DF) { (size as u64).wrapping_neg() } else { size as u64 };
    set(cpu, insn, index, get(cpu, insn, index).wrapping_add(step));
    if !repeats(insn) {
        return;
    }
    let left = get(cpu, insn, RCX).wrapping_sub(1);
    set(cpu, insn, RCX, left);
    if left & insn.addr_mask != 0 {
        cpu.set_rip(cpu.rip().wrapping_sub(u64::from(insn.len)));
    }
}

fn ins<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let port = cpu.regs[RDX] as u16;
    // The port is checked even where nothing is transferred, as on Zen 4.
    check_io(cpu, env, port, T::SIZE as u16)?;
    if repeats(insn) && get(cpu, insn, RCX) == 0 {
        return Ok(());
    }
    let segment = if insn.has(insn_flags::MODE64) { seg::FLAT } else { seg::ES };
    let va = cpu.linear_at(insn, segment, get(cpu, insn, RDI), T::SIZE, true)?;
    cpu.probe(env, va, T::SIZE, AccessKind::Write)?;
    let v = read_port::<T>(cpu, env, port);
    cpu.store(env, va, T::narrow(v))?;
    advance(cpu, insn, RDI, T::SIZE);
    Ok(())
}

fn outs<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let port = cpu.regs[RDX] as u16;
    // The port is checked even where nothing is transferred, as on Zen 4.
    check_io(cpu, env, port, T::SIZE as u16)?;
    if repeats(insn) && get(cpu, insn, RCX) == 0 {
        return Ok(());
    }
    let va = cpu.linear_at(insn, insn.seg as usize, get(cpu, insn, RSI), T::SIZE, false)?;
    let v = cpu.load::<T>(env, va)?.widen();
    write_port::<T>(cpu, env, port, v);
    advance(cpu, insn, RSI, T::SIZE);
    Ok(())
}
