//! Instrumentation: translated code notes the instructions and blocks that begin, while probes
//! want to see them. While none does, code without any of this is made.
//!
//! A note is a pair of numbers in a buffer that is emptied before anything else may be noted, at
//! every exit, and before a block that might not find room for its notes.

use super::Jit;
use crate::codemem::{Frame, NOTE_BYTES, Note, budget_of};

/// What code is instrumented for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// Something is to be seen at each instruction, if only that the mode is another: what is
    /// interpreted is left to the run loop.
    pub on: bool,
    /// The first instruction of each block is noted.
    pub blocks: bool,
    /// Each instruction is noted.
    pub instructions: bool,
}

/// The note is of the beginning of a block.
pub const BLOCK: u32 = 1;
/// The note is of an instruction.
pub const INSTRUCTION: u32 = 2;
/// What it is of is in so many bits below the number of its step.
pub const KIND_BITS: u32 = 2;

/// So many notes, and those of one block more.
const NOTES: usize = 8192;
/// A block makes no more notes.
pub const NOTES_OF_A_BLOCK: usize = 1024;

/// An instruction that notes are made of.
#[derive(Clone, Copy)]
pub struct Step {
    /// Its linear address.
    pub rip: u64,
    /// The instructions of its block from it on, itself included.
    pub rest: u32,
}

/// What a note says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted {
    /// The instructions that might still begin, it included.
    pub budget: i64,
    /// Its linear address.
    pub rip: u64,
    /// [`BLOCK`], [`INSTRUCTION`] or both.
    pub kinds: u32,
}

/// The buffer, and what its notes refer to.
#[derive(Default)]
pub struct Notes {
    buffer: Vec<Note>,
    /// The steps of all instrumented code.
    pub steps: Vec<Step>,
}

impl Notes {
    /// Has generated code write to the beginning of the buffer.
    pub fn lend(&mut self, frame: &mut Frame) {
        self.buffer.resize(NOTES + NOTES_OF_A_BLOCK, Note::default());
        frame.notes = self.buffer.as_mut_ptr() as u64;
        frame.notes_full = frame.notes + (NOTES * NOTE_BYTES) as u64;
    }

    /// How many notes there are.
    #[inline]
    pub fn count(&self, frame: &Frame) -> usize {
        (frame.notes - self.buffer.as_ptr() as u64) as usize / NOTE_BYTES
    }

    /// A note.
    #[inline]
    pub fn get(&self, n: usize) -> Noted {
        let note = self.buffer[n];
        let step = self.steps[(note.step >> KIND_BITS) as usize];
        Noted {
            budget: budget_of(note.rax) + i64::from(step.rest),
            rip: step.rip,
            kinds: note.step as u32 & ((1 << KIND_BITS) - 1),
        }
    }
}

impl Jit {
    /// Instruments code for this from now on. If that is another thing than before, all code is
    /// forgotten.
    pub fn set_hooks(&mut self, hooks: Hooks) {
        if self.hooks != hooks {
            self.hooks = hooks;
            self.clear();
        }
    }
}
