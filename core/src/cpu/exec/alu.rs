//! ADD, ADC, SUB, SBB, CMP, AND, OR, XOR, TEST, INC, DEC, NEG, NOT (SDM vol. 2; undefined flags
//! as on Zen 4: AND, OR, XOR and TEST clear AF).

use super::form::{Shape, by_width, shape, width};
use super::operand::Operand;
use crate::cpu::env::Env;
use crate::cpu::flags::Flags;
use crate::cpu::insn::{Exec, Handler, Insn};
use crate::cpu::state::Vcpu;
use iced_x86::{Instruction, Mnemonic};

/// An operation on two operands of width T; the flags are set on the way.
trait Binary {
    /// Whether the result goes to the first operand.
    const WRITES: bool = true;
    fn apply<T: Operand>(flags: &mut Flags, a: u64, b: u64) -> u64;
}

/// An operation on one operand of width T.
trait Unary {
    fn apply<T: Operand>(flags: &mut Flags, a: u64) -> u64;
}

struct Add;
struct Adc;
struct Sub;
struct Sbb;
struct Cmp;
struct And;
struct Or;
struct Xor;
struct Test;
struct Inc;
struct Dec;
struct Neg;
struct Not;

impl Binary for Add {
    #[inline(always)]
    fn apply<T: Operand>(flags: &mut Flags, a: u64, b: u64) -> u64 {
        let r = a.wrapping_add(b);
        flags.set_add::<T>(a, b, r);
        r
    }
}

impl Binary for Adc {
    #[inline(always)]
    fn apply<T: Operand>(flags: &mut Flags, a: u64, b: u64) -> u64 {
        let r = a.wrapping_add(b).wrapping_add(u64::from(flags.cf()));
        flags.set_add::<T>(a, b, r);
        r
    }
}

impl Binary for Sub {
    #[inline(always)]
    fn apply<T: Operand>(flags: &mut Flags, a: u64, b: u64) -> u64 {
        let r = a.wrapping_sub(b);
        flags.set_sub::<T>(a, b, r);
        r
    }
}

impl Binary for Sbb {
    #[inline(always)]
    fn apply<T: Operand>(flags: &mut Flags, a: u64, b: u64) -> u64 {
        let r = a.wrapping_sub(b).wrapping_sub(u64::from(flags.cf()));
        flags.set_sub::<T>(a, b, r);
        r
    }
}

impl Binary for Cmp {
    const WRITES: bool = false;
    #[inline(always)]
    fn apply<T: Operand>(flags: &mut Flags, a: u64, b: u64) -> u64 {
        Sub::apply::<T>(flags, a, b)
    }
}

impl Binary for And {
    #[inline(always)]
    fn apply<T: Operand>(flags: &mut Flags, a: u64, b: u64) -> u64 {
        flags.set_logic::<T>(a & b);
        a & b
    }
}

impl Binary for Or {
    #[inline(always)]
    fn apply<T: Operand>(flags: &mut Flags, a: u64, b: u64) -> u64 {
        flags.set_logic::<T>(a | b);
        a | b
    }
}

impl Binary for Xor {
    #[inline(always)]
    fn apply<T: Operand>(flags: &mut Flags, a: u64, b: u64) -> u64 {
        flags.set_logic::<T>(a ^ b);
        a ^ b
    }
}

impl Binary for Test {
    const WRITES: bool = false;
    #[inline(always)]
    fn apply<T: Operand>(flags: &mut Flags, a: u64, b: u64) -> u64 {
        And::apply::<T>(flags, a, b)
    }
}

impl Unary for Inc {
    #[inline(always)]
    fn apply<T: Operand>(flags: &mut Flags, a: u64) -> u64 {
        let cf = flags.cf();
        let r = Add::apply::<T>(flags, a, 1);
        flags.keep_cf(cf);
        r
    }
}

impl Unary for Dec {
    #[inline(always)]
    fn apply<T: Operand>(flags: &mut Flags, a: u64) -> u64 {
        let cf = flags.cf();
        let r = Sub::apply::<T>(flags, a, 1);
        flags.keep_cf(cf);
        r
    }
}

impl Unary for Neg {
    #[inline(always)]
    fn apply<T: Operand>(flags: &mut Flags, a: u64) -> u64 {
        Sub::apply::<T>(flags, 0, a)
    }
}

