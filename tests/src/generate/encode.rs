//! A random encoding of an instruction form (SDM vol. 2, chapter 2): registers, addressing
//! modes, immediates and prefixes that the form allows.

use crate::isa::{Row, Subject};
use crate::layout::{CODE, WINDOW, WINDOW_BYTES};
use crate::rng::Rng;
use iced_x86::{Code, Encoder, Instruction, OpCodeInfo, OpCodeOperandKind as K, OpKind, Register};

/// The bytes of a row: of its form with random operands, nothing if that has no encoding here.
pub fn code_of(row: &Row, rng: &mut Rng) -> Vec<u8> {
    match &row.subject {
        Subject::Form(code) => encode(*code, rng).unwrap_or_default(),
        Subject::Bytes(bytes) => bytes.clone(),
    }
}

/// The bytes of `code` with random operands; `None` if it has an operand kind that this
/// machine does not have, or no 64-bit form.
pub fn encode(code: Code, rng: &mut Rng) -> Option<Vec<u8>> {
    // Some choices cannot be encoded (AH with a REX prefix, RSP as an index): try again.
    (0..40).find_map(|_| attempt(code, rng))
}

fn attempt(code: Code, rng: &mut Rng) -> Option<Vec<u8>> {
    let info = code.op_code();
    let mut i = Instruction::new();
    i.set_code(code);
    for k in 0..info.op_count() {
        operand(&mut i, k, info.op_kind(k), rng)?;
    }
    prefixes(&mut i, info, rng);
    let mut encoder = Encoder::new(64);
    encoder.encode(&i, CODE).ok()?;
    Some(encoder.take_buffer())
}

fn operand(i: &mut Instruction, k: u32, kind: K, rng: &mut Rng) -> Option<()> {
    if let Some((first, count)) = register_class(kind, rng) {
        i.set_op_kind(k, OpKind::Register);
        i.set_op_register(k, first + rng.below(count) as u32);
        return Some(());
    }
    match kind {
        K::mem
        | K::r8_or_mem
        | K::r16_or_mem
        | K::r32_or_mem
        | K::r64_or_mem
        | K::mm_or_mem
        | K::xmm_or_mem => memory(i, k, rng),
        K::mem_offs => {
            i.set_op_kind(k, OpKind::Memory);
            i.set_memory_displ_size(8);
            i.set_memory_displacement64(WINDOW + rng.below(WINDOW_BYTES as u64 - 8));
        }
        K::imm8 => immediate(i, k, OpKind::Immediate8, rng.u64() & 0xFF),
        K::imm8_const_1 => immediate(i, k, OpKind::Immediate8, 1),
        K::imm8sex16 => immediate(i, k, OpKind::Immediate8to16, rng.u64() as i8 as u64),
        K::imm8sex32 => immediate(i, k, OpKind::Immediate8to32, rng.u64() as i8 as u64),
        K::imm8sex64 => immediate(i, k, OpKind::Immediate8to64, rng.u64() as i8 as u64),
        K::imm16 => immediate(i, k, OpKind::Immediate16, rng.u64() & 0xFFFF),
        K::imm32 => immediate(i, k, OpKind::Immediate32, rng.u64() & 0xFFFF_FFFF),
        K::imm32sex64 => immediate(i, k, OpKind::Immediate32to64, rng.u64() as i32 as u64),
        K::imm64 => immediate(i, k, OpKind::Immediate64, rng.u64()),
        K::seg_rSI => {
            i.set_op_kind(k, rng.pick(&[OpKind::MemorySegRSI, OpKind::MemorySegRSI, OpKind::MemorySegESI]))
        }
        K::es_rDI => {
            i.set_op_kind(k, paired(i, OpKind::MemorySegESI, OpKind::MemoryESEDI, OpKind::MemoryESRDI, rng))
        }
        K::seg_rDI => {
            i.set_op_kind(k, rng.pick(&[OpKind::MemorySegRDI, OpKind::MemorySegRDI, OpKind::MemorySegEDI]))
        }
        K::seg_rBX_al => {
            i.set_op_kind(k, OpKind::Memory);
            i.set_memory_base(if rng.one_in(4) { Register::EBX } else { Register::RBX });
            i.set_memory_index(Register::AL);
        }
        K::br16_1 | K::br32_1 | K::br64_1 => branch(i, k, kind, rng.u64() as i8 as i64),
        K::br64_4 | K::br32_4 | K::br16_2 => branch(i, k, kind, rng.below(0x800) as i64 - 0x400),
        _ => return None,
    }
    Some(())
}

