//! Notes of instructions, blocks, accesses to memory, calls and returns, in instrumented code.

use super::Emitter;
use super::exits::Cold;
use super::flags::FlagState;
use crate::codemem::{NOTE_BYTES, field};
use crate::cpu::decode_cache::BLOCK_LIMIT;
use crate::cpu::insn::insn_flags;
use crate::cpu::state::RSP;
use crate::jit::asm::{Alu, Mark, Mem, Rm, Width, host};
use crate::jit::hooks::{Hooks, KIND_BITS, NoteKind, PAIRS_OF_A_BLOCK, PAIRS_OF_AN_INSTRUCTION};
use crate::jit::regs::pinned;
use crate::jit::translate::PARTS;
use iced_x86::{FlowControl, Instruction, InstructionInfoFactory, OpAccess};

const _: () = assert!(PARTS * BLOCK_LIMIT * PAIRS_OF_AN_INSTRUCTION <= PAIRS_OF_A_BLOCK);

/// In the note of an access: its linear address, its host address, its value.
const ADDRESS: i32 = 16;
const HOST: i32 = 24;
const VALUE: i32 = 32;
/// In that of a call or return: its target, and RSP behind it.
const TARGET: i32 = 16;

/// A step of the block that notes are made of.
pub struct StepDraft {
    /// Its place in the block.
    pub number: u32,
    /// Its linear address; that behind it, of a call.
    pub rip: u64,
    /// The size of the access in bytes.
    pub bytes: u8,
}

