//! Running one vCPU for a slice: interrupts first, then blocks of decoded instructions.

use crate::boundary::{ProbeEvent, ProbeKind};
use crate::cpu::breakpoint::DR6_BS;
use crate::cpu::decode_cache::{Block, DecodeCache, Found};
use crate::cpu::flags;
use crate::cpu::insn::{Insn, insn_flags};
use crate::cpu::state::{BlockEnd, CodeSize, Shadow, seg};
use crate::cpu::system::{self, Delivery};
use crate::cpu::{Activity, Env, Vcpu};
use crate::jit::Jit;
use crate::mem::{AccessKind, Memory};
use crate::types::{Exception, vector};
use iced_x86::FlowControl;

/// Where a block was found last time, by linear address and place in RAM.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub(super) linear: u64,
    pub(super) ram_offset: u64,
    /// The version of the decoded code of its page, and its code size.
    pub(super) version: u64,
    size: CodeSize,
    /// `None`: the first instruction crosses its page.
    pub(super) block: Option<Block>,
}

const TARGETS: usize = 8192;

impl Target {
    /// No version is so.
    const NONE: Self =
        Self { linear: 0, ram_offset: 0, version: u64::MAX, size: CodeSize::Bits64, block: None };
}

/// Programs at the same address in different pages do not share a slot.
#[inline(always)]
fn target_slot(linear: u64, ram_offset: u64) -> usize {
    (linear ^ (ram_offset >> 12)) as usize % TARGETS
}

/// The blocks that a vCPU ran lately. Entries die with their version, so nothing is ever cleared.
pub struct TargetCache(pub(super) Box<[Target; TARGETS]>);

impl Default for TargetCache {
    fn default() -> Self {
        Self(Box::new([Target::NONE; TARGETS]))
    }
}

/// One vCPU with what it runs against, for one slice.
pub struct Runner<'a, 'e> {
    /// The vCPU.
    pub cpu: &'a mut Vcpu,
    /// Memory, devices, clock.
    pub env: &'a mut Env<'e>,
    /// Decoded code.
    pub code: &'a mut DecodeCache,
    /// Where this vCPU's blocks are.
    pub targets: &'a mut TargetCache,
    /// The translator, if code is to be translated.
    pub jit: Option<&'a mut Jit>,
}

/// Forgets what was made of code that was overwritten.
pub(super) fn drop_pages(mem: &mut Memory, code: &mut DecodeCache, mut jit: Option<&mut Jit>) {
    for page in mem.take_overwritten_code() {
        code.drop_page(page);
        if let Some(jit) = jit.as_deref_mut() {
            jit.drop_page(page);
        }
    }
}

/// A triple fault ended the slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TripleFault;

/// What was so before an instruction that is looked at.
struct Observed {
    start: u64,
    resumed: bool,
    stepping: bool,
    watching: bool,
}

impl Runner<'_, '_> {
    /// Runs until `env.clock.limit`, or until the vCPU asks for attention. At least one
    /// instruction is executed, unless a breakpoint at it stops the run.
    ///
    /// # Errors
    /// [`TripleFault`].
    pub fn run(&mut self) -> Result<(), TripleFault> {
        self.cpu.attention = false;
        // Delivering an interrupt, or someone outside, may have stored to code.
        let mut jit = self.jit.take();
        let result = self.run_with(jit.as_deref_mut());
        self.drop_overwritten(jit.as_deref_mut());
        self.jit = jit;
        result
    }

