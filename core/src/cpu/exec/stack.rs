//! PUSH, POP, PUSHA, POPA, PUSHF, POPF, ENTER, LEAVE. PUSH and POP of segment registers are in
//! `segment`.
//!
//! The width of a push is the operand size; that of the stack pointer is 64 bits in 64-bit
//! mode, else SS.B decides (SDM vol. 1, 6.2.3). Handlers take the former as T and the mode as
//! LONG.

use super::form::{Shape, by_wide_width, is_long, shape};
use super::operand::Operand;
use crate::cpu::env::Env;
use crate::cpu::flags::{AC, ARITHMETIC, DF, Flags, ID, IF, IOPL, NT, RF, TF, VM};
use crate::cpu::insn::{Exec, Handler, Insn};
use crate::cpu::state::{BlockEnd, RBP, RSP, Vcpu, attr, seg};
use crate::mem::AccessKind;
use crate::types::Exception;
use iced_x86::{Instruction, Mnemonic, OpKind};

/// The bits of RSP that address the stack.
#[inline(always)]
fn stack_mask<const LONG: bool>(cpu: &Vcpu) -> u64 {
    if LONG {
        u64::MAX
    } else if cpu.state.segs[seg::SS].attributes & attr::DB != 0 {
        0xFFFF_FFFF
    } else {
        0xFFFF
    }
}

/// The linear address of `size` bytes at stack offset `sp`.
#[inline(always)]
fn stack_linear<const LONG: bool>(cpu: &Vcpu, sp: u64, size: usize, write: bool) -> Result<u64, Exception> {
    if LONG { Ok(sp) } else { cpu.segment_check(seg::SS, sp, size, write) }
}

/// A stack access to a non-canonical address raises #SS where any other raises #GP.
#[cold]
fn stack_fault(e: Exception) -> Exception {
    if e == Exception::GP0 { Exception::SS0 } else { e }
}

/// Replaces the bits of RSP that address the stack. A 32-bit stack pointer zeroes the upper
/// half, a 16-bit one leaves the rest.
#[inline(always)]
pub(super) fn set_stack_pointer<const LONG: bool>(cpu: &mut Vcpu, sp: u64) {
    let mask = stack_mask::<LONG>(cpu);
    let kept = if mask == 0xFFFF { cpu.state.regs[RSP] & 0xFFFF_FFFF_FFFF_0000 } else { 0 };
    cpu.state.regs[RSP] = kept | (sp & mask);
}

/// Pushes a value of width T; nothing has changed if it fails.
#[inline(always)]
pub(super) fn push<const LONG: bool, T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, v: u64) -> Exec {
    let sp = cpu.state.regs[RSP].wrapping_sub(T::SIZE as u64) & stack_mask::<LONG>(cpu);
    store_at::<LONG, T>(cpu, env, sp, v)?;
    set_stack_pointer::<LONG>(cpu, sp);
    Ok(())
}

/// Whether a value of width T could be pushed.
#[cold]
pub(super) fn check_push<const LONG: bool, T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>) -> Exec {
    let sp = cpu.state.regs[RSP].wrapping_sub(T::SIZE as u64) & stack_mask::<LONG>(cpu);
    let va = stack_linear::<LONG>(cpu, sp, T::SIZE, true)?;
    cpu.probe(env, va, T::SIZE, AccessKind::Write).map_err(stack_fault)
}

/// Stores a value of width T at stack offset `sp`.
#[inline(always)]
fn store_at<const LONG: bool, T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, sp: u64, v: u64) -> Exec {
    let va = stack_linear::<LONG>(cpu, sp, T::SIZE, true)?;
    cpu.store(env, va, T::narrow(v)).map_err(stack_fault)
}

/// The value of width T at the top of the stack, without popping it.
#[inline(always)]
pub(super) fn top<const LONG: bool, T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>) -> Result<u64, Exception> {
    let sp = cpu.state.regs[RSP] & stack_mask::<LONG>(cpu);
    load_at::<LONG, T>(cpu, env, sp)
}

/// The value of width T at stack offset `sp`.
#[inline(always)]
fn load_at<const LONG: bool, T: Operand>(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    sp: u64,
) -> Result<u64, Exception> {
    let va = stack_linear::<LONG>(cpu, sp, T::SIZE, false)?;
    Ok(cpu.load::<T>(env, va).map_err(stack_fault)?.widen())
}

