//! A replay that is not what was recorded: where, and what differs.

use crate::journal::EndReason;
use dejavm_core::boundary::Position;
use dejavm_core::machine::StopReason;
use std::fmt;

/// The replay left the recorded run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The last position at which the state was the recorded one.
    pub last_good: Position,
    /// Where the difference was seen.
    pub seen_at: Position,
    /// What differs.
    pub mismatch: Mismatch,
}

/// What differs between record and replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The state.
    State {
        /// The combined hash in the journal (its low 64 bits, or all 128 at the end of the run).
        recorded: u128,
        /// The same of the replay.
        replayed: u128,
        /// The parts of the machine that differ.
        parts: Vec<String>,
    },
    /// The machine never comes by a recorded position.
    Position {
        /// The position in the journal.
        recorded: Position,
        /// Why the replay stopped where it did.
        stop: StopReason,
    },
    /// The machine does not end as it did.
    End {
        /// Why the recording ended.
        recorded: EndReason,
        /// Why the replay stopped.
        stop: StopReason,
    },
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.last_good.icount, self.seen_at.icount);
        write!(f, "replay diverges from the recording between icount {from} (equal) and {to}: ")?;
        match &self.mismatch {
            Mismatch::State { recorded, replayed, parts } => {
                let parts = if parts.is_empty() { "(none named)".to_owned() } else { parts.join(", ") };
                write!(f, "state hash {replayed:016x}, recorded {recorded:016x}; differs in: {parts}")
            }
            Mismatch::Position { recorded, stop } => write!(
                f,
                "at {} ns of virtual time ({stop:?}), where the recording goes on to icount {} at {} ns",
                self.seen_at.now_ns, recorded.icount, recorded.now_ns
            ),
            Mismatch::End { recorded, stop } => {
                write!(f, "the recording ends here ({recorded}), the replay does not ({stop:?})")
            }
        }
    }
}

impl std::error::Error for Divergence {}
