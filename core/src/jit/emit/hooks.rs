//! Notes of instructions and blocks, in instrumented code.

use super::Emitter;
use super::exits::Cold;
use super::flags::FlagState;
use crate::codemem::{NOTE_BYTES, field};
use crate::cpu::decode_cache::BLOCK_LIMIT;
use crate::cpu::insn::insn_flags;
use crate::jit::asm::{Alu, Mark, Mem, Rm, Width, host};
use crate::jit::hooks::{BLOCK, Hooks, INSTRUCTION, KIND_BITS, NOTES_OF_A_BLOCK};
use crate::jit::translate::PARTS;
use iced_x86::{FlowControl, Instruction};

const _: () = assert!(PARTS * BLOCK_LIMIT <= NOTES_OF_A_BLOCK);

/// A step of the block that notes are made of.
pub struct StepDraft {
    /// Its place in the block.
    pub number: u32,
    /// Its linear address.
    pub rip: u64,
}

/// What instrumented code is to be taken back to.
pub struct BeforeNotes {
    mark: Mark,
    steps: usize,
    counts: usize,
    cold: usize,
    flags: FlagState,
    vectors: bool,
    x87: bool,
}

fn frame(disp: i32) -> Rm {
    Rm::M(Mem::at(host::RSP, disp))
}

impl Emitter<'_> {
    /// Instruments the block, whose steps are counted from `first_step` on. Flags are in AX.
    pub fn instrument(&mut self, hooks: Hooks, first_step: u32) {
        self.hooks = hooks;
        self.first_step = first_step;
        self.check_room();
    }

    /// At the entry: the block does not begin without room for its notes. Flags are in AX.
    fn check_room(&mut self) {
        if !self.hooks.on {
            return;
        }
        self.asm.load(Width::Q, host::RCX, frame(field::NOTES));
        self.asm.alu(Alu::Cmp, Width::Q, host::RCX, frame(field::NOTES_FULL));
        let label = self.asm.label();
        // JA
        self.asm.jcc(7, label);
        let flags = self.flags;
        self.cold.push(Cold::Side { label, number: u32::MAX, flags, rip: self.start });
    }

    /// The notes before an instruction; RCX and RDX are lost.
    pub(super) fn note(&mut self) -> BeforeNotes {
        let before = BeforeNotes {
            mark: self.asm.mark(),
            steps: self.steps.len(),
            counts: self.counts.len(),
            cold: self.cold.len(),
            flags: self.flags,
            vectors: self.vectors,
            x87: self.x87,
        };
        let hooks = self.hooks;
        if !hooks.on {
            return before;
        }
        let instruction = if hooks.instructions { INSTRUCTION } else { 0 };
        if self.number > 0 {
            let block = if hooks.blocks && self.after_branch { BLOCK } else { 0 };
            self.put_note(block | instruction);
        } else if hooks.blocks {
            // Whether a block begins depends on where it was come from. Flags are in AX.
            let (other, done) = (self.asm.label(), self.asm.label());
            self.asm.alu_imm(Alu::Cmp, Width::Q, frame(field::BLOCK_NEXT), 0);
            self.asm.jcc(4, other);
            self.asm.store_imm(Width::Q, frame(field::BLOCK_NEXT), 0);
            self.put_note(BLOCK | instruction);
            self.asm.jmp(done);
            self.asm.bind(other);
            self.put_note(instruction);
            self.asm.bind(done);
        } else {
            self.put_note(instruction);
        }
        before
    }

    /// One note, if it is of anything. No flag is written.
    fn put_note(&mut self, kinds: u32) {
        if kinds == 0 {
            return;
        }
        let step = self.first_step + self.steps.len() as u32;
        let (number, rip) = (self.number, self.rip);
        self.steps.push(StepDraft { number, rip });
        self.asm.load(Width::Q, host::RCX, frame(field::NOTES));
        self.asm.store(Width::Q, Rm::M(Mem::at(host::RCX, 0)), host::RAX);
        let word = u64::from(step << KIND_BITS | kinds);
        self.asm.store_imm(Width::Q, Rm::M(Mem::at(host::RCX, 8)), word);
        self.asm.lea(Width::Q, host::RCX, Mem::at(host::RCX, NOTE_BYTES as i32));
        self.asm.store(Width::Q, frame(field::NOTES), host::RCX);
    }

    /// In instrumented code, what may branch says so: a block begins behind it. For those that
    /// end the translated block; where others go is told by [`Self::note_branch`].
    pub(super) fn note_end(&mut self, i: &Instruction) {
        let flow = i.flow_control();
        if flow != FlowControl::Next && flow != FlowControl::ConditionalBranch {
            self.note_branch();
        }
    }

    /// A block begins next. No flag is written.
    pub(super) fn note_branch(&mut self) {
        if self.hooks.on {
            self.asm.store_imm(Width::Q, frame(field::BLOCK_NEXT), 1);
        }
    }

    /// Whether the run loop has to see an instruction itself: each iteration of a string is an
    /// instruction.
    pub(super) fn run_loop_sees(&self) -> bool {
        self.hooks.instructions && (self.insn.has(insn_flags::REP) || self.insn.has(insn_flags::REPNE))
    }

    /// Leaves before the instruction, which the run loop is to interpret.
    pub(super) fn leave_to_run_loop(&mut self, before: &BeforeNotes) {
        self.asm.back_to(&before.mark);
        self.steps.truncate(before.steps);
        self.counts.truncate(before.counts);
        self.cold.truncate(before.cold);
        (self.flags, self.vectors, self.x87) = (before.flags, before.vectors, before.x87);
        self.slow = None;
        self.spoil_flags();
        if self.number > 0 && self.after_branch {
            self.note_branch();
        }
        self.counted(Alu::Add, self.number);
        self.leave_starved(self.rip);
    }
}
