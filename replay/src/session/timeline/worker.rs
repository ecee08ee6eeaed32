//! A machine beside the one of the session, which searches a stretch of the run between two
//! checkpoints.

use super::super::inputs::Inputs;
use crate::checkpoint::{CheckpointError, Store, Target, Tracker};
use crate::session::{RunMachine, STEP_ICOUNT};
use dejavm_core::boundary::{Position, StopHits, StopPoints};
use dejavm_core::machine::{RunLimit, StopReason};
use dejavm_core::types::Icount;
use std::sync::Arc;

/// A machine that searches.
pub struct Worker<M> {
    machine: M,
    tracker: Tracker,
}

impl<M: RunMachine> Worker<M> {
    /// With a machine that was just made.
    pub fn new(mut machine: M, store: Arc<Store>) -> Self {
        machine.take_unsaved_pages();
        Self { machine, tracker: Tracker::new(store) }
    }

    /// What `points` see from the checkpoint `from` up to the first position with icount `to`.
    /// `go_on` is asked now and then; None if it says no.
    pub fn search(
        &mut self,
        inputs: &Inputs,
        points: &StopPoints,
        from: &Target,
        to: Icount,
        mut go_on: impl FnMut(Icount) -> bool,
    ) -> Result<Option<StopHits>, CheckpointError> {
        self.tracker.restore(&mut self.machine, from)?;
        self.machine.set_stop_points(points);
        let until = Position { icount: to, now_ns: 0 };
        let mut events = inputs.events()[from.head.events as usize..].iter().peekable();
        loop {
            let here = self.machine.position();
            if here >= until {
                break;
            }
            let input = events.peek().map_or(Position { icount: Icount::MAX, now_ns: u64::MAX }, |e| e.0);
            let pause = Position { icount: here.icount.saturating_add(STEP_ICOUNT), now_ns: 0 };
            let stop =
                self.machine.run(&RunLimit { until: input.min(until).min(pause), ..RunLimit::default() });
            self.machine.take_outbound();
            let here = self.machine.position();
            if here == input && here < until {
                let applied = events.next().map(|(_, event)| self.machine.apply(event));
                debug_assert!(applied.is_some());
            } else if stop != StopReason::Limit {
                // The run ends here.
                break;
            }
            if !go_on(here.icount) {
                return Ok(None);
            }
        }
        let hits = self.machine.take_stop_hits();
        self.machine.set_stop_points(&StopPoints::default());
        Ok(Some(hits))
    }
}
