//! PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (SDM vol. 2, 4.1).

use crate::cpu::access::Exec;
use crate::cpu::env::Env;
use crate::cpu::exec::operand::Operand;
use crate::cpu::exec::simd::{Lane, from_memory, sse_ready};
use crate::cpu::flags;
use crate::cpu::insn::{Handler, Insn};
use crate::cpu::state::{RAX, RCX, RDX, Vcpu};
use iced_x86::{Code, Instruction};

/// The handler of a string comparison.
pub fn select(i: &Instruction) -> Option<Handler> {
    Some(match (i.code(), from_memory(i)) {
        (Code::Pcmpistri_xmm_xmmm128_imm8, true) => compare::<ImplicitLength, true, true>,
        (Code::Pcmpistri_xmm_xmmm128_imm8, false) => compare::<ImplicitLength, true, false>,
        (Code::Pcmpistrm_xmm_xmmm128_imm8, true) => compare::<ImplicitLength, false, true>,
        (Code::Pcmpistrm_xmm_xmmm128_imm8, false) => compare::<ImplicitLength, false, false>,
        (Code::Pcmpestri_xmm_xmmm128_imm8, true) => compare::<ExplicitLength<u32>, true, true>,
        (Code::Pcmpestri_xmm_xmmm128_imm8, false) => compare::<ExplicitLength<u32>, true, false>,
        (Code::Pcmpestrm_xmm_xmmm128_imm8, true) => compare::<ExplicitLength<u32>, false, true>,
        (Code::Pcmpestrm_xmm_xmmm128_imm8, false) => compare::<ExplicitLength<u32>, false, false>,
        (Code::Pcmpestri64_xmm_xmmm128_imm8, true) => compare::<ExplicitLength<u64>, true, true>,
        (Code::Pcmpestri64_xmm_xmmm128_imm8, false) => compare::<ExplicitLength<u64>, true, false>,
        (Code::Pcmpestrm64_xmm_xmmm128_imm8, true) => compare::<ExplicitLength<u64>, false, true>,
        (Code::Pcmpestrm64_xmm_xmmm128_imm8, false) => compare::<ExplicitLength<u64>, false, false>,
        _ => return None,
    })
}

/// How the numbers of valid elements of the two strings are found.
trait Length {
    fn lengths(cpu: &Vcpu, a: &Text, b: &Text) -> (usize, usize);
}

/// Up to the first element that is zero.
struct ImplicitLength;

/// The absolute values of (E)AX and (E)DX.
struct ExplicitLength<T>(std::marker::PhantomData<T>);

impl Length for ImplicitLength {
    fn lengths(_: &Vcpu, a: &Text, b: &Text) -> (usize, usize) {
        (a.up_to_zero(), b.up_to_zero())
    }
}

impl<T: Operand> Length for ExplicitLength<T> {
    fn lengths(cpu: &Vcpu, a: &Text, b: &Text) -> (usize, usize) {
        let length = |r: usize, text: &Text| {
            let v = crate::cpu::flags::sign_extend::<T>(cpu.regs[r]) as i64;
            v.unsigned_abs().min(text.count as u64) as usize
        };
        (length(RAX, a), length(RDX, b))
    }
}

/// The elements of a vector, sign- or zero-extended.
struct Text {
    elements: [i32; 16],
    count: usize,
}

impl Text {
    fn new(v: u128, imm: u8) -> Self {
        let mut elements = [0; 16];
        let count = if imm & 1 == 0 { 16 } else { 8 };
        for (k, e) in elements[..count].iter_mut().enumerate() {
            *e = match imm & 3 {
                0 => u8::split(v)[k].into(),
                1 => u16::split(v)[k].into(),
                2 => i8::split(v)[k].into(),
                _ => i16::split(v)[k].into(),
            };
        }
        Self { elements, count }
    }

    fn up_to_zero(&self) -> usize {
        let valid = &self.elements[..self.count];
        valid.iter().position(|e| *e == 0).unwrap_or(self.count)
    }
}

/// The intermediate result before negation: bit j belongs to element j of `b`.
fn aggregate(a: &Text, la: usize, b: &Text, lb: usize, mode: u8) -> u32 {
    let n = b.count;
    let (ea, eb) = (&a.elements, &b.elements);
    let bit = |j: usize| match mode {
        // Equal any: is b[j] in the set a?
        0 => j < lb && ea[..la].contains(&eb[j]),
        // Ranges: is b[j] within one of the pairs of a? A pair without its end is none.
        1 => j < lb && ea[..la].chunks_exact(2).any(|r| r[0] <= eb[j] && eb[j] <= r[1]),
        // Equal each: both over is equal.
        2 => (j >= la && j >= lb) || (j < la && j < lb && ea[j] == eb[j]),
        // Equal ordered: does a start at b[j], as far as the vector reaches?
        _ => (0..la.min(n - j)).all(|k| j + k < lb && ea[k] == eb[j + k]),
    };
    (0..n).filter(|j| bit(*j)).fold(0, |bits, j| bits | 1 << j)
}

/// Applies the polarity of imm8 bits 5:4.
fn negate(bits: u32, imm: u8, count: usize, lb: usize) -> u32 {
    let all = (1 << count) - 1;
    match imm >> 4 & 3 {
        1 => !bits & all,
        3 => bits ^ ((1 << lb) - 1),
        _ => bits,
    }
}

fn compare<L: Length, const INDEX: bool, const MEM: bool>(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    insn: &Insn,
) -> Exec<()> {
    sse_ready(cpu)?;
    let b = if MEM { cpu.load_operand(env, insn)? } else { cpu.xmm(insn.r[1]) };
    let imm = insn.imm as u8;
    let (a, b) = (Text::new(cpu.xmm(insn.r[0]), imm), Text::new(b, imm));
    let (la, lb) = L::lengths(cpu, &a, &b);
    let bits = negate(aggregate(&a, la, &b, lb, imm >> 2 & 3), imm, b.count, lb);
    if INDEX {
        u64::set(cpu, RCX as u8, index(bits, imm, b.count));
    } else {
        cpu.set_xmm(0, mask(bits, imm));
    }
    set_flags(cpu, bits, la < a.count, lb < b.count);
    Ok(())
}

/// The first or last set bit; the number of elements if there is none.
fn index(bits: u32, imm: u8, count: usize) -> u64 {
    let found = if imm & 0x40 != 0 {
        bits.checked_ilog2()
    } else {
        bits.checked_ilog2().map(|_| bits.trailing_zeros())
    };
    found.map_or(count as u64, u64::from)
}

/// The bits as they are, or each widened to its element.
fn mask(bits: u32, imm: u8) -> u128 {
    match imm & 0x41 {
        0x40 => i8::build(|k| -((bits >> k & 1) as i8)),
        0x41 => i16::build(|k| -((bits >> k & 1) as i16)),
        _ => bits.into(),
    }
}

/// CF: any bit; ZF: `b` ended; SF: `a` ended; OF: bit 0; AF and PF clear.
fn set_flags(cpu: &mut Vcpu, bits: u32, a_ended: bool, b_ended: bool) {
    let set = |on: bool, flag: u64| if on { flag } else { 0 };
    cpu.flags.set_arithmetic(
        set(bits != 0, flags::CF)
            | set(b_ended, flags::ZF)
            | set(a_ended, flags::SF)
            | set(bits & 1 != 0, flags::OF),
    );
}
