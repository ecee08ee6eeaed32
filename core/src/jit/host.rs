//! Whether this host's own instructions leave what the interpreter defines, where the
//! architecture leaves it open: flags, condition codes, destinations of scans that find nothing.
//!
//! Nobody believes a vendor's name: each form that a family translates to itself is translated,
//! run, and compared with its handler, once per process. A family that differs is interpreted
//! here. What the translator computes itself (MUL, DIV) needs no question.

use super::regs;
use super::x87_image::X87Image;
use super::{Jit, Key};
use crate::codemem::{CONTINUE, Frame, Guest, LEAVE, LOAD_X87, X87_IN_IMAGE};
use crate::cpu::decode_cache::{DecodeCache, Found};
use crate::cpu::env::{Clock, Env};
use crate::cpu::flags::{ARITHMETIC, Flags};
use crate::cpu::state::{CodeSize, X87};
use crate::cpu::{Insn, Vcpu};
use crate::mem::{IdleBus, Memory};
use crate::softfloat::F80;
use crate::types::{Entropy, Gpa};
use iced_x86::{CpuidFeature, Instruction, Mnemonic};
use std::sync::OnceLock;

/// Instructions that stand and fall together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// AND, OR, XOR, TEST: AF.
    Logic,
    /// SHL, SHR, SAR: AF, OF.
    Shift,
    /// ROL, ROR, RCL, RCR: OF.
    Rotate,
    /// SHLD, SHRD: AF, OF, counts beyond the operand.
    DoubleShift,
    /// IMUL with two and three operands: SF, ZF, AF, PF.
    Imul,
    /// BT, BTS, BTR, BTC: OF, SF, AF, PF.
    BitTest,
    /// BSF, BSR: the destination if the source is zero.
    BitScan,
    /// x87: condition codes.
    X87,
}

