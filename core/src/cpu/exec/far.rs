//! Far JMP, CALL, RET and IRET; INT n, INT3, INTO, INT1, BOUND; SYSCALL, SYSENTER and their
//! returns; CLI and STI (SDM vol. 2). The work is done in [`crate::cpu::system`].

use super::Operand;
use crate::cpu::env::Env;
use crate::cpu::flags;
use crate::cpu::insn::{Exec, Handler, Insn};
use crate::cpu::state::{BlockEnd, Shadow, Vcpu};
use crate::cpu::system::deliver::{Event, Source, deliver};
use crate::cpu::system::fast_call;
use crate::cpu::system::transfer::{Branch, far_branch, far_return, interrupt_return};
use crate::types::{Exception, vector};
use iced_x86::{Code, Instruction};

/// The handler of a form of this family.
pub fn select(i: &Instruction) -> Option<Handler> {
    Some(match i.code() {
        Code::Jmp_ptr1616 => direct::<JUMP, 2>,
        Code::Jmp_ptr1632 => direct::<JUMP, 4>,
        Code::Call_ptr1616 => direct::<CALL, 2>,
        Code::Call_ptr1632 => direct::<CALL, 4>,
        Code::Jmp_m1616 => indirect::<u16, JUMP>,
        Code::Jmp_m1632 => indirect::<u32, JUMP>,
        Code::Jmp_m1664 => indirect::<u64, JUMP>,
        Code::Call_m1616 => indirect::<u16, CALL>,
        Code::Call_m1632 => indirect::<u32, CALL>,
        Code::Call_m1664 => indirect::<u64, CALL>,
        Code::Retfw | Code::Retfw_imm16 => retf::<2>,
        Code::Retfd | Code::Retfd_imm16 => retf::<4>,
        Code::Retfq | Code::Retfq_imm16 => retf::<8>,
        Code::Iretw => iret::<2>,
        Code::Iretd => iret::<4>,
        Code::Iretq => iret::<8>,
        Code::Int_imm8 => int_n,
        Code::Int3 => int3,
        Code::Into => into,
        Code::Int1 => int1,
        Code::Bound_r16_m1616 => bound::<u16>,
        Code::Bound_r32_m3232 => bound::<u32>,
        Code::Syscall => |cpu, env, _| fast_call::noted_entry(cpu, env, fast_call::syscall),
        Code::Sysretd => |cpu, env, _| fast_call::noted_return(cpu, env, |cpu| fast_call::sysret(cpu, false)),
        Code::Sysretq => |cpu, env, _| fast_call::noted_return(cpu, env, |cpu| fast_call::sysret(cpu, true)),
        Code::Sysenter => |cpu, env, _| fast_call::noted_entry(cpu, env, fast_call::sysenter),
        Code::Sysexitd | Code::Sysexitq => {
            |cpu, env, _| fast_call::noted_return(cpu, env, fast_call::sysexit)
        }
        Code::Cli => cli,
        Code::Sti => sti,
        _ => return None,
    })
}

const JUMP: bool = false;
const CALL: bool = true;

fn branch_of(call: bool) -> Branch {
    if call { Branch::Call } else { Branch::Jump }
}

fn direct<const IS_CALL: bool, const WIDTH: usize>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    far_branch(cpu, env, branch_of(IS_CALL), insn.imm2, insn.imm, WIDTH)
}

fn indirect<T: Operand, const IS_CALL: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let va = cpu.linear(insn, T::SIZE + 2, false)?;
    let offset = cpu.load::<T>(env, va)?.widen();
    let selector: u16 = cpu.load(env, cpu.further(va, T::SIZE as u64))?;
    far_branch(cpu, env, branch_of(IS_CALL), selector, offset, T::SIZE)
}

fn retf<const WIDTH: usize>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    far_return(cpu, env, WIDTH, insn.imm as u16 as usize)
}

fn iret<const WIDTH: usize>(cpu: &mut Vcpu, env: &mut Env<'_>, _: &Insn) -> Exec {
    interrupt_return(cpu, env, WIDTH)
}

fn int_n(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    if cpu.virtual_8086() && cpu.flags.iopl() < 3 {
        return Err(Exception::GP0);
    }
    deliver(cpu, env, Event::plain(insn.imm as u8, Source::Software))
}

fn int3(cpu: &mut Vcpu, env: &mut Env<'_>, _: &Insn) -> Exec {
    deliver(cpu, env, Event::plain(vector::BP, Source::Software))
}

fn into(cpu: &mut Vcpu, env: &mut Env<'_>, _: &Insn) -> Exec {
    if cpu.flags.of() { deliver(cpu, env, Event::plain(vector::OF, Source::Software)) } else { Ok(()) }
}

fn int1(cpu: &mut Vcpu, env: &mut Env<'_>, _: &Insn) -> Exec {
    deliver(cpu, env, Event::plain(vector::DB, Source::Hardware))
}

/// The bounds are signed, the upper one included.
fn bound<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let va = cpu.linear(insn, 2 * T::SIZE, false)?;
    let signed = flags::sign_extend::<T>;
    let lower = signed(cpu.load::<T>(env, va)?.widen()) as i64;
    let upper = signed(cpu.load::<T>(env, cpu.further(va, T::SIZE as u64))?.widen()) as i64;
    let index = signed(T::get(cpu, insn.r[0])) as i64;
    if (lower..=upper).contains(&index) { Ok(()) } else { Err(Exception::plain(vector::BR)) }
}

/// CLI and STI need CPL <= IOPL; in virtual-8086 mode IOPL 3.
fn check_interrupt_flag(cpu: &Vcpu) -> Exec {
    let allowed = cpu.real_mode() || cpu.cpl <= cpu.flags.iopl();
    if allowed { Ok(()) } else { Err(Exception::GP0) }
}

fn cli(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    check_interrupt_flag(cpu)?;
    cpu.flags.set_system(flags::IF, false);
    Ok(())
}

fn sti(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    check_interrupt_flag(cpu)?;
    if !cpu.flags.system(flags::IF) {
        cpu.flags.set_system(flags::IF, true);
        cpu.shadow = Shadow::Sti;
        cpu.end_block(BlockEnd::Interrupts);
    }
    Ok(())
}
