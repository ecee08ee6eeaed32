//! The machine: vCPUs, RAM and board, run to a position at a time.
//!
//! One iteration of the run loop is [`Machine::prepare`] (timers, signals, whose turn it is, or
//! idling) and [`Machine::execute`] (interrupts, then instructions). Each iteration moves the
//! position strictly forward, and the machine stops only between iterations; so a position
//! names one state, and an inbound event applied at a position is applied in the same state
//! in record and in replay.

use super::board_pc::{Board, MachineRequest};
use super::limit::{Prepared, RunLimit, StopReason};
use super::run_loop::{TargetCache, TripleFault};
use super::schedule::Schedule;
use super::slice::{Begun, Slice};
use super::state_hash::MemoryHash;
use super::virtual_time::{LAST_NS, SLICE_ICOUNT};
use super::{MAX_RAM_BYTES, MachineError, boot};
use crate::boundary::{Images, Inbound, MachineConfig, Outbound, ProbeEvent, ProbeSettings, ResetCause};
use crate::cpu::decode_cache::DecodeCache;
use crate::cpu::{Activity, Clock, Entropy, Vcpu, system};
use crate::jit::Jit;
use crate::mem::Memory;
use crate::types::{MAX_VCPUS, VcpuId, VirtualNs};

/// The machine.
pub struct Machine {
    pub(super) config: MachineConfig,
    pub(super) images: Images,
    pub(super) vcpus: Vec<Vcpu>,
    targets: Vec<TargetCache>,
    pub(super) mem: Memory,
    pub(super) board: Board,
    pub(super) clock: Clock,
    pub(super) entropy: Entropy,
    pub(super) code: DecodeCache,
    pub(super) jit: Option<Box<Jit>>,
    pub(super) schedule: Schedule,
    pub(super) memory_hash: MemoryHash,
    pub(super) outbound: Vec<Outbound>,
    pub(super) triple_fault: bool,
    pub(super) off: Option<StopReason>,
    pub(super) begun: Option<Begun>,
    /// The vCPU that ran last: what a device does in memory before the next runs is of its doing.
    pub(super) ran: VcpuId,
    /// The schedule before the turn of [`Self::execute`] was chosen.
    schedule_before: Schedule,
    /// A stop point was hit in the last slice, or from outside.
    pub(super) stop_point: bool,
    /// The probes that are on.
    pub(super) probes: ProbeSettings,
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
            ran: 0,
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

    /// Tells the chips where they are, outside of instructions.
    pub(super) fn stamp_probes(&mut self) {
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
        if let Inbound::Debugger(write) = event {
            self.apply_debugger_write(write);
        }
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
            for access in self.board.run_dma(&mut self.mem) {
                self.note_dma(access);
            }
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

    /// Begins the next instruction: whose turn it is, and what is delivered before. Nothing, if it has
    /// begun already or nothing is to be delivered.
    pub(super) fn begin_instruction(&mut self) {
        if self.begun.is_some() || self.off.is_some() {
            return;
        }
        let schedule = self.schedule;
        let Some(id) = self.pick() else { return };
        self.schedule_before = schedule;
        match self.slice(id).begin() {
            Ok(begun) => self.begun = begun,
            Err(TripleFault) => self.triple_fault = true,
        }
        if self.begun.is_none() {
            self.schedule = schedule;
        }
    }

    fn slice(&mut self, id: VcpuId) -> Slice<'_> {
        let Self { vcpus, targets, mem, board, clock, entropy, code, jit, .. } = self;
        let jit = jit.as_deref_mut();
        Slice { cpu: &mut vcpus[id], targets: &mut targets[id], mem, board, clock, entropy, code, jit }
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
        self.ran = id;
        let result = self.slice(id).run(begun);
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

    /// Tells the probes of something that is of no vCPU.
    pub fn note(&mut self, event: ProbeEvent) {
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
}

fn new_vcpu(id: VcpuId, count: usize) -> Vcpu {
    let mut cpu = Vcpu::new(id);
    cpu.vcpu_count = count as u32;
    boot::firmware::set_up(&mut cpu.msrs);
    cpu
}