    fn run_with(&mut self, mut jit: Option<&mut Jit>) -> Result<(), TripleFault> {
        self.drop_overwritten(jit.as_deref_mut());
        if self.cpu.shadow != Shadow::None {
            return if self.stops_here() { Ok(()) } else { self.after_shadow() };
        }
        loop {
            if self.run_noting(jit.as_deref_mut())? {
                // All of it was noted by translated code.
            } else if self.stops_here() {
                return Ok(());
            } else {
                match jit.as_deref_mut() {
                    _ if self.cpu.careful => self.careful_step()?,
                    // Translated code keeps off the pages that have breakpoints.
                    Some(jit) if !self.looks_at_instructions() => self.run_translated(jit)?,
                    _ => self.run_block()?,
                }
            }
            self.drop_overwritten(jit.as_deref_mut());
            if self.cpu.attention || self.env.clock.icount >= self.env.clock.limit {
                return Ok(());
            }
        }
    }

    /// Whether instructions anywhere must be seen before they execute.
    #[inline(always)]
    fn looks_at_instructions(&self) -> bool {
        self.cpu.stops.armed() && !self.cpu.stops.only_breaks()
    }

    /// The one instruction that an interrupt shadow covers.
    fn after_shadow(&mut self) -> Result<(), TripleFault> {
        self.cpu.shadow = Shadow::None;
        self.careful_step()?;
        self.cpu.attention = true;
        Ok(())
    }

    /// Whether a breakpoint stops the run before the next instruction.
    #[inline(always)]
    fn stops_here(&mut self) -> bool {
        self.cpu.stops.armed() && self.breakpoint_here()
    }

    #[cold]
    fn breakpoint_here(&mut self) -> bool {
        let address = self.instruction_address();
        if self.cpu.stops.at_instruction(address, self.env.clock.icount) {
            return true;
        }
        if self.cpu.stops.notes_steps() {
            self.cpu.note_step(self.env, address);
        }
        false
    }

    /// The linear address of RIP, or RIP itself if the fetch will fault on the segment's limit.
    fn instruction_address(&self) -> u64 {
        self.cpu.fetch_address().unwrap_or(self.cpu.rip())
    }

    pub(super) fn run_block(&mut self) -> Result<(), TripleFault> {
        let found = self.find_target().and_then(|slot| self.targets.0[slot].block);
        if self.cpu.stops.armed() {
            return self.run_to_breakpoint(found);
        }
        let Some(block) = found else { return self.careful_step() };
        let clock = &*self.env.clock;
        let budget = (clock.limit - clock.icount).min(u64::from(block.len)) as usize;
        self.run_instructions(block, budget)
    }

    /// Runs a block up to the next instruction that must be looked at first.
    #[cold]
    fn run_to_breakpoint(&mut self, found: Option<Block>) -> Result<(), TripleFault> {
        let start = self.instruction_address();
        let clock = &mut *self.env.clock;
        if self.cpu.stops.looks_at(start) {
            // The limit holds for the iterations of a REP string, too.
            let limit = std::mem::replace(&mut clock.limit, clock.icount + 1);
            let result = match found {
                Some(block) if self.cpu.stops.only_notes_steps() => self.run_noted(block, limit),
                Some(block) => {
                    let flow = self.code.insn(block.start as usize).code.flow_control();
                    self.cpu.probes.block_next = flow != FlowControl::Next;
                    self.run_instructions(block, 1)
                }
                None => self.careful_step(),
            };
            self.env.clock.limit = limit;
            return result;
        }
        let Some(block) = found else { return self.careful_step() };
        let mut budget = (clock.limit - clock.icount).min(u64::from(block.len)) as usize;
        if self.cpu.stops.breakpoint_in_page(start) {
            let mut at = start;
            let is_clear = |&k: &usize| {
                at += u64::from(self.code.insn(block.start as usize + k - 1).len);
                !self.cpu.stops.looks_at(at)
            };
            budget = 1 + (1..budget).take_while(is_clear).count();
        }
        self.run_instructions(block, budget)
    }

