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
//!   RCX and RDX are scratch; RAX holds flags and is never touched by a family.
//! - memory: [`Emitter::memory`] checks the operand, and gives a host operand (`[RCX]`) for it.
//!   It may leave to the interpreter instead, so *nothing of the guest's may have been changed
//!   before*; all memory comes first, then registers and flags. It uses RCX and RDX, and the
//!   guest's flags are no longer in the host's afterwards.
//! - vector registers: [`Emitter::need_vectors`] first of all; then guest XMMn is host XMMn, and
//!   MXCSR is the guest's.
//! - the x87 unit likewise: [`Emitter::need_x87`].
//! - flags: before a host instruction that reads guest flags, or that leaves some of them as
//!   they are, [`Emitter::need_flags`]; behind one that wrote them, [`Emitter::flags_written`].
//!   Any other host instruction must not write flags (MOV, LEA, RORX, SARX do not), unless
//!   [`Emitter::spoil_flags`] was called before. Undefined flags are the interpreter's: see the
//!   table in `docs/jit.md`.

mod alu;
mod control;
mod idle;
mod mov;
mod muldiv;
mod shift;
mod sse;
mod stack;
mod x87;

use super::asm::{Alu, Asm, Label, Mem, NONE, Rm, Width, host};
use super::jump_table;
use super::regs::{pinned, slot};
use super::thunks::Thunks;
use crate::codemem::{LOAD_X87, X87_IN_HOST, X87_IN_IMAGE, field};
use crate::cpu::Insn;
use crate::cpu::insn::{self, HIGH_BYTE, SEG_FLAT};
use crate::cpu::state::seg;
use crate::mem::tlb_layout;
use iced_x86::Instruction;

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

/// Which guest flags are in the host's flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// None of them.
    None,
    /// All but OF.
    NoOf,
    /// All six.
    All,
}

/// Where the guest's arithmetic flags are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FlagState {
    /// In AX.
    ax: bool,
    host: Host,
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

/// A way out of the block that is not an instruction's own.
pub struct ExitDraft {
    /// Where the guest goes on.
    pub rip: u64,
    /// The block at `rip` has not begun, for want of budget.
    pub starved: bool,
    /// Offset of the 32-bit distance of the jump that may be linked to the target, if it may.
    pub link: Option<usize>,
}

/// Where a block goes on behind an interpreted instruction, and what it expects there.
struct Resume {
    label: Label,
    flags: FlagState,
    vectors: bool,
    x87: bool,
}

/// Code that is rarely run, put behind the rest.
enum Cold {
    /// The instruction of a site is interpreted.
    Slow { label: Label, site: u32, resume: Option<Resume> },
    /// The vector registers are to be loaded, before instruction `number` at `rip`.
    Vectors { label: Label, resume: Label, number: u32, rip: u64 },
    /// The x87 state likewise; the vector registers are to be loaded again if they were.
    X87 { label: Label, resume: Label, number: u32, rip: u64, vectors: bool },
    /// The branch of instruction `number` is taken.
    Side { label: Label, number: u32, flags: FlagState, rip: u64 },
    /// An exit through the dispatcher.
    Exit { label: Label, exit: u32 },
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
    slow: Option<Label>,
    /// The guest's vector registers are in the host's.
    vectors: bool,
    /// Its x87 state is in the host's.
    x87: bool,
}

impl<'a> Emitter<'a> {
    /// A block at linear address `start`, whose code will lie at `origin`.
    pub fn new(
        origin: usize,
        thunks: &'a Thunks,
        start: u64,
        first_site: u32,
        first_exit: u32,
        first: &Insn,
    ) -> Self {
        let mut e = Self {
            asm: Asm::new(origin),
            thunks,
            flags: FlagState { ax: true, host: Host::None },
            cold: Vec::new(),
            first_site,
            first_exit,
            sites: Vec::new(),
            exits: Vec::new(),
            counts: Vec::new(),
            start,
            entry: origin,
            insn: *first,
            number: 0,
            rip: start,
            slow: None,
            vectors: false,
            x87: false,
        };
        e.charge();
        e
    }

