//! Instrumentation: translated code notes the instructions and blocks that begin, the accesses to
//! memory that it makes, calls and returns, while probes want to see them. While none does, code
//! without any of this is made.
//!
//! A note is a pair of numbers, or several pairs, in a buffer that is emptied before anything else may
//! be noted, at every exit, and before a block that might not find room for its notes.

use super::Jit;
use crate::codemem::{Frame, NOTE_BYTES, Note, budget_of};
use crate::cpu::probes::NoteLog;

/// What code is instrumented for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// Something is to be seen at each instruction, if only that the mode is another: what is
    /// interpreted is left to the run loop.
    pub steps: bool,
    /// The first instruction of each block is noted, from the one address to the other.
    pub blocks: Option<(u64, u64)>,
    /// Each instruction is noted, likewise.
    pub instructions: Option<(u64, u64)>,
    /// Loads are noted.
    pub loads: bool,
    /// Stores are noted.
    pub stores: bool,
    /// Near calls and returns are noted.
    pub calls: bool,
}

impl Hooks {
    /// Whether code is instrumented at all.
    pub fn any(self) -> bool {
        self != Self::default()
    }

    /// Whether blocks that begin at an address are noted, and instructions there.
    pub fn at(self, address: u64) -> (bool, bool) {
        let within = |range: Option<(u64, u64)>| range.is_some_and(|(a, b)| (a..=b).contains(&address));
        (within(self.blocks), within(self.instructions))
    }

    /// Whether accesses to memory are noted.
    pub fn accesses(self) -> bool {
        self.loads || self.stores
    }
}

/// What a note is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum NoteKind {
    /// The beginning of a block.
    Block = 1,
    /// An instruction.
    Instruction = 2,
    /// Both.
    BlockAndInstruction = 3,
    /// A load; linear and host address, and the value follow.
    Load = 4,
    /// A store, likewise.
    Store = 5,
    /// A call; its target and RSP follow.
    Call = 6,
    /// A return, likewise.
    Return = 7,
}

impl NoteKind {
    #[inline(always)]
    fn of(word: u64) -> Self {
        match word & ((1 << KIND_BITS) - 1) {
            1 => Self::Block,
            2 => Self::Instruction,
            4 => Self::Load,
            5 => Self::Store,
            6 => Self::Call,
            7 => Self::Return,
            _ => Self::BlockAndInstruction,
        }
    }

    /// How many pairs such a note is.
    #[inline(always)]
    pub const fn pairs(self) -> usize {
        match self {
            Self::Block | Self::Instruction | Self::BlockAndInstruction => 1,
            Self::Load | Self::Store => 3,
            Self::Call | Self::Return => 2,
        }
    }
}

/// The kind is in so many bits below the number of the step.
pub const KIND_BITS: u32 = 3;

/// So many pairs, and those of one block more.
const PAIRS: usize = 4096;
/// The notes of one instruction are no more pairs.
pub const PAIRS_OF_AN_INSTRUCTION: usize =
    NoteKind::BlockAndInstruction.pairs() + 2 * NoteKind::Load.pairs() + NoteKind::Call.pairs();
/// Those of a block are no more.
pub const PAIRS_OF_A_BLOCK: usize = 1024 * PAIRS_OF_AN_INSTRUCTION;

/// An instruction that notes are made of.
#[derive(Clone, Copy)]
pub struct Step {
    /// Its linear address; that behind it, of a call.
    pub rip: u64,
    /// The instructions of its block from it on, itself included.
    pub rest: u32,
    /// The size of the access in bytes.
    pub bytes: u8,
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
        self.buffer.resize(PAIRS + PAIRS_OF_A_BLOCK, Note::default());
        frame.notes = self.buffer.as_mut_ptr() as u64;
        frame.notes_full = frame.notes + (PAIRS * NOTE_BYTES) as u64;
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self, frame: &Frame) -> bool {
        frame.notes == self.buffer.as_ptr() as u64
    }

    /// Puts the notes into the log of a slice with this limit; those of accesses, calls and returns only if
    /// they are not of the instruction after `interpreted` others. `ram` is the host address of RAM.
    #[inline]
    pub fn tell(&self, frame: &Frame, log: &mut NoteLog<'_>, limit: u64, interpreted: Option<u64>, ram: u64) {
        let pairs = (frame.notes - self.buffer.as_ptr() as u64) as usize / NOTE_BYTES;
        let mut rest = &self.buffer[..pairs];
        while let Some(note) = rest.first() {
            let step = self.steps[(note.step >> KIND_BITS) as usize];
            let icount = limit.wrapping_sub((budget_of(note.rax) + i64::from(step.rest)) as u64);
            let kind = NoteKind::of(note.step);
            let (own, behind) = rest.split_at(kind.pairs());
            rest = behind;
            match kind {
                NoteKind::Block => log.step(icount, step.rip, true, false),
                NoteKind::Instruction => log.step(icount, step.rip, false, true),
                NoteKind::BlockAndInstruction => log.step(icount, step.rip, true, true),
                _ if interpreted == Some(icount) => {}
                NoteKind::Load | NoteKind::Store => {
                    let place = (own[1].rax, own[1].step - ram);
                    let high = if step.bytes > 8 { own[2].step } else { 0 };
                    log.access(icount, kind == NoteKind::Store, place, step.bytes, [own[2].rax, high]);
                }
                NoteKind::Call => log.call(icount, own[1].rax, step.rip, own[1].step),
                NoteKind::Return => log.return_to(icount, own[1].rax, own[1].step),
            }
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
