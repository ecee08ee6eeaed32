//! Loops: a block that branches back to its own beginning has its instructions up to there once more.
//!
//! The first form is run once, and leads to the second, which leads to itself: where it begins, it is
//! known that vector registers are loaded, how the flags came about, and which windows are open whose
//! registers are the same in each iteration. It is left for the instructions behind the branch, in the
//! first form.

use super::Emitter;
use super::exits::Cold;
use super::flags::{FlagState, needs_of};
use crate::codemem::BUDGET_SHIFT;
use crate::cpu::Insn;
use crate::cpu::decode_cache::BLOCK_LIMIT;
use crate::jit::asm::{Alu, Label, Rm, Width, host};
use crate::jit::translate::PARTS;
use iced_x86::{Instruction, OpKind};

/// A loop of more instructions has no second form.
pub const LOOP_LIMIT: usize = 128;
const _: () = assert!(PARTS * BLOCK_LIMIT < 1 << 15);

/// What is known at a place of the code.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Known {
    flags: FlagState,
    open: u8,
    vectors: bool,
    x87: bool,
}

/// The loop of a block.
#[derive(Clone, Copy)]
pub(super) struct Loop {
    /// The number of the branch back.
    end: u32,
    /// The windows that are the same in each iteration.
    invariant: u8,
    /// Where the second form begins.
    head: Label,
    /// Behind the branch of the first form, and what is known there.
    behind: Option<(Label, Known)>,
    /// The windows that are open where the second form begins.
    open: u8,
}

/// What a branch back leads to.
enum Back {
    /// From the first form: to the second, or to what follows.
    First { head: Label, behind: Label },
    /// From the second: the same, where all is as it is expected there.
    Again { head: Option<Label>, behind: Option<Label> },
}

/// The number of the branch back to the beginning, if the block is a loop.
pub fn loop_end(decoded: &[Instruction]) -> Option<usize> {
    let start = decoded.first()?.ip();
    let back = |i: &Instruction| {
        i.is_jcc_short_or_near() && i.op0_kind() == OpKind::NearBranch64 && i.near_branch_target() == start
    };
    decoded.iter().rposition(back).filter(|end| *end < LOOP_LIMIT)
}

impl Emitter<'_> {
    /// The block is a loop.
    pub fn set_loop(&mut self, end: usize, invariant: u8) {
        let head = self.asm.label();
        self.own_loop = Some(Loop { end: end as u32, invariant, head, behind: None, open: 0 });
    }

    fn known(&self) -> Known {
        let Self { flags, open, vectors, x87, .. } = *self;
        Known { flags, open, vectors, x87 }
    }

    /// Whether this instruction, which goes to `rip`, is the branch back. What is known at it is noted
    /// for the second form, if this is the first.
    fn back(&mut self, rip: u64) -> Option<Back> {
        let own = self.own_loop.filter(|own| own.end == self.number && rip == self.start)?;
        let now = self.known();
        let Some((behind, known)) = own.behind else {
            let behind = self.asm.label();
            self.own_loop = Some(Loop { behind: Some((behind, now)), ..own });
            return Some(Back::First { head: own.head, behind });
        };
        let units = (now.vectors || !known.vectors) && (now.x87 || !known.x87);
        let same = now.flags == known.flags && units;
        Some(Back::Again {
            head: (same && own.open & !now.open == 0).then_some(own.head),
            behind: (same && known.open & !now.open == 0).then_some(behind),
        })
    }

    /// If condition `cc` holds, back to the beginning. False if this is no such branch.
    pub(super) fn branch_back(&mut self, cc: u8, rip: u64) -> bool {
        if !self.own_loop.is_some_and(|own| own.end == self.number) {
            return false;
        }
        self.need_flags(needs_of(cc));
        match self.back(rip) {
            None => return false,
            Some(Back::First { head, behind }) => {
                self.asm.jcc(cc, head);
                self.asm.bind(behind);
            }
            Some(Back::Again { head, behind }) => {
                let head = head.unwrap_or_else(|| self.side(rip));
                self.asm.jcc(cc, head);
                let behind = behind.unwrap_or_else(|| self.side(self.next_rip()));
                self.asm.jmp(behind);
            }
        }
        true
    }

    /// The way out of the block behind this instruction, to `rip`.
    fn side(&mut self, rip: u64) -> Label {
        let label = self.asm.label();
        self.cold.push(Cold::Side { label, number: self.number, flags: self.flags, rip });
        label
    }

    /// Appends the second form, if the block is a loop.
    pub fn second_form(&mut self, decoded: &[Instruction], insns: &[Insn]) {
        let Some(mut own) = self.own_loop else { return };
        let Some((_, known)) = own.behind else { return };
        let count = self.number;
        self.asm.align(16);
        self.asm.bind(own.head);
        self.number = 0;
        self.rip = self.start;
        own.open = known.open & own.invariant;
        self.own_loop = Some(own);
        (self.flags, self.open) = (known.flags, own.open);
        (self.vectors, self.x87) = (known.vectors, known.x87);
        self.spoil_flags_lazily();
        // This iteration, in place of the last.
        self.asm.sized_ext(Width::Q, 0x80, Alu::Sub as u8, Rm::R(host::RAX));
        self.asm.put(&((own.end as i32 + 1) << BUDGET_SHIFT).to_le_bytes());
        let label = self.asm.label();
        // JS
        self.asm.jcc(8, label);
        self.cold.push(Cold::Side { label, number: u32::MAX, flags: self.flags, rip: self.start });
        let mut rip = self.start;
        for (n, (i, insn)) in decoded.iter().zip(insns).take(own.end as usize + 1).enumerate() {
            self.followed = n + 1 < decoded.len();
            self.instruction(i, insn, rip, false);
            rip = rip.wrapping_add(u64::from(insn.len));
        }
        self.number = count;
    }
}