    /// Runs a block whose instructions are noted one by one; the first one was.
    fn run_noted(&mut self, block: Block, limit: u64) -> Result<(), TripleFault> {
        let instructions = self.cpu.probes.wants(ProbeKind::Instruction);
        let mut index = block.start as usize;
        self.cpu.block_end = index + (limit - self.env.clock.icount).min(u64::from(block.len)) as usize;
        loop {
            let insn = self.code.insn(index);
            self.cpu.probes.block_next = insn.code.flow_control() != FlowControl::Next;
            self.env.clock.icount += 1;
            // Each iteration of a REP string is seen, if instructions are; none begins a block.
            if instructions {
                self.env.clock.limit = self.env.clock.icount;
            }
            let (start, end) = (self.cpu.rip(), self.cpu.block_end);
            let repeats = insn.has(insn_flags::REP) || insn.has(insn_flags::REPNE);
            let before = repeats
                .then(|| (self.cpu.attention, std::mem::replace(&mut self.cpu.ended_for, BlockEnd::None)));
            let result = self.cpu.execute(self.env, insn);
            self.env.clock.limit = limit;
            if let Err(e) = result {
                return self.raise(e);
            }
            let goes_on = self.cpu.rip() == start && self.cpu.ended_for == BlockEnd::Repeats;
            match before {
                Some((attention, ended_for)) if goes_on && self.env.clock.icount < limit => {
                    self.cpu.attention = attention;
                    self.cpu.ended_for = ended_for;
                    self.cpu.block_end = end;
                }
                _ => {
                    index += 1;
                    if index >= self.cpu.block_end {
                        return Ok(());
                    }
                }
            }
            let address = self.instruction_address();
            self.cpu.note_step(self.env, address);
        }
    }

    #[inline(always)]
    fn run_instructions(&mut self, block: Block, budget: usize) -> Result<(), TripleFault> {
        let mut index = block.start as usize;
        self.cpu.block_end = index + budget;
        while index < self.cpu.block_end {
            let insn = self.code.insn(index);
            self.env.clock.icount += 1;
            if let Err(e) = self.cpu.execute(self.env, insn) {
                self.raise(e)?;
                break;
            }
            index += 1;
        }
        Ok(())
    }

    /// Forgets what was made of code that was overwritten.
    #[inline]
    pub(super) fn drop_overwritten(&mut self, jit: Option<&mut Jit>) {
        if self.env.mem.has_overwritten_code() {
            if self.cpu.probes.engine {
                self.drop_and_note(jit);
            } else {
                drop_pages(self.env.mem, self.code, jit);
            }
        }
    }

    /// The same, and the probes are told how many translated blocks there were.
    #[cold]
    fn drop_and_note(&mut self, mut jit: Option<&mut Jit>) {
        let dropped = |jit: &Option<&mut Jit>| jit.as_ref().map_or(0, |jit| jit.stats().dropped);
        let before = dropped(&jit);
        drop_pages(self.env.mem, self.code, jit.as_deref_mut());
        let blocks = dropped(&jit) - before;
        if blocks != 0 {
            self.cpu.note_engine(self.env, ProbeEvent::Flush { blocks });
        }
    }

    /// The slot of what is at RIP; `None` if its first instruction must be taken the careful way.
    #[inline]
    pub(super) fn find_target(&mut self) -> Option<usize> {
        let linear = self.linear_rip()?;
        let ram_offset = match self.cpu.tlb.find(self.cpu.mmu, linear, AccessKind::Execute) {
            Some(offset) => offset,
            None => self.fetch_offset(linear)?,
        };
        let slot = target_slot(linear, ram_offset);
        let (version, size) = (self.code.version(ram_offset), self.cpu.code_size);
        let known = &self.targets.0[slot];
        let same_code = known.version == version && known.size == size;
        if known.linear == linear && known.ram_offset == ram_offset && same_code {
            return Some(slot);
        }
        let block = self.decode_block(ram_offset);
        // Decoding may have dropped everything.
        let version = self.code.version(ram_offset);
        self.targets.0[slot] = Target { linear, ram_offset, version, size, block };
        Some(slot)
    }

