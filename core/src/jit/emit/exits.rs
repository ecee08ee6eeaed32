//! Ways out of a block: jumps on, exits to the dispatcher, and code that is rarely run.

use super::Emitter;
use super::flags::{FlagState, needs_of};
use super::loops::Kept;
use super::memory::Access;
use crate::codemem::field;
use crate::cpu::state::RSP;
use crate::jit::asm::{Alu, Label, Mem, Rm, Width, host};
use crate::jit::regs::pinned;
use crate::jit::{jump_table, return_ring};

/// A way out of the block that is not an instruction's own.
pub struct ExitDraft {
    /// Where the guest goes on.
    pub rip: u64,
    /// The block at `rip` has not begun, for want of budget.
    pub starved: bool,
    /// The jump that may be linked to the target, if one may.
    pub link: Option<LinkDraft>,
}

/// A jump that may be linked.
pub struct LinkDraft {
    /// Offset of its 32-bit distance.
    pub at: usize,
    /// Offset of the code that leads to the dispatcher.
    pub stub: usize,
    /// The target's entry must check where it is.
    pub checked: bool,
    /// The target is to have no windows.
    pub plain: bool,
}

/// Where a block goes on behind an interpreted instruction, and what it expects there.
pub(super) struct Resume {
    pub(super) label: Label,
    pub(super) flags: FlagState,
    pub(super) vectors: bool,
    pub(super) x87: bool,
}

/// What follows an interpreted instruction.
pub(super) enum Behind {
    /// Nothing: it ends its block.
    Nothing,
    /// The code behind it.
    Resume(Resume),
    /// Another block at this linear address, instruction number so much having been run: what was
    /// checked may no longer be so.
    Elsewhere(u32, u64),
}

/// Code that is rarely run, put behind the rest.
pub(super) enum Cold {
    /// The instruction of a site is interpreted.
    Slow { label: Label, site: u32, flags: FlagState, behind: Behind },
    /// The vector registers are to be loaded, before instruction `number` at `rip`.
    Vectors { label: Label, resume: Label, refused: Refused, flags: FlagState },
    /// The x87 state likewise; the vector registers are to be loaded again if they were.
    X87 { label: Label, resume: Label, refused: Refused, vectors: bool },
    /// The branch of instruction `number` is taken.
    Side { label: Label, number: u32, flags: FlagState, rip: u64 },
    /// An exit through the dispatcher.
    Exit { label: Label, exit: u32 },
    /// The block is not at its address now.
    Moved { label: Label },
    /// A window of instruction `number` at `rip` is not within a page.
    Narrow { label: Label, number: u32, rip: u64, flags: FlagState },
    /// An access goes to another page than the one that it keeps.
    OtherPage {
        label: Label,
        again: Label,
        slow: Label,
        access: Access,
        kept: Kept,
        vectors: bool,
        x87: bool,
    },
    /// The code that a call expects to be returned to, at linear address `rip`.
    Return { label: Label, rip: u64 },
    /// A return that was not expected, to linear address RCX; RSP moves by `released` bytes.
    Astray { label: Label, slow: Label, released: i32 },
}

/// Where to go on if a unit of the host may not be used.
#[derive(Clone, Copy)]
pub(super) enum Refused {
    /// Before instruction `number` at `rip`, in the run loop.
    Leave { number: u32, rip: u64 },
    /// The instruction was noted, and is interpreted here.
    Interpret { site: u32 },
}

