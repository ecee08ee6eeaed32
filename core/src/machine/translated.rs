//! Running translated code: in, out, and the interpreter in between.

use super::run_loop::{Runner, Target, TripleFault};
use crate::boundary::ProbeEvent;
use crate::codemem::{
    CONTINUE, EXIT_TO_TARGET, Frame, Guest, JUMP, KEPT, LEAVE, LOAD_X87, WIDEN, X87_IN_IMAGE, X87_IN_STATE,
    rights,
};
use crate::cpu::flags::Flags;
use crate::cpu::state::{BlockEnd, CodeSize, Shadow, cr4, seg};
use crate::cpu::{Activity, system};
use crate::jit::{Entry, ExitPoint, Hooks, Jit, JitStats, Key, Tables, regs};
use crate::mem::{AccessKind, MmuIndex};
use crate::types::{PAGE_OFFSET_MASK, PAGE_SIZE};

/// When so many accesses of loops lay outside of what they keep, that is made larger,
const MISSES: u64 = 1024;
/// if there was one in so many instructions: it takes as long as thousands of them.
const DENSE: u64 = 12;
/// By at most so many pages each way.
const FAR: u64 = 64;

/// What generated code runs against.
struct World<'w, 'a, 'e> {
    runner: &'w mut Runner<'a, 'e>,
    tables: &'w mut Tables,
    /// The last interpreted instruction led to a triple fault.
    triple_fault: bool,
    /// The flags as they came out of the frame, with what they were made of.
    flags: (u64, Flags),
    /// What the code is instrumented for.
    hooks: Hooks,
    /// No interrupt is pending: known to be so since a device was asked last.
    calm: bool,
}

