//! Accesses through windows: see `jit::windows`.

use super::Emitter;
use super::exits::Cold;
use crate::codemem::field;
use crate::cpu::insn::{SEG_FLAT, ZERO};
use crate::cpu::state::RSP;
use crate::jit::asm::{Alu, Mem, Rm, Width, host};
use crate::jit::regs::{pinned, slot};
use crate::jit::windows::Window;
use crate::mem::tlb_layout;

impl Emitter<'_> {
    /// The memory operand as a host operand, as by [`Self::memory`]; but it may have an index, and
    /// the guest's flags may still be in the host's.
    pub fn operand(&mut self, bytes: usize, write: bool) -> Option<Mem> {
        match self.window_operand(bytes, write) {
            Some(m) => Some(m),
            None => self.memory_indexed(bytes, write),
        }
    }

    /// [`Self::operand`], if it is reached through a window.
    pub(super) fn window_operand(&mut self, bytes: usize, write: bool) -> Option<Mem> {
        let insn = self.insn;
        let disp = insn.disp as i64 as i32;
        let plain = insn.index == ZERO && insn.seg == SEG_FLAT && insn.addr_mask == u64::MAX;
        let near = i64::from(disp) == insn.disp as i64;
        match self.planned().operand {
            Some(window) if plain && near && insn.base < 16 => {
                self.through(window, insn.base, disp, bytes, write)
            }
            _ => None,
        }
    }

    /// `[RSP + disp]`, 8 bytes, the same way.
    pub(super) fn stack_operand(&mut self, disp: i32, write: bool) -> Mem {
        if let Some(window) = self.planned().stack
            && let Some(m) = self.through(window, RSP as u8, disp, 8, write)
        {
            return m;
        }
        let sp = pinned(RSP as u8).expect("RSP has a host register");
        self.translate_at(sp, disp, 8, write)
    }

    fn planned(&self) -> crate::jit::windows::Access {
        self.plan.get(self.number as usize).copied().unwrap_or_default()
    }

    /// `[g + disp]` through a window, which is checked if it was not yet. `None` if it is not for
    /// such an access.
    fn through(&mut self, w: Window, g: u8, disp: i32, bytes: usize, write: bool) -> Option<Mem> {
        let low = disp.checked_add(w.below)?;
        let above = i64::from(w.bytes) + i64::from(w.below);
        if w.below > 0 || above < bytes as i64 || (write && !w.write) {
            return None;
        }
        let delta = Rm::M(Mem::at(host::RSP, field::WINDOWS + 8 * i32::from(w.slot)));
        let open = self.open >> w.slot & 1 != 0;
        if !open {
            self.open_window(w, g, low, delta);
        }
        let Some(h) = pinned(g) else {
            self.spoil_flags_lazily();
            self.asm.load(Width::Q, host::RCX, Rm::M(slot(g)));
            self.asm.alu(Alu::Add, Width::Q, host::RCX, delta);
            return Some(Mem::at(host::RCX, disp));
        };
        if open {
            self.asm.load(Width::Q, host::RCX, delta);
        }
        Some(Mem { base: host::RCX, index: h, scale: 0, disp })
    }

    /// Checks the window that begins at `[g + low]`, and leaves in RCX and `delta` what is to be
    /// added to its linear addresses.
    ///
    /// This is what keeps accesses through it within guest RAM: all of it lies in the page whose
    /// entry matched, and every access through it lies within it (`through`), as long as its
    /// registers are what the plan says. `open` is reset wherever translations may change.
    fn open_window(&mut self, w: Window, g: u8, low: i32, delta: Rm) {
        self.spoil_flags_lazily();
        let tag =
            Rm::Gs(Mem::at(host::RDX, if w.write { tlb_layout::WRITE_TAG } else { tlb_layout::READ_TAG }));
        let label = self.asm.label();
        self.cold.push(Cold::Narrow { label, number: self.number, rip: self.rip, flags: self.flags });
        let h = self.read(g, host::RCX);
        match low {
            0 => self.asm.mov(host::RCX, h),
            _ => self.asm.lea(Width::Q, host::RCX, Mem::at(h, low)),
        }
        self.find_entry();
        self.asm.alu(Alu::Xor, Width::Q, host::RCX, tag);
        self.asm.alu_imm(Alu::Cmp, Width::Q, Rm::R(host::RCX), 0x1000 - u64::from(w.bytes));
        // JA
        self.asm.jcc(7, label);
        self.asm.load(Width::Q, host::RCX, Rm::Gs(Mem::at(host::RDX, tlb_layout::DELTA)));
        self.asm.store(Width::Q, delta, host::RCX);
        self.open |= 1 << w.slot;
    }
}
