//! What others see of a machine, and set that changes nothing of its run: its parts, the
//! engine, probes, stop points, the state hash.

use super::limit::{Accel, StopReason};
use super::pc::Machine;
use super::state_hash::{StateHash, hash_of};
use crate::boundary::{
    Images, MachineConfig, Position, ProbeKind, ProbeRecord, ProbeSettings, StopHits, StopPoints,
};
use crate::cpu::stops::Stops;
use crate::cpu::{CpuState, Vcpu};
use crate::devices::fw_cfg::VmcoreinfoNote;
use crate::jit::{Hooks, Jit, JitStats, JitUnavailable, TranslatedBlock, Trust};
use crate::mem::{IoBus as _, Memory};
use crate::types::{Gpa, VcpuId};
use iced_x86::Code;
use std::collections::BTreeMap;

impl Machine {
    /// Its configuration.
    pub fn config(&self) -> &MachineConfig {
        &self.config
    }

    /// Its images.
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// Where it is.
    pub fn position(&self) -> Position {
        Position { icount: self.clock.icount, now_ns: self.clock.now_ns() }
    }

    /// The vCPUs, to be looked at.
    pub fn vcpus(&self) -> &[Vcpu] {
        &self.vcpus
    }

    /// The vCPU whose turn it is.
    pub fn current_vcpu(&self) -> VcpuId {
        self.schedule.current
    }

    /// Guest physical memory, to be looked at.
    pub fn memory(&self) -> &Memory {
        &self.mem
    }

    /// Where the guest says that its VMCOREINFO note lies.
    pub fn vmcoreinfo(&self) -> Option<VmcoreinfoNote> {
        self.board.vmcoreinfo()
    }

    /// Puts a vCPU into a saved state. Between runs only, and no part of a recording: nothing
    /// of it is journalled.
    pub fn load_vcpu(&mut self, id: VcpuId, state: CpuState) {
        self.vcpus[id].load_state(state);
    }

    /// Puts bytes into RAM, under the terms of [`Self::load_vcpu`].
    ///
    /// # Panics
    /// If the range is not all RAM, or crosses the hole below 4 GiB.
    pub fn load_memory(&mut self, gpa: Gpa, bytes: &[u8]) {
        self.mem.write_bytes(gpa, bytes);
    }

    /// The instructions that raised #UD since power-on because the virtual CPU lacks them, by
    /// mnemonic, and how often.
    pub fn unimplemented(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for (&code, count) in self.vcpus.iter().flat_map(|cpu| &cpu.unimplemented) {
            let code = Code::try_from(usize::from(code)).expect("a vCPU counts codes of its decoder");
            *counts.entry(format!("{:?}", code.mnemonic()).to_uppercase()).or_default() += count;
        }
        counts
    }

    /// Whether the machine is off, and why.
    pub fn off(&self) -> Option<StopReason> {
        self.off
    }

    /// Chooses what executes instructions, from here on. No choice changes anything that the
    /// guest, or a recording, can see.
    ///
    /// # Errors
    /// Why this host cannot translate; the interpreter goes on then.
    pub fn set_accel(&mut self, accel: Accel) -> Result<(), JitUnavailable> {
        self.jit = None;
        // Entry points of a translator that is gone must not be found again.
        self.code.outdate();
        if accel == Accel::Jit {
            self.jit = Some(Box::new(Jit::new()?));
            self.instrument();
            self.keep_off_breakpoints();
        }
        Ok(())
    }

    /// Translates what has run so many times (1: everything at once). It changes speed alone.
    pub fn translate_after(&mut self, runs: u16) {
        if let Some(jit) = &mut self.jit {
            jit.hot = runs;
        }
    }

    /// Keeps at most so many bytes of translated code, and at least one block. It changes speed
    /// alone.
    pub fn limit_code(&mut self, bytes: usize) {
        if let Some(jit) = &mut self.jit {
            jit.limit_code(bytes);
        }
    }

    /// Lends a clock of the host, in nanoseconds, to measure how long translating takes. Nothing
    /// but [`JitStats`] depends on it.
    pub fn time_translation(&mut self, stopwatch: fn() -> u64) {
        if let Some(jit) = &mut self.jit {
            jit.stopwatch = Some(stopwatch);
        }
    }

    /// Translates fewer families of instructions, as on a host whose own differ from the
    /// guest's. It changes speed alone.
    pub fn trust_host(&mut self, families: Trust) {
        if let Some(jit) = &mut self.jit {
            jit.trust_only(families);
        }
    }

    /// What executes instructions.
    pub fn accel(&self) -> Accel {
        if self.jit.is_some() { Accel::Jit } else { Accel::Interp }
    }

    /// What the translator did, if there is one.
    pub fn jit_stats(&self) -> Option<JitStats> {
        self.jit.as_ref().map(|jit| jit.stats())
    }

    /// Every block that is translated now.
    pub fn translated_blocks(&self) -> Vec<TranslatedBlock> {
        self.jit.as_ref().map_or_else(Vec::new, |jit| jit.translated())
    }

    /// The forms of instructions that it had interpreted for want of a translation, the most
    /// frequent first, with their counts.
    pub fn untranslated_forms(&self) -> Vec<(Code, u64)> {
        self.jit.as_ref().map(|jit| jit.tables.untranslated.forms()).unwrap_or_default()
    }

