//! From guest instructions to host instructions: what the families share.
//!
//! **Adding a family.** A file here has the stem of its handlers in `cpu/exec`, and one function
//! `emit(e: &mut Emitter, i: &Instruction) -> Emitted`, listed in [`emit`]. It looks at the
//! decoded instruction and either appends host code that does *exactly* what the handler does
//! and answers [`Emitted::Done`], or answers [`Emitted::No`] without having appended anything;
//! then the handler is called ([`Emitter::interpret`]). Wrong is worse than slow.
//!
//! What is at hand ([`Emitter`]):
//! - general registers: [`Emitter::read`], [`Emitter::read_byte`] give a host register that holds
//!   a guest register (a cold one is loaded into the scratch register that is named);
//!   [`Emitter::target`] and [`Emitter::commit`] do so for one that is written.
//!   RCX and RDX are scratch; RAX holds flags and the budget: a family touches AX at most.
//! - memory: [`Emitter::memory`] checks the operand, and gives a host operand (`[RCX]`) for it.
//!   It may leave to the interpreter instead, so *nothing of the guest's may have been changed
//!   before*; all memory comes first, then registers and flags. It uses RCX and RDX, and the
//!   guest's flags are no longer in the host's afterwards. [`Emitter::operand`] is the same, often
//!   cheaper, for whoever can use any operand with RCX in it: it may have an index, and the flags
//!   may be as they were.
//! - vector registers: [`Emitter::need_vectors`] first of all; then guest XMMn is host XMMn, and
//!   MXCSR is the guest's.
//! - the x87 unit likewise: [`Emitter::need_x87`].
//! - flags: before a host instruction that reads guest flags, or that leaves some of them as
//!   they are, [`Emitter::need_flags`]; behind one that wrote them, [`Emitter::flags_written`].
//!   Any other host instruction must not write flags (MOV, LEA, RORX, SARX do not), unless
//!   [`Emitter::spoil_flags`] was called before. Undefined flags are the interpreter's: see the
//!   table in `docs/jit.md`.

mod alu;
mod atomic;
mod bits;
mod control;
mod exits;
mod far;
mod flag_ops;
mod flags;
mod hooks;
mod idle;
mod lazy;
mod loops;
mod memory;
mod mov;
mod msr;
mod muldiv;
mod registers;
mod segment;
mod shift;
mod sse;
mod stack;
mod units;
mod window;
mod x87;

pub use flags::{Host, needs_of};
pub use loops::{LOOP_LIMIT, loop_end};
pub use memory::Effective;

use super::asm::{Alu, Asm, Label, Mem, NONE, Rm, Width, host};
use super::hooks::Hooks;
use super::host::{Family, Trust};
use super::thunks::Thunks;
use super::windows::Access;
use crate::codemem::{BUDGET_SHIFT, field};
use crate::cpu::Insn;
use crate::mem::tlb_layout;
use crate::types::{PAGE_OFFSET_MASK, PAGE_SHIFT};
use exits::{Behind, Cold, ExitDraft, Resume};
use flags::FlagState;
use hooks::StepDraft;
use iced_x86::{FlowControl, Instruction};

/// What a family made of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emitted {
    /// Host code that does it.
    Done,
    /// Host code that does it, and goes elsewhere: the block ends.
    End,
    /// Nothing.
    No,
}

/// An instruction that can be interpreted from within the block.
pub struct SiteDraft {
    /// It.
    pub insn: Insn,
    /// Its place in the block.
    pub number: u32,
    /// Its linear address.
    pub rip: u64,
    /// Nothing of the block follows it.
    pub ends: bool,
    /// There is no translation of it.
    pub always: bool,
}
/// A block under construction.
pub struct Emitter<'a> {
    /// The host code.
    pub asm: Asm,
    thunks: &'a Thunks,
    flags: FlagState,
    cold: Vec<Cold>,
    /// Number of the first site and exit of this block.
    first_site: u32,
    first_exit: u32,
    /// Sites made so far.
    pub sites: Vec<SiteDraft>,
    /// Exits made so far.
    pub exits: Vec<ExitDraft>,
    /// Offsets of immediates that hold the number of instructions less so many.
    counts: Vec<(usize, u32)>,
    /// The block's own linear address.
    start: u64,
    entry: usize,
    insn: Insn,
    number: u32,
    rip: u64,
    /// Where the instruction is interpreted, and the guest's flags there.
    slow: Option<(Label, FlagState)>,
    /// The instructions of the block.
    pub decoded: &'a [Instruction],
    /// The loop that the block is.
    own_loop: Option<loops::Loop>,
    /// The windows of each instruction.
    plan: &'a [Access],
    /// The windows that were checked: bit n for number n.
    open: u8,
    /// The guest's vector registers are in the host's.
    vectors: bool,
    /// Its x87 state is in the host's.
    x87: bool,
    /// The families that may be translated to the host's own instructions.
    pub trust: Trust,
    hooks: Hooks,
    first_step: u32,
    /// Steps made so far.
    pub steps: Vec<StepDraft>,
    /// The size of the store that is to be noted behind the instruction.
    stores: Option<u8>,
    /// The instruction before this one might have branched.
    after_branch: bool,
    /// Another instruction of the block follows this one.
    pub followed: bool,
}

