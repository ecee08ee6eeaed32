//! Guest registers in host registers, or in the frame.

use super::Emitter;
use crate::cpu::insn::HIGH_BYTE;
use crate::jit::asm::{Rm, Width, host};
use crate::jit::regs::{pinned, slot};

impl Emitter<'_> {
    /// A host register that holds guest register `g` (0 to 15), `scratch` if it must be loaded.
    pub fn read(&mut self, g: u8, scratch: u8) -> u8 {
        if let Some(h) = pinned(g) {
            return h;
        }
        self.asm.load(Width::Q, scratch, Rm::M(slot(g)));
        scratch
    }

    /// A host register whose low `w` are those of register operand `r` of that width.
    pub fn read_sized(&mut self, w: Width, r: u8, scratch: u8) -> u8 {
        let h = self.read(r & 15, scratch);
        if w == Width::B && r >= HIGH_BYTE {
            self.asm.rorx(Width::Q, scratch, h, 8);
            return scratch;
        }
        h
    }

    /// A host register to compute the new value of register operand `r` in, with the old value
    /// in it; [`Self::commit`] afterwards.
    pub fn target(&mut self, w: Width, r: u8, scratch: u8) -> u8 {
        self.read_sized(w, r, scratch)
    }

    /// Puts `h`, which [`Self::target`] gave for `r`, where the guest register is.
    pub fn commit(&mut self, w: Width, r: u8, h: u8) {
        let g = r & 15;
        match pinned(g) {
            Some(own) if w == Width::B && r >= HIGH_BYTE => {
                self.asm.rorx(Width::Q, own, own, 8);
                self.asm.store(Width::B, Rm::R(own), h);
                self.asm.rorx(Width::Q, own, own, 56);
            }
            Some(own) => debug_assert!(own == h),
            // A 32-bit operation has cleared the upper half of the scratch register.
            None => self.asm.store(Width::Q, Rm::M(slot(g)), h),
        }
    }

    /// Sets register operand `r` of width `w` to the low bits of `h`.
    pub fn write(&mut self, w: Width, r: u8, h: u8) {
        let g = r & 15;
        match pinned(g) {
            Some(own) if w == Width::B && r >= HIGH_BYTE => {
                let from = if h == own { host::RDX } else { h };
                self.asm.mov(from, h);
                self.asm.rorx(Width::Q, own, own, 8);
                self.asm.store(Width::B, Rm::R(own), from);
                self.asm.rorx(Width::Q, own, own, 56);
            }
            Some(own) if own == h && w != Width::D => {}
            Some(own) => self.asm.load(w, own, Rm::R(h)),
            None if w == Width::D => {
                // The source may be a guest register, which must stay as it is.
                let scratch = if h == host::RCX { h } else { host::RDX };
                self.asm.load(Width::D, scratch, Rm::R(h));
                self.asm.store(Width::Q, Rm::M(slot(g)), scratch);
            }
            None => self.asm.store(w, Rm::M(slot(g)), h),
        }
    }
}
