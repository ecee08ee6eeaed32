//! Registers and memory for given code: random, but so that addresses mostly fall into the
//! window, divisions mostly do not overflow, and comparisons are equal now and then.

use super::values::{f80_bits, fill, integer, vector};
use crate::image::{Extent, FxImage, Input, Registers};
use crate::layout::{CODE, CODE_PAGE, WINDOW, WINDOW_BYTES};
use crate::rng::Rng;
use dejavm_core::cpu::flags;
use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

const RAX: usize = 0;
const RCX: usize = 1;
const RDX: usize = 2;
const RBX: usize = 3;
const RSP: usize = 4;
const RBP: usize = 5;
const RSI: usize = 6;
const RDI: usize = 7;

/// The case that belongs to a seed and some code.
pub fn input(seed: u64, code: &[u8]) -> Input {
    let mut rng = Rng::new(seed);
    let instructions = decode(code);
    let mut registers = Registers { rip: CODE, ..Registers::default() };
    registers.flags = random_flags(&mut rng);
    registers.gpr = std::array::from_fn(|_| integer(&mut rng));
    registers.gpr[RSP] = stack_pointer(&mut rng);
    registers.fx = random_fx(&mut rng);
    let mut window = Box::new([0; WINDOW_BYTES]);
    fill(&mut window[..], &mut rng);
    for i in instructions.iter().rev() {
        shape(i, &mut registers, &mut window, &mut rng);
    }
    Input { code: code.to_vec(), extent: extent(&instructions), registers, window }
}

/// The instructions of a block.
pub fn decode(code: &[u8]) -> Vec<Instruction> {
    Decoder::with_ip(64, code, CODE, DecoderOptions::AMD).into_iter().collect()
}

fn extent(instructions: &[Instruction]) -> Extent {
    let branches = |i: &Instruction| {
        !matches!(i.flow_control(), FlowControl::Next | FlowControl::Exception) && !i.is_invalid()
    };
    if instructions.iter().any(branches) { Extent::SingleStep } else { Extent::Block }
}

fn random_flags(rng: &mut Rng) -> u64 {
    let mut f = flags::ALWAYS_1 | flags::IF | rng.u64() & flags::ARITHMETIC;
    if rng.one_in(4) {
        f |= flags::DF;
    }
    f
}

fn stack_pointer(rng: &mut Rng) -> u64 {
    match rng.below(8) {
        0 => WINDOW + rng.below(32),
        1 => WINDOW + WINDOW_BYTES as u64 - rng.below(32),
        2 => WINDOW + rng.below(WINDOW_BYTES as u64),
        _ => WINDOW + 1024 + 8 * rng.below(WINDOW_BYTES as u64 / 8 - 256),
    }
}

fn random_fx(rng: &mut Rng) -> FxImage {
    let mut fx = FxImage::new();
    let masks = if rng.one_in(5) { rng.u64() as u16 & 0x3F } else { 0x3F };
    let control = 0x40 | masks | rng.pick(&[0u16, 0x200, 0x300, 0x300, 0x300]) | (rng.below(4) << 10) as u16;
    let raised = if rng.one_in(3) { rng.u64() as u16 & 0x7F } else { 0 };
    let summary = if raised & !control & 0x3F != 0 { 0x8080 } else { 0 };
    // A pending unmasked exception hides what the instruction does: rarely.
    let (raised, summary) = if summary != 0 && !rng.one_in(4) { (0, 0) } else { (raised, summary) };
    fx.set_u16(0, control);
    fx.set_u16(2, raised | summary | (rng.u64() as u16 & 0x4700) | (rng.below(8) << 11) as u16);
    fx.0[4] = match rng.below(4) {
        0 => rng.u64() as u8,
        1 => 0,
        _ => 0xFF,
    };
    for i in 0..8 {
        let (significand, sign_exponent) = f80_bits(rng);
        fx.set_st(i, significand, sign_exponent);
    }
    for i in 0..16 {
        fx.set_xmm(i, vector(rng));
    }
    let masks = if rng.one_in(5) { rng.u64() as u32 & 0x1F80 } else { 0x1F80 };
    let modes = if rng.one_in(4) { rng.u64() as u32 & 0x8040 } else { 0 };
    let raised = if rng.one_in(3) { rng.u64() as u32 & 0x3F } else { 0 };
    let mxcsr = masks | modes | raised | (rng.below(4) << 13) as u32;
    fx.0[24..28].copy_from_slice(&mxcsr.to_le_bytes());
    fx
}

/// Bends registers and memory towards what the instruction wants.
fn shape(i: &Instruction, r: &mut Registers, window: &mut [u8; WINDOW_BYTES], rng: &mut Rng) {
    shape_values(i, r, rng);
    if matches!(i.segment_prefix(), Register::FS | Register::GS) {
        let base = if rng.one_in(4) { rng.below(1 << 30).wrapping_neg() } else { rng.below(1 << 30) };
        if i.segment_prefix() == Register::FS { r.fs_base = base } else { r.gs_base = base }
    }
    for k in 0..i.op_count() {
        shape_address(i, i.op_kind(k), r, rng);
    }
    match i.mnemonic() {
        Mnemonic::Leave | Mnemonic::Enter => r.gpr[RBP] = stack_pointer(rng),
        _ => {}
    }
    shape_target(i, r, window, rng);
    shape_comparison(i, r, window, rng);
}

