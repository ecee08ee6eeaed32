//! What a debugger asks of a run: to stop where it says, to go on or back from there, to change
//! what the guest has.

use super::ControlError;
use dejavm_core::boundary::{Change, StopHit, StopPoint};
use dejavm_core::types::VcpuId;

/// How to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Motion {
    /// Towards the beginning of the recording.
    pub backward: bool,
    /// Only to the next instruction of this vCPU (or to its last one).
    pub step: Option<VcpuId>,
}

impl Motion {
    /// On, to the next stop point.
    pub const CONTINUE: Self = Self { backward: false, step: None };
}

/// Why a motion ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// At a stop point.
    Hit(StopHit),
    /// The step is done.
    Step,
    /// Someone told the machine to stand still.
    Interrupted,
    /// The recording begins here.
    Begin,
    /// The recording ends here.
    End,
    /// The guest ended its run with this status.
    Exited(u8),
}

/// Where and why a motion ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// The vCPU that is concerned.
    pub vcpu: VcpuId,
    /// Why.
    pub cause: StopCause,
}

/// What a debugger asks of a run.
pub trait Debugging {
    /// Sets where the run stops; what was set before is gone.
    fn set_stop_points(&mut self, points: Vec<StopPoint>);
    /// Whether the run can go backward.
    fn can_go_back(&self) -> bool;
    /// Sets out. The debugger is told with a [`Stopped`] where that ends, which may be here.
    fn set_out(&mut self, motion: Motion);
    /// Changes RAM, all of which is there, or registers, here and now. A recording has it in its journal.
    ///
    /// # Errors
    /// If the run must stay what it is.
    fn change(&mut self, change: Change) -> Result<(), ControlError>;
    /// From now on serves gdb at `device`, in place of where it was served before; None: nowhere, and a
    /// client that is there is sent away.
    ///
    /// # Errors
    /// If `device` is none that gdb can be served at, or the host refuses.
    fn serve_gdb(&mut self, device: Option<&str>) -> Result<(), ControlError>;
}