impl<'a> Emitter<'a> {
    /// A block whose code will lie at `origin`. `places` are the linear address of its first byte in
    /// each page that it lies in, and the host address of that byte in RAM.
    pub fn new(
        origin: usize,
        thunks: &'a Thunks,
        places: &[(u64, u64)],
        first_site: u32,
        first_exit: u32,
        first: &Insn,
        decoded: &'a [Instruction],
        plan: &'a [Access],
    ) -> Self {
        let mut e = Self {
            asm: Asm::new(origin),
            thunks,
            flags: FlagState::SAVED,
            cold: Vec::new(),
            first_site,
            first_exit,
            sites: Vec::new(),
            exits: Vec::new(),
            counts: Vec::new(),
            start: places[0].0,
            entry: origin,
            insn: *first,
            number: 0,
            rip: places[0].0,
            slow: None,
            decoded,
            own_loop: None,
            plan,
            open: 0,
            vectors: false,
            x87: false,
            trust: Trust::ALL,
            hooks: Hooks::default(),
            first_step: 0,
            steps: Vec::new(),
            stores: None,
            after_branch: false,
            followed: false,
        };
        e.check_places(places);
        e.entry = e.asm.here();
        e.charge();
        e
    }

    /// The address at which the block is entered by whoever knows that its code is there.
    pub fn known_entry(&self) -> usize {
        self.entry
    }

    /// The checked entry: leaves unless code at these linear addresses is fetched from these RAM
    /// pages.
    fn check_places(&mut self, places: &[(u64, u64)]) {
        let moved = self.asm.label();
        for &(linear, ram) in places {
            self.check_place(linear, ram, moved);
        }
        self.cold.push(Cold::Moved { label: moved });
    }

    fn check_place(&mut self, linear: u64, ram: u64, moved: Label) {
        let slot = (linear >> PAGE_SHIFT) as usize % tlb_layout::ENTRIES;
        let at = |field| {
            let disp = tlb_layout::FETCHES + (slot << tlb_layout::ENTRY_SHIFT) as i32 + field;
            Rm::Gs(Mem { base: NONE, index: NONE, scale: 0, disp })
        };
        let page = linear & !PAGE_OFFSET_MASK;
        if i32::try_from(page as i64).is_ok() {
            self.asm.alu_imm(Alu::Cmp, Width::Q, at(tlb_layout::READ_TAG), page);
        } else {
            self.asm.mov_imm(host::RCX, page);
            self.asm.alu(Alu::Cmp, Width::Q, host::RCX, at(tlb_layout::READ_TAG));
        }
        self.asm.jcc(5, moved);
        // Bits 8 to 39 tell the pages of RAM apart: it is less than 2^40 bytes.
        self.asm.alu_imm(Alu::Cmp, Width::D, at(tlb_layout::HOST + 1), (ram & !PAGE_OFFSET_MASK) >> 8);
        self.asm.jcc(5, moved);
    }

    /// The entry: all instructions are paid for in advance.
    fn charge(&mut self) {
        self.counted(Alu::Sub, 0);
        let label = self.asm.label();
        // JS: there is less left.
        self.asm.jcc(8, label);
        let flags = self.flags;
        self.cold.push(Cold::Side { label, number: u32::MAX, flags, rip: self.start });
    }

    /// Adds to or subtracts from the budget n - less, n being the number of instructions of the block.
    fn counted(&mut self, op: Alu, less: u32) {
        self.counted_in(host::RAX, op, less);
    }

    /// The same on a copy of RAX.
    fn counted_in(&mut self, register: u8, op: Alu, less: u32) {
        self.asm.sized_ext(Width::Q, 0x80, op as u8, Rm::R(register));
        self.counts.push((self.asm.bytes.len(), less));
        self.asm.put(&[0; 4]);
    }

