//! The form of an instruction: what decides which instance of a generic handler executes it.
//!
//! Handlers are generic over operation, width and kinds of operands, so that no decision is
//! left for the time of execution. Here is what their `select` functions look at.

use iced_x86::{CodeSize, Instruction, OpKind};

/// The kinds of the first two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A register.
    Reg,
    /// Memory.
    Mem,
    /// Register, register.
    RegReg,
    /// Register, memory.
    RegMem,
    /// Memory, register.
    MemReg,
    /// Register, immediate.
    RegImm,
    /// Memory, immediate.
    MemImm,
}

/// The shape of the first two operands; `None` if they are of another kind.
pub fn shape(i: &Instruction) -> Option<Shape> {
    let kind = |k: u32| if k < i.op_count() { operand_kind(i.op_kind(k)) } else { Some(Kind::None) };
    Some(match (kind(0)?, kind(1)?) {
        (Kind::Reg, Kind::None) => Shape::Reg,
        (Kind::Mem, Kind::None) => Shape::Mem,
        (Kind::Reg, Kind::Reg) => Shape::RegReg,
        (Kind::Reg, Kind::Mem) => Shape::RegMem,
        (Kind::Mem, Kind::Reg) => Shape::MemReg,
        (Kind::Reg, Kind::Imm) => Shape::RegImm,
        (Kind::Mem, Kind::Imm) => Shape::MemImm,
        _ => return None,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    None,
    Reg,
    Mem,
    Imm,
}

fn operand_kind(k: OpKind) -> Option<Kind> {
    match k {
        OpKind::Register => Some(Kind::Reg),
        OpKind::Memory => Some(Kind::Mem),
        OpKind::Immediate8
        | OpKind::Immediate16
        | OpKind::Immediate32
        | OpKind::Immediate64
        | OpKind::Immediate8to16
        | OpKind::Immediate8to32
        | OpKind::Immediate8to64
        | OpKind::Immediate32to64 => Some(Kind::Imm),
        _ => None,
    }
}

/// The width in bytes of operand `k`, a register or memory.
pub fn width_of(i: &Instruction, k: u32) -> usize {
    match i.op_kind(k) {
        OpKind::Register => i.op_register(k).size(),
        _ => i.memory_size().size(),
    }
}

/// The width in bytes of the first operand.
pub fn width(i: &Instruction) -> usize {
    width_of(i, 0)
}

/// Whether the instruction was decoded in 64-bit mode.
pub fn is_long(i: &Instruction) -> bool {
    i.code_size() == CodeSize::Code64
}

/// The condition of Jcc, SETcc, CMOVcc as bits 3:0 of their opcodes.
pub fn condition(i: &Instruction) -> Option<u8> {
    (i.condition_code() as u8).checked_sub(1)
}

/// `by_width!(bytes, handler, A, B)`: `handler::<A, B, T>` for the width of 1, 2, 4 or 8 bytes.
macro_rules! by_width {
    ($bytes:expr, $handler:ident $(, $arg:tt)*) => {
        match $bytes {
            1 => $handler::<$($arg,)* u8> as $crate::cpu::insn::Handler,
            2 => $handler::<$($arg,)* u16>,
            4 => $handler::<$($arg,)* u32>,
            _ => $handler::<$($arg,)* u64>,
        }
    };
}

/// [`by_width`] for what has no byte form.
macro_rules! by_wide_width {
    ($bytes:expr, $handler:ident $(, $arg:tt)*) => {
        match $bytes {
            2 => $handler::<$($arg,)* u16> as $crate::cpu::insn::Handler,
            4 => $handler::<$($arg,)* u32>,
            _ => $handler::<$($arg,)* u64>,
        }
    };
}

/// `by_condition!(cc, handler, A, B)`: `handler::<CC, A, B>`.
macro_rules! by_condition {
    ($cc:expr, $handler:ident $(, $arg:tt)*) => {
        match $cc {
            0 => $handler::<0 $(, $arg)*> as $crate::cpu::insn::Handler,
            1 => $handler::<1 $(, $arg)*>,
            2 => $handler::<2 $(, $arg)*>,
            3 => $handler::<3 $(, $arg)*>,
            4 => $handler::<4 $(, $arg)*>,
            5 => $handler::<5 $(, $arg)*>,
            6 => $handler::<6 $(, $arg)*>,
            7 => $handler::<7 $(, $arg)*>,
            8 => $handler::<8 $(, $arg)*>,
            9 => $handler::<9 $(, $arg)*>,
            10 => $handler::<10 $(, $arg)*>,
            11 => $handler::<11 $(, $arg)*>,
            12 => $handler::<12 $(, $arg)*>,
            13 => $handler::<13 $(, $arg)*>,
            14 => $handler::<14 $(, $arg)*>,
            _ => $handler::<15 $(, $arg)*>,
        }
    };
}

pub(super) use {by_condition, by_wide_width, by_width};