impl World<'_, '_, '_> {
    /// Brings what the frame holds of the vCPU's circumstances up to date.
    #[inline]
    fn refresh(&mut self, frame: &mut Frame) {
        let cpu = &*self.runner.cpu;
        frame.tlb = cpu.tlb.table_address(cpu.mmu);
        frame.fs_base = cpu.segs[seg::FS].base;
        frame.gs_base = cpu.segs[seg::GS].base;
        frame.vectors_allowed = u64::from(cpu.sse_allowed());
        let (env, bit) = (&*self.runner.env, |set: bool, bit: u8| if set { u64::from(bit) } else { 0 });
        frame.tsc = env.clock.limit.wrapping_add(env.clock.skipped_ns).wrapping_add(cpu.msrs.tsc_offset);
        let reads_tsc = cpu.cpl == 0 || cpu.cr4 & cr4::TSD == 0;
        // Who is at another level does not enable interrupts here, and who has them enabled would
        // have been interrupted.
        let supervisor = cpu.cpl == 0;
        self.calm |= supervisor && !env.io.interrupt_pending(cpu.id);
        let calm = supervisor && self.calm;
        let smap = supervisor && cpu.cr4 & cr4::SMAP != 0;
        frame.rights = bit(supervisor, rights::SUPERVISOR)
            | bit(reads_tsc, rights::TSC)
            | bit(calm, rights::CALM)
            | bit(smap, rights::SMAP);
        if smap {
            frame.tlb_closed = cpu.tlb.table_address(MmuIndex::KernelSmap);
            frame.tlb_open = cpu.tlb.table_address(MmuIndex::Kernel);
        }
    }

    /// All of the frame, from the vCPU.
    fn fill(&mut self, frame: &mut Frame) {
        frame.jumps = self.tables.jumps_address();
        frame.returns = self.tables.returns_address();
        frame.x87_image = self.tables.x87.address();
        self.runner.cpu.tlb.bind(self.runner.env.mem.ram.host_address());
        frame.mmu = std::ptr::from_mut(&mut self.runner.cpu.mmu) as u64;
        let state = &mut self.runner.cpu.state;
        frame.kernel_gs_base = std::ptr::from_mut(&mut state.msrs.kernel_gs_base) as u64;
        frame.xmm = state.xmm.as_mut_ptr() as u64;
        frame.mxcsr = std::ptr::from_mut(&mut state.mxcsr) as u64;
        frame.segments = state.segs.as_mut_ptr() as u64;
        frame.system_flags = state.flags.system_address();
        regs::to_slots(frame, &state.regs);
        frame.set_ax(regs::flags_to_ax(state.flags.arithmetic()));
        let clock = &*self.runner.env.clock;
        frame.set_budget((clock.limit - clock.icount) as i64);
        frame.count_misses(MISSES as u32);
    }

    /// Registers and flags, from the vCPU, behind [`Self::put_back`].
    #[inline]
    fn take_up(&self, frame: &mut Frame) {
        let state = &self.runner.cpu.state;
        regs::to_slots(frame, &state.regs);
        if !state.flags.same_arithmetic(&self.flags.1) {
            frame.set_ax(regs::flags_to_ax(state.flags.arithmetic()));
        }
    }

    /// What instrumented code noted, to the log. If the instruction after so many others is interpreted
    /// now, it has made no access yet, whatever it noted.
    #[inline]
    fn take_notes(&mut self, frame: &mut Frame, interpreted: Option<u64>) {
        if self.hooks.any() {
            self.log_notes(frame, interpreted);
        }
    }

    fn log_notes(&mut self, frame: &mut Frame, interpreted: Option<u64>) {
        let (cpu, env, notes) = (&mut *self.runner.cpu, &mut *self.runner.env, &mut self.tables.notes);
        cpu.probes.block_next = frame.block_next != 0;
        if notes.is_empty(frame) {
            return;
        }
        let (limit, ram) = (env.clock.limit, env.mem.ram.host_address());
        if let Some(mut log) = cpu.note_log(env) {
            notes.tell(frame, &mut log, limit, interpreted, ram);
        }
        notes.lend(frame);
    }

    /// The x87 state, to the vCPU.
    #[inline]
    fn put_x87_back(&mut self, frame: &mut Frame) {
        if frame.x87 == X87_IN_IMAGE {
            self.tables.x87.take(&mut self.runner.cpu.state.x87);
            frame.x87 = X87_IN_STATE;
        }
    }

    /// Makes a range of pages that a loop keeps as large as can be: the pages beside it that may be
    /// accessed likewise are put beside it in the other view of RAM.
    #[cold]
    fn widen(&mut self, frame: &mut Frame, number: usize, write: bool) {
        let instructions = frame.since_misses_counted();
        frame.count_misses(MISSES as u32);
        if u64::from(instructions) > MISSES * DENSE {
            return;
        }
        let (cpu, ram) = (&*self.runner.cpu, &mut self.runner.env.mem.ram);
        // What another access keeps must stay where it is.
        let others = (0..KEPT).filter(|n| *n != number).map(|n| frame.kept[n]);
        let may_move = !others.into_iter().any(|kept| ram.is_placed(kept.low.wrapping_add(kept.delta)));
        let mut place = |page: u64| {
            let offset = cpu.tlb.find_fast(cpu.mmu, page, write)?;
            ram.place(page, offset, may_move)
        };
        let kept = &mut frame.kept[number];
        let Some(host) = place(kept.low) else { return };
        kept.delta = host.wrapping_sub(kept.low);
        let mut grow = |towards: u64| {
            let page = |n: u64| towards.wrapping_mul(n * PAGE_SIZE).wrapping_add(kept.low);
            let mut beside = |n: u64| place(page(n)) == Some(page(n).wrapping_add(kept.delta));
            (1..=FAR).take_while(|n| beside(*n)).count() as u64 * PAGE_SIZE
        };
        let (above, below) = (grow(1), grow(1_u64.wrapping_neg()));
        kept.low = kept.low.wrapping_sub(below);
        kept.limit += above + below;
    }

    /// Registers and flags, to the vCPU.
    #[inline]
    fn put_back(&mut self, frame: &mut Frame) {
        self.put_x87_back(frame);
        let state = &mut self.runner.cpu.state;
        regs::from_slots(frame, &mut state.regs);
        let (ax, flags) = &mut self.flags;
        if *ax != frame.ax() {
            *ax = frame.ax();
            flags.set_arithmetic(regs::flags_from_ax(*ax));
        }
        state.flags.take_arithmetic(flags);
    }
}

