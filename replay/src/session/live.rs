//! A run with input from outside. Nothing is kept of it, unless a log takes it down: with a
//! journal as the log this is what [`super::record`] does.

use super::machine::RunMachine;
use super::trail::Trail;
use super::{Host, STEP_ICOUNT, SessionError, Waited};
use crate::checkpoint::FullCheckpoint;
use crate::journal::{EndReason, JournalError, Start, StateDigest};
use dejavm_core::boundary::{Change, DebuggerWrite, Inbound, Position};
use dejavm_core::machine::{RunLimit, StopReason};
use dejavm_core::types::{Icount, VirtualNs};
use std::time::Instant;

/// How often the machine is stopped to see whether it has room for input that waits.
const BACKLOG_ICOUNT: Icount = 1 << 16;

/// The longest wait while input is not in the file yet.
const FLUSH_WAIT_NS: u64 = 300_000_000;

/// What happens while no vCPU can run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdlePolicy {
    /// Virtual time jumps to the next timer at once.
    #[default]
    Skip,
    /// Virtual time passes as host time does, and input may come meanwhile.
    Wait,
}

/// How a live run is to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveOptions {
    /// What happens while no vCPU can run.
    pub idle: IdlePolicy,
    /// Whether a reset ends the run.
    pub stop_on_reset: bool,
    /// Where the run ends, if nothing ends it before.
    pub until_icount: Option<Icount>,
}

/// Where a run stands after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It goes on.
    Running,
    /// It is over.
    Ended(EndReason),
}

/// Takes a run down.
pub trait Log {
    /// The icount at which a chunk must end.
    fn boundary(&self) -> Icount;
    /// Whether a chunk should end at `at`.
    fn is_due(&self, at: Position, flush_due: bool) -> bool;
    /// Whether there are events after the last chunk.
    fn has_pending(&self) -> bool;
    /// Takes down what was made ready beside the run, if there is any.
    fn tend(&mut self) -> Result<(), JournalError> {
        Ok(())
    }
    /// An event was applied.
    fn append(&mut self, at: Position, event: &Inbound) -> Result<(), JournalError>;
    /// A chunk ends.
    fn end_chunk(&mut self, at: Position, hash: &StateDigest) -> Result<(), JournalError>;
    /// Whether the state at `at`, where a chunk has just ended, is to be taken down.
    fn wants_state(&self, _at: Position) -> bool {
        false
    }
    /// Takes it down.
    fn take_state(&mut self, _start: &Start) -> Result<(), JournalError> {
        Ok(())
    }
}

/// The log of a run that nothing is kept of.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLog;

impl Log for NoLog {
    fn boundary(&self) -> Icount {
        Icount::MAX
    }
    fn is_due(&self, _at: Position, _flush_due: bool) -> bool {
        false
    }
    fn has_pending(&self) -> bool {
        false
    }
    fn append(&mut self, _at: Position, _event: &Inbound) -> Result<(), JournalError> {
        Ok(())
    }
    fn end_chunk(&mut self, _at: Position, _hash: &StateDigest) -> Result<(), JournalError> {
        Ok(())
    }
}

/// A run with input from outside.
#[derive(Debug)]
pub struct LiveSession<M, L = NoLog> {
    machine: M,
    log: L,
    options: LiveOptions,
    ended: Option<EndReason>,
    trail: Option<Trail>,
    /// A stop point was hit since the step began.
    at_stop_point: bool,
}

impl<M: RunMachine> LiveSession<M> {
    /// A run of which nothing is kept.
    pub fn new(machine: M, options: LiveOptions) -> Self {
        Self::with_log(machine, NoLog, options)
    }
}

impl<M: RunMachine, L: Log> LiveSession<M, L> {
    pub(super) fn with_log(machine: M, log: L, options: LiveOptions) -> Self {
        Self { machine, log, options, ended: None, trail: None, at_stop_point: false }
    }

    /// The machine, to be looked at.
    pub fn machine(&mut self) -> &mut M {
        &mut self.machine
    }

