//! The machine as the sessions see it.

use crate::checkpoint::SaveMachine;
use crate::journal::{CpuModel, StateDigest};
use dejavm_core::boundary::{Inbound, Outbound, Position, ProbeRecord, ProbeSettings, StopHits, StopPoints};
use dejavm_core::cpu::model;
use dejavm_core::machine::state_hash::StateHash;
use dejavm_core::machine::{Machine, RunLimit, StopReason};
use dejavm_core::vcpu::Engine;

/// What a session needs of a machine.
pub trait RunMachine: SaveMachine {
    /// Where it stands.
    fn position(&mut self) -> Position;
    /// Runs until the limit is reached or something else stops it.
    fn run(&mut self, limit: &RunLimit) -> StopReason;
    /// Whether it stands within its position: see
    /// [`dejavm_core::machine::Machine::in_instruction`].
    fn in_instruction(&mut self) -> bool {
        false
    }
    /// Lets no breakpoint stop it here again.
    fn pass_breakpoints_here(&mut self) {}
    /// Applies an event where it stands.
    fn apply(&mut self, event: &Inbound);
    /// What it gave out since the last call.
    fn take_outbound(&mut self) -> Vec<Outbound>;
    /// How many bytes a UART takes now.
    fn serial_room(&mut self, port: u8) -> usize;
    /// The hash of its state.
    fn digest(&mut self) -> StateDigest;
    /// Sets all stop points; those set before are gone.
    fn set_stop_points(&mut self, points: &StopPoints);
    /// What they saw since the last call.
    fn take_stop_hits(&mut self) -> StopHits;
    /// Switches all probes: those that `settings` does not name are off.
    fn set_probes(&mut self, _settings: &ProbeSettings) {}
    /// What they saw since the last call.
    fn take_probe_records(&mut self) -> Vec<ProbeRecord> {
        let mut records = Vec::new();
        self.take_probe_records_into(&mut records);
        records
    }
    /// Appends what they saw since the last call; the room of `records` is used again.
    fn take_probe_records_into(&mut self, _records: &mut Vec<ProbeRecord>) {}
}

/// On the calling thread.
impl RunMachine for Machine {
    fn position(&mut self) -> Position {
        Machine::position(self)
    }

    fn run(&mut self, limit: &RunLimit) -> StopReason {
        Machine::run(self, limit)
    }

    fn in_instruction(&mut self) -> bool {
        Machine::in_instruction(self)
    }

    fn pass_breakpoints_here(&mut self) {
        Machine::pass_breakpoints_here(self);
    }

    fn apply(&mut self, event: &Inbound) {
        Machine::apply(self, event);
    }

    fn take_outbound(&mut self) -> Vec<Outbound> {
        Machine::take_outbound(self)
    }

    fn serial_room(&mut self, port: u8) -> usize {
        Machine::serial_room(self, port)
    }

    fn digest(&mut self) -> StateDigest {
        StateDigest::from(self.state_hash())
    }

    fn set_stop_points(&mut self, points: &StopPoints) {
        Machine::set_stop_points(self, points);
    }

    fn take_stop_hits(&mut self) -> StopHits {
        Machine::take_stop_hits(self)
    }

    fn set_probes(&mut self, settings: &ProbeSettings) {
        Machine::set_probes(self, settings);
    }

    fn take_probe_records_into(&mut self, records: &mut Vec<ProbeRecord>) {
        Machine::take_probe_records_into(self, records);
    }
}

/// On the vCPUs' threads.
impl RunMachine for Engine {
    fn position(&mut self) -> Position {
        self.machine().position()
    }

    fn run(&mut self, limit: &RunLimit) -> StopReason {
        Engine::run(self, limit)
    }

    fn in_instruction(&mut self) -> bool {
        self.machine().in_instruction()
    }

    fn pass_breakpoints_here(&mut self) {
        self.machine().pass_breakpoints_here();
    }

    fn apply(&mut self, event: &Inbound) {
        self.machine().apply(event);
    }

    fn take_outbound(&mut self) -> Vec<Outbound> {
        self.machine().take_outbound()
    }

    fn serial_room(&mut self, port: u8) -> usize {
        self.machine().serial_room(port)
    }

    fn digest(&mut self) -> StateDigest {
        StateDigest::from(self.machine().state_hash())
    }

    fn set_stop_points(&mut self, points: &StopPoints) {
        self.machine().set_stop_points(points);
    }

    fn take_stop_hits(&mut self) -> StopHits {
        self.machine().take_stop_hits()
    }

    fn set_probes(&mut self, settings: &ProbeSettings) {
        self.machine().set_probes(settings);
    }

    fn take_probe_records_into(&mut self, records: &mut Vec<ProbeRecord>) {
        self.machine().take_probe_records_into(records);
    }
}

impl From<StateHash> for StateDigest {
    fn from(hash: StateHash) -> Self {
        let combined = hash.combined();
        let StateHash { vcpus, devices, memory } = hash;
        let vcpus = vcpus.into_iter().enumerate().map(|(id, part)| (format!("vcpu{id}"), part));
        let parts = vcpus.chain(devices).chain([("memory".to_owned(), memory)]).collect();
        Self { combined, parts }
    }
}

/// The virtual CPU of this dejavm.
pub fn cpu_model() -> CpuModel {
    CpuModel { name: model::NAME.to_owned(), version: model::VERSION }
}