impl Unary for Not {
    #[inline(always)]
    fn apply<T: Operand>(_: &mut Flags, a: u64) -> u64 {
        !a
    }
}

fn reg_reg<O: Binary, T: Operand>(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec {
    let (a, b) = (T::get(cpu, insn.r[0]), T::get(cpu, insn.r[1]));
    finish_reg::<O, T>(cpu, insn, a, b)
}

fn reg_imm<O: Binary, T: Operand>(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec {
    let a = T::get(cpu, insn.r[0]);
    finish_reg::<O, T>(cpu, insn, a, insn.imm)
}

fn reg_mem<O: Binary, T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let b = cpu.load_operand::<T>(env, insn)?.widen();
    let a = T::get(cpu, insn.r[0]);
    finish_reg::<O, T>(cpu, insn, a, b)
}

fn mem_reg<O: Binary, T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let b = T::get(cpu, insn.r[1]);
    with_memory::<O, T>(cpu, env, insn, b)
}

fn mem_imm<O: Binary, T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    with_memory::<O, T>(cpu, env, insn, insn.imm)
}

#[inline(always)]
fn finish_reg<O: Binary, T: Operand>(cpu: &mut Vcpu, insn: &Insn, a: u64, b: u64) -> Exec {
    let r = O::apply::<T>(&mut cpu.state.flags, a, b);
    if O::WRITES {
        T::set(cpu, insn.r[0], r);
    }
    Ok(())
}

#[inline(always)]
fn with_memory<O: Binary, T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn, b: u64) -> Exec {
    let va = cpu.linear(insn, T::SIZE, O::WRITES)?;
    if !O::WRITES {
        let a = cpu.load::<T>(env, va)?.widen();
        O::apply::<T>(&mut cpu.state.flags, a, b);
        return Ok(());
    }
    let a = cpu.load_for_write::<T>(env, va)?.widen();
    let r = O::apply::<T>(&mut cpu.state.flags, a, b);
    cpu.store(env, va, T::narrow(r))
}

fn reg<O: Unary, T: Operand>(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec {
    let a = T::get(cpu, insn.r[0]);
    let r = O::apply::<T>(&mut cpu.state.flags, a);
    T::set(cpu, insn.r[0], r);
    Ok(())
}

fn mem<O: Unary, T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let va = cpu.linear(insn, T::SIZE, true)?;
    let a = cpu.load_for_write::<T>(env, va)?.widen();
    let r = O::apply::<T>(&mut cpu.state.flags, a);
    cpu.store(env, va, T::narrow(r))
}

fn binary<O: Binary>(i: &Instruction) -> Option<Handler> {
    let bytes = width(i);
    Some(match shape(i)? {
        Shape::RegReg => by_width!(bytes, reg_reg, O),
        Shape::RegImm => by_width!(bytes, reg_imm, O),
        Shape::RegMem => by_width!(bytes, reg_mem, O),
        Shape::MemReg => by_width!(bytes, mem_reg, O),
        Shape::MemImm => by_width!(bytes, mem_imm, O),
        Shape::Reg | Shape::Mem => return None,
    })
}

fn unary<O: Unary>(i: &Instruction) -> Option<Handler> {
    let bytes = width(i);
    Some(match shape(i)? {
        Shape::Reg => by_width!(bytes, reg, O),
        _ => by_width!(bytes, mem, O),
    })
}

/// The handler of a form of this family.
pub fn select(i: &Instruction) -> Option<Handler> {
    match i.mnemonic() {
        Mnemonic::Add => binary::<Add>(i),
        Mnemonic::Adc => binary::<Adc>(i),
        Mnemonic::Sub => binary::<Sub>(i),
        Mnemonic::Sbb => binary::<Sbb>(i),
        Mnemonic::Cmp => binary::<Cmp>(i),
        Mnemonic::And => binary::<And>(i),
        Mnemonic::Or => binary::<Or>(i),
        Mnemonic::Xor => binary::<Xor>(i),
        Mnemonic::Test => binary::<Test>(i),
        Mnemonic::Inc => unary::<Inc>(i),
        Mnemonic::Dec => unary::<Dec>(i),
        Mnemonic::Neg => unary::<Neg>(i),
        Mnemonic::Not => unary::<Not>(i),
        _ => None,
    }
}