impl Emitter<'_> {
    /// What to do if a unit may not be used for this instruction.
    pub(super) fn refusal(&mut self) -> Refused {
        if self.hooks.steps {
            Refused::Interpret { site: self.site(true) }
        } else {
            Refused::Leave { number: self.number, rip: self.rip }
        }
    }

    fn refuse(&mut self, refused: Refused) {
        match refused {
            Refused::Leave { number, rip } => {
                self.counted(Alu::Add, number);
                self.leave_starved(rip);
            }
            Refused::Interpret { site } => {
                self.asm.mov_imm(host::RCX, u64::from(site));
                self.asm.jmp_to(self.thunks.slow_end);
            }
        }
    }

    pub(super) fn emit_cold(&mut self, cold: Cold) {
        match cold {
            Cold::Slow { label, site, flags, behind } => {
                self.asm.bind(label);
                self.flags = flags;
                self.save_flags();
                self.asm.mov_imm(host::RCX, u64::from(site));
                match behind {
                    Behind::Nothing => self.asm.jmp_to(self.thunks.slow_end),
                    Behind::Elsewhere(number, rip) => {
                        self.asm.call_to(self.thunks.slow);
                        self.counted(Alu::Add, number + 1);
                        self.jump_linked(rip, !same_page(rip, self.start));
                    }
                    Behind::Resume(resume) => {
                        self.asm.call_to(self.thunks.slow);
                        self.load_units(resume.vectors, resume.x87);
                        self.restore_as(resume.flags);
                        self.asm.jmp(resume.label);
                    }
                }
            }
            Cold::Side { label, number, flags, rip } => {
                self.asm.bind(label);
                self.flags = flags;
                self.spoil_flags();
                let ran = number.wrapping_add(1);
                self.counted(Alu::Add, ran);
                if number == u32::MAX {
                    self.leave_starved(rip);
                } else {
                    self.note_branch();
                    self.go_to(rip);
                }
            }
            Cold::Vectors { label, resume, refused, flags } => {
                self.asm.bind(label);
                self.asm.call_to(self.thunks.load_vectors);
                self.asm.alu_imm(Alu::Cmp, Width::D, Rm::R(host::RCX), 0);
                self.asm.jcc(5, resume);
                self.flags = flags;
                self.save_flags();
                self.refuse(refused);
            }
            Cold::X87 { label, resume, refused, vectors } => {
                self.asm.bind(label);
                let refusal = self.asm.label();
                self.load_x87(Some(refusal));
                if vectors {
                    self.asm.call_to(self.thunks.load_vectors);
                }
                self.asm.jmp(resume);
                self.asm.bind(refusal);
                self.refuse(refused);
            }
            Cold::Exit { label, exit } => {
                self.asm.bind(label);
                let stub = self.asm.bytes.len();
                if let Some(link) = &mut self.exits[(exit - self.first_exit) as usize].link {
                    link.stub = stub;
                }
                self.leave_by(exit);
            }
            Cold::Moved { label } => {
                self.asm.bind(label);
                let exit = self.new_exit(self.start, None);
                self.leave_by(exit);
            }
            Cold::Narrow { label, number, rip, flags } => {
                self.asm.bind(label);
                self.flags = flags;
                self.save_flags();
                self.counted(Alu::Add, number);
                self.jump_linked(rip, false);
                let exit = self.exits.last_mut().expect("just made");
                exit.link.as_mut().expect("a linked one").plain = true;
            }
            Cold::OtherPage { label, again, slow, access, kept, vectors, x87 } => {
                self.asm.bind(label);
                self.keep_another(access, kept, slow, again);
                self.load_units(vectors, x87);
                self.asm.jmp(again);
            }
            Cold::Return { label, rip } => {
                self.asm.bind(label);
                self.jump_linked(rip, true);
            }
            Cold::Astray { label, slow, released } => {
                self.asm.bind(label);
                let code = self.look_up_or(slow);
                self.release_stack(released);
                self.asm.jmp_rm(Rm::M(code));
            }
        }
    }

    fn new_exit(&mut self, rip: u64, link: Option<LinkDraft>) -> u32 {
        self.exits.push(ExitDraft { rip, starved: false, link });
        self.first_exit + self.exits.len() as u32 - 1
    }

    fn leave_by(&mut self, exit: u32) {
        self.asm.mov_imm(host::RCX, u64::from(exit));
        self.asm.jmp_to(self.thunks.exit);
    }

    /// To the dispatcher, since there is not enough budget for the block at `rip`.
    pub(super) fn leave_starved(&mut self, rip: u64) {
        let exit = self.new_exit(rip, None);
        self.exits.last_mut().expect("just pushed").starved = true;
        self.leave_by(exit);
    }

    /// On to linear address `rip`, wherever its code is. Flags are in AX.
    pub fn go_to(&mut self, rip: u64) {
        self.save_flags();
        if rip == self.start {
            let entry = self.entry;
            return self.asm.jmp_to(entry);
        }
        self.jump_linked(rip, !same_page(rip, self.start));
    }

    /// A jump that will be linked to the block at `rip`.
    fn jump_linked(&mut self, rip: u64, checked: bool) {
        let label = self.asm.label();
        self.asm.jmp(label);
        let at = self.asm.bytes.len() - 4;
        let exit = self.new_exit(rip, Some(LinkDraft { at, stub: 0, checked, plain: false }));
        self.cold.push(Cold::Exit { label, exit });
    }

    /// Remembers that a return to `rip` is expected, for [`Self::go_back`].
    pub(super) fn expect_return(&mut self, rip: u64) {
        self.spoil_flags();
        let label = self.asm.label();
        self.cold.push(Cold::Return { label, rip });
        let position = Rm::M(Mem::at(host::RSP, field::RING));
        self.asm.alu_imm(Alu::Add, Width::B, position, return_ring::ENTRY_BYTES.into());
        self.asm.movzx(host::RDX, Width::B, position);
        self.asm.alu(Alu::Add, Width::Q, host::RDX, Rm::M(Mem::at(host::RSP, field::RETURNS)));
        self.asm.mov_imm(host::RCX, rip);
        self.asm.store(Width::Q, Rm::M(Mem::at(host::RDX, 0)), host::RCX);
        self.asm.lea_label(host::RCX, label);
        self.asm.store(Width::Q, Rm::M(Mem::at(host::RDX, return_ring::CODE)), host::RCX);
    }

    /// Returns to linear address RCX, whereupon RSP moves by `released` bytes.
    pub(super) fn go_back(&mut self, released: i32) {
        self.spoil_flags();
        let slow = self.slow_label();
        let label = self.asm.label();
        self.cold.push(Cold::Astray { label, slow, released });
        let position = Rm::M(Mem::at(host::RSP, field::RING));
        self.asm.movzx(host::RDX, Width::B, position);
        self.asm.alu_imm(Alu::Sub, Width::B, position, return_ring::ENTRY_BYTES.into());
        self.asm.alu(Alu::Add, Width::Q, host::RDX, Rm::M(Mem::at(host::RSP, field::RETURNS)));
        self.asm.alu(Alu::Cmp, Width::Q, host::RCX, Rm::M(Mem::at(host::RDX, 0)));
        self.asm.jcc(5, label);
        self.release_stack(released);
        self.asm.jmp_rm(Rm::M(Mem::at(host::RDX, return_ring::CODE)));
    }

    /// Moves RSP, without a trace in the flags.
    pub(super) fn release_stack(&mut self, bytes: i32) {
        let sp = pinned(RSP as u8).expect("RSP has a host register");
        self.asm.lea(Width::Q, sp, Mem::at(sp, bytes));
    }

    /// If condition `cc` holds, on to `rip`; else what follows.
    pub(super) fn branch(&mut self, cc: u8, rip: u64) {
        if self.branch_back(cc, rip) {
            return;
        }
        self.need_flags(needs_of(cc));
        let label = self.asm.label();
        self.asm.jcc(cc, label);
        self.cold.push(Cold::Side { label, number: self.number, flags: self.flags, rip });
    }

    /// Looks up the linear address in RCX and leaves the address of its checked entry at the place
    /// that is given, a field of `[RDX]`. Where nothing is found, the instruction is interpreted.
    pub(super) fn look_up(&mut self) -> Mem {
        self.spoil_flags();
        let slow = self.slow_label();
        self.look_up_or(slow)
    }

    /// [`Self::look_up`], or on at `miss`. Flags are in AX.
    fn look_up_or(&mut self, miss: Label) -> Mem {
        let mask = (jump_table::ENTRIES - 1) as u64;
        self.asm.rorx(Width::D, host::RDX, host::RCX, jump_table::FOLD);
        self.asm.alu(Alu::Xor, Width::D, host::RDX, Rm::R(host::RCX));
        self.asm.alu_imm(Alu::And, Width::D, Rm::R(host::RDX), mask);
        self.asm.wide(Width::D, &[0xC1], 4, Rm::R(host::RDX));
        self.asm.put(&[jump_table::ENTRY_SHIFT]);
        self.asm.alu(Alu::Add, Width::Q, host::RDX, Rm::M(Mem::at(host::RSP, field::JUMPS)));
        self.asm.alu(Alu::Cmp, Width::Q, host::RCX, Rm::M(Mem::at(host::RDX, jump_table::LINEAR)));
        self.asm.jcc(5, miss);
        Mem::at(host::RDX, jump_table::CODE)
    }

    pub(super) fn slow_label(&mut self) -> Label {
        let (asm, flags) = (&mut self.asm, self.flags);
        let (label, known) = *self.slow.get_or_insert_with(|| (asm.label(), flags));
        debug_assert!(known == flags);
        label
    }
}

fn same_page(a: u64, b: u64) -> bool {
    (a ^ b) >> 12 == 0
}
