//! What a debugger wants of the run: its stop points, the motion that is under way for it, and
//! the one who is told where that ends.

use crate::hostio::gdb::Client;
use dejavm_core::boundary::{HitCause, OnHit, StopCondition, StopHit, StopPoint, StopPoints};
use dejavm_core::machine::Machine;
use dejavm_monitor::control::{Motion, StopCause, Stopped};

/// The id of the stop point that ends a step; clients do not use it.
const STEP: u32 = u32::MAX;

/// What a debugger wants of the run.
#[derive(Default)]
pub struct Debugger {
    points: Vec<StopPoint>,
    /// What is under way for the client.
    motion: Option<Motion>,
    /// The machine has the stop points.
    armed: bool,
    /// The instruction before which the step begins is still to come by.
    at_first: bool,
    client: Option<Client>,
}

impl Debugger {
    /// Who is to be told from now on.
    pub fn attach(&mut self, client: Client) {
        self.client = Some(client);
    }

    /// Nobody is to be told any more.
    pub fn detach(&mut self) -> Option<Client> {
        self.motion = None;
        self.client.take()
    }

    /// Whether someone is to be told.
    pub fn attached(&self) -> bool {
        self.client.is_some()
    }

    /// The stop points.
    pub fn points(&self) -> &[StopPoint] {
        &self.points
    }

    /// Sets the stop points.
    pub fn set_points(&mut self, points: Vec<StopPoint>) {
        self.points = points;
        self.armed = false;
    }

    /// A motion begins for the client.
    pub fn set_out(&mut self, motion: Motion) {
        self.motion = Some(motion);
        self.armed = false;
    }

    /// The motion that is under way for the client.
    pub fn motion(&self) -> Option<Motion> {
        self.motion
    }

    /// The machine is another one, or has lost its stop points.
    pub fn disarm(&mut self) {
        self.armed = false;
    }

    /// Gives the machine its stop points, where a motion begins.
    pub fn arm(&mut self, machine: &mut Machine) {
        if std::mem::replace(&mut self.armed, true) {
            return;
        }
        let from = machine.position().icount;
        let mut points = StopPoints { points: self.points.clone(), from, on_hit: OnHit::Stop };
        let step = self.motion.and_then(|motion| motion.step);
        if let Some(vcpu) = step {
            let condition = StopCondition::EveryInstruction;
            points.points.push(StopPoint { id: STEP, vcpu: Some(vcpu), condition });
        }
        machine.set_stop_points(&points);
        // A debugger steps over its breakpoints itself; a monitor that lets the machine go on
        // does not know of them.
        let begun = machine.in_instruction() && step == Some(machine.current_vcpu());
        if self.motion.is_none() || begun {
            machine.pass_breakpoints_here();
        }
        self.at_first = !begun;
    }

    /// Why a stop point ended the run, unless it is to go on at once.
    pub fn take_stop(&mut self, machine: &mut Machine) -> Option<Stopped> {
        let hits = machine.take_stop_hits().last;
        let rank = |hit: &&StopHit| (hit.id == STEP, matches!(hit.cause, HitCause::Instruction { .. }));
        let hit = *hits.iter().min_by_key(rank)?;
        if hit.id != STEP {
            return Some(Stopped { vcpu: hit.vcpu, cause: StopCause::Hit(hit) });
        }
        // An interrupt that came before the first instruction was a step of its own.
        if std::mem::take(&mut self.at_first) && !machine.in_instruction() {
            machine.pass_breakpoints_here();
            return None;
        }
        Some(Stopped { vcpu: hit.vcpu, cause: StopCause::Step })
    }

    /// The motion has ended: tells the client.
    pub fn stopped(&mut self, stopped: Stopped) {
        self.armed = false;
        if self.motion.take().is_some()
            && let Some(client) = &self.client
        {
            // A client that has just gone is noticed by its last call.
            let _ = client.stops.send(stopped);
        }
    }

    /// As [`Self::stopped`], on the vCPU whose turn it is.
    pub fn stopped_by(&mut self, machine: &Machine, cause: StopCause) {
        self.stopped(Stopped { vcpu: machine.current_vcpu(), cause });
    }
}