fn shape_values(i: &Instruction, r: &mut Registers, rng: &mut Rng) {
    match i.mnemonic() {
        Mnemonic::Div => r.gpr[RDX] = if rng.one_in(4) { r.gpr[RDX] } else { rng.below(4) },
        Mnemonic::Idiv => {
            let small = rng.below(4).wrapping_sub(2);
            r.gpr[RDX] = if rng.one_in(4) { r.gpr[RDX] } else { small };
            if rng.one_in(2) {
                r.gpr[RAX] = rng.below(1 << 16).wrapping_sub(1 << 15);
            }
        }
        Mnemonic::Loop
        | Mnemonic::Loope
        | Mnemonic::Loopne
        | Mnemonic::Jcxz
        | Mnemonic::Jecxz
        | Mnemonic::Jrcxz => {
            r.gpr[RCX] = rng.pick(&[0, 1, 2, 1 << 32, 1 << 16, r.gpr[RCX]]);
        }
        Mnemonic::Bt | Mnemonic::Btc | Mnemonic::Btr | Mnemonic::Bts
            if i.op_kind(1) == OpKind::Register && !rng.one_in(4) =>
        {
            let k = i.op_register(1).number();
            r.gpr[k] = rng.below(1024).wrapping_sub(512);
        }
        _ => {}
    }
    if i.has_rep_prefix() || i.has_repne_prefix() {
        let high = if rng.one_in(8) { rng.u64() << 32 } else { 0 };
        r.gpr[RCX] = high | if rng.one_in(16) { 4096 + rng.below(8192) } else { rng.below(40) };
    }
    if i.mnemonic() == Mnemonic::Wrfsbase || i.mnemonic() == Mnemonic::Wrgsbase {
        let k = i.op_register(0).number();
        r.gpr[k] = if rng.one_in(4) { r.gpr[k] } else { rng.below(1 << 47) };
    }
}

fn shape_address(i: &Instruction, kind: OpKind, r: &mut Registers, rng: &mut Rng) {
    let size = (i.memory_size().size() as u64).max(1);
    let mut target = target(size, rng);
    match i.memory_segment() {
        Register::FS => target = below_base(target, r.fs_base),
        Register::GS => target = below_base(target, r.gs_base),
        _ => {}
    }
    match kind {
        OpKind::MemorySegRSI => r.gpr[RSI] = target,
        OpKind::MemorySegESI => r.gpr[RSI] = mixed(target, rng),
        OpKind::MemorySegRDI | OpKind::MemoryESRDI => r.gpr[RDI] = target,
        OpKind::MemorySegEDI | OpKind::MemoryESEDI => r.gpr[RDI] = mixed(target, rng),
        OpKind::Memory => solve(i, target, r, rng),
        _ => {}
    }
}

/// The effective address that reaches `target` from a segment base. It is canonical itself:
/// AMD raises #GP for one that is not, even where the sum would be, and the virtual CPU looks
/// at the sum alone.
fn below_base(target: u64, base: u64) -> u64 {
    let ea = target.wrapping_sub(base);
    if (1 << 47..u64::MAX << 47).contains(&ea) { WINDOW.wrapping_sub(base) } else { ea }
}

/// The low half given, the high half random: for 32-bit addresses.
fn mixed(low: u64, rng: &mut Rng) -> u64 {
    low & 0xFFFF_FFFF | rng.u64() << 32
}

/// An address for an access of `size` bytes: mostly in the window, aligned every other time,
/// often near a page boundary or an end of the window.
fn target(size: u64, rng: &mut Rng) -> u64 {
    let end = WINDOW + WINDOW_BYTES as u64;
    let room = WINDOW_BYTES as u64 - size.min(1024);
    match rng.below(40) {
        0..18 => WINDOW + (rng.below(room) & !(size.next_power_of_two().min(64) - 1)),
        18..28 => WINDOW + rng.below(room),
        28..31 => WINDOW + 4096 - rng.below(size + 1),
        31..34 => end - rng.below(size + 1),
        34 => WINDOW - rng.below(size + 1),
        35 => CODE_PAGE + rng.below(4096),
        36 => rng.below(4096),
        37 => (1 << 47) + rng.below(64) - 32,
        _ => end - size,
    }
}