impl Guest for World<'_, '_, '_> {
    fn interpret(&mut self, frame: &mut Frame, site: u32) -> u32 {
        if site == LOAD_X87 {
            if self.runner.cpu.x87_runs_quietly() {
                self.tables.x87.put(&self.runner.cpu.state.x87);
                frame.x87 = X87_IN_IMAGE;
            }
            return CONTINUE;
        }
        if site >= WIDEN {
            let (number, write) = ((site - WIDEN) / 2, (site - WIDEN) % 2 != 0);
            self.put_x87_back(frame);
            self.widen(frame, number as usize, write);
            return CONTINUE;
        }
        self.put_back(frame);
        let rest = i64::from(self.tables.site(site).rest);
        let before = self.runner.env.clock.limit.wrapping_sub((frame.budget() + rest) as u64);
        self.take_notes(frame, Some(before));
        let site = self.tables.site(site);
        let (always, form, ends) = (site.always, site.insn.code, site.ends);
        let runner = &mut *self.runner;
        let clock = &mut *runner.env.clock;
        clock.icount = before.wrapping_add(1);
        let cpu = &mut *runner.cpu;
        cpu.set_rip(site.rip);
        cpu.block_end = usize::MAX;
        cpu.ended_for = BlockEnd::None;
        let next = site.rip.wrapping_add(u64::from(site.insn.len));
        let result = cpu.execute(runner.env, &site.insn);
        self.tables.stats.interpreted += 1;
        if always {
            self.tables.stats.untranslated += 1;
            self.tables.untranslated.count(form);
        }
        // If the block goes on, this instruction's shadow covers the next one, which runs.
        let shadowed = runner.cpu.shadow == Shadow::Sti && !ends && rest > 1 && result.is_ok();
        if shadowed {
            runner.cpu.shadow = Shadow::None;
        }
        if let Err(e) = result
            && runner.raise(e).is_err()
        {
            self.triple_fault = true;
            return LEAVE;
        }
        // A delivery is seen by the run loop first, if instructions are.
        let seen = self.hooks.steps && result.is_err();
        self.calm &=
            matches!(runner.cpu.ended_for, BlockEnd::None | BlockEnd::Interrupts | BlockEnd::Elsewhere);
        let goes_on = !seen && runner.goes_on(self.calm);
        let cpu = &*runner.cpu;
        let straight = result.is_ok() && !ends && cpu.rip() == next && cpu.ended_for < BlockEnd::Elsewhere;
        let clock = &*runner.env.clock;
        // A repeated string may have used up what the rest of the block had paid for.
        let paid = if straight { rest - 1 } else { 0 };
        let budget = clock.limit as i64 - clock.icount as i64 - paid;
        frame.set_budget(budget);
        if !goes_on || budget < 0 {
            if shadowed {
                runner.cpu.shadow = Shadow::Sti;
                runner.cpu.attention = true;
            }
            return LEAVE;
        }
        let rip = cpu.rip();
        // [`Runner::goes_on`] has looked.
        self.calm |= system::interruptible(cpu);
        let answer = if straight {
            CONTINUE
        } else if let Some(entry) = self.tables.jump_target(rip) {
            frame.entry = entry;
            JUMP
        } else {
            return LEAVE;
        };
        self.refresh(frame);
        self.take_up(frame);
        answer
    }
}

impl Runner<'_, '_> {
    /// Whether generated code may go on behind an instruction. If so, nobody is asked for attention
    /// any more: nothing is there that the run loop would find. `calm`: no interrupt is pending for sure.
    fn goes_on(&mut self, calm: bool) -> bool {
        let cpu = &mut *self.cpu;
        let unusual = cpu.careful
            || (cpu.stops.armed() && !cpu.stops.only_notes_steps() && !cpu.stops.only_breaks())
            || cpu.code_size != CodeSize::Bits64
            || cpu.activity != Activity::Running
            || cpu.shadow != Shadow::None
            || cpu.pending_debug != 0;
        let interrupted = (cpu.nmi_pending && !cpu.nmi_masked)
            || (!calm && system::interruptible(cpu) && self.env.io.interrupt_pending(cpu.id));
        let ended = cpu.block_end != usize::MAX || cpu.attention;
        let known = ended == (cpu.ended_for != BlockEnd::None) && cpu.ended_for != BlockEnd::Everything;
        if unusual || interrupted || !known || self.env.mem.has_overwritten_code() {
            return false;
        }
        if cpu.ended_for == BlockEnd::Devices && !self.devices_are_quiet() {
            return false;
        }
        self.cpu.attention = false;
        true
    }

