//! The guest's vector registers and x87 state in the host's units.

use super::Emitter;
use super::exits::Cold;
use crate::codemem::{LOAD_X87, X87_IN_HOST, X87_IN_IMAGE, field};
use crate::jit::asm::{Alu, Label, Mem, Rm, Width, host};

impl Emitter<'_> {
    /// Has the guest's vector registers and MXCSR in the host's from here on. Where that cannot
    /// be, the interpreter goes on with this instruction.
    pub fn need_vectors(&mut self) {
        if self.vectors {
            return;
        }
        self.spoil_flags_lazily();
        let (label, resume) = (self.asm.label(), self.asm.label());
        self.asm.alu_imm(Alu::Cmp, Width::Q, Rm::M(Mem::at(host::RSP, field::VECTORS)), 0);
        self.asm.jcc(4, label);
        self.asm.bind(resume);
        let refused = self.refusal();
        self.cold.push(Cold::Vectors { label, resume, refused, flags: self.flags });
        self.vectors = true;
    }

    /// The same for the x87 unit: the guest's state is in the host's from here on.
    pub fn need_x87(&mut self) {
        if self.x87 {
            return;
        }
        self.spoil_flags();
        let (label, resume) = (self.asm.label(), self.asm.label());
        self.asm.alu_imm(Alu::Cmp, Width::Q, Rm::M(Mem::at(host::RSP, field::X87)), X87_IN_HOST);
        self.asm.jcc(5, label);
        self.asm.bind(resume);
        let (refused, vectors) = (self.refusal(), self.vectors);
        self.cold.push(Cold::X87 { label, resume, refused, vectors });
        self.x87 = true;
    }

    /// Loads the units that were in use before somebody else ran: what allowed it then does so still.
    pub(super) fn load_units(&mut self, vectors: bool, x87: bool) {
        if x87 {
            self.load_x87(None);
        }
        if vectors {
            self.asm.call_to(self.thunks.load_vectors);
        }
    }

    /// Loads the x87 unit, or goes to `refused`. Vector registers go back to where they were.
    pub(super) fn load_x87(&mut self, refused: Option<Label>) {
        self.asm.mov_imm(host::RCX, u64::from(LOAD_X87));
        self.asm.call_to(self.thunks.slow);
        let state = Rm::M(Mem::at(host::RSP, field::X87));
        if let Some(refused) = refused {
            self.asm.alu_imm(Alu::Cmp, Width::Q, state, X87_IN_IMAGE);
            self.asm.jcc(5, refused);
        }
        self.asm.load(Width::Q, host::RCX, Rm::M(Mem::at(host::RSP, field::X87_IMAGE)));
        // FRSTOR
        self.asm.op(None, false, (false, false), &[0xDD], 4, Rm::M(Mem::at(host::RCX, 0)));
        self.asm.store_imm(Width::Q, state, X87_IN_HOST);
    }
}