    /// Appends one instruction. False if the block ends with it.
    pub fn instruction(&mut self, i: &Instruction, insn: &Insn, rip: u64, ends: bool) -> bool {
        self.insn = *insn;
        self.rip = rip;
        self.slow = None;
        let before = self.note();
        self.note_end(i);
        let emitted = if self.run_loop_sees() { Emitted::No } else { emit(self, i) };
        if self.hooks.steps && emitted == Emitted::No {
            self.leave_to_run_loop(&before);
            return false;
        }
        self.note_store();
        self.after_branch = i.flow_control() != FlowControl::Next;
        let goes_on = match emitted {
            Emitted::Done => true,
            Emitted::End => false,
            Emitted::No => self.interpret(ends),
        };
        self.forget_redo(i);
        if let Some((label, flags)) = self.slow.take() {
            let site = self.site(emitted == Emitted::End);
            let behind = match emitted {
                Emitted::Done if self.open != 0 || self.keeps_pages() => {
                    Behind::Elsewhere(self.number, self.next_rip())
                }
                Emitted::Done => {
                    let label = self.asm.label();
                    self.asm.bind(label);
                    let (flags, vectors, x87) = (self.flags, self.vectors, self.x87);
                    Behind::Resume(Resume { label, flags, vectors, x87 })
                }
                _ => Behind::Nothing,
            };
            self.cold.push(Cold::Slow { label, site, flags, behind });
        }
        self.number += 1;
        goes_on
    }

    fn site(&mut self, ends: bool) -> u32 {
        let site = self.first_site + self.sites.len() as u32;
        self.sites.push(SiteDraft {
            insn: self.insn,
            number: self.number,
            rip: self.rip,
            ends,
            always: false,
        });
        site
    }

    /// Leaves the instruction to its handler.
    fn interpret(&mut self, ends: bool) -> bool {
        self.spoil_flags();
        self.forget_checks();
        let site = self.site(ends);
        self.sites.last_mut().expect("just made").always = true;
        self.asm.mov_imm(host::RCX, u64::from(site));
        if ends {
            self.asm.jmp_to(self.thunks.slow_end);
        } else {
            self.asm.call_to(self.thunks.slow);
            self.vectors = false;
            self.x87 = false;
        }
        !ends
    }

    /// The end of the block, if no instruction was one: on to `rip`.
    pub fn fall_through(&mut self, rip: u64) {
        if self.after_branch {
            self.note_branch();
        }
        self.go_to(rip);
    }

    /// Finishes the block of so many instructions.
    pub fn finish(&mut self) {
        for cold in std::mem::take(&mut self.cold) {
            self.emit_cold(cold);
        }
        // Exits of side exits.
        for cold in std::mem::take(&mut self.cold) {
            self.emit_cold(cold);
        }
        for (at, less) in std::mem::take(&mut self.counts) {
            self.asm.set32(at, ((self.number - less) as i32) << BUDGET_SHIFT);
        }
        self.asm.finish();
    }

    /// On to the handler unless the guest has these rights, bits of [`crate::codemem::rights`]. Flags
    /// must have been spoiled.
    pub(super) fn need_rights(&mut self, rights: u8) {
        let slow = self.slow_label();
        for right in (0..8).map(|n| 1 << n).filter(|right| rights & right != 0) {
            // TEST m8, imm8
            self.asm.sized_ext(Width::B, 0xF6, 0, Rm::M(Mem::at(host::RSP, field::RIGHTS)));
            self.asm.put(&[right]);
            self.asm.jcc(4, slow);
        }
    }

    /// The linear address behind this instruction.
    pub fn next_rip(&self) -> u64 {
        self.rip.wrapping_add(u64::from(self.insn.len))
    }

    /// Whether the next instruction of the block is the one at a linear address.
    pub(super) fn comes_next(&self, rip: u64) -> bool {
        self.decoded.get(self.number as usize + 1).is_some_and(|next| next.ip() == rip)
    }

    /// The number of instructions so far.
    pub fn count(&self) -> u32 {
        self.number
    }
}

fn emit(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    const FAMILIES: [fn(&mut Emitter<'_>, &Instruction) -> Emitted; 15] = [
        alu::emit,
        mov::emit,
        control::emit,
        stack::emit,
        sse::emit,
        x87::emit,
        shift::emit,
        muldiv::emit,
        bits::emit,
        atomic::emit,
        flag_ops::emit,
        idle::emit,
        far::emit,
        msr::emit,
        segment::emit,
    ];
    if Family::of(i).is_some_and(|family| !e.trust.has(family)) {
        return Emitted::No;
    }
    for family in FAMILIES {
        match family(e, i) {
            Emitted::No => {}
            done => return done,
        }
    }
    Emitted::No
}
