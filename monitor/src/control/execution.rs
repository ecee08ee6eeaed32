//! Running and standing still.

use super::{ControlError, RunEvent};

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

/// Running and standing still.
pub trait Execution {
    /// Whether the machine runs.
    fn run_state(&self) -> RunState;
    /// Lets the machine stand still.
    fn stop(&mut self);
    /// Lets the machine go on.
    ///
    /// # Errors
    /// If there is nothing to go on with.
    fn resume(&mut self) -> Result<(), ControlError>;
    /// Executes `count` instructions, then stands still.
    ///
    /// # Errors
    /// If the run ends before.
    fn step(&mut self, count: u64) -> Result<(), ControlError>;
    /// What has happened to the run since the last call, in order.
    fn take_events(&mut self) -> Vec<RunEvent>;
    /// Ends the run and the program, in order.
    fn quit(&mut self);
}