    /// The forms of instructions that were translated, the most frequent first, with how often.
    pub fn translated_forms(&self) -> Vec<(Code, u64)> {
        self.jit.as_ref().map(|jit| jit.tables.translated.forms()).unwrap_or_default()
    }

    /// How many bytes a UART takes now.
    pub fn serial_room(&self, port: u8) -> usize {
        self.board.serial_room(usize::from(port))
    }

    /// CR8 of a vCPU: the task priority, which its local APIC has.
    pub fn cr8(&self, vcpu: VcpuId) -> u64 {
        self.board.cr8(vcpu)
    }

    /// Switches all probes: those that `settings` does not name are off.
    pub fn set_probes(&mut self, settings: &ProbeSettings) {
        if self.probes == *settings {
            return;
        }
        self.probes = settings.clone();
        self.board.probes.set(settings);
        self.vcpus.iter_mut().for_each(|cpu| cpu.set_probes(settings));
        self.instrument();
    }

    /// Has translated code note what the probes want to see of instructions.
    fn instrument(&mut self) {
        let wants = |kind| self.vcpus.iter().any(|cpu| cpu.probes.wants(kind));
        let everywhere = (0, u64::MAX);
        let range = |kind| {
            let rule = self.probes.on.get(&kind).filter(|_| wants(kind));
            rule.map(|rule| rule.filter.address.unwrap_or(everywhere))
        };
        let accesses = self.vcpus.iter().map(|cpu| cpu.probes.noted_accesses());
        let (loads, stores) = accesses.fold((false, false), |a, b| (a.0 | b.0, a.1 | b.1));
        let hooks = Hooks {
            steps: self.vcpus.iter().any(|cpu| cpu.probes.steps()),
            blocks: range(ProbeKind::Block),
            instructions: range(ProbeKind::Instruction),
            loads,
            stores,
            calls: wants(ProbeKind::Call) || wants(ProbeKind::Return),
        };
        if let Some(jit) = &mut self.jit {
            jit.set_hooks(hooks);
        }
    }

    /// What the probes saw since the last call, in the order of the run.
    pub fn take_probe_records(&mut self) -> Vec<ProbeRecord> {
        self.board.probes.take()
    }

    /// Appends what the probes saw since the last call; the room of `records` is used again.
    pub fn take_probe_records_into(&mut self, records: &mut Vec<ProbeRecord>) {
        self.board.probes.take_into(records);
    }

    /// Sets all stop points; those set before are gone, and with them what they saw.
    pub fn set_stop_points(&mut self, points: &StopPoints) {
        for cpu in &mut self.vcpus {
            cpu.stops = Stops::new(points, cpu.id);
            cpu.stops.note_steps(cpu.probes.steps());
            // Pages that are watched now must leave the TLB, others may come in again.
            cpu.flush_tlb();
        }
        self.keep_off_breakpoints();
        self.stop_point = false;
    }

    /// Has no code translated where there are breakpoints, of whichever vCPU.
    fn keep_off_breakpoints(&mut self) {
        let Some(jit) = &mut self.jit else { return };
        let mut pages: Vec<u64> = self.vcpus.iter().flat_map(|cpu| cpu.stops.breakpoint_pages()).collect();
        pages.sort_unstable();
        pages.dedup();
        jit.keep_off(pages);
    }

    /// The machine is put elsewhere: where and why it stopped is of the past.
    pub(super) fn forget_stop(&mut self) {
        self.begun = None;
        self.stop_point = false;
        self.take_stop_hits();
        self.board.probes.forget();
        self.vcpus.iter_mut().for_each(Vcpu::forget_steps);
    }

    /// Lets no breakpoint stop the run before the instruction that is next, whichever it is.
    pub fn pass_breakpoints_here(&mut self) {
        for cpu in &mut self.vcpus {
            cpu.stops.pass(self.clock.icount);
        }
    }

    /// What the stop points of all vCPUs saw since the last call, in the order of the run.
    pub fn take_stop_hits(&mut self) -> StopHits {
        let mut all = StopHits::default();
        for cpu in &mut self.vcpus {
            let hits = cpu.stops.take_hits();
            all.count += hits.count;
            all.last.extend(hits.last);
        }
        all.last.make_contiguous().sort_by_key(|hit| (hit.icount, !hit.in_delivery));
        all
    }

    /// Whether the machine stands at the beginning of an instruction: what is due at this
    /// position has been delivered, so the state is not the one that the position names. Only
    /// a stop point leaves a machine so. Before an event is applied, or a hash or state of this
    /// position is taken, it must run an instruction.
    pub fn in_instruction(&self) -> bool {
        self.begun.is_some()
    }

    /// The hash of every part of the machine, here and now.
    pub fn state_hash(&mut self) -> StateHash {
        let vcpus = self.vcpus.iter().map(|cpu| hash_of(&cpu.state.canonical())).collect();
        let mut devices = self.board.part_hashes();
        devices.push(("clock".to_owned(), hash_of(&(self.clock.icount, self.clock.skipped_ns))));
        devices.push(("schedule".to_owned(), hash_of(&self.schedule)));
        devices.push(("entropy".to_owned(), hash_of(&self.entropy)));
        StateHash { vcpus, devices, memory: self.memory_hash.update(&mut self.mem) }
    }
}
