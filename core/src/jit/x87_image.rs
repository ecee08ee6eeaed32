//! The x87 state as FRSTOR loads it and FNSAVE stores it in 64-bit mode (SDM vol. 1, 8.1.10).

use crate::cpu::state::X87;
use crate::softfloat::F80;

/// Offset of ST(0); ST(i) follows after 10 bytes each.
const REGISTERS: usize = 28;
const STATUS: usize = 4;
const TAGS: usize = 8;

/// The image.
#[repr(C, align(16))]
pub struct X87Image([u8; 112]);

impl Default for X87Image {
    fn default() -> Self {
        Self([0; 112])
    }
}

impl X87Image {
    /// Its host address.
    pub fn address(&mut self) -> u64 {
        self.0.as_mut_ptr() as u64
    }

    /// The image of a state; the pointers to the last instruction are not in it.
    pub fn put(&mut self, x87: &X87) {
        self.0 = [0; 112];
        self.set(0, x87.control);
        self.set(STATUS, x87.status);
        self.set(TAGS, x87.tag_word());
        for i in 0..8 {
            let (at, v) = (REGISTERS + 10 * i, x87.st(i));
            self.0[at..at + 8].copy_from_slice(&v.significand.to_le_bytes());
            self.set(at + 8, v.sign_exponent);
        }
    }

    /// The state of an image, but for what is not in it.
    pub fn take(&self, x87: &mut X87) {
        x87.control = self.get(0);
        x87.status = self.get(STATUS);
        x87.set_tag_word(self.get(TAGS));
        for i in 0..8 {
            let at = REGISTERS + 10 * i;
            let significand = std::array::from_fn(|k| self.0[at + k]);
            let v = F80 { significand: u64::from_le_bytes(significand), sign_exponent: self.get(at + 8) };
            x87.regs[(x87.top() + i) & 7] = v;
        }
    }

    fn get(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.0[at], self.0[at + 1]])
    }

    fn set(&mut self, at: usize, v: u16) {
        self.0[at..at + 2].copy_from_slice(&v.to_le_bytes());
    }
}