    /// The linear address of RIP; `None` near the limit of a code segment, where each
    /// instruction must be checked against it.
    #[inline(always)]
    fn linear_rip(&self) -> Option<u64> {
        let rip = self.cpu.rip();
        if self.cpu.code_size == CodeSize::Bits64 {
            return Some(rip);
        }
        let cs = &self.cpu.state.segs[seg::CS];
        let room = u64::from(cs.limit).checked_sub(rip)?;
        (room >= 1024).then(|| cs.base.wrapping_add(rip) & 0xFFFF_FFFF)
    }

    /// Where in RAM the code at RIP is, by a page walk. `None`: there is none, or the fetch faults;
    /// the careful way will raise that.
    #[cold]
    pub(super) fn fetch_offset(&mut self, linear: u64) -> Option<u64> {
        if self.cpu.code_size == CodeSize::Bits64 && !crate::cpu::access::canonical(linear) {
            return None;
        }
        let gpa = self.cpu.translate(self.env, linear, AccessKind::Execute, self.cpu.mmu).ok()?;
        if self.env.mem.has_overwritten_code() {
            // Accessed bits were set within code.
            return None;
        }
        self.env.mem.ram_offset(gpa).map(|offset| offset as u64)
    }

    /// Looks the block up by its place in RAM. `None`: the first instruction crosses its page.
    #[cold]
    fn decode_block(&mut self, ram_offset: u64) -> Option<Block> {
        let found = self.code.block_at(self.env.mem, ram_offset as usize, self.cpu.code_size);
        self.cpu.sync_tlb(self.env.mem);
        match found {
            Found::Block(block) => Some(block),
            Found::Crosses => None,
        }
    }

    /// One instruction with everything checked: its fetch, breakpoints, TF.
    pub(super) fn careful_step(&mut self) -> Result<(), TripleFault> {
        if !self.cpu.stops.notes_steps() {
            return self.careful_instruction();
        }
        // Each iteration of a REP string is seen.
        let limit = std::mem::replace(&mut self.env.clock.limit, self.env.clock.icount + 1);
        let result = self.careful_instruction();
        self.env.clock.limit = limit;
        result
    }

    fn careful_instruction(&mut self) -> Result<(), TripleFault> {
        // Its fetch may fault before a page is looked up.
        let address = self.instruction_address();
        self.cpu.tlb.note_fetch(address);
        let hits = self.cpu.instruction_breakpoints();
        if hits != 0 {
            self.cpu.dr[6] |= hits;
            self.env.clock.icount += 1;
            return self.raise(Exception::DB);
        }
        let traps_before = self.cpu.pending_debug;
        let resumed = self.cpu.flags.system(flags::RF);
        let observed = Observed {
            start: self.cpu.rip(),
            resumed,
            stepping: self.cpu.flags.system(flags::TF),
            watching: self.cpu.has_breakpoints(),
        };
        // Its purpose is fulfilled; the instruction (IRET, a task switch) may load it anew.
        self.cpu.flags.set_system(flags::RF, false);
        self.cpu.entered_handler = false;
        let result = self.cpu.step_through(self.env);
        match result {
            Err(e) => {
                self.cpu.flags.set_system(flags::RF, resumed);
                // An instruction that did not complete leaves no trap.
                self.cpu.pending_debug = traps_before;
                self.raise(e)
            }
            Ok(insn) => {
                self.after_careful_step(&insn, &observed);
                Ok(())
            }
        }
    }