impl Family {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Logic,
        Self::Shift,
        Self::Rotate,
        Self::DoubleShift,
        Self::Imul,
        Self::BitTest,
        Self::BitScan,
        Self::X87,
    ];

    /// The family of an instruction; `None` if all that it does is defined.
    pub fn of(i: &Instruction) -> Option<Self> {
        use Mnemonic::*;
        Some(match i.mnemonic() {
            And | Or | Xor | Test => Self::Logic,
            Shl | Sal | Shr | Sar => Self::Shift,
            Rol | Ror | Rcl | Rcr => Self::Rotate,
            Shld | Shrd => Self::DoubleShift,
            Imul if i.op_count() > 1 => Self::Imul,
            Bt | Bts | Btr | Btc => Self::BitTest,
            Bsf | Bsr | Tzcnt | Lzcnt => Self::BitScan,
            _ if i.cpuid_features().contains(&CpuidFeature::FPU) => Self::X87,
            _ => return None,
        })
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// The families whose host instructions do as the interpreter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trust(u16);

impl Trust {
    /// No family.
    pub const NONE: Self = Self(0);
    /// Every family.
    pub const ALL: Self = Self((1 << Family::ALL.len()) - 1);

    /// Whether a family is among them.
    pub fn has(self, family: Family) -> bool {
        self.0 & family.bit() != 0
    }

    /// Those of both.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Without a family.
    #[must_use]
    pub fn without(self, family: Family) -> Self {
        Self(self.0 & !family.bit())
    }
}

/// What this host is trusted with.
pub(super) fn trust(jit: &mut Jit) -> Trust {
    static TRUST: OnceLock<Trust> = OnceLock::new();
    *TRUST.get_or_init(|| ask(jit, |_, _| {}))
}

/// How often each form is tried.
const CASES: usize = 24;
/// RAM of the guest that does it.
const RAM_BYTES: u64 = 1 << 20;
/// So far from one form to the next.
const STRIDE: u64 = 32;
/// HLT: is interpreted.
const HLT: u8 = 0xF4;

/// Operations on registers A, B and CL, without their width.
const WIDE: [(Family, &[u8]); 25] = [
    (Family::Logic, &[0x21, 0xD8]),
    (Family::Logic, &[0x09, 0xD8]),
    (Family::Logic, &[0x31, 0xD8]),
    (Family::Logic, &[0x85, 0xD8]),
    (Family::Shift, &[0xD3, 0xE0]),
    (Family::Shift, &[0xD3, 0xE8]),
    (Family::Shift, &[0xD3, 0xF8]),
    (Family::Shift, &[0xC1, 0xE0, 0x07]),
    (Family::Rotate, &[0xD3, 0xC0]),
    (Family::Rotate, &[0xD3, 0xC8]),
    (Family::Rotate, &[0xD3, 0xD0]),
    (Family::Rotate, &[0xD3, 0xD8]),
    (Family::Rotate, &[0xC1, 0xD0, 0x03]),
    (Family::DoubleShift, &[0x0F, 0xA5, 0xD8]),
    (Family::DoubleShift, &[0x0F, 0xAD, 0xD8]),
    (Family::DoubleShift, &[0x0F, 0xA4, 0xD8, 0x05]),
    (Family::DoubleShift, &[0x0F, 0xAC, 0xD8, 0x05]),
    (Family::Imul, &[0x0F, 0xAF, 0xC3]),
    (Family::Imul, &[0x6B, 0xC3, 0x85]),
    (Family::BitTest, &[0x0F, 0xA3, 0xD8]),
    (Family::BitTest, &[0x0F, 0xAB, 0xD8]),
    (Family::BitTest, &[0x0F, 0xB3, 0xD8]),
    (Family::BitTest, &[0x0F, 0xBB, 0xD8]),
    (Family::BitScan, &[0x0F, 0xBC, 0xC3]),
    (Family::BitScan, &[0x0F, 0xBD, 0xC3]),
];

/// Operations on bytes.
const BYTES: [(Family, [u8; 2]); 8] = [
    (Family::Logic, [0x20, 0xD8]),
    (Family::Logic, [0x84, 0xD8]),
    (Family::Shift, [0xD2, 0xE0]),
    (Family::Shift, [0xD2, 0xE8]),
    (Family::Shift, [0xD2, 0xF8]),
    (Family::Rotate, [0xD2, 0xC0]),
    (Family::Rotate, [0xD2, 0xD0]),
    (Family::Rotate, [0xD2, 0xD8]),
];

/// Operations of the x87.
const X87_FORMS: [[u8; 2]; 40] = [
    [0xD8, 0xC1],
    [0xD8, 0xE1],
    [0xD8, 0xE9],
    [0xD8, 0xC9],
    [0xD8, 0xF1],
    [0xD8, 0xF9],
    [0xDE, 0xC1],
    [0xDE, 0xE9],
    [0xDC, 0xC9],
    [0xD9, 0xFA],
    [0xD9, 0xFC],
    [0xD9, 0xE0],
    [0xD9, 0xE1],
    [0xD9, 0xE4],
    [0xD9, 0xE5],
    [0xD8, 0xD1],
    [0xD8, 0xD9],
    [0xDE, 0xD9],
    [0xDD, 0xE1],
    [0xDD, 0xE9],
    [0xDB, 0xF1],
    [0xDF, 0xF1],
    [0xDB, 0xE9],
    [0xD9, 0xC1],
    [0xD9, 0xC9],
    [0xD9, 0xE8],
    [0xD9, 0xE9],
    [0xD9, 0xEA],
    [0xD9, 0xEB],
    [0xD9, 0xEC],
    [0xD9, 0xED],
    [0xD9, 0xEE],
    [0xDD, 0xD1],
    [0xDD, 0xD9],
    [0xDD, 0xC1],
    [0xDA, 0xC1],
    [0xDB, 0xD9],
    [0xD9, 0xF6],
    [0xD9, 0xF7],
    [0xDB, 0xE2],
];

/// All forms, encoded.
fn forms() -> Vec<(Family, Vec<u8>)> {
    let prefixes: [&[u8]; 3] = [&[], &[0x66], &[0x48]];
    let wide =
        WIDE.iter().flat_map(|(family, code)| prefixes.map(|prefix| (*family, [prefix, *code].concat())));
    let bytes = BYTES.iter().map(|(family, code)| (*family, code.to_vec()));
    let x87 = X87_FORMS.iter().map(|code| (Family::X87, code.to_vec()));
    wide.chain(bytes).chain(x87).collect()
}

/// What an instruction may change.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    registers: [u64; 16],
    flags: u64,
    x87: X87,
}

/// Tries all forms; `tweak` may falsify what the host gave, for the test that this is noticed.
pub(super) fn ask(jit: &mut Jit, tweak: impl Fn(Family, &mut Outcome)) -> Trust {
    let Ok(mut mem) = Memory::new(RAM_BYTES) else { return Trust::NONE };
    let mut code = DecodeCache::default();
    let mut random = Entropy::new(1);
    let mut trust = Trust::ALL;
    // A vCPU is large, so all cases share one.
    let mut cpu = Vcpu::new(0);
    let fresh = cpu.state.clone();
    let forms = forms();
    for ((_, bytes), at) in forms.iter().zip((0..).step_by(STRIDE as usize)) {
        mem.write_bytes(Gpa(at), &[&bytes[..], &[HLT]].concat());
    }
    for ((family, _), at) in forms.iter().zip((0..).step_by(STRIDE as usize)) {
        let Found::Block(block) = code.block_at(&mut mem, at as usize, CodeSize::Bits64) else {
            return Trust::NONE;
        };
        let insn = *code.insn(block.start as usize);
        let Some(entry) = jit.translate(&mut mem, &mut code, Key { ram_offset: at, linear: at, plain: true })
        else {
            return Trust::NONE;
        };
        for _ in 0..CASES {
            cpu.state.clone_from(&fresh);
            randomize(&mut cpu, &mut random);
            let mut native = run_native(jit, entry.known, &cpu);
            tweak(*family, &mut native);
            if native != interpreted(&mut cpu, &insn, &mut mem) {
                trust = trust.without(*family);
            }
        }
    }
    trust
}