/// What an instruction does where it was checked that it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    Load,
    Store,
    /// A load, and then a store.
    Update,
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
        if !self.hooks.any() {
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
        if !hooks.steps {
            return before;
        }
        let (block, instruction) = match hooks.at(self.rip) {
            (false, false) => (None, None),
            (false, true) => (Some(NoteKind::Instruction), Some(NoteKind::Instruction)),
            (true, false) => (Some(NoteKind::Block), None),
            (true, true) => (Some(NoteKind::BlockAndInstruction), Some(NoteKind::Instruction)),
        };
        if self.number > 0 {
            self.note_step(if self.after_branch { block } else { instruction });
        } else if hooks.blocks.is_some() {
            // Whether a block begins depends on where it was come from. Flags are in AX.
            let (other, done) = (self.asm.label(), self.asm.label());
            self.asm.alu_imm(Alu::Cmp, Width::Q, frame(field::BLOCK_NEXT), 0);
            self.asm.jcc(4, other);
            self.asm.store_imm(Width::Q, frame(field::BLOCK_NEXT), 0);
            self.note_step(block);
            self.asm.jmp(done);
            self.asm.bind(other);
            self.note_step(instruction);
            self.asm.bind(done);
        } else {
            self.note_step(instruction);
        }
        before
    }

    /// A note of this instruction, if it is of anything. No flag is written.
    fn note_step(&mut self, kind: Option<NoteKind>) {
        if let Some(kind) = kind {
            self.begin_note(kind, self.rip, 0, host::RCX);
            self.end_note(kind, host::RCX);
        }
    }

    /// Where the next note goes is in `at` then, and its first pair is there. No flag is written.
    fn begin_note(&mut self, kind: NoteKind, rip: u64, bytes: u8, at: u8) {
        let step = self.first_step + self.steps.len() as u32;
        self.steps.push(StepDraft { number: self.number, rip, bytes });
        self.asm.load(Width::Q, at, frame(field::NOTES));
        self.asm.store(Width::Q, Rm::M(Mem::at(at, 0)), host::RAX);
        self.asm.store_imm(Width::Q, Rm::M(Mem::at(at, 8)), u64::from(step << KIND_BITS | kind as u32));
    }

    /// The note at `at`, which is lost, is complete.
    fn end_note(&mut self, kind: NoteKind, at: u8) {
        self.asm.lea(Width::Q, at, Mem::at(at, (kind.pairs() * NOTE_BYTES) as i32));
        self.asm.store(Width::Q, frame(field::NOTES), at);
    }

    /// Whether this block notes its accesses to memory.
    pub(super) fn notes_accesses(&self) -> bool {
        self.hooks.accesses()
    }

    /// What the instruction does with its memory operand, which was checked for this.
    pub(super) fn made_by_operand(&self, write: bool) -> Made {
        if !write {
            return Made::Load;
        }
        if !self.notes_accesses() {
            return Made::Store;
        }
        let mut factory = InstructionInfoFactory::new();
        match factory.info(&self.decoded[self.number as usize]).op0_access() {
            OpAccess::Write | OpAccess::CondWrite => Made::Store,
            _ => Made::Update,
        }
    }

    /// Before an access to linear address RCX is checked: puts the address into the note that there may
    /// be of it. RDX is lost.
    pub(super) fn note_address(&mut self) {
        if self.notes_accesses() {
            self.asm.load(Width::Q, host::RDX, frame(field::NOTES));
            self.asm.store(Width::Q, Rm::M(Mem::at(host::RDX, ADDRESS)), host::RCX);
        }
    }

    /// Behind the check of an access of so many bytes, at host address RCX: notes a load, and prepares
    /// the note of a store. RDX is lost; no flag is written. If the instruction is interpreted in the
    /// end, what it noted does not count.
    pub(super) fn note_access(&mut self, made: Made, bytes: usize) {
        let Hooks { loads, stores, .. } = self.hooks;
        let (load, store) = (loads && made != Made::Store, stores && made != Made::Load);
        if load {
            self.begin_note(NoteKind::Load, self.rip, bytes as u8, host::RDX);
            self.asm.store(Width::Q, Rm::M(Mem::at(host::RDX, HOST)), host::RCX);
            self.note_value(bytes);
            if store {
                // The store has the same address.
                let next = (NoteKind::Load.pairs() * NOTE_BYTES) as i32;
                self.asm.load(Width::Q, host::RAX, Rm::M(Mem::at(host::RDX, ADDRESS)));
                self.asm.store(Width::Q, Rm::M(Mem::at(host::RDX, next + ADDRESS)), host::RAX);
                self.asm.store(Width::Q, Rm::M(Mem::at(host::RDX, next + HOST)), host::RCX);
            }
            self.asm.load(Width::Q, host::RAX, Rm::M(Mem::at(host::RDX, 0)));
            self.end_note(NoteKind::Load, host::RDX);
        } else if store {
            self.asm.load(Width::Q, host::RDX, frame(field::NOTES));
            self.asm.store(Width::Q, Rm::M(Mem::at(host::RDX, HOST)), host::RCX);
        }
        if store {
            self.stores = Some(bytes as u8);
        }
    }

    /// Behind a store: notes it, if it is to be noted. RCX and RDX are lost; no flag is written.
    pub(super) fn note_store(&mut self) {
        let Some(bytes) = self.stores.take() else { return };
        self.begin_note(NoteKind::Store, self.rip, bytes, host::RDX);
        self.asm.load(Width::Q, host::RCX, Rm::M(Mem::at(host::RDX, HOST)));
        self.note_value(bytes.into());
        self.asm.load(Width::Q, host::RAX, Rm::M(Mem::at(host::RDX, 0)));
        self.end_note(NoteKind::Store, host::RDX);
    }

    /// What is at host address RCX, into the note at RDX. RAX is lost.
    fn note_value(&mut self, bytes: usize) {
        let from = Mem::at(host::RCX, 0);
        self.asm.movzx(host::RAX, Width::of(bytes), Rm::M(from));
        self.asm.store(Width::Q, Rm::M(Mem::at(host::RDX, VALUE)), host::RAX);
        if bytes == 16 {
            self.asm.load(Width::Q, host::RAX, Rm::M(Mem { disp: 8, ..from }));
            self.asm.store(Width::Q, Rm::M(Mem::at(host::RDX, VALUE + 8)), host::RAX);
        }
    }

    /// RCX is where an indirect call goes: remembered for the note of it. Instrumented code has no
    /// windows, so there is room.
    pub(super) fn keep_target(&mut self) {
        if self.hooks.calls {
            self.asm.store(Width::Q, frame(field::WINDOWS), host::RCX);
        }
    }

    /// Behind the push of a call: notes it. RCX and RDX are lost; no flag is written.
    pub(super) fn note_call(&mut self, to: Option<u64>) {
        if !self.hooks.calls {
            return;
        }
        match to {
            Some(to) => self.asm.mov_imm(host::RCX, to),
            None => self.asm.load(Width::Q, host::RCX, frame(field::WINDOWS)),
        }
        self.note_transfer(NoteKind::Call, self.next_rip());
    }

    /// Of a return to RCX, while RSP is what it was. RDX is lost; no flag is written. If the instruction
    /// is interpreted in the end, it does not count.
    pub(super) fn note_return(&mut self) {
        if self.hooks.calls {
            self.note_transfer(NoteKind::Return, self.rip);
        }
    }

    fn note_transfer(&mut self, kind: NoteKind, rip: u64) {
        self.begin_note(kind, rip, 0, host::RDX);
        self.asm.store(Width::Q, Rm::M(Mem::at(host::RDX, TARGET)), host::RCX);
        let sp = pinned(RSP as u8).expect("RSP has a host register");
        self.asm.store(Width::Q, Rm::M(Mem::at(host::RDX, TARGET + 8)), sp);
        self.end_note(kind, host::RDX);
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
        if self.hooks.steps {
            self.asm.store_imm(Width::Q, frame(field::BLOCK_NEXT), 1);
        }
    }

    /// Whether the run loop has to see an instruction itself: each iteration of a string is an
    /// instruction.
    pub(super) fn run_loop_sees(&self) -> bool {
        self.hooks.instructions.is_some()
            && (self.insn.has(insn_flags::REP) || self.insn.has(insn_flags::REPNE))
    }

    /// Leaves before the instruction, which the run loop is to interpret.
    pub(super) fn leave_to_run_loop(&mut self, before: &BeforeNotes) {
        self.asm.back_to(&before.mark);
        self.steps.truncate(before.steps);
        self.counts.truncate(before.counts);
        self.cold.truncate(before.cold);
        (self.flags, self.vectors, self.x87) = (before.flags, before.vectors, before.x87);
        self.slow = None;
        self.stores = None;
        self.spoil_flags();
        if self.number > 0 && self.after_branch {
            self.note_branch();
        }
        self.counted(Alu::Add, self.number);
        self.leave_starved(self.rip);
    }
}