    /// The entry: all instructions are paid for in advance.
    fn charge(&mut self) {
        let budget = Rm::M(Mem::at(host::RSP, field::BUDGET));
        self.counted(Alu::Sub, budget, 0);
        let label = self.asm.label();
        // JS: there is less left.
        self.asm.jcc(8, label);
        let flags = self.flags;
        self.cold.push(Cold::Side { label, number: u32::MAX, flags, rip: self.start });
    }

    /// `op r/m, n - less`, n being the number of instructions of the block.
    fn counted(&mut self, op: Alu, rm: Rm, less: u32) {
        self.asm.sized_ext(Width::Q, 0x80, op as u8, rm);
        self.counts.push((self.asm.bytes.len(), less));
        self.asm.put(&[0; 4]);
    }

    /// Appends one instruction. False if the block ends with it.
    pub fn instruction(&mut self, i: &Instruction, insn: &Insn, rip: u64, ends: bool) -> bool {
        self.insn = *insn;
        self.rip = rip;
        self.slow = None;
        let emitted = emit(self, i);
        let goes_on = match emitted {
            Emitted::Done => true,
            Emitted::End => false,
            Emitted::No => self.interpret(ends),
        };
        if let Some(label) = self.slow.take() {
            let site = self.site(emitted == Emitted::End);
            let resume = (emitted == Emitted::Done).then(|| {
                let label = self.asm.label();
                self.asm.bind(label);
                Resume { label, flags: self.flags, vectors: self.vectors, x87: self.x87 }
            });
            self.cold.push(Cold::Slow { label, site, resume });
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
            self.asm.set32(at, (self.number - less) as i32);
        }
        self.asm.finish();
    }

    /// The number of instructions so far.
    pub fn count(&self) -> u32 {
        self.number
    }

