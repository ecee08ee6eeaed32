//! What happens to a run that those who watch it are told of.

use crate::dump::Status;
use dejavm_core::types::Icount;

/// Why a replay stands where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It was told to go there.
    Seek,
    /// A breakpoint is there.
    Breakpoint,
    /// The recording ends there.
    End,
}

/// Something that happened to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEvent {
    /// The machine stands still.
    Stop,
    /// The machine goes on.
    Resume,
    /// The run ends.
    Shutdown {
        /// Whether the guest wanted it.
        guest: bool,
        /// Why, in QEMU's words.
        reason: &'static str,
    },
    /// The machine was reset.
    Reset {
        /// Whether the guest wanted it.
        guest: bool,
        /// Why, in QEMU's words.
        reason: &'static str,
    },
    /// The power button was pressed.
    Powerdown,
    /// The guest's kernel says that it panicked; the machine goes on.
    GuestPanicked,
    /// A dump of guest memory is complete, or has failed.
    DumpCompleted(Status),
    /// A replay came to a place and stands there.
    Arrived {
        /// Where it is.
        icount: Icount,
        /// Why it stopped.
        why: Arrival,
    },
}
