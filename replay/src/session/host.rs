//! The host's side of a session: where input comes from, where output goes, and who waits.

use dejavm_core::boundary::{Inbound, Outbound};
use dejavm_core::types::Icount;

/// Sees a run go by.
pub trait Observer {
    /// What the machine gave out, in order.
    fn outbound(&mut self, _event: Outbound) {}

    /// How far a replay is, of how much; false to interrupt it.
    fn progress(&mut self, _icount: Icount, _total_icount: Icount) -> bool {
        true
    }
}

/// Sees nothing.
impl Observer for () {}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// Time is up, or input is there: so many ns of host time have passed.
    Elapsed(u64),
    /// Nothing will ever come in any more, so there is no use in waiting.
    NoMoreInput,
}

/// The outside of a machine that runs live.
pub trait Host: Observer {
    /// The next event, if one is there; a serial event has at most `room(port)` bytes.
    fn next_inbound(&mut self, room: &mut dyn FnMut(u8) -> usize) -> Option<Inbound>;

    /// Whether more input is there than the machine had room for.
    fn has_backlog(&self) -> bool;

    /// Whether it is time (some half second of the host's) to save what is not in the file yet.
    fn flush_due(&mut self) -> bool;

    /// All that happened so far is in the file.
    fn flushed(&mut self) {}

    /// Waits until input is there, but at most `max_ns` (None: as long as it takes).
    fn wait(&mut self, max_ns: Option<u64>) -> Waited;
}
