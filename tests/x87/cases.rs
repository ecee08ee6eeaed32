//! Random x87 states in which the corners are common.

use crate::compare::Tolerance;
use std::fmt;

/// Bytes of memory that an instruction may touch.
pub const WINDOW: usize = 112;

/// An x87 state and what an instruction can touch beside it.
#[derive(Clone, PartialEq, Eq)]
pub struct State {
    /// As FNSAVE stores it in 32-bit protected format.
    pub image: [u8; 108],
    pub memory: [u8; WINDOW],
    pub rax: u64,
    /// The arithmetic flags.
    pub flags: u64,
}

impl State {
    pub fn control(&self) -> u16 {
        self.word(0)
    }
    pub fn status(&self) -> u16 {
        self.word(4)
    }
    pub fn tags(&self) -> u16 {
        self.word(8)
    }
    fn word(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.image[at], self.image[at + 1]])
    }
    /// ST(i): significand, sign and exponent.
    pub fn st(&self, i: usize) -> (u64, u16) {
        let at = 28 + 10 * i;
        let mut significand = [0; 8];
        significand.copy_from_slice(&self.image[at..at + 8]);
        (u64::from_le_bytes(significand), self.word(at + 8))
    }
    fn set_st(&mut self, i: usize, (significand, sign_exponent): (u64, u16)) {
        let at = 28 + 10 * i;
        self.image[at..at + 8].copy_from_slice(&significand.to_le_bytes());
        self.image[at + 8..at + 10].copy_from_slice(&sign_exponent.to_le_bytes());
    }
    fn set_word(&mut self, at: usize, v: u16) {
        self.image[at..at + 2].copy_from_slice(&v.to_le_bytes());
        self.image[at + 2..at + 4].fill(0xFF);
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cw {:04x} sw {:04x} tw {:04x}", self.control(), self.status(), self.tags())?;
        for i in 0..8 {
            let (significand, sign_exponent) = self.st(i);
            write!(f, " {sign_exponent:04x}:{significand:016x}")?;
        }
        write!(f, " mem ")?;
        for b in self.memory[..32].iter().rev() {
            write!(f, "{b:02x}")?;
        }
        write!(f, " rax {:x} flags {:x}", self.rax, self.flags)
    }
}

/// SplitMix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

const ALL_FLAGS: u64 = 0x8D5;

/// A state without a pending unmasked exception.
pub fn state(r: &mut Random, tolerance: Tolerance) -> State {
    let mut s = State { image: [0; 108], memory: [0; WINDOW], rax: r.next(), flags: r.next() & ALL_FLAGS };
    let masks = if r.one_in(4) { r.next() as u16 & 0x3F } else { 0x3F };
    s.set_word(0, masks | 0x40 | (r.next() as u16 & 0x0F00));
    let flags = if r.one_in(2) { r.next() as u16 & masks } else { 0 };
    s.set_word(4, r.next() as u16 & 0x7F40 | flags);
    let tags = tags(r, s.status() >> 11 & 7);
    s.set_word(8, tags);
    for i in 0..8 {
        let v = register(r);
        s.set_st(i, v);
    }
    relate(r, &mut s);
    if tolerance == Tolerance::Ulp && !r.one_in(4) {
        for i in 0..2 {
            let v = moderate(r);
            s.set_st(i, v);
        }
    }
    memory(r, &mut s.memory);
    s
}

/// Mostly some room to push and some registers in use.
fn tags(r: &mut Random, top: u16) -> u16 {
    let mut empty = match r.below(4) {
        0 => r.next() as u16 & r.next() as u16,
        1 => 0,
        _ => 0xE0,
    };
    if r.one_in(64) {
        empty = 0xFF;
    }
    (0..8).filter(|i| empty >> i & 1 != 0).fold(0, |word, i| word | 3 << (2 * ((top + i) & 7)))
}

/// Operands that are equal, opposite, or close.
fn relate(r: &mut Random, s: &mut State) {
    let (significand, sign_exponent) = s.st(0);
    let other = 1 + r.below(7);
    match r.below(12) {
        0 => s.set_st(other, (significand, sign_exponent)),
        1 => s.set_st(other, (significand, sign_exponent ^ 0x8000)),
        2 => s.set_st(other, (significand.wrapping_add(r.next() % 3), sign_exponent ^ 0x8000)),
        3 | 4 => {
            let near = sign_exponent.wrapping_add(r.below(140) as u16).wrapping_sub(70);
            let v = self::significand(r);
            s.set_st(other, (v | 1 << 63, near));
        }
        5 => {
            let v = self::significand(r);
            s.set_st(other, (v, sign_exponent));
        }
        _ => {}
    }
}