    /// The log.
    pub fn log(&self) -> &L {
        &self.log
    }

    pub(super) fn into_parts(self) -> (M, L) {
        (self.machine, self.log)
    }

    pub(super) fn set_trail(&mut self, trail: Trail) {
        self.trail = Some(trail);
    }

    pub(super) fn trail(&self) -> Option<&Trail> {
        self.trail.as_ref()
    }

    pub(super) fn machine_and_trail(&mut self) -> (&mut M, Option<&mut Trail>) {
        (&mut self.machine, self.trail.as_mut())
    }

    /// Why the run is over, if it is.
    pub fn ended(&self) -> Option<EndReason> {
        self.ended
    }

    /// The run is over, though the machine could go on.
    pub fn end(&mut self, reason: EndReason) {
        self.ended = self.ended.or(Some(reason));
    }

    /// Takes in what waits, runs for a while, and hands out what comes. Returns after about a
    /// million instructions, or sooner: when the machine is kicked, idle, or off.
    pub fn step(&mut self, host: &mut dyn Host) -> Result<Step, SessionError> {
        self.step_until(Icount::MAX, host)
    }

    /// As [`Self::step`], but not beyond `icount`; the run is not over there.
    pub fn step_until(&mut self, icount: Icount, host: &mut dyn Host) -> Result<Step, SessionError> {
        self.at_stop_point = false;
        self.log.tend()?;
        self.take_inbound(host)?;
        self.write_out(host, true)?;
        if self.ended.is_none() && !self.at_stop_point {
            let limit = self.next_limit(icount, host);
            let stop = self.run_measured(&limit);
            self.note(stop);
            self.hand_out(host);
            if let StopReason::Idle { deadline_ns } = stop {
                self.idle(deadline_ns, host);
            }
            self.write_out(host, false)?;
            if self.trail.is_some() {
                self.checkpoint_if_due(host);
            }
        }
        self.hand_out(host);
        Ok(self.ended.map_or(Step::Running, Step::Ended))
    }

    /// Runs; what it takes says how far apart checkpoints are to be.
    fn run_measured(&mut self, limit: &RunLimit) -> StopReason {
        let (from, start) = (self.machine.position().icount, Instant::now());
        let stop = self.machine.run(limit);
        let ran = self.machine.position().icount - from;
        if let Some(trail) = &mut self.trail {
            trail.ran(ran, start.elapsed());
        }
        stop
    }

    /// Takes in what waits, and what comes of it at once (a reset, the end), without running on: for
    /// a machine that stands still.
    ///
    /// # Errors
    /// If it cannot be taken down.
    pub fn admit(&mut self, host: &mut dyn Host) -> Result<(), SessionError> {
        self.at_stop_point = false;
        self.log.tend()?;
        self.take_inbound(host)?;
        self.hand_out(host);
        self.write_out(host, true)
    }

    /// Brings the machine into the state in which events are applied and hashes are taken. A
    /// stop point may have left it within its position, which has no such state any more.
    pub(super) fn settle(&mut self) {
        let mut until = self.machine.position();
        if self.machine.in_instruction() {
            self.machine.pass_breakpoints_here();
            until = Position { icount: until.icount + 1, now_ns: 0 };
        }
        self.run_to(until);
    }

    fn run_to(&mut self, until: Position) {
        let stop_on_reset = self.options.stop_on_reset;
        let stop = self.machine.run(&RunLimit { until, stop_when_idle: false, stop_on_reset });
        self.note(stop);
    }

    fn take_inbound(&mut self, host: &mut dyn Host) -> Result<(), SessionError> {
        loop {
            self.settle();
            if self.ended.is_some() || self.at_stop_point {
                return Ok(());
            }
            let machine = &mut self.machine;
            let Some(event) = host.next_inbound(&mut |port| machine.serial_room(port)) else {
                return Ok(());
            };
            self.take(&event)?;
            self.write_out(host, false)?;
        }
    }

