//! The machine: vCPUs, RAM and board, run to a position at a time.
//!
//! One iteration of the run loop is [`Machine::prepare`] (timers, signals, whose turn it is, or
//! idling) and [`Machine::execute`] (interrupts, then instructions). Each iteration moves the
//! position strictly forward, and the machine stops only between iterations; so a position
//! names one state, and an inbound event applied at a position is applied in the same state
//! in record and in replay.

use super::board_pc::{Board, MachineRequest};
use super::run_loop::{Runner, TargetCache, TripleFault};
use super::schedule::Schedule;
use super::state_hash::{MemoryHash, StateHash, hash_of};
use super::virtual_time::{LAST_NS, SLICE_ICOUNT};
use super::{MAX_RAM_BYTES, MachineError, boot};
use crate::boundary::{
    Images, Inbound, MachineConfig, Outbound, Position, ProbeEvent, ProbeRecord, ProbeSettings, ResetCause,
    StopHits, StopPoints,
};
use crate::cpu::decode_cache::DecodeCache;
use crate::cpu::state::Shadow;
use crate::cpu::stops::Stops;
use crate::cpu::{Activity, Clock, CpuState, Entropy, Env, Vcpu, system};
use crate::devices::fw_cfg::VmcoreinfoNote;
use crate::jit::{Jit, JitStats, JitUnavailable};
use crate::mem::{IoBus as _, Memory};
use crate::types::{Gpa, MAX_VCPUS, VcpuId, VirtualNs};
use iced_x86::Code;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How far to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunLimit {
    /// Stop at the first position that is not before this one. Its time matters only if no
    /// vCPU can run at its icount: then time passes up to it.
    pub until: Position,
    /// Stop, instead of letting time jump, when no vCPU can run.
    pub stop_when_idle: bool,
    /// Stop after a reset.
    pub stop_on_reset: bool,
}

impl RunLimit {
    /// To an icount, letting idle time jump.
    pub fn to_icount(icount: u64) -> Self {
        Self { until: Position { icount, now_ns: 0 }, ..Self::default() }
    }
}

/// Why the machine stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopReason {
    /// The limit was reached.
    Limit,
    /// No vCPU can run before `deadline_ns`; `None`: nothing but an inbound event wakes it.
    Idle {
        /// When the next timer fires, in virtual time.
        deadline_ns: Option<VirtualNs>,
    },
    /// Someone asked it to stop.
    Kicked,
    /// It was reset, and stands at its first instruction.
    Reset(ResetCause),
    /// It is off.
    PowerOff,
    /// The guest ended the run with a code.
    DebugExit(u32),
    /// A stop point was hit; [`Machine::take_stop_hits`] tells which.
    StopPoint,
}

/// A run that stopped with an instruction of its turn before it: timers, the turn and the
/// interrupts of this position are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Begun {
    vcpu: VcpuId,
    /// Interrupts may go on without an end, so the slice is one instruction.
    single: bool,
}

/// What [`Machine::prepare`] decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepared {
    /// This vCPU runs next.
    Run(VcpuId),
    /// The machine stops.
    Stop(StopReason),
}

/// What executes instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accel {
    /// The interpreter: the reference, on any host.
    #[default]
    Interp,
    /// The translator, on hosts that it knows.
    Jit,
}

impl Accel {
    /// Whether this host has it.
    ///
    /// # Errors
    /// Why it has not.
    pub fn available(self) -> Result<(), JitUnavailable> {
        match self {
            Self::Interp => Ok(()),
            Self::Jit => Jit::new().map(drop),
        }
    }
}

/// The machine.
pub struct Machine {
    config: MachineConfig,
    images: Images,
    pub(super) vcpus: Vec<Vcpu>,
    targets: Vec<TargetCache>,
    pub(super) mem: Memory,
    pub(super) board: Board,
    pub(super) clock: Clock,
    pub(super) entropy: Entropy,
    pub(super) code: DecodeCache,
    pub(super) jit: Option<Box<Jit>>,
    pub(super) schedule: Schedule,
    memory_hash: MemoryHash,
    pub(super) outbound: Vec<Outbound>,
    pub(super) triple_fault: bool,
    pub(super) off: Option<StopReason>,
    begun: Option<Begun>,
    /// The schedule before the turn of [`Self::execute`] was chosen.
    schedule_before: Schedule,
    /// A stop point was hit in the last slice.
    stop_point: bool,
    /// The probes that are on.
    probes: ProbeSettings,
}