    /// Behind an access to a device: whether the run loop would find nothing to do for now. The slice
    /// ends when a timer is due, which may be earlier than before.
    fn devices_are_quiet(&mut self) -> bool {
        let clock = &mut *self.env.clock;
        let Some(deadline) = self.env.io.quiet_until() else { return false };
        let end = deadline.saturating_sub(clock.skipped_ns);
        clock.limit = clock.limit.min(end);
        end > clock.icount
    }

    /// Runs instrumented code from RIP on, while probes alone want to see instructions. False if
    /// there is none, or it left at once: what is at RIP is not noted then.
    pub(super) fn run_noting(&mut self, jit: Option<&mut Jit>) -> Result<bool, TripleFault> {
        let Some(jit) = jit.filter(|jit| jit.hooks.steps) else { return Ok(false) };
        if self.cpu.careful || !self.cpu.stops.only_notes_steps() {
            return Ok(false);
        }
        let entry = match self.known_entry(jit) {
            Some(entry) => entry,
            None => {
                let Some(slot) = self.find_target() else { return Ok(false) };
                let Some(entry) = self.entry_of(slot, false, jit) else { return Ok(false) };
                entry.known
            }
        };
        let before = self.env.clock.icount;
        self.cpu.enter_steps(self.env);
        self.run_from(entry, jit)?;
        Ok(self.env.clock.icount != before)
    }

    /// Runs translated code from RIP on, if there is any; otherwise interprets one block.
    pub(super) fn run_translated(&mut self, jit: &mut Jit) -> Result<(), TripleFault> {
        let entry = match self.known_entry(jit) {
            Some(entry) => entry,
            None => {
                let Some(slot) = self.find_target() else { return self.careful_step() };
                let Some(entry) = self.entry_of(slot, false, jit) else { return self.run_block() };
                entry.known
            }
        };
        self.run_from(entry, jit)
    }

    fn run_from(&mut self, entry: u64, jit: &mut Jit) -> Result<(), TripleFault> {
        let hooks = jit.hooks;
        let block_next = u64::from(self.cpu.probes.block_next);
        let mut frame = Frame { entry, block_next, ..Frame::default() };
        if hooks.any() {
            jit.tables.notes.lend(&mut frame);
        }
        let (mut first, begun) = (true, self.env.clock.icount);
        loop {
            let (code, tables) = jit.parts();
            tables.stats.entries += 1;
            let flags = (u64::MAX, Flags::default());
            let mut world = World { runner: self, tables, triple_fault: false, flags, hooks, calm: false };
            world.refresh(&mut frame);
            if first {
                world.fill(&mut frame);
                first = false;
            }
            if code.run(&mut frame, &mut world) != 0 {
                world.tables.stats.left += 1;
                let triple_fault = world.triple_fault;
                self.drop_overwritten(Some(jit));
                return if triple_fault { Err(TripleFault) } else { Ok(()) };
            }
            world.put_back(&mut frame);
            world.take_notes(&mut frame, None);
            let exit = match frame.exit {
                target if target == u64::from(EXIT_TO_TARGET) => ExitPoint::to(frame.target),
                number => jit.exit(number),
            };
            let clock = &mut *self.env.clock;
            clock.icount = clock.limit.wrapping_sub(frame.budget() as u64);
            self.cpu.set_rip(exit.rip);
            if frame.budget() == 0 {
                return Ok(());
            }
            if exit.starved {
                jit.tables.stats.starved += 1;
                // If instructions are seen, the run loop sees the next.
                return if hooks.steps { Ok(()) } else { self.run_block() };
            }
            jit.tables.stats.unlinked += 1;
            match self.go_on(exit, jit) {
                Some(entry) => frame.entry = entry.known,
                None if hooks.steps => return Ok(()),
                // Somebody may want to see what is next before it executes: the run loop knows. It has
                // looked at what is still next: code whose page is another now, or none, left at once.
                None if self.cpu.stops.armed() && self.env.clock.icount != begun => return Ok(()),
                None => return self.run_block(),
            }
        }
    }