    /// An event is applied where the machine stands, and taken down.
    fn take(&mut self, event: &Inbound) -> Result<(), SessionError> {
        let at = self.machine.position();
        self.log.append(at, event)?;
        if let Some(trail) = &mut self.trail {
            trail.add(at, event);
        }
        self.machine.apply(event);
        Ok(())
    }

    /// A debugger changes RAM or registers where the machine stands, at once: even within its position,
    /// where a breakpoint may have stopped it.
    ///
    /// # Errors
    /// If it cannot be taken down; then nothing has changed.
    pub fn debug(&mut self, change: Change, host: &mut dyn Host) -> Result<(), SessionError> {
        let begun = self.machine.in_instruction();
        if !begun {
            self.settle();
        }
        self.take(&Inbound::Debugger(DebuggerWrite { begun, change }))?;
        self.write_out(host, false)
    }

    fn write_out(&mut self, host: &mut dyn Host, may_be_early: bool) -> Result<(), SessionError> {
        if self.machine.in_instruction() {
            // Its position has no state to hash any more: later.
            return Ok(());
        }
        let at = self.machine.position();
        if self.log.is_due(at, may_be_early && host.flush_due()) {
            self.settle();
            let hash = self.machine.digest();
            self.log.end_chunk(at, &hash)?;
            if self.log.wants_state(at) {
                self.hand_out(host);
                let checkpoint = FullCheckpoint::save(&mut self.machine, at);
                self.log.take_state(&Start { checkpoint, hash })?;
            }
            host.flushed();
        }
        Ok(())
    }

    pub(super) fn hand_out(&mut self, host: &mut dyn Host) {
        self.machine.take_outbound().into_iter().for_each(|event| host.outbound(event));
    }

    fn next_limit(&mut self, stop_at: Icount, host: &dyn Host) -> RunLimit {
        let step = if host.has_backlog() { BACKLOG_ICOUNT } else { STEP_ICOUNT };
        let end = self.options.until_icount.unwrap_or(Icount::MAX).min(stop_at);
        let icount = self.machine.position().icount.saturating_add(step).min(self.log.boundary()).min(end);
        let until = Position { icount, now_ns: 0 };
        let stop_when_idle = self.options.idle == IdlePolicy::Wait;
        RunLimit { until, stop_when_idle, stop_on_reset: self.options.stop_on_reset }
    }

    fn note(&mut self, stop: StopReason) {
        self.at_stop_point |= stop == StopReason::StopPoint;
        let here = self.machine.position().icount;
        let at_end = self.options.until_icount.is_some_and(|end| here >= end);
        let reason = match stop {
            StopReason::PowerOff => Some(EndReason::PowerOff),
            StopReason::DebugExit(code) => Some(EndReason::DebugExit(code)),
            StopReason::Reset(_) => Some(EndReason::Reset),
            StopReason::Limit | StopReason::Kicked | StopReason::Idle { .. } | StopReason::StopPoint => {
                at_end.then_some(EndReason::Limit)
            }
        };
        self.ended = self.ended.or(reason);
    }

    /// Waits for input, or for the timer that ends the idle stretch.
    fn idle(&mut self, deadline_ns: Option<VirtualNs>, host: &mut dyn Host) {
        let here = self.machine.position();
        let gap_ns = deadline_ns.map(|deadline| deadline.saturating_sub(here.now_ns));
        let flush_ns = self.log.has_pending().then_some(FLUSH_WAIT_NS);
        let passed_ns = match (host.wait(gap_ns.into_iter().chain(flush_ns).min()), gap_ns) {
            (Waited::Elapsed(_), _) if self.options.idle == IdlePolicy::Skip => return,
            (Waited::Elapsed(ns), gap_ns) => ns.min(gap_ns.unwrap_or(u64::MAX)),
            (Waited::NoMoreInput, Some(gap_ns)) => gap_ns,
            (Waited::NoMoreInput, None) => {
                self.ended = self.ended.or(Some(EndReason::Halted));
                return;
            }
        };
        self.run_to(Position { now_ns: here.now_ns.saturating_add(passed_ns), ..here });
    }
}
