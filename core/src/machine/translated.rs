//! Running translated code: in, out, and the interpreter in between.

use super::run_loop::{Runner, TripleFault};
use crate::codemem::{CONTINUE, Frame, Guest, JUMP, LEAVE, LOAD_X87, X87_IN_IMAGE, X87_IN_STATE};
use crate::cpu::flags::{self, CF, Flags, OF};
use crate::cpu::state::{CodeSize, seg};
use crate::jit::{Circumstances, ExitPoint, Jit, Tables, regs};
use crate::types::Exception;

/// What generated code runs against.
struct World<'w, 'a, 'e> {
    runner: &'w mut Runner<'a, 'e>,
    tables: &'w mut Tables,
    /// What the last interpreted instruction raised.
    fault: Option<Exception>,
    /// The flags as they came out of the frame, with what they were made of.
    flags: (u64, Flags),
    /// The circumstances that the frame's stamp stands for.
    circumstances: Circumstances,
}

/// SF, ZF, AF, PF and CF are where LAHF puts them; OF comes below.
const IN_AH: u64 = flags::ARITHMETIC & 0xFF;

/// AX as `LAHF; SETO AL` leaves it.
fn to_ax(arithmetic: u64) -> u64 {
    (arithmetic & IN_AH) << 8 | u64::from(arithmetic & OF != 0)
}

/// The arithmetic flags from AX.
fn from_ax(ax: u64) -> u64 {
    const { assert!(CF == 1) };
    (ax >> 8 & IN_AH) | if ax & 1 != 0 { OF } else { 0 }
}

impl World<'_, '_, '_> {
    /// Brings what the frame holds of the vCPU's circumstances up to date.
    #[inline]
    fn refresh(&mut self, frame: &mut Frame) {
        let cpu = &*self.runner.cpu;
        let now = self.runner.circumstances();
        frame.fs_base = cpu.segs[seg::FS].base;
        frame.gs_base = cpu.segs[seg::GS].base;
        frame.vectors_allowed = u64::from(cpu.sse_allowed());
        if now != self.circumstances {
            self.circumstances = now;
            frame.stamp = self.tables.stamps.stamp(now);
            frame.tlb = cpu.tlb.table_address(cpu.mmu);
        }
    }

    /// All of the frame, from the vCPU.
    fn fill(&mut self, frame: &mut Frame) {
        frame.ram = self.runner.env.mem.ram.host_address();
        frame.jumps = self.tables.jumps_address();
        frame.x87_image = self.tables.x87.address();
        let state = &mut self.runner.cpu.state;
        frame.xmm = state.xmm.as_mut_ptr() as u64;
        frame.mxcsr = std::ptr::from_mut(&mut state.mxcsr) as u64;
        regs::to_slots(frame, &state.regs);
        frame.flags = to_ax(state.flags.arithmetic());
        let clock = &*self.runner.env.clock;
        frame.budget = (clock.limit - clock.icount) as i64;
    }

    /// Registers and flags, from the vCPU, behind [`Self::put_back`].
    #[inline]
    fn take_up(&self, frame: &mut Frame) {
        let state = &self.runner.cpu.state;
        regs::to_slots(frame, &state.regs);
        if !state.flags.same_arithmetic(&self.flags.1) {
            frame.flags = to_ax(state.flags.arithmetic());
        }
    }

    /// Registers and flags, to the vCPU.
    #[inline]
    fn put_back(&mut self, frame: &mut Frame) {
        if frame.x87 == X87_IN_IMAGE {
            self.tables.x87.take(&mut self.runner.cpu.state.x87);
            frame.x87 = X87_IN_STATE;
        }
        let state = &mut self.runner.cpu.state;
        regs::from_slots(frame, &mut state.regs);
        let (ax, flags) = &mut self.flags;
        if *ax != frame.flags {
            *ax = frame.flags;
            flags.set_arithmetic(from_ax(frame.flags));
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
        self.put_back(frame);
        let site = self.tables.site(site);
        let (rest, ends) = (i64::from(site.rest), site.ends);
        let always = site.always;
        let runner = &mut *self.runner;
        let clock = &mut *runner.env.clock;
        clock.icount = clock.limit.wrapping_sub((frame.budget + rest) as u64).wrapping_add(1);
        runner.cpu.set_rip(site.rip);
        runner.cpu.block_end = usize::MAX;
        let next = site.rip.wrapping_add(u64::from(site.insn.len));
        if let Err(e) = runner.cpu.execute(runner.env, &site.insn) {
            self.fault = Some(e);
            return LEAVE;
        }
        let left = runner.cpu.block_end != usize::MAX || runner.cpu.attention;
        let clock = &*runner.env.clock;
        // A repeated string may have used up what the rest of the block had paid for.
        frame.budget = clock.limit as i64 - clock.icount as i64 - (rest - 1);
        if left || frame.budget < 0 || runner.env.mem.has_overwritten_code() {
            return LEAVE;
        }
        let rip = runner.cpu.rip();
        self.tables.stats.interpreted += 1;
        self.tables.stats.untranslated += u64::from(always);
        self.refresh(frame);
        let answer = if !ends && rip == next {
            CONTINUE
        } else if let Some(entry) = self.tables.jump_target(rip, frame.stamp) {
            frame.budget += rest - 1;
            frame.entry = entry;
            JUMP
        } else {
            return LEAVE;
        };
        self.take_up(frame);
        answer
    }
}