/// The first register of a class and how many there are to choose from. A register-or-memory
/// operand is a register every other time.
fn register_class(kind: K, rng: &mut Rng) -> Option<(Register, u64)> {
    let register = rng.one_in(2);
    Some(match kind {
        K::r8_or_mem if register => (Register::AL, 20),
        K::r16_or_mem if register => (Register::AX, 16),
        K::r32_or_mem if register => (Register::EAX, 16),
        K::r64_or_mem if register => (Register::RAX, 16),
        K::mm_or_mem if register => (Register::MM0, 8),
        K::xmm_or_mem if register => (Register::XMM0, 16),
        K::r8_reg | K::r8_opcode => (Register::AL, 20),
        K::r16_reg | K::r16_rm | K::r16_opcode => (Register::AX, 16),
        K::r32_reg | K::r32_rm | K::r32_opcode | K::r32_vvvv => (Register::EAX, 16),
        K::r64_reg | K::r64_rm | K::r64_opcode | K::r64_vvvv => (Register::RAX, 16),
        K::mm_reg | K::mm_rm => (Register::MM0, 8),
        K::xmm_reg | K::xmm_rm => (Register::XMM0, 16),
        K::seg_reg => (Register::ES, 6),
        K::al => (Register::AL, 1),
        K::cl => (Register::CL, 1),
        K::ax => (Register::AX, 1),
        K::dx => (Register::DX, 1),
        K::eax => (Register::EAX, 1),
        K::rax => (Register::RAX, 1),
        K::st0 => (Register::ST0, 1),
        K::sti_opcode => (Register::ST0, 8),
        K::cr_reg => (Register::CR0, 16),
        K::dr_reg => (Register::DR0, 8),
        K::es => (Register::ES, 1),
        K::cs => (Register::CS, 1),
        K::ss => (Register::SS, 1),
        K::ds => (Register::DS, 1),
        K::fs => (Register::FS, 1),
        K::gs => (Register::GS, 1),
        _ => return None,
    })
}

fn memory(i: &mut Instruction, k: u32, rng: &mut Rng) {
    i.set_op_kind(k, OpKind::Memory);
    let first = if rng.one_in(8) { Register::EAX } else { Register::RAX };
    match rng.below(16) {
        0 => {
            i.set_memory_base(Register::RIP);
            i.set_memory_displ_size(8);
            i.set_memory_displacement64(WINDOW + rng.below(WINDOW_BYTES as u64));
            return;
        }
        1 => {
            i.set_memory_displ_size(8);
            i.set_memory_displacement64(WINDOW + rng.below(WINDOW_BYTES as u64));
            return;
        }
        2 => {}
        _ => i.set_memory_base(first + rng.below(16) as u32),
    }
    if i.memory_base() == Register::None || rng.one_in(3) {
        i.set_memory_index(first + rng.below(16) as u32);
        i.set_memory_index_scale(1 << rng.below(4));
    }
    let (size, displacement) = match rng.below(3) {
        0 => (0, 0),
        1 => (1, rng.u64() as i8 as u64),
        _ => (if first == Register::EAX { 4 } else { 8 }, rng.u64() as i32 as u64),
    };
    i.set_memory_displ_size(if i.memory_base() == Register::None {
        8.min(first.size() as u32)
    } else {
        size
    });
    i.set_memory_displacement64(if first == Register::EAX {
        displacement & 0xFFFF_FFFF
    } else {
        displacement
    });
}

fn immediate(i: &mut Instruction, k: u32, kind: OpKind, value: u64) {
    // A second immediate has a place of its own.
    let second = (0..k).any(|j| matches!(i.op_kind(j), OpKind::Immediate8 | OpKind::Immediate16));
    if second {
        i.set_op_kind(k, OpKind::Immediate8_2nd);
        i.set_immediate8_2nd(value as u8);
        return;
    }
    i.set_op_kind(k, kind);
    if kind == OpKind::Immediate64 {
        i.set_immediate64(value);
    } else {
        i.set_immediate_u64(k, value);
    }
}

fn branch(i: &mut Instruction, k: u32, kind: K, distance: i64) {
    // The encoder wants the target; the instruction's length is not known yet, and need not be.
    let target = CODE.wrapping_add_signed(distance);
    match kind {
        K::br64_1 | K::br64_4 => {
            i.set_op_kind(k, OpKind::NearBranch64);
            i.set_near_branch64(target);
        }
        K::br32_1 | K::br32_4 => {
            i.set_op_kind(k, OpKind::NearBranch32);
            i.set_near_branch32(target as u32);
        }
        _ => {
            i.set_op_kind(k, OpKind::NearBranch16);
            i.set_near_branch16(target as u16);
        }
    }
}

/// The destination of a string instruction with two operands has the address size of the source.
fn paired(i: &Instruction, source: OpKind, small: OpKind, large: OpKind, rng: &mut Rng) -> OpKind {
    match (0..2).map(|k| i.op_kind(k)).find(|k| matches!(k, OpKind::MemorySegESI | OpKind::MemorySegRSI)) {
        Some(kind) if kind == source => small,
        Some(_) => large,
        None => rng.pick(&[large, large, small]),
    }
}

fn prefixes(i: &mut Instruction, info: &OpCodeInfo, rng: &mut Rng) {
    let memory = (0..i.op_count()).any(|k| i.op_kind(k) == OpKind::Memory);
    if info.can_use_lock_prefix() && memory && i.op_kind(0) == OpKind::Memory && rng.one_in(4) {
        i.set_has_lock_prefix(true);
    }
    let string = i.is_string_instruction();
    if string && info.can_use_rep_prefix() && !rng.one_in(3) {
        i.set_has_rep_prefix(true);
    } else if string && info.can_use_repne_prefix() && rng.one_in(2) {
        i.set_has_repne_prefix(true);
    }
    let overridable = memory
        || (0..i.op_count()).any(|k| matches!(i.op_kind(k), OpKind::MemorySegRSI | OpKind::MemorySegRDI));
    if overridable && rng.one_in(12) {
        i.set_segment_prefix(rng.pick(&[Register::FS, Register::GS, Register::DS]));
    }
}
