//! The body of the end chunk: why a run ended, and the state it ended in.

use crate::journal::StateDigest;
use crate::journal::error::Damage;
use dejavm_core::boundary::Position;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a recording ended. New reasons are added at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndReason {
    /// The guest switched the machine off.
    PowerOff,
    /// The guest ended the run with a code (the debug-exit port).
    DebugExit(u32),
    /// The user ended the recording.
    UserQuit,
    /// The guest asked for a reset, and the recording was to end there.
    Reset,
    /// The icount at which the recording was to end.
    Limit,
    /// Every vCPU waits for an interrupt that nothing will raise.
    Halted,
    /// The guest crashed, and the recording was to end there.
    Crashed,
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerOff => f.write_str("power-off"),
            Self::DebugExit(code) => write!(f, "debug exit with code {code}"),
            Self::UserQuit => f.write_str("ended by the user"),
            Self::Reset => f.write_str("reset"),
            Self::Limit => f.write_str("icount limit"),
            Self::Halted => f.write_str("halted for ever"),
            Self::Crashed => f.write_str("the guest crashed"),
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Why.
    pub reason: EndReason,
    /// Where.
    pub position: Position,
    /// The state there.
    pub hash: StateDigest,
}

/// The body as it is encoded; the position is in the chunk's header, the names in chunk 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::journal) struct EndBody {
    reason: EndReason,
    combined: [u8; 16],
    parts: Vec<[u8; 16]>,
}

impl EndBody {
    pub fn of(end: &End) -> Self {
        Self {
            reason: end.reason,
            combined: end.hash.combined.to_le_bytes(),
            parts: end.hash.parts.iter().map(|(_, hash)| hash.to_le_bytes()).collect(),
        }
    }

    pub fn resolve(self, position: Position, names: &[String]) -> Result<End, Damage> {
        if self.parts.len() != names.len() {
            return Err(Damage::Value("a state hash with another number of parts than the header names"));
        }
        let parts = names.iter().cloned().zip(self.parts.into_iter().map(u128::from_le_bytes)).collect();
        let hash = StateDigest { combined: u128::from_le_bytes(self.combined), parts };
        Ok(End { reason: self.reason, position, hash })
    }
}
