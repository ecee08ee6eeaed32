//! The ways to run a machine: [`live`], [`record`], [`replay`]; and what is made of recordings:
//! [`trim`], [`compare`].
//!
//! What they have in common: a machine is run to a position, what came in is applied there, and
//! what came out is handed on. Before each event and each hash the machine is *settled* (run to
//! where it stands already), so that both are taken in the one state that a position names.

pub mod compare;
pub mod divergence;
mod fingerprint;
pub mod host;
mod inputs;
pub mod live;
pub mod machine;
pub mod record;
pub mod replay;
pub mod ring;
mod start;
pub mod timeline;
mod trail;
mod trim;

pub use divergence::{Divergence, Mismatch};
pub use host::{Host, Observer, Waited};
pub use live::{IdlePolicy, LiveOptions, LiveSession, Step};
pub use machine::{RunMachine, cpu_model};
pub use record::{RecordOptions, RecordSession};
pub use replay::{ReplaySession, ReplayStop, Verdict, stopwatch_ns};
pub use ring::{RingSession, RingSize};
pub use start::machine_at_start;
pub use trim::{Trimmed, trim};

use crate::journal::JournalError;
use dejavm_core::machine::MachineError;
use dejavm_core::types::Icount;

/// Why a session cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The machine cannot be made.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The replay is not what was recorded.
    #[error(transparent)]
    Divergence(#[from] Box<Divergence>),
    /// The journal is of a machine that this dejavm does not have.
    #[error(
        "the journal was recorded by dejavm {recorded_by}, whose {what} differs: {recorded}; here: {here}"
    )]
    OtherMachine {
        /// The version that recorded.
        recorded_by: String,
        /// What differs.
        what: &'static str,
        /// It in the journal.
        recorded: String,
        /// It here.
        here: String,
    },
    /// Nothing is known of the run at this icount.
    #[error("icount {icount} is beyond the end of the journal, icount {last}")]
    BeyondEnd {
        /// What was asked for.
        icount: Icount,
        /// The last that there is.
        last: Icount,
    },
    /// The recording begins later.
    #[error("icount {icount} is before the beginning of the journal, icount {first}")]
    BeforeStart {
        /// What was asked for.
        icount: Icount,
        /// The first that there is.
        first: Icount,
    },
    /// A stretch of nothing.
    #[error("nothing lies between icount {from} and {to}")]
    EmptyStretch {
        /// Its beginning.
        from: Icount,
        /// Its end.
        to: Icount,
    },
    /// The state that the journal begins with.
    #[error("the journal's start state cannot be taken over: {0}")]
    BadStart(String),
}

/// The most instructions between two looks at the host. It changes nothing that the guest sees.
const STEP_ICOUNT: Icount = 1 << 20;
