//! Loops: a block that branches back to its own beginning has its instructions up to there once more.
//!
//! The first form is run once, and leads to the second, which leads to itself: where it begins, it is
//! known that vector registers are loaded, how the flags came about, and which windows are open whose
//! registers are the same in each iteration. It is left for the instructions behind the branch, in the
//! first form.
//!
//! **Pages.** Some accesses that go through no window, and are not stores alone, keep the page that they were to last, in the frame:
//! the first form finds it in the soft TLB, the second compares, and looks up another one if there is
//! need. So an address that comes out of memory need not wait for the look-up. A loop that goes to another
//! page again and again has the range of its pages made larger: pages beside it that may be accessed
//! likewise are put beside it in another view of RAM (`Ram::place`). What is kept is of use only
//! while nobody but generated code runs: behind an instruction of such a block that was interpreted, the
//! block is left; and one with an instruction that always is, or that chooses another table, keeps no page.

use super::Emitter;
use super::exits::Cold;
use super::flags::{FlagState, needs_of};
use crate::codemem::{BUDGET_SHIFT, KEPT, WIDEN, field};
use crate::cpu::Insn;
use crate::cpu::decode_cache::BLOCK_LIMIT;
use crate::jit::asm::{Alu, Label, Mem, Rm, Width, host};
use crate::jit::translate::PARTS;
use crate::mem::tlb_layout;
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
    /// The accesses that keep a page: the numbers of the instructions, and which tag matched.
    keepers: [(u32, i32); KEPT],
    /// How many there are; `None` if none may.
    kept: Option<u8>,
}

/// A page that an access keeps, or a range of pages.
#[derive(Clone, Copy)]
pub(super) struct Kept {
    number: u8,
    /// The second form: it may be the right one.
    pub(super) found: bool,
}

impl Kept {
    fn field(self, at: i32) -> Rm {
        Rm::M(Mem::at(host::RSP, field::KEPT + field::KEPT_BYTES * i32::from(self.number) + at))
    }

    /// Its linear address.
    pub(super) fn low(self) -> Rm {
        self.field(field::LOW)
    }

    /// How far behind that an access may begin.
    pub(super) fn limit(self) -> Rm {
        self.field(field::LIMIT)
    }

    /// What to add for the host address.
    pub(super) fn delta(self) -> Rm {
        self.field(field::DELTA)
    }

    /// What has it made larger.
    pub(super) fn widen(self, write: bool) -> u32 {
        WIDEN + 2 * u32::from(self.number) + u32::from(write)
    }
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
        let (keepers, kept) = ([(0, 0); KEPT], Some(0));
        let end = end as u32;
        self.own_loop = Some(Loop { end, invariant, head, behind: None, open: 0, keepers, kept });
    }

    /// The page that an access of this instruction keeps, of entries where this tag matches, if it keeps
    /// one.
    pub(super) fn kept_page(&mut self, tag: i32) -> Option<Kept> {
        let this = (self.number, tag);
        let own = self.own_loop.as_mut().filter(|own| this.0 <= own.end)?;
        let count = own.kept?;
        let found = own.behind.is_some();
        let known = own.keepers[..usize::from(count)].iter().position(|keeper| *keeper == this);
        match known {
            Some(place) if found => Some(Kept { number: place as u8, found }),
            None if !found && usize::from(count) < KEPT => {
                own.keepers[usize::from(count)] = this;
                own.kept = Some(count + 1);
                Some(Kept { number: count, found })
            }
            _ => None,
        }
    }

    /// Whether pages are kept while this instruction runs.
    pub(super) fn keeps_pages(&self) -> bool {
        self.own_loop.is_some_and(|own| self.number <= own.end && own.kept.is_some_and(|count| count > 0))
    }

    /// What was checked for this block holds no longer, here or in another iteration.
    pub(super) fn forget_checks(&mut self) {
        self.open = 0;
        if let Some(own) = self.own_loop.as_mut().filter(|own| self.number <= own.end) {
            own.kept = None;
        }
    }

    /// Notes the page of the entry at RDX, for accesses of so many bytes; RCX is lost, and holds what to
    /// add then.
    pub(super) fn keep_page(&mut self, kept: Kept, tag: i32, bytes: usize) {
        let entry = |at| Rm::Gs(Mem::at(host::RDX, at));
        self.asm.load(Width::Q, host::RCX, entry(tag));
        self.asm.store(Width::Q, kept.low(), host::RCX);
        self.asm.store_imm(Width::Q, kept.limit(), 0x1000 - bytes as u64);
        self.asm.load(Width::Q, host::RCX, entry(tlb_layout::DELTA));
        self.asm.store(Width::Q, kept.delta(), host::RCX);
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
        for (n, (i, insn)) in decoded.iter().zip(insns).take(own.end as usize + 1).enumerate() {
            self.followed = n + 1 < decoded.len();
            self.instruction(i, insn, i.ip(), false);
        }
        self.number = count;
    }
}