impl Runner<'_, '_> {
    /// Runs translated code from RIP on, if there is any; otherwise interprets one block.
    pub(super) fn run_translated(&mut self, jit: &mut Jit) -> Result<(), TripleFault> {
        let entry = match self.known_entry(jit) {
            Some(entry) => entry,
            None => {
                let Some(slot) = self.find_target() else { return self.careful_step() };
                let Some(entry) = self.entry_of(slot, jit) else { return self.run_block() };
                entry
            }
        };
        let mut frame = Frame { entry, ..Frame::default() };
        let mut first = true;
        loop {
            let (code, tables) = jit.parts();
            tables.stats.entries += 1;
            let mut world = World {
                runner: self,
                tables,
                fault: None,
                flags: (u64::MAX, Flags::default()),
                circumstances: UNKNOWN,
            };
            world.refresh(&mut frame);
            if first {
                world.fill(&mut frame);
                first = false;
            }
            if code.run(&mut frame, &mut world) != 0 {
                world.tables.stats.left += 1;
                let fault = world.fault;
                if let Some(e) = fault {
                    self.raise(e)?;
                }
                self.drop_overwritten(Some(jit));
                return Ok(());
            }
            world.put_back(&mut frame);
            let exit = jit.exit(frame.exit);
            let clock = &mut *self.env.clock;
            clock.icount = clock.limit.wrapping_sub(frame.budget as u64);
            self.cpu.set_rip(exit.rip);
            if frame.budget == 0 {
                return Ok(());
            }
            if exit.starved {
                jit.tables.stats.starved += 1;
                return self.run_block();
            }
            jit.tables.stats.unlinked += 1;
            match self.go_on(exit, jit) {
                Some(entry) => frame.entry = entry,
                None => return Ok(()),
            }
        }
    }

    /// The entry point of the block at RIP, if a jump went there under the same circumstances.
    #[inline]
    fn known_entry(&self, jit: &mut Jit) -> Option<u64> {
        let stamp = jit.tables.stamps.stamp(self.circumstances());
        jit.tables.jump_target(self.cpu.rip(), stamp).filter(|_| self.cpu.code_size == CodeSize::Bits64)
    }

    /// The entry point behind an exit, linked to it; `None` if it is not translated.
    fn go_on(&mut self, exit: ExitPoint, jit: &mut Jit) -> Option<u64> {
        let slot = self.find_target()?;
        let flushes = jit.tables.stats.flushes;
        let entry = self.entry_of(slot, jit)?;
        if jit.tables.stats.flushes == flushes {
            jit.link(exit, entry);
        }
        Some(entry)
    }

    /// The entry point of a target, translated now if it has run often enough.
    fn entry_of(&mut self, slot: usize, jit: &mut Jit) -> Option<u64> {
        let target = &mut self.targets.0[slot];
        target.block?;
        if target.entry == 0 {
            target.runs = target.runs.saturating_add(1);
            if target.runs < jit.hot || self.cpu.code_size != CodeSize::Bits64 {
                return None;
            }
            let (linear, offset) = (target.linear, target.ram_offset);
            let entry = match jit.find(offset, linear) {
                Some(entry) => entry,
                None => self.translate_block(jit, offset, linear)?,
            };
            self.targets.0[slot].entry = entry;
        }
        let target = &self.targets.0[slot];
        let entry = target.entry;
        let stamp = jit.tables.stamps.stamp(self.circumstances());
        jit.tables.remember_jump(target.linear, stamp, entry);
        Some(entry)
    }

    #[cold]
    fn translate_block(&mut self, jit: &mut Jit, ram_offset: u64, linear: u64) -> Option<u64> {
        let flushes = jit.tables.stats.flushes;
        let entry = jit.translate(self.env.mem, self.code, ram_offset, linear);
        let flushed = jit.tables.stats.flushes != flushes;
        if flushed {
            // Whoever remembers an entry point does so under this generation.
            self.code.generation += 1;
        }
        self.cpu.sync_tlb(self.env.mem);
        self.cpu.tlb.follow_code(self.code.generation);
        entry.filter(|_| !flushed)
    }

    fn circumstances(&self) -> Circumstances {
        Circumstances {
            vcpu: self.cpu.id,
            translations: self.cpu.tlb.stamp(),
            code: self.code.generation,
            rights: self.cpu.mmu as u32 | (self.cpu.code_size as u32) << 8,
        }
    }
}

/// Circumstances that are never met.
const UNKNOWN: Circumstances = Circumstances { vcpu: usize::MAX, translations: 0, code: 0, rights: 0 };
