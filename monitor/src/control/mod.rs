//! The one API to a run: everything in this crate talks to a machine through [`Control`] only.
//!
//! Who implements it owns the session and calls the monitor between two slices of the run, so
//! that nothing here needs a lock and what is read belongs to one position.

#[cfg(test)]
pub(crate) mod fake;
pub mod quiet_walk;

use dejavm_core::boundary::{Inbound, Position};
use dejavm_core::cpu::CpuState;
use dejavm_core::types::{Gpa, Icount, VcpuId};

/// Whether the machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It executes instructions, or waits for something that wakes it.
    Running,
    /// It stands still and can go on.
    Paused,
    /// It has not run yet.
    Prelaunch,
    /// It is off, or the recording is at its end.
    Shutdown,
}

/// Where the inputs of the run come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// From outside, and nothing is written down.
    Live,
    /// From outside, into a journal.
    Record {
        /// The journal's path.
        file: String,
    },
    /// From a journal.
    Replay {
        /// The journal's path.
        file: String,
    },
}

/// Why the run did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// It can be done, but not with this run or at this moment.
    #[error("{0}")]
    NotNow(String),
    /// It was tried and failed.
    #[error("{0}")]
    Failed(String),
}

/// A run under control.
pub trait Control {
    /// Whether the machine runs.
    fn run_state(&self) -> RunState;
    /// Where the inputs come from.
    fn mode(&self) -> Mode;
    /// Where the run is.
    fn position(&mut self) -> Position;
    /// Lets the machine stand still.
    fn stop(&mut self);
    /// Lets the machine go on.
    ///
    /// # Errors
    /// If there is nothing to go on with.
    fn resume(&mut self) -> Result<(), ControlError>;
    /// Ends the run and the program, in order.
    fn quit(&mut self);
    /// Executes `count` instructions, then stands still.
    ///
    /// # Errors
    /// If the run ends before.
    fn step(&mut self, count: u64) -> Result<(), ControlError>;
    /// Goes to the position before the instruction with this count, then stands still.
    ///
    /// # Errors
    /// If the run is not a replay, or the recording is shorter.
    fn seek(&mut self, icount: Icount) -> Result<(), ControlError>;
    /// Stops the run when it comes to `icount`.
    ///
    /// # Errors
    /// If the run is not a replay, or is past it.
    fn set_break(&mut self, icount: Icount) -> Result<(), ControlError>;
    /// Removes what [`Self::set_break`] set.
    ///
    /// # Errors
    /// If the run is not a replay.
    fn delete_break(&mut self) -> Result<(), ControlError>;
    /// The number of vCPUs.
    fn vcpus(&mut self) -> usize;
    /// The architectural state of a vCPU.
    fn cpu_state(&mut self, vcpu: VcpuId) -> Option<CpuState>;
    /// Reads RAM; false if not all of it is RAM. Changes nothing.
    fn read_physical(&mut self, gpa: Gpa, bytes: &mut [u8]) -> bool;
    /// Reads through the page tables of a vCPU; false if not all of it is mapped to RAM.
    /// Changes nothing, no accessed bit either.
    fn read_virtual(&mut self, vcpu: VcpuId, address: u64, bytes: &mut [u8]) -> bool;
    /// Gives something to the machine from outside.
    ///
    /// # Errors
    /// If the run is a replay: nothing may come in but what its journal holds.
    fn inject(&mut self, event: Inbound) -> Result<(), ControlError>;
}
