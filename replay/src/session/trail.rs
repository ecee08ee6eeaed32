//! The checkpoints that a recording leaves behind it, and what run a side file belongs to.

use super::inputs::InputsHash;
use super::live::{LiveSession, Log};
use super::{Host, RecordSession, RunMachine};
use crate::checkpoint::{Head, Pace, Store, StoreError, Tracker};
use dejavm_core::boundary::{Inbound, Position};
use dejavm_core::types::Icount;
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_128;

/// Identifies the machine of a run at its beginning, and how this dejavm writes its state down.
/// Together with the hash of the inputs it says what run a checkpoint is of.
pub(super) fn binding<M: RunMachine>(identity: u128, machine: &mut M) -> [u8; 16] {
    let mut bytes = identity.to_le_bytes().to_vec();
    bytes.extend(machine.digest().combined.to_le_bytes());
    bytes.extend(machine.save_state());
    xxh3_128(&bytes).to_le_bytes()
}

/// What a recording keeps besides its journal.
pub(super) struct Trail {
    tracker: Tracker,
    inputs: InputsHash,
    pace: Pace,
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trail").field("pace", &self.pace).finish_non_exhaustive()
    }
}

impl Trail {
    /// An input came in.
    pub fn add(&mut self, at: Position, event: &Inbound) {
        self.inputs.add(at, event);
    }

    /// The machine ran so many instructions in this time.
    pub fn ran(&mut self, icount: Icount, time: Duration) {
        self.pace.ran(icount, time);
    }
}

impl<M: RunMachine, W: Write> RecordSession<M, W> {
    /// Leaves checkpoints in a side file, which is begun anew, from here on: at the very beginning
    /// of the recording.
    ///
    /// # Errors
    /// If the file cannot be written; the recording goes on without.
    pub fn keep_checkpoints(
        &mut self,
        side_file: &Path,
        budget_bytes: u64,
        mut pace: Pace,
    ) -> Result<(), StoreError> {
        let binding = binding(self.log().identity(), self.machine());
        let at = self.machine().position();
        let store = Store::new(self.machine(), at, budget_bytes, false);
        store.create_side_file(side_file, &binding)?;
        let mut tracker = Tracker::new(Arc::new(store));
        tracker.prepare();
        pace.begin_at(at.icount);
        self.set_trail(Trail { tracker, inputs: InputsHash::default(), pace });
        Ok(())
    }
}

impl<M: RunMachine, L: Log> LiveSession<M, L> {
    /// The checkpoints that the recording leaves, if it does.
    pub fn checkpoints(&self) -> Option<&Arc<Store>> {
        self.trail().map(|trail| trail.tracker.store())
    }

    /// Takes a checkpoint here, if it is time. All that the machine gave out is handed to `host`.
    pub(super) fn checkpoint_if_due(&mut self, host: &mut dyn Host) {
        let here = self.machine().position().icount;
        let unsaved = self.machine().unsaved_pages();
        let Some(Trail { tracker, pace, .. }) = self.trail() else { return };
        if !pace.is_due(here, unsaved) || !tracker.ready() || self.machine().in_instruction() {
            return;
        }
        self.settle();
        self.hand_out(host);
        let (machine, trail) = self.machine_and_trail();
        let Some(trail) = trail else { return };
        let at = machine.position();
        let InputsHash { count: events, hash: inputs } = trail.inputs;
        let head = Head { at, events, inputs, state: Vec::new().into() };
        trail.tracker.take_paced(machine, head, unsaved, &mut trail.pace);
    }
}