    /// The checked entry of a block at RIP, if one is known.
    #[inline]
    fn known_entry(&self, jit: &Jit) -> Option<u64> {
        jit.tables.jump_target(self.cpu.rip()).filter(|_| self.cpu.code_size == CodeSize::Bits64)
    }

    /// The block behind an exit, linked to it; `None` if it is not translated.
    fn go_on(&mut self, exit: ExitPoint, jit: &mut Jit) -> Option<Entry> {
        let slot = self.find_target()?;
        let flushes = jit.tables.stats.flushes;
        let entry = self.entry_of(slot, exit.plain, jit)?;
        if jit.tables.stats.flushes == flushes {
            let linked = jit.link(exit, self.targets.0[slot].ram_offset, entry);
            if linked && self.cpu.probes.engine {
                let address = self.targets.0[slot].linear;
                self.cpu.note_engine(self.env, ProbeEvent::Link { address });
            }
        }
        Some(entry)
    }

    /// The entries of the block of a target, translated now if it has run often enough.
    fn entry_of(&mut self, slot: usize, plain: bool, jit: &mut Jit) -> Option<Entry> {
        if self.cpu.code_size != CodeSize::Bits64 {
            return None;
        }
        let Target { linear, ram_offset, version, block, .. } = self.targets.0[slot];
        if jit.keeps_off(linear) {
            return None;
        }
        let second = match block {
            Some(_) => None,
            None => Some(self.page_behind(linear)?),
        };
        let key = Key { ram_offset, linear, plain };
        let entry = match jit.find(key).filter(|entry| entry.second == second) {
            Some(entry) => entry,
            None => {
                if !plain && !jit.heat.is_hot(linear, ram_offset, version, jit.hot) {
                    return None;
                }
                self.translate_block(jit, key, second)?
            }
        };
        if !plain {
            jit.tables.remember_jump(linear, entry);
        }
        Some(entry)
    }

    /// The RAM offset of the page behind that of `linear`, if an instruction goes on there.
    fn page_behind(&mut self, linear: u64) -> Option<u64> {
        let behind = (linear | PAGE_OFFSET_MASK).wrapping_add(1);
        match self.cpu.tlb.find(self.cpu.mmu, behind, AccessKind::Execute) {
            Some(offset) => Some(offset),
            None => self.fetch_offset(behind),
        }
    }

    #[cold]
    fn translate_block(&mut self, jit: &mut Jit, key: Key, second: Option<u64>) -> Option<Entry> {
        let begun = jit.stopwatch.map(|now| now());
        let before = self.cpu.probes.engine.then(|| jit.stats());
        let entry = match second {
            None => jit.translate(self.env.mem, self.code, key),
            Some(second) => jit.translate_crossing(self.env.mem, key, second),
        };
        if let (Some(now), Some(begun)) = (jit.stopwatch, begun) {
            jit.tables.stats.translating_ns += now().saturating_sub(begun);
        }
        if let Some(before) = before {
            self.note_translation(&before, &jit.stats(), key.linear);
        }
        self.cpu.sync_tlb(self.env.mem);
        entry
    }

    /// Tells the probes of a block that was translated, and of those that gave way to it.
    fn note_translation(&mut self, before: &JitStats, after: &JitStats, address: u64) {
        if after.flushes != before.flushes {
            self.cpu.note_engine(self.env, ProbeEvent::Flush { blocks: before.cached_blocks });
        }
        if after.blocks != before.blocks {
            let instructions = after.guest_instructions - before.guest_instructions;
            let host_bytes = after.host_bytes - before.host_bytes;
            self.cpu.note_engine(self.env, ProbeEvent::Translate { address, instructions, host_bytes });
        }
    }
}
