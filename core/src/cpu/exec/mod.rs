//! The interpreter: one file per instruction family, and what they share.
//!
//! Each family has a `select` that gives the handler of a form, or `None` if the form is not
//! its own. [`select`] asks them in turn; a form that nobody claims raises #UD and is counted.

mod alu;
mod atomic;
mod bcd;
mod bits;
mod control;
mod control_regs;
mod far;
mod flag_ops;
pub(crate) mod form;
mod fxsave;
mod idle;
#[cfg(test)]
mod integer_tests;
mod mmx;
mod mov;
mod msr;
mod muldiv;
mod operand;
mod port_io;
mod segment;
mod segment_probe;
mod shift;
mod simd;
pub(crate) mod sse_fp;
pub(crate) mod sse_int;
mod stack;
mod string;
#[cfg(test)]
pub(in crate::cpu) mod testing;
mod x87;

pub use operand::Operand;
pub use simd::wants_alignment;

use super::env::Env;
use super::insn::{Exec, Handler, Insn};
use super::state::Vcpu;
use crate::types::Exception;
use iced_x86::Instruction;

/// The handler of a decoded instruction.
pub fn select(i: &Instruction) -> Handler {
    const FAMILIES: [fn(&Instruction) -> Option<Handler>; 22] = [
        alu::select,
        mov::select,
        control::select,
        stack::select,
        shift::select,
        bits::select,
        muldiv::select,
        string::select,
        atomic::select,
        flag_ops::select,
        bcd::select,
        segment::select,
        far::select,
        control_regs::select,
        msr::select,
        port_io::select,
        idle::select,
        x87::select,
        fxsave::select,
        mmx::select,
        sse_int::select,
        sse_fp::select,
    ];
    FAMILIES.iter().find_map(|f| f(i)).unwrap_or(unimplemented_insn)
}

/// #UD for what is no instruction at all, or what the CPU model lacks by definition.
pub fn invalid(_: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    Err(Exception::UD)
}

/// #UD for an instruction that has no handler, counted for the user.
pub fn unimplemented_insn(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec {
    *cpu.unimplemented.entry(insn.code as u16).or_default() += 1;
    Err(Exception::UD)
}