/// Moves the stack pointer up by `bytes`.
#[inline(always)]
pub(super) fn release<const LONG: bool>(cpu: &mut Vcpu, bytes: u64) {
    let sp = cpu.state.regs[RSP].wrapping_add(bytes);
    set_stack_pointer::<LONG>(cpu, sp);
}

fn push_reg<const LONG: bool, T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let v = T::get(cpu, insn.r[0]);
    push::<LONG, T>(cpu, env, v)
}

fn push_mem<const LONG: bool, T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let v = cpu.load_operand::<T>(env, insn)?.widen();
    push::<LONG, T>(cpu, env, v)
}

fn push_imm<const LONG: bool, T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    push::<LONG, T>(cpu, env, insn.imm)
}

/// POP RSP leaves what was popped, so the pointer moves first.
fn pop_reg<const LONG: bool, T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let v = top::<LONG, T>(cpu, env)?;
    release::<LONG>(cpu, T::SIZE as u64);
    T::set(cpu, insn.r[0], v);
    Ok(())
}

/// An operand addressed by RSP sees it as it is after the pop.
fn pop_mem<const LONG: bool, T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let v = top::<LONG, T>(cpu, env)?;
    let old = cpu.state.regs[RSP];
    release::<LONG>(cpu, T::SIZE as u64);
    let stored = cpu.store_operand(env, insn, T::narrow(v));
    if stored.is_err() {
        cpu.state.regs[RSP] = old;
    }
    stored
}

/// All eight pushes are checked before the first.
fn pusha<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, _: &Insn) -> Exec {
    let mask = stack_mask::<false>(cpu);
    let sp = cpu.state.regs[RSP];
    let mut at = [0; 8];
    for (r, va) in at.iter_mut().enumerate() {
        let offset = sp.wrapping_sub((r + 1) as u64 * T::SIZE as u64) & mask;
        *va = stack_linear::<false>(cpu, offset, T::SIZE, true)?;
        cpu.probe(env, *va, T::SIZE, AccessKind::Write)?;
    }
    for (r, va) in at.into_iter().enumerate() {
        let v = T::get(cpu, r as u8);
        cpu.store(env, va, T::narrow(v))?;
    }
    set_stack_pointer::<false>(cpu, sp.wrapping_sub(8 * T::SIZE as u64));
    Ok(())
}

/// The saved stack pointer is skipped.
fn popa<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, _: &Insn) -> Exec {
    let mask = stack_mask::<false>(cpu);
    let sp = cpu.state.regs[RSP];
    let mut values = [0; 8];
    for (k, v) in values.iter_mut().enumerate() {
        *v = load_at::<false, T>(cpu, env, sp.wrapping_add(k as u64 * T::SIZE as u64) & mask)?;
    }
    set_stack_pointer::<false>(cpu, sp.wrapping_add(8 * T::SIZE as u64));
    for (k, v) in values.into_iter().enumerate() {
        if 7 - k != RSP {
            T::set(cpu, (7 - k) as u8, v);
        }
    }
    Ok(())
}

/// #GP for PUSHF, POPF in virtual-8086 mode with IOPL below 3 (the CPU has no VME).
fn check_v86(flags: &Flags) -> Exec {
    if flags.system(VM) && flags.iopl() < 3 { Err(Exception::GP0) } else { Ok(()) }
}

fn pushf<const LONG: bool, T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, _: &Insn) -> Exec {
    check_v86(&cpu.flags)?;
    let image = cpu.flags.bits() & !(VM | RF);
    push::<LONG, T>(cpu, env, image)
}

/// SDM vol. 2, POPF, table 4-16: IOPL only at CPL 0, IF only at CPL up to IOPL.
fn popf<const LONG: bool, T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, _: &Insn) -> Exec {
    check_v86(&cpu.flags)?;
    let image = top::<LONG, T>(cpu, env)?;
    release::<LONG>(cpu, T::SIZE as u64);
    let mut writable = ARITHMETIC | TF | DF | NT | AC | ID;
    if cpu.cpl == 0 {
        writable |= IOPL;
    }
    if cpu.cpl <= cpu.flags.iopl() {
        writable |= IF;
    }
    let old = cpu.flags.bits();
    let writable = writable & T::MASK;
    let new = ((old & !writable) | (image & writable)) & !RF;
    cpu.state.flags = Flags::from_bits(new);
    if (old ^ new) & (TF | AC) != 0 {
        cpu.refresh();
    }
    if (old ^ new) & (IF | TF) != 0 {
        cpu.end_block(BlockEnd::Interrupts);
    }
    Ok(())
}