/// Registers, flags and x87 state, with a weight on what is special.
fn randomize(cpu: &mut Vcpu, random: &mut Entropy) {
    for r in 0..16 {
        cpu.regs[r] = match random.next_u64() % 8 {
            0 => 0,
            1 => u64::MAX,
            2 => random.next_u64() % 70,
            3 => 1 << (random.next_u64() % 64),
            _ => random.next_u64(),
        };
    }
    cpu.state.flags = Flags::from_bits(random.next_u64() & ARITHMETIC);
    let x87 = &mut cpu.state.x87;
    // All exceptions masked; rounding and precision as they come, but for the reserved one.
    let precision = [0, 2, 3, 3][random.next_u64() as usize % 4];
    x87.control = 0x7F | precision << 8 | (random.next_u64() as u16 & 3) << 10;
    // Exceptions that came, condition codes, top.
    x87.status = random.next_u64() as u16 & 0x7F7F;
    for r in &mut x87.regs {
        *r = random_f80(random);
    }
    x87.set_tag_word(0);
    if random.next_u64().is_multiple_of(4) {
        x87.set_tag_word(random.next_u64() as u16);
    }
}

fn random_f80(random: &mut Entropy) -> F80 {
    let significand = random.next_u64();
    let sign = random.next_u64() as u16 & 0x8000;
    let (exponent, significand) = match random.next_u64() % 8 {
        0 => (0, 0),
        1 => (0, significand >> 1),
        2 => (0x7FFF, 1 << 63),
        3 => (0x7FFF, significand | 1 << 63),
        4 => (0x3FFF, 1 << 63),
        _ => (0x3FF0 + (random.next_u64() % 32) as u16, significand | 1 << 63),
    };
    F80 { significand, sign_exponent: sign | exponent }
}

/// Lends the x87 state to generated code, and ends it at HLT.
struct Bench<'a> {
    start: &'a Vcpu,
    image: &'a mut X87Image,
}

impl Guest for Bench<'_> {
    fn interpret(&mut self, frame: &mut Frame, site: u32) -> u32 {
        if site != LOAD_X87 {
            return LEAVE;
        }
        self.image.put(&self.start.x87);
        frame.x87 = X87_IN_IMAGE;
        CONTINUE
    }
}

fn run_native(jit: &mut Jit, entry: u64, start: &Vcpu) -> Outcome {
    let mut image = Box::<X87Image>::default();
    let mut frame = Frame { entry, x87_image: image.address(), ..Frame::default() };
    frame.set_budget(1 << 20);
    regs::to_slots(&mut frame, &start.regs);
    frame.set_ax(regs::flags_to_ax(start.flags.arithmetic()));
    let mut bench = Bench { start, image: &mut image };
    jit.parts().0.run(&mut frame, &mut bench);
    let mut x87 = start.x87;
    if frame.x87 == X87_IN_IMAGE {
        image.take(&mut x87);
    }
    let mut all = [0; 18];
    regs::from_slots(&frame, &mut all);
    let mut registers = [0; 16];
    registers.copy_from_slice(&all[..16]);
    Outcome { registers, flags: regs::flags_from_ax(frame.ax()), x87: plain(x87) }
}

fn interpreted(cpu: &mut Vcpu, insn: &Insn, mem: &mut Memory) -> Outcome {
    let mut clock = Clock { limit: u64::MAX, ..Clock::default() };
    let mut entropy = Entropy::new(1);
    let mut env = Env { mem, io: &mut IdleBus, clock: &mut clock, entropy: &mut entropy };
    // None of the forms can fault; one that did would not compare equal.
    let _ = cpu.execute(&mut env, insn);
    let mut registers = [0; 16];
    registers.copy_from_slice(&cpu.regs[..16]);
    Outcome { registers, flags: cpu.flags.arithmetic(), x87: plain(cpu.x87) }
}

/// A state in the one form that equal ones share: as its image tells it.
fn plain(x87: X87) -> X87 {
    let mut image = X87Image::default();
    image.put(&x87);
    let mut plain = X87::default();
    image.take(&mut plain);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_does_otherwise_is_not_trusted_with_that_family() {
        let Ok(mut jit) = Jit::new() else { return };
        let host = jit.trust;
        let asked = ask(&mut jit, |family, outcome| match family {
            Family::Shift => outcome.flags ^= crate::cpu::flags::AF,
            Family::BitScan => outcome.registers[0] ^= 1,
            Family::X87 => outcome.x87.status ^= 0x100,
            _ => {}
        });
        let without = host.without(Family::Shift).without(Family::BitScan).without(Family::X87);
        assert_eq!(asked, without);
    }

    #[test]
    fn a_host_of_the_guests_vendor_is_trusted_with_all() {
        let vendor = std::arch::x86_64::__cpuid(0);
        let name = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).concat();
        if let Ok(jit) = Jit::new()
            && name == b"AuthenticAMD"
        {
            assert_eq!(jit.trust, Trust::ALL);
        }
    }
}