    fn emit_cold(&mut self, cold: Cold) {
        match cold {
            Cold::Slow { label, site, resume } => {
                self.asm.bind(label);
                self.asm.mov_imm(host::RCX, u64::from(site));
                match resume {
                    None => self.asm.jmp_to(self.thunks.slow_end),
                    Some(resume) => {
                        self.asm.call_to(self.thunks.slow);
                        // What allowed it before does so still.
                        if resume.x87 {
                            self.load_x87(None);
                        }
                        if resume.vectors {
                            self.asm.call_to(self.thunks.load_vectors);
                        }
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
                self.counted(Alu::Add, Rm::M(Mem::at(host::RSP, field::BUDGET)), ran);
                if number == u32::MAX {
                    self.leave_starved(rip);
                } else {
                    self.go_to(rip);
                }
            }
            Cold::Vectors { label, resume, number, rip } => {
                self.asm.bind(label);
                self.asm.call_to(self.thunks.load_vectors);
                self.asm.alu_imm(Alu::Cmp, Width::D, Rm::R(host::RCX), 0);
                self.asm.jcc(5, resume);
                self.counted(Alu::Add, Rm::M(Mem::at(host::RSP, field::BUDGET)), number);
                self.leave_starved(rip);
            }
            Cold::X87 { label, resume, number, rip, vectors } => {
                self.asm.bind(label);
                let refused = self.asm.label();
                self.load_x87(Some(refused));
                if vectors {
                    self.asm.call_to(self.thunks.load_vectors);
                }
                self.asm.jmp(resume);
                self.asm.bind(refused);
                self.counted(Alu::Add, Rm::M(Mem::at(host::RSP, field::BUDGET)), number);
                self.leave_starved(rip);
            }
            Cold::Exit { label, exit } => {
                self.asm.bind(label);
                self.asm.mov_imm(host::RCX, u64::from(exit));
                self.asm.jmp_to(self.thunks.exit);
            }
        }
    }

    /// From AX alone to the state that the code behind expects.
    fn restore_as(&mut self, want: FlagState) {
        match want.host {
            Host::None => {}
            Host::NoOf => self.asm.sahf(),
            Host::All => {
                self.asm.restore_flags();
                if want.ax {
                    // AH is as it was.
                    self.asm.put(&[0x0F, 0x90, 0xC0]);
                }
            }
        }
    }

    fn new_exit(&mut self, rip: u64, link: Option<usize>) -> u32 {
        self.exits.push(ExitDraft { rip, starved: false, link });
        self.first_exit + self.exits.len() as u32 - 1
    }

    /// To the dispatcher, since there is not enough budget for the block at `rip`.
    fn leave_starved(&mut self, rip: u64) {
        let exit = self.new_exit(rip, None);
        self.exits.last_mut().expect("just pushed").starved = true;
        self.asm.mov_imm(host::RCX, u64::from(exit));
        self.asm.jmp_to(self.thunks.exit);
    }

    /// On to linear address `rip`, wherever its code is. Flags are in AX.
    pub fn go_to(&mut self, rip: u64) {
        self.save_flags();
        if rip == self.start {
            let entry = self.entry;
            return self.asm.jmp_to(entry);
        }
        if same_page(rip, self.start) {
            let label = self.asm.label();
            self.asm.jmp(label);
            let at = self.asm.bytes.len() - 4;
            let exit = self.new_exit(rip, Some(at));
            return self.cold.push(Cold::Exit { label, exit });
        }
        let exit = self.new_exit(rip, None);
        let label = self.asm.label();
        self.cold.push(Cold::Exit { label, exit });
        let entry = (jump_table::index(rip) << jump_table::ENTRY_SHIFT) as i32;
        self.asm.load(Width::Q, host::RDX, Rm::M(Mem::at(host::RSP, field::JUMPS)));
        self.asm.mov_imm(host::RCX, rip);
        self.asm.alu(Alu::Cmp, Width::Q, host::RCX, Rm::M(Mem::at(host::RDX, entry + jump_table::LINEAR)));
        self.asm.jcc(5, label);
        self.asm.load(Width::Q, host::RCX, Rm::M(Mem::at(host::RDX, entry + jump_table::STAMP)));
        self.asm.alu(Alu::Cmp, Width::Q, host::RCX, Rm::M(Mem::at(host::RSP, field::STAMP)));
        self.asm.jcc(5, label);
        self.asm.jmp_rm(Rm::M(Mem::at(host::RDX, entry + jump_table::CODE)));
    }

    /// If condition `cc` holds, on to `rip`; else what follows.
    fn branch(&mut self, cc: u8, rip: u64) {
        self.need_flags(needs_of(cc));
        let label = self.asm.label();
        self.asm.jcc(cc, label);
        self.cold.push(Cold::Side { label, number: self.number, flags: self.flags, rip });
    }

    /// Looks up the linear address in RCX and leaves the entry point's address in RDX: `[RDX]`
    /// is to be jumped to. Where nothing is found, the instruction is interpreted. RCX is lost.
    fn look_up(&mut self) -> Mem {
        self.spoil_flags();
        let miss = self.slow_label();
        let mask = (jump_table::ENTRIES - 1) as u64;
        self.asm.rorx(Width::D, host::RDX, host::RCX, jump_table::FOLD);
        self.asm.alu(Alu::Xor, Width::D, host::RDX, Rm::R(host::RCX));
        self.asm.alu_imm(Alu::And, Width::D, Rm::R(host::RDX), mask);
        self.asm.wide(Width::D, &[0xC1], 4, Rm::R(host::RDX));
        self.asm.put(&[jump_table::ENTRY_SHIFT]);
        self.asm.alu(Alu::Add, Width::Q, host::RDX, Rm::M(Mem::at(host::RSP, field::JUMPS)));
        self.asm.alu(Alu::Cmp, Width::Q, host::RCX, Rm::M(Mem::at(host::RDX, jump_table::LINEAR)));
        self.asm.jcc(5, miss);
        self.asm.load(Width::Q, host::RCX, Rm::M(Mem::at(host::RDX, jump_table::STAMP)));
        self.asm.alu(Alu::Cmp, Width::Q, host::RCX, Rm::M(Mem::at(host::RSP, field::STAMP)));
        self.asm.jcc(5, miss);
        Mem::at(host::RDX, jump_table::CODE)
    }

    fn slow_label(&mut self) -> Label {
        let asm = &mut self.asm;
        *self.slow.get_or_insert_with(|| asm.label())
    }

    /// The linear address behind this instruction.
    pub fn next_rip(&self) -> u64 {
        self.rip.wrapping_add(u64::from(self.insn.len))
    }

    /// Has the guest's vector registers and MXCSR in the host's from here on. Where that cannot
    /// be, the interpreter goes on with this instruction.
    pub fn need_vectors(&mut self) {
        if self.vectors {
            return;
        }
        self.spoil_flags();
        let (label, resume) = (self.asm.label(), self.asm.label());
        self.asm.alu_imm(Alu::Cmp, Width::Q, Rm::M(Mem::at(host::RSP, field::VECTORS)), 0);
        self.asm.jcc(4, label);
        self.asm.bind(resume);
        self.cold.push(Cold::Vectors { label, resume, number: self.number, rip: self.rip });
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
        let (number, rip, vectors) = (self.number, self.rip, self.vectors);
        self.cold.push(Cold::X87 { label, resume, number, rip, vectors });
        self.x87 = true;
    }

    /// Loads the x87 unit, or goes to `refused`. Vector registers go back to where they were.
    fn load_x87(&mut self, refused: Option<Label>) {
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

    // Flags.

    /// Makes AX hold the flags.
    fn save_flags(&mut self) {
        if !self.flags.ax {
            debug_assert!(self.flags.host == Host::All);
            self.asm.save_flags();
            self.flags.ax = true;
        }
    }

    /// Host flags may be overwritten from here on.
    pub fn spoil_flags(&mut self) {
        self.save_flags();
        self.flags.host = Host::None;
    }

    /// Guest flags in the host's flags.
    pub fn need_flags(&mut self, need: Host) {
        if self.flags.host >= need {
            return;
        }
        if need == Host::NoOf {
            self.asm.sahf();
            self.flags.host = Host::NoOf;
        } else {
            self.asm.restore_flags();
            self.flags = FlagState { ax: false, host: Host::All };
        }
    }

    /// The last host instruction left all guest flags in the host's.
    pub fn flags_written(&mut self) {
        self.flags = FlagState { ax: false, host: Host::All };
    }

    // Registers.

    /// A host register that holds guest register `g` (0 to 15), `scratch` if it must be loaded.
    pub fn read(&mut self, g: u8, scratch: u8) -> u8 {
        if let Some(h) = pinned(g) {
            return h;
        }
        self.asm.load(Width::Q, scratch, Rm::M(slot(g)));
        scratch
    }

    /// A host register whose low `w` are those of register operand `r` of that width.
    pub fn read_sized(&mut self, w: Width, r: u8, scratch: u8) -> u8 {
        let h = self.read(r & 15, scratch);
        if w == Width::B && r >= HIGH_BYTE {
            self.asm.rorx(Width::Q, scratch, h, 8);
            return scratch;
        }
        h
    }

    /// A host register to compute the new value of register operand `r` in, with the old value
    /// in it; [`Self::commit`] afterwards.
    pub fn target(&mut self, w: Width, r: u8, scratch: u8) -> u8 {
        self.read_sized(w, r, scratch)
    }

    /// Puts `h`, which [`Self::target`] gave for `r`, where the guest register is.
    pub fn commit(&mut self, w: Width, r: u8, h: u8) {
        let g = r & 15;
        match pinned(g) {
            Some(own) if w == Width::B && r >= HIGH_BYTE => {
                self.asm.rorx(Width::Q, own, own, 8);
                self.asm.store(Width::B, Rm::R(own), h);
                self.asm.rorx(Width::Q, own, own, 56);
            }
            Some(own) => debug_assert!(own == h),
            // A 32-bit operation has cleared the upper half of the scratch register.
            None => self.asm.store(Width::Q, Rm::M(slot(g)), h),
        }
    }

    /// Sets register operand `r` of width `w` to the low bits of `h`.
    pub fn write(&mut self, w: Width, r: u8, h: u8) {
        let g = r & 15;
        match pinned(g) {
            Some(own) if w == Width::B && r >= HIGH_BYTE => {
                let from = if h == own { host::RDX } else { h };
                self.asm.mov(from, h);
                self.asm.rorx(Width::Q, own, own, 8);
                self.asm.store(Width::B, Rm::R(own), from);
                self.asm.rorx(Width::Q, own, own, 56);
            }
            Some(own) if own == h && w != Width::D => {}
            Some(own) => self.asm.load(w, own, Rm::R(h)),
            None if w == Width::D => {
                // The source may be a guest register, which must stay as it is.
                let scratch = if h == host::RCX { h } else { host::RDX };
                self.asm.load(Width::D, scratch, Rm::R(h));
                self.asm.store(Width::Q, Rm::M(slot(g)), scratch);
            }
            None => self.asm.store(w, Rm::M(slot(g)), h),
        }
    }

    // Memory.

    /// The effective address of the memory operand, or parts of one that the host can add up.
    /// Cold registers are loaded into RCX and RDX.
    pub fn effective(&mut self) -> Effective {
        let insn = self.insn;
        if insn.base == insn::RIP {
            let ea = self.next_rip().wrapping_add(insn.disp);
            // No index with RIP.
            return Effective::Constant(ea & insn.addr_mask);
        }
        let base = (insn.base < 16).then(|| self.read(insn.base, host::RCX)).unwrap_or(NONE);
        let index = (insn.index < 16).then(|| self.read(insn.index, host::RDX)).unwrap_or(NONE);
        if base == NONE && index == NONE {
            return Effective::Constant(insn.disp & insn.addr_mask);
        }
        let disp = insn.disp as i64 as i32;
        if i64::from(disp) != insn.disp as i64 && insn.addr_mask == u64::MAX {
            // No such encoding in 64-bit mode.
            return Effective::Unknown;
        }
        Effective::Sum(Mem { base, index, scale: insn.scale, disp })
    }

    /// The linear address of the memory operand in RCX. False if it is beyond this function.
    fn linear(&mut self) -> bool {
        let width = if self.insn.addr_mask == u64::MAX { Width::Q } else { Width::D };
        match self.effective() {
            Effective::Unknown => return false,
            Effective::Constant(ea) => self.asm.mov_imm(host::RCX, ea),
            Effective::Sum(m) if m.index == NONE && m.disp == 0 => {
                self.asm.load(width, host::RCX, Rm::R(m.base));
            }
            Effective::Sum(m) => self.asm.lea(width, host::RCX, m),
        }
        self.add_segment_base();
        true
    }

    fn add_segment_base(&mut self) {
        let at = match usize::from(self.insn.seg) {
            seg::FS => field::FS_BASE,
            seg::GS => field::GS_BASE,
            _ => return,
        };
        self.asm.alu(Alu::Add, Width::Q, host::RCX, Rm::M(Mem::at(host::RSP, at)));
    }

    /// Whether [`Self::memory`] can do this instruction's operand.
    fn addressable(&self) -> bool {
        let flat = self.insn.seg == SEG_FLAT || usize::from(self.insn.seg) >= seg::FS;
        let size = matches!(self.insn.addr_mask, u64::MAX | 0xFFFF_FFFF);
        let near = self.insn.disp as i64 == i64::from(self.insn.disp as i32)
            || self.insn.base == insn::RIP
            || (self.insn.base == insn::ZERO && self.insn.index == insn::ZERO)
            || self.insn.addr_mask == 0xFFFF_FFFF;
        flat && size && near
    }

    /// The memory operand as a host operand, checked for an access of `bytes` bytes; `None` if
    /// that cannot be done here (nothing was appended then).
    pub fn memory(&mut self, bytes: usize, write: bool) -> Option<Mem> {
        if !self.addressable() {
            return None;
        }
        self.spoil_flags();
        let found = self.linear();
        debug_assert!(found);
        Some(self.translate(bytes, write))
    }

    /// From a linear address in RCX to a host address there; RDX is lost. The flags must have
    /// been spoiled.
    ///
    /// This is what keeps generated code within guest RAM: the address that comes out is the
    /// page of an entry whose tag equals the page of the linear address, plus an offset that
    /// leaves `bytes` bytes up to the end of the page.
    fn translate(&mut self, bytes: usize, write: bool) -> Mem {
        debug_assert!(self.flags.ax && self.flags.host == Host::None);
        let tag = if write { tlb_layout::WRITE_TAG } else { tlb_layout::READ_TAG };
        let slow = self.slow_label();
        let shift = 12 - tlb_layout::ENTRY_SHIFT;
        let mask = ((tlb_layout::ENTRIES - 1) << tlb_layout::ENTRY_SHIFT) as u64;
        self.asm.rorx(Width::D, host::RDX, host::RCX, shift);
        self.asm.alu_imm(Alu::And, Width::D, Rm::R(host::RDX), mask);
        self.asm.alu(Alu::Add, Width::Q, host::RDX, Rm::M(Mem::at(host::RSP, field::TLB)));
        self.asm.alu(Alu::Xor, Width::Q, host::RCX, Rm::M(Mem::at(host::RDX, tag)));
        self.asm.alu_imm(Alu::Cmp, Width::Q, Rm::R(host::RCX), 0x1000 - bytes as u64);
        // JA
        self.asm.jcc(7, slow);
        self.asm.alu(Alu::Add, Width::Q, host::RCX, Rm::M(Mem::at(host::RDX, tlb_layout::RAM_OFFSET)));
        self.asm.alu(Alu::Add, Width::Q, host::RCX, Rm::M(Mem::at(host::RSP, field::RAM)));
        Mem::at(host::RCX, 0)
    }

    /// [`Self::translate`] for `[reg + disp]` of a host register that holds a linear address.
    fn translate_at(&mut self, reg: u8, disp: i32, bytes: usize, write: bool) -> Mem {
        self.spoil_flags();
        if disp == 0 {
            self.asm.mov(host::RCX, reg);
        } else {
            self.asm.lea(Width::Q, host::RCX, Mem::at(reg, disp));
        }
        self.translate(bytes, write)
    }
}

/// An effective address.
pub enum Effective {
    /// Known.
    Constant(u64),
    /// What LEA would add up.
    Sum(Mem),
    /// Not in this form.
    Unknown,
}

/// What of the flags condition `cc` depends on.
pub fn needs_of(cc: u8) -> Host {
    match cc >> 1 {
        1 | 2 | 3 | 4 | 5 => Host::NoOf,
        _ => Host::All,
    }
}

fn same_page(a: u64, b: u64) -> bool {
    (a ^ b) >> 12 == 0
}

fn emit(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    const FAMILIES: [fn(&mut Emitter<'_>, &Instruction) -> Emitted; 9] = [
        alu::emit,
        mov::emit,
        control::emit,
        stack::emit,
        sse::emit,
        x87::emit,
        shift::emit,
        muldiv::emit,
        idle::emit,
    ];
    if e.insn.has(insn::insn_flags::LOCK) {
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
