//! How far a machine runs, with what, and why it stopped.

use crate::boundary::{Position, ResetCause};
use crate::jit::{Jit, JitUnavailable};
use crate::types::{VcpuId, VirtualNs};
use serde::{Deserialize, Serialize};

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