    /// RF and traps behind an instruction.
    fn after_careful_step(&mut self, insn: &Insn, observed: &Observed) {
        let flow = insn.code.flow_control();
        self.cpu.probes.block_next = flow != FlowControl::Next;
        let rip = self.cpu.rip();
        // The instruction goes on, so its breakpoint shall not hit again (SDM vol. 3, 17.3.1.1).
        // While nobody looks, iterations are not separate steps, and RF stays clear.
        let unfinished = flow == FlowControl::Next && rip == observed.start;
        let resumes = unfinished && (observed.stepping || observed.watching);
        if resumes {
            self.cpu.flags.set_system(flags::RF, true);
        }
        if resumes || observed.resumed {
            self.cpu.refresh();
        }
        let branched = match flow {
            FlowControl::Next => false,
            FlowControl::ConditionalBranch => rip != observed.start.wrapping_add(u64::from(insn.len)),
            _ => true,
        };
        let steps = observed.stepping && (branched || !self.cpu.steps_by_branch());
        if steps && !self.cpu.entered_handler {
            self.cpu.pending_debug |= DR6_BS;
        }
        if self.cpu.pending_debug != 0 {
            self.cpu.attention = true;
        }
    }

    pub(super) fn raise(&mut self, e: Exception) -> Result<(), TripleFault> {
        self.cpu.stops.forget_faulted(self.env.clock.icount);
        self.cpu.forget_accesses(self.env);
        self.cpu.probes.block_next = true;
        let cpu = &*self.cpu;
        cpu.note(self.env, ProbeKind::Exception, || ProbeEvent::Exception {
            vector: e.vector,
            error_code: e.error_code,
            rip: cpu.rip(),
            address: if e.vector == vector::PF { cpu.fault_address } else { 0 },
        });
        match system::raise(self.cpu, self.env, e) {
            Delivery::Done => {
                if self.cpu.stops.at_exception(e.vector, self.env.clock.icount) {
                    self.cpu.attention = true;
                }
                Ok(())
            }
            Delivery::TripleFault => Err(TripleFault),
        }
    }

    /// Delivers a debug trap that the last instruction left.
    ///
    /// # Errors
    /// [`TripleFault`].
    pub fn deliver_debug_trap(&mut self) -> Result<(), TripleFault> {
        if self.cpu.pending_debug == 0 || self.cpu.shadow == Shadow::MovSs {
            return Ok(());
        }
        let causes = std::mem::take(&mut self.cpu.state.pending_debug);
        self.cpu.dr[6] |= causes;
        self.cpu.probes.block_next = true;
        let rip = self.cpu.rip();
        self.cpu.note(self.env, ProbeKind::Exception, || ProbeEvent::Exception {
            vector: vector::DB,
            error_code: None,
            rip,
            address: 0,
        });
        match system::raise(self.cpu, self.env, Exception::DB) {
            Delivery::Done => Ok(()),
            Delivery::TripleFault => Err(TripleFault),
        }
    }

    /// Delivers an NMI.
    ///
    /// # Errors
    /// [`TripleFault`].
    pub fn deliver_nmi(&mut self) -> Result<(), TripleFault> {
        let rip = self.cpu.rip();
        self.cpu.note(self.env, ProbeKind::Nmi, || ProbeEvent::Nmi { rip });
        self.cpu.probes.block_next = true;
        self.cpu.activity = Activity::Running;
        match system::nmi(self.cpu, self.env) {
            Delivery::Done => {
                self.cpu.stops.at_interrupt(vector::NMI, self.env.clock.icount);
                Ok(())
            }
            Delivery::TripleFault => Err(TripleFault),
        }
    }

    /// Delivers an external interrupt.
    ///
    /// # Errors
    /// [`TripleFault`].
    pub fn deliver_interrupt(&mut self, vector: u8) -> Result<(), TripleFault> {
        let rip = self.cpu.rip();
        self.cpu.note(self.env, ProbeKind::Interrupt, || ProbeEvent::Interrupt { vector, rip });
        self.cpu.probes.block_next = true;
        self.cpu.activity = Activity::Running;
        match system::interrupt(self.cpu, self.env, vector) {
            Delivery::Done => {
                self.cpu.stops.at_interrupt(vector, self.env.clock.icount);
                Ok(())
            }
            Delivery::TripleFault => Err(TripleFault),
        }
    }
}