/// Sets the base (or else the index) register so that the effective address is `target`.
fn solve(i: &Instruction, target: u64, r: &mut Registers, rng: &mut Rng) {
    let (base, index) = (i.memory_base(), i.memory_index());
    if matches!(base, Register::RIP | Register::EIP) || (base, index) == (Register::None, Register::None) {
        return;
    }
    let narrow = base.size() == 4 || index.size() == 4;
    let displacement = i.memory_displacement64();
    if index == Register::AL {
        r.gpr[RBX] = target.wrapping_sub(r.gpr[RAX] & 0xFF);
    } else if base != Register::None && base != index {
        let scaled = if index == Register::None { 0 } else { r.gpr[index.number()] };
        let scaled = scaled.wrapping_mul(u64::from(i.memory_index_scale()));
        r.gpr[base.number()] = target.wrapping_sub(displacement).wrapping_sub(scaled);
    } else {
        let factor = u64::from(i.memory_index_scale()) + u64::from(base != Register::None);
        r.gpr[index.number()] = target.wrapping_sub(displacement) / factor;
    }
    if narrow {
        let register = if base == Register::None { index } else { base };
        r.gpr[register.number()] = mixed(r.gpr[register.number()], rng);
    }
}

/// The window's bytes from a linear address on, if they lie in it.
fn at(window: &mut [u8; WINDOW_BYTES], address: u64, len: usize) -> Option<&mut [u8]> {
    let offset = usize::try_from(address.checked_sub(WINDOW)?).ok()?;
    window.get_mut(offset..offset.checked_add(len)?)
}

/// The linear address of the explicit memory operand.
fn address(i: &Instruction, r: &Registers) -> Option<u64> {
    i.virtual_address((0..i.op_count()).find(|k| i.op_kind(*k) == OpKind::Memory)?, 0, |register, _, _| {
        Some(match register {
            Register::FS => r.fs_base,
            Register::GS => r.gs_base,
            Register::ES | Register::CS | Register::SS | Register::DS => 0,
            Register::AL => r.gpr[RAX] & 0xFF,
            g if g.is_gpr32() => r.gpr[g.number()] & 0xFFFF_FFFF,
            g => r.gpr[g.number()],
        })
    })
}

/// Gives indirect branches and returns somewhere to go.
fn shape_target(i: &Instruction, r: &mut Registers, window: &mut [u8; WINDOW_BYTES], rng: &mut Rng) {
    let target = match rng.below(8) {
        0 => rng.u64(),
        1 => rng.below(1 << 47),
        _ => CODE_PAGE + rng.below(4096),
    };
    match i.flow_control() {
        FlowControl::Return => {
            if let Some(b) = at(window, r.gpr[RSP], 8) {
                b.copy_from_slice(&target.to_le_bytes());
            }
        }
        FlowControl::IndirectBranch | FlowControl::IndirectCall if i.op_kind(0) == OpKind::Register => {
            r.gpr[i.op_register(0).number()] = target;
        }
        FlowControl::IndirectBranch | FlowControl::IndirectCall => {
            let memory = address(i, r).and_then(|a| at(window, a, 8));
            memory.into_iter().for_each(|b| b.copy_from_slice(&target.to_le_bytes()));
        }
        _ => {}
    }
}

/// Makes CMPXCHG find what it expects, every other time; CMPS and SCAS, for some elements.
fn shape_comparison(i: &Instruction, r: &mut Registers, window: &mut [u8; WINDOW_BYTES], rng: &mut Rng) {
    if rng.one_in(2) {
        return;
    }
    let rdx_rax = |low: u64, high: u64, half: usize| {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&low.to_le_bytes());
        bytes[half..half + 8].copy_from_slice(&high.to_le_bytes());
        bytes
    };
    let (expected, len) = match i.mnemonic() {
        Mnemonic::Cmpxchg => (rdx_rax(r.gpr[RAX], 0, 8), i.memory_size().size()),
        Mnemonic::Cmpxchg8b => (rdx_rax(r.gpr[RAX], r.gpr[RDX], 4), 8),
        Mnemonic::Cmpxchg16b => (rdx_rax(r.gpr[RAX], r.gpr[RDX], 8), 16),
        Mnemonic::Scasb | Mnemonic::Scasw | Mnemonic::Scasd | Mnemonic::Scasq => {
            return fill_equal(window, r.gpr[RAX], rng);
        }
        Mnemonic::Cmpsb | Mnemonic::Cmpsw | Mnemonic::Cmpsd | Mnemonic::Cmpsq
            if i.code() != Code::Cmpsd_xmm_xmmm64_imm8 =>
        {
            return fill_equal(window, 0, rng);
        }
        _ => return,
    };
    if i.op_kind(0) == OpKind::Register {
        r.gpr[i.op_register(0).full_register().number()] = r.gpr[RAX];
    } else if let Some(b) = address(i, r).and_then(|a| at(window, a, len)) {
        b.copy_from_slice(&expected[..len]);
    }
}

fn fill_equal(window: &mut [u8; WINDOW_BYTES], value: u64, rng: &mut Rng) {
    window.as_chunks_mut::<8>().0.iter_mut().for_each(|c| *c = value.to_le_bytes());
    for _ in 0..rng.below(200) {
        window[rng.below(WINDOW_BYTES as u64) as usize] ^= 1;
    }
}