impl Machine {
    /// A machine at power-on with its images loaded.
    ///
    /// # Errors
    /// What is wrong with the configuration or the images.
    pub fn new(config: &MachineConfig, images: Images) -> Result<Self, MachineError> {
        let vcpus = config.vcpus as usize;
        if vcpus == 0 || vcpus > MAX_VCPUS {
            return Err(MachineError::VcpuCount { given: config.vcpus });
        }
        if config.quantum_icount == 0 {
            return Err(MachineError::ZeroQuantum);
        }
        if config.ram_bytes > MAX_RAM_BYTES {
            return Err(MachineError::RamSize { given: config.ram_bytes });
        }
        let mem = Memory::new(config.ram_bytes)
            .map_err(|source| MachineError::Ram { bytes: config.ram_bytes, source })?;
        let mut machine = Self {
            vcpus: (0..vcpus).map(|id| new_vcpu(id, vcpus)).collect(),
            targets: (0..vcpus).map(|_| TargetCache::default()).collect(),
            board: Board::new(config),
            clock: Clock::default(),
            entropy: Entropy::new(config.seed),
            code: DecodeCache::default(),
            jit: None,
            schedule: Schedule::new(u64::from(config.quantum_icount)),
            schedule_before: Schedule::new(u64::from(config.quantum_icount)),
            begun: None,
            stop_point: false,
            probes: ProbeSettings::default(),
            memory_hash: MemoryHash::new(mem.bytes()),
            outbound: Vec::new(),
            triple_fault: false,
            off: None,
            mem,
            images,
            config: config.clone(),
        };
        boot::load(&mut machine.mem, &mut machine.vcpus[0], config, &machine.images)?;
        Ok(machine)
    }

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
        self.code.generation += 1;
        if accel == Accel::Jit {
            self.jit = Some(Box::new(Jit::new()?));
        }
        Ok(())
    }

    /// Translates what has run so many times (1: everything at once). It changes speed alone.
    pub fn translate_after(&mut self, runs: u16) {
        if let Some(jit) = &mut self.jit {
            jit.hot = runs;
        }
    }

    /// What executes instructions.
    pub fn accel(&self) -> Accel {
        if self.jit.is_some() { Accel::Jit } else { Accel::Interp }
    }

    /// What the translator did, if there is one.
    pub fn jit_stats(&self) -> Option<JitStats> {
        self.jit.as_ref().map(|jit| jit.tables.stats)
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
    }

    /// What the probes saw since the last call, in the order of the run.
    pub fn take_probe_records(&mut self) -> Vec<ProbeRecord> {
        self.board.probes.take()
    }

    /// Tells the chips where they are, outside of instructions.
    fn stamp_probes(&mut self) {
        if self.board.probes.is_on() {
            let here = self.position();
            self.board.probes.stamp(here, None);
        }
    }

    /// Applies an inbound event here and now.
    pub fn apply(&mut self, event: &Inbound) {
        self.stamp_probes();
        let (class, size) = event.class_and_size();
        self.board.probes.push(ProbeEvent::Inbound { class, size: size as u32 });
        self.board.apply(event, self.clock.now_ns());
    }

    /// What the machine gave to the outside since the last call.
    pub fn take_outbound(&mut self) -> Vec<Outbound> {
        self.outbound.append(&mut self.board.take_outbound());
        std::mem::take(&mut self.outbound)
    }

    /// Whether [`Self::take_outbound`] has something to give.
    pub fn has_outbound(&self) -> bool {
        !self.outbound.is_empty() || self.board.has_outbound()
    }

    /// Runs on the calling thread. [`crate::vcpu::Engine`] does the same with a thread per vCPU.
    pub fn run(&mut self, limit: &RunLimit) -> StopReason {
        loop {
            match self.prepare(limit, || false) {
                Prepared::Stop(reason) => return reason,
                Prepared::Run(id) => self.execute(id, limit),
            }
        }
    }

    /// The first half of an iteration: everything but instructions. `kicked` is asked between
    /// iterations whether to stop.
    pub fn prepare(&mut self, limit: &RunLimit, kicked: impl Fn() -> bool) -> Prepared {
        loop {
            if let Some(reason) = self.off {
                return Prepared::Stop(reason);
            }
            if let Some(reason) = self.take_request(limit) {
                return Prepared::Stop(reason);
            }
            self.stamp_probes();
            self.board.run_dma(&mut self.mem);
            let now = self.clock.now_ns();
            if self.board.next_deadline().is_some_and(|d| d <= now) {
                self.board.advance(now);
            }
            self.take_signals();
            if std::mem::take(&mut self.stop_point) {
                return Prepared::Stop(StopReason::StopPoint);
            }
            // Only now, with all done that is due at this position, and nobody's turn begun: so
            // the state in which the machine stops does not depend on why it stops.
            if self.clock.icount > limit.until.icount || self.position() >= limit.until {
                return Prepared::Stop(StopReason::Limit);
            }
            if kicked() {
                return Prepared::Stop(StopReason::Kicked);
            }
            let at_icount = self.clock.icount == limit.until.icount;
            if let Some(begun) = self.begun {
                let stop = Prepared::Stop(StopReason::Limit);
                return if at_icount { stop } else { Prepared::Run(begun.vcpu) };
            }
            let schedule = self.schedule;
            if let Some(id) = self.pick() {
                if at_icount {
                    self.schedule = schedule;
                    return Prepared::Stop(StopReason::Limit);
                }
                self.schedule_before = schedule;
                return Prepared::Run(id);
            }
            if let Some(reason) = self.idle(limit, at_icount) {
                return Prepared::Stop(reason);
            }
        }
    }

    fn pick(&mut self) -> Option<VcpuId> {
        let Self { schedule, vcpus, board, config, .. } = self;
        schedule.pick(vcpus.len(), u64::from(config.quantum_icount), |id| {
            let cpu = &vcpus[id];
            match cpu.activity {
                Activity::Running => true,
                Activity::Halted => {
                    (board.interrupt_pending(id) && system::interruptible(cpu))
                        || (cpu.nmi_pending && !cpu.nmi_masked)
                }
                Activity::WaitForSipi | Activity::Shutdown => false,
            }
        })
    }

    /// Lets time pass while no vCPU can run.
    fn idle(&mut self, limit: &RunLimit, at_icount: bool) -> Option<StopReason> {
        let deadline_ns = self.board.next_deadline();
        if limit.stop_when_idle {
            return Some(StopReason::Idle { deadline_ns });
        }
        let until = at_icount.then_some(limit.until.now_ns);
        match deadline_ns.into_iter().chain(until).min() {
            Some(ns) if self.clock.now_ns() < LAST_NS => self.skip_idle(ns),
            _ => return Some(StopReason::Idle { deadline_ns: None }),
        }
        None
    }

    /// Lets virtual time pass up to `until_ns`, while no vCPU can run.
    pub fn skip_idle(&mut self, until_ns: VirtualNs) {
        let now = self.clock.now_ns();
        self.clock.skip(until_ns.min(LAST_NS).saturating_sub(now));
    }

    /// INIT, start-up and NMI signals from the local APICs.
    fn take_signals(&mut self) {
        for id in 0..self.vcpus.len() {
            if !self.board.has_signals(id) {
                continue;
            }
            let signals = self.board.take_signals(id);
            let cpu = &mut self.vcpus[id];
            if signals.init {
                system::init(cpu);
                cpu.forget_steps();
            }
            if let Some(vector) = signals.sipi {
                system::startup(cpu, vector);
                cpu.forget_steps();
            }
            cpu.nmi_pending |= signals.nmi;
        }
    }

    /// The second half of an iteration: vCPU `id` runs at least one instruction, unless a stop
    /// point stops it before.
    pub fn execute(&mut self, id: VcpuId, limit: &RunLimit) {
        let start = self.clock.icount;
        self.clock.limit = self.slice_end(limit);
        let begun = self.begun.take();
        let Self { vcpus, targets, mem, board, clock, entropy, code, jit, .. } = self;
        let cpu = &mut vcpus[id];
        let jit = jit.as_deref_mut();
        let mut slice = Slice { cpu, targets: &mut targets[id], mem, board, clock, entropy, code, jit };
        let result = slice.run(begun);
        let cpu = &mut self.vcpus[id];
        let stop_point = cpu.stops.take_stop();
        self.stop_point |= stop_point;
        match result {
            Ok(begun) if stop_point && self.clock.icount == start => {
                self.begun = begun;
                if begun.is_none() {
                    self.schedule = self.schedule_before;
                }
                return;
            }
            Ok(_) => {}
            Err(TripleFault) => self.triple_fault = true,
        }
        // A task switch finds its triple fault inside an instruction.
        self.triple_fault |= cpu.activity == Activity::Shutdown;
        let gives_way = std::mem::take(&mut cpu.yielded) || cpu.activity != Activity::Running;
        let ran = self.clock.icount - start;
        self.schedule.charge(self.vcpus.len(), u64::from(self.config.quantum_icount), ran, gives_way);
    }

    /// The icount at which the slice must end: the limit, the quantum, or the next timer.
    fn slice_end(&self, limit: &RunLimit) -> u64 {
        let icount = self.clock.icount;
        let mut end = limit.until.icount.min(icount + SLICE_ICOUNT);
        if self.vcpus.len() > 1 {
            end = end.min(icount + self.schedule.quantum_left);
        }
        if let Some(deadline) = self.board.next_deadline() {
            end = end.min(deadline.saturating_sub(self.clock.skipped_ns));
        }
        end.max(icount + 1)
    }

    /// Reset and power requests that the last instructions made.
    fn take_request(&mut self, limit: &RunLimit) -> Option<StopReason> {
        let request = if std::mem::take(&mut self.triple_fault) {
            Some(MachineRequest::Reset(ResetCause::TripleFault))
        } else {
            self.board.take_request()
        };
        match request? {
            MachineRequest::Reset(cause) => {
                self.reset(cause);
                limit.stop_on_reset.then_some(StopReason::Reset(cause))
            }
            MachineRequest::PowerOff => {
                self.note(ProbeEvent::PowerOff);
                self.collect_outbound(Outbound::PowerOff);
                self.off = Some(StopReason::PowerOff);
                self.off
            }
            MachineRequest::DebugExit(code) => {
                self.note(ProbeEvent::DebugExit { code });
                self.collect_outbound(Outbound::DebugExit(code));
                self.off = Some(StopReason::DebugExit(code));
                self.off
            }
        }
    }

    /// Something that is of no vCPU.
    fn note(&mut self, event: ProbeEvent) {
        self.stamp_probes();
        self.board.probes.push(event);
    }

    fn collect_outbound(&mut self, last: Outbound) {
        self.outbound.append(&mut self.board.take_outbound());
        self.outbound.push(last);
    }

    /// Back to power-on, images loaded again; the clock goes on.
    fn reset(&mut self, cause: ResetCause) {
        self.note(ProbeEvent::Reset { cause });
        self.collect_outbound(Outbound::Reset(cause));
        let now = self.clock.now_ns();
        self.mem.clear();
        let count = self.vcpus.len();
        for (id, cpu) in self.vcpus.iter_mut().enumerate() {
            cpu.load_state(new_vcpu(id, count).state);
            cpu.msrs.tsc_offset = now.wrapping_neg();
            cpu.forget_steps();
        }
        self.board.reset(now);
        self.schedule = Schedule::new(u64::from(self.config.quantum_icount));
        self.begun = None;
        boot::load(&mut self.mem, &mut self.vcpus[0], &self.config, &self.images)
            .expect("images that were loaded once load again");
    }

    /// Sets all stop points; those set before are gone, and with them what they saw.
    pub fn set_stop_points(&mut self, points: &StopPoints) {
        for cpu in &mut self.vcpus {
            cpu.stops = Stops::new(points, cpu.id);
            cpu.stops.note_steps(cpu.probes.steps());
            // Pages that are watched now must leave the TLB, others may come in again.
            cpu.flush_tlb();
        }
        self.stop_point = false;
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

/// So many interrupts at most come before one instruction: with trap gates and a level-triggered
/// line that nobody has to acknowledge there is no end of them.
const DELIVERIES: u32 = 32;

/// A vCPU with all that it runs against.
struct Slice<'a> {
    cpu: &'a mut Vcpu,
    targets: &'a mut TargetCache,
    mem: &'a mut Memory,
    board: &'a mut Board,
    clock: &'a mut Clock,
    entropy: &'a mut Entropy,
    code: &'a mut DecodeCache,
    jit: Option<&'a mut Jit>,
}