fn significand(r: &mut Random) -> u64 {
    match r.below(12) {
        0 => 1 << 63,
        1 => 1 << 63 | 1 << r.below(63),
        2 => u64::MAX << r.below(64),
        3 => u64::MAX,
        4 => 0xC000_0000_0000_0000,
        5 => r.next() >> r.below(64),
        6 => r.next() << r.below(64) | 1 << 63,
        7 => (1 << 63 | r.next()) & (u64::MAX << 40),
        8 => (1 << 63 | r.next()) & (u64::MAX << 11),
        9 if r.one_in(2) => 0,
        _ => r.next() | 1 << 63,
    }
}

fn register(r: &mut Random) -> (u64, u16) {
    let near = |r: &mut Random, centre: u16, span: usize| {
        centre.wrapping_add(r.below(2 * span) as u16).wrapping_sub(span as u16) & 0x7FFF
    };
    let exponent = match r.below(14) {
        0 => 0,
        1 => 1 + r.below(3) as u16,
        2 => 0x7FFE - r.below(3) as u16,
        3 => 0x7FFF,
        4 => near(r, 0x3FFF, 3),
        5 | 6 => near(r, 0x3FFF + 32, 34),
        7 => near(r, 0x3FFF, 70),
        8 => near(r, 0x3FFF - 127, 30),
        9 => near(r, 0x3FFF + 128, 3),
        10 => near(r, 0x3FFF - 1023, 60),
        11 => near(r, 0x3FFF + 1024, 3),
        12 => near(r, 0, 80),
        _ => r.next() as u16 & 0x7FFF,
    };
    let mut v = significand(r);
    if exponent == 0 && r.one_in(3) {
        v = 0;
    }
    if exponent == 0x7FFF && r.one_in(2) {
        v = 1 << 63;
    }
    (v, exponent | (r.next() as u16 & 0x8000))
}

/// A normal number of the size that transcendental functions are made for.
fn moderate(r: &mut Random) -> (u64, u16) {
    let span = if r.one_in(2) { 8 } else { 70 };
    let exponent = 0x3FFF + 4 - r.below(span) as u16;
    (r.next() | 1 << 63, exponent | (r.next() as u16 & 0x8000))
}

/// Singles, doubles, integers, 80-bit and BCD numbers, all at offset 0, and random words.
fn memory(r: &mut Random, m: &mut [u8; WINDOW]) {
    for chunk in m.chunks_exact_mut(8) {
        chunk.copy_from_slice(&r.next().to_le_bytes());
    }
    let low = match r.below(8) {
        0 => f64::from_bits(r.next()).to_bits(),
        1 => double(r),
        2 | 3 => u64::from(single(r)),
        4 => (r.next() as i64 >> r.below(64)) as u64,
        5 => r.next() & 0x9999_9999_9999_9999,
        _ => significand(r),
    };
    m[..8].copy_from_slice(&low.to_le_bytes());
    let (_, high) = register(r);
    m[8..10].copy_from_slice(&high.to_le_bytes());
    // As a control word, and as the control word of an environment: nothing else pending.
    if r.one_in(2) {
        m[0..2].copy_from_slice(&(0x3Fu16 | r.next() as u16 & 0x0F00).to_le_bytes());
    }
}

fn double(r: &mut Random) -> u64 {
    let exponent = [0, 1, 0x7FE, 0x7FF, 0x3FF, r.next() & 0x7FF][r.below(6)];
    r.next() << 63 | exponent << 52 | fraction(r) >> 12
}

fn single(r: &mut Random) -> u32 {
    let exponent = [0, 1, 0xFE, 0xFF, 0x7F, r.next() & 0xFF][r.below(6)];
    (r.next() << 31 | exponent << 23 | fraction(r) >> 41) as u32
}

/// The bits below the integer bit, at the top.
fn fraction(r: &mut Random) -> u64 {
    significand(r) << 1
}