/// SDM vol. 2, ENTER: the old frame pointer, those of the outer levels copied from the old
/// frame, the new one; then room for variables, of which the last must be writable. What was
/// pushed before a fault stays in memory, below the stack pointer, as on Zen 4.
fn enter<const LONG: bool, T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let level = u64::from(insn.imm2 & 31);
    let mask = stack_mask::<LONG>(cpu);
    let size = T::SIZE as u64;
    let old_frame = cpu.state.regs[RBP];
    let frame = cpu.state.regs[RSP].wrapping_sub(size) & mask;
    store_at::<LONG, T>(cpu, env, frame, old_frame)?;
    for n in 1..=level {
        let v = if n == level {
            frame
        } else {
            load_at::<LONG, T>(cpu, env, old_frame.wrapping_sub(n * size) & mask)?
        };
        store_at::<LONG, T>(cpu, env, frame.wrapping_sub(n * size) & mask, v)?;
    }
    let sp = frame.wrapping_sub(level * size).wrapping_sub(insn.imm & 0xFFFF) & mask;
    let last = stack_linear::<LONG>(cpu, sp, T::SIZE, true)?;
    cpu.probe(env, last, T::SIZE, AccessKind::Write).map_err(stack_fault)?;
    set_stack_pointer::<LONG>(cpu, sp);
    T::set(cpu, RBP as u8, frame);
    Ok(())
}

fn leave<const LONG: bool, T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, _: &Insn) -> Exec {
    let frame = cpu.state.regs[RBP] & stack_mask::<LONG>(cpu);
    let v = load_at::<LONG, T>(cpu, env, frame)?;
    set_stack_pointer::<LONG>(cpu, frame.wrapping_add(T::SIZE as u64));
    T::set(cpu, RBP as u8, v);
    Ok(())
}

/// The bytes that an instruction moves the stack pointer by, where that is its operand size.
fn moved(i: &Instruction) -> i32 {
    i.stack_pointer_increment().abs()
}

macro_rules! by_mode {
    ($i:expr, $bytes:expr, $handler:ident) => {
        if is_long($i) {
            by_wide_width!($bytes, $handler, true)
        } else {
            by_wide_width!($bytes, $handler, false)
        }
    };
}

fn select_push(i: &Instruction) -> Option<Handler> {
    if i.op_kind(0) == OpKind::Register && !i.op0_register().is_gpr() {
        return None;
    }
    Some(match shape(i) {
        Some(Shape::Reg) => by_mode!(i, moved(i), push_reg),
        Some(Shape::Mem) => by_mode!(i, moved(i), push_mem),
        _ => by_mode!(i, moved(i), push_imm),
    })
}

fn select_pop(i: &Instruction) -> Option<Handler> {
    if i.op_kind(0) == OpKind::Register && !i.op0_register().is_gpr() {
        return None;
    }
    Some(if shape(i)? == Shape::Reg {
        by_mode!(i, moved(i), pop_reg)
    } else {
        by_mode!(i, moved(i), pop_mem)
    })
}

/// The operand size of ENTER and LEAVE, which their names give.
fn frame_size(i: &Instruction) -> usize {
    match i.mnemonic() {
        Mnemonic::Enter => match i.code() {
            iced_x86::Code::Enterw_imm16_imm8 => 2,
            iced_x86::Code::Enterd_imm16_imm8 => 4,
            _ => 8,
        },
        _ => match i.code() {
            iced_x86::Code::Leavew => 2,
            iced_x86::Code::Leaved => 4,
            _ => 8,
        },
    }
}

/// The handler of a form of this family.
pub fn select(i: &Instruction) -> Option<Handler> {
    use Mnemonic::*;
    Some(match i.mnemonic() {
        Push => return select_push(i),
        Pop => return select_pop(i),
        Pusha => pusha::<u16>,
        Pushad => pusha::<u32>,
        Popa => popa::<u16>,
        Popad => popa::<u32>,
        Pushf | Pushfd | Pushfq => by_mode!(i, moved(i), pushf),
        Popf | Popfd | Popfq => by_mode!(i, moved(i), popf),
        Enter => by_mode!(i, frame_size(i), enter),
        Leave => by_mode!(i, frame_size(i), leave),
        _ => return None,
    })
}