impl Slice<'_> {
    /// Delivers what is pending, unless that was done before a stop, then runs instructions.
    /// Gives what is to be remembered if a stop point ended the slice before the first.
    fn run(&mut self, begun: Option<Begun>) -> Result<Option<Begun>, TripleFault> {
        // Before anything is delivered: that stores, too.
        self.cpu.sync_tlb(self.mem);
        let begun = match begun {
            Some(begun) => Some(begun),
            None => {
                self.cpu.stops.in_delivery = true;
                self.stamp_probes();
                let begun = self.deliver();
                self.cpu.stops.in_delivery = false;
                self.board.probes.deliveries_end();
                begun?
            }
        };
        if begun.is_some_and(|begun| begun.single) {
            self.clock.limit = self.clock.icount + 1;
        }
        if !self.cpu.stops.must_stop() {
            self.with_runner(|runner| runner.run())?;
        }
        Ok(begun)
    }

    /// Tells the chips where they are, and for whom they do what they do.
    fn stamp_probes(&mut self) {
        if self.board.probes.is_on() {
            let here = Position { icount: self.clock.icount, now_ns: self.clock.now_ns() };
            self.board.probes.stamp(here, Some(self.cpu.origin()));
        }
    }

    /// Interrupts and debug traps. None: there were none.
    fn deliver(&mut self) -> Result<Option<Begun>, TripleFault> {
        let (id, mut delivered) = (self.cpu.id, 0);
        while delivered < DELIVERIES {
            let cpu = &mut *self.cpu;
            let vector = if cpu.shadow == Shadow::None && cpu.nmi_pending && !cpu.nmi_masked {
                None
            } else if system::interruptible(cpu) && self.board.interrupt_pending(id) {
                delivered += 1;
                match self.board.acknowledge(id, self.clock.now_ns()) {
                    Some(vector) => Some(vector),
                    None => break,
                }
            } else {
                break;
            };
            delivered += u32::from(vector.is_none());
            self.with_runner(|runner| {
                runner.deliver_debug_trap()?;
                match vector {
                    Some(vector) => runner.deliver_interrupt(vector),
                    None => {
                        runner.cpu.nmi_pending = false;
                        runner.deliver_nmi()
                    }
                }
            })?;
        }
        let trap = self.cpu.pending_debug != 0;
        self.with_runner(|runner| runner.deliver_debug_trap())?;
        let any = delivered > 0 || trap;
        Ok(any.then_some(Begun { vcpu: id, single: delivered == DELIVERIES }))
    }

    fn with_runner<T>(&mut self, f: impl FnOnce(&mut Runner<'_, '_>) -> T) -> T {
        let Self { cpu, targets, mem, board, clock, entropy, code, jit } = self;
        let mut env = Env { mem, io: *board, clock, entropy };
        f(&mut Runner { cpu, env: &mut env, code, targets, jit: jit.as_deref_mut() })
    }
}

fn new_vcpu(id: VcpuId, count: usize) -> Vcpu {
    let mut cpu = Vcpu::new(id);
    cpu.vcpu_count = count as u32;
    boot::firmware::set_up(&mut cpu.msrs);
    cpu
}
