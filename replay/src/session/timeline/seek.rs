//! Taking checkpoints on the way, and going to a place by them.

use super::Travel;
use super::fill::Filler;
use super::near::Near;
use crate::checkpoint::{Head, Pace, Spacing, Store, StoreError, Summary, Target, Tracker};
use crate::session::replay::{Cursor, ReplaySession, ReplayStop};
use crate::session::{Observer, RunMachine, STEP_ICOUNT, SessionError};
use dejavm_core::boundary::Position;
use dejavm_core::machine::RunLimit;
use dejavm_core::types::Icount;
use std::io::{Read, Seek};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// To save fewer instructions than this no checkpoint ahead is restored.
const WORTH_RESTORING_ICOUNT: Icount = 1 << 20;

impl<M: RunMachine, F: Read + Seek> ReplaySession<M, F> {
    /// The checkpoints of the run.
    pub fn checkpoints(&self) -> &Arc<Store> {
        self.travel.tracker.store()
    }

    /// What is kept, and whether more are being taken.
    pub fn checkpoint_summary(&self) -> Summary {
        let filling = self.travel.filler.as_ref().and_then(Filler::at);
        Summary { filling, ..self.checkpoints().summary() }
    }

    /// Keeps checkpoints in a side file: those of it that are of this run are taken in, and new ones
    /// are added, all in all for so many bytes. To be called before the first is taken. Gives how
    /// many there were. What is in the file and of no use is overwritten.
    ///
    /// # Errors
    /// If the file cannot be written; checkpoints are kept in memory then.
    pub fn use_side_file(&mut self, path: &Path, budget_bytes: u64) -> Result<usize, StoreError> {
        let last = self.last();
        let Travel { tracker, inputs, binding, .. } = &self.travel;
        let store = tracker.store();
        store.set_budget(budget_bytes);
        let belongs = |head: &Head| head.at <= last && inputs.agree(head.at, head.events, head.inputs);
        match store.load_side_file(path, binding, belongs) {
            Ok(count) => Ok(count),
            Err(error) => {
                if !error.is_not_found() {
                    tracing::warn!(path = %path.display(), %error, "checkpoint file is ignored and made anew");
                }
                store.create_side_file(path, binding)?;
                Ok(0)
            }
        }
    }

    /// Where checkpoints are taken from now on; None: nowhere.
    pub fn set_spacing(&mut self, spacing: Option<Spacing>) {
        self.travel.pace = spacing.map(Pace::fixed);
    }

    /// From now on the measured speed of the replay decides where checkpoints are taken; until it is
    /// known, `assumed`.
    pub fn measure_spacing(&mut self, assumed: Spacing) {
        self.travel.pace = Some(Pace::measured(assumed));
    }

    /// Goes to the first position with this icount, before the input there: by the nearest
    /// checkpoint before it, or from here.
    ///
    /// # Errors
    /// If the journal ends before, or the replay diverges.
    pub fn seek(&mut self, icount: Icount, observer: &mut dyn Observer) -> Result<ReplayStop, SessionError> {
        let last = self.last().icount;
        if icount > last {
            return Err(SessionError::BeyondEnd { icount, last });
        }
        let first = self.first().icount;
        if icount < first {
            return Err(SessionError::BeforeStart { icount, first });
        }
        let here = self.machine.position();
        if here.icount == icount && self.travel.first == Some(here) {
            return Ok(ReplayStop::Reached);
        }
        let _held = self.travel.filler.as_ref().map(Filler::hold);
        let start = Instant::now();
        self.approach(icount)?;
        let (first, approach) = (self.machine.position().icount, start.elapsed());
        let stop = self.run_near(icount, observer)?;
        let (ran, time) = (icount.saturating_sub(first), start.elapsed());
        tracing::debug!(from = here.icount, to = icount, ?approach, ran, ?time, "seek");
        if stop == ReplayStop::Reached {
            self.travel.first = Some(self.machine.position());
        }
        Ok(stop)
    }

    /// An icount between two others that are more than one apart: right behind a checkpoint near the
    /// middle, where one is at once, or else the middle.
    pub fn middle_of(&self, below: Icount, above: Icount) -> Icount {
        let middle = below + (above - below) / 2;
        let (before, after) = self.checkpoints().around(middle);
        let places = std::iter::once(before).chain(after).map(|icount| icount.saturating_add(1));
        let between = places.filter(|place| (below + 1..above).contains(place));
        between.min_by_key(|place| place.abs_diff(middle)).unwrap_or(middle)
    }

    /// Back to where the run begins.
    pub fn restart(&mut self) -> Result<(), SessionError> {
        let origin = self.checkpoints().origin();
        self.restore(&origin)
    }

    /// Goes to a checkpoint before `icount`, unless it is as well to run on from here.
    fn approach(&mut self, icount: Icount) -> Result<(), SessionError> {
        loop {
            let here = self.machine.position().icount;
            let stored = self.checkpoints().position_before(icount).icount;
            let near = self.travel.near.last_before(icount).map(|target| target.head.at.icount);
            let best = near.unwrap_or(0).max(stored);
            if here < icount && best < here.saturating_add(WORTH_RESTORING_ICOUNT) {
                return Ok(());
            }
            let near = self.travel.near.last_before(icount).filter(|target| target.head.at.icount > stored);
            let target = near.cloned().unwrap_or_else(|| self.checkpoints().last_before(icount));
            if self.try_restore(&target)? {
                return Ok(());
            }
        }
    }

    /// Runs to `icount`, and takes near checkpoints shortly before it.
    fn run_near(&mut self, icount: Icount, observer: &mut dyn Observer) -> Result<ReplayStop, SessionError> {
        while let Some(stop) = Near::next_stop(self.machine.position().icount, icount) {
            match self.run_until(stop, observer)? {
                ReplayStop::Reached => {
                    let head = self.head();
                    let target = self.travel.tracker.take_near(&mut self.machine, head);
                    self.travel.near.add(target);
                }
                other => return Ok(other),
            }
        }
        self.run_until(icount, observer)
    }

    /// Puts the machine where `target` was taken, or at least at the origin.
    pub(super) fn restore(&mut self, target: &Target) -> Result<(), SessionError> {
        if !self.try_restore(target)? {
            let origin = self.checkpoints().origin();
            self.try_restore(&origin)?;
        }
        Ok(())
    }

    /// False if the checkpoint is damaged; then it is dropped, and the machine is at the origin.
    fn try_restore(&mut self, target: &Target) -> Result<bool, SessionError> {
        self.travel.first = None;
        let Head { at, events, .. } = target.head;
        let Err(error) = self.travel.tracker.restore(&mut self.machine, target) else {
            self.machine.take_outbound();
            assert_eq!(self.machine.position(), at, "a restored machine stands where it was saved");
            if let Some(pace) = &mut self.travel.pace {
                pace.begin_at(at.icount);
            }
            let (next_chunk, next_event) = self.travel.inputs.place(&self.chunks, at, events);
            let last_good = self.chunks.get(next_chunk).map_or(at, |chunk| chunk.first);
            let events = events as usize;
            self.cursor = Cursor { next_chunk, next_event, last_good, events, ..Cursor::default() };
            return Ok(true);
        };
        tracing::warn!(icount = at.icount, %error, "a checkpoint is of no use and is dropped");
        self.travel.near.drop_at(at.icount);
        self.checkpoints().drop_damaged(target);
        self.machine = (self.make)()?;
        self.machine.take_unsaved_pages();
        self.travel.tracker = Tracker::new(self.checkpoints().clone());
        self.cursor = Cursor::at(self.first());
        Ok(false)
    }

    /// How far to run before looking at the outside, and at whether a checkpoint is due.
    pub(in crate::session) fn step_icount(&self) -> Icount {
        let least = self.travel.pace.as_ref().map_or(STEP_ICOUNT, |pace| pace.spacing().least_icount);
        least.clamp(1, STEP_ICOUNT)
    }

    /// Takes a checkpoint here, if it is time.
    pub(in crate::session) fn checkpoint_if_due(&mut self, observer: &mut dyn Observer) {
        let here = self.machine.position().icount;
        let unsaved = self.machine.unsaved_pages();
        let Travel { tracker, pace: Some(pace), .. } = &mut self.travel else { return };
        let due = pace.is_due_among(here, unsaved, tracker.store());
        if !due || !self.travel.tracker.ready() || self.machine.in_instruction() {
            return;
        }
        let until = self.machine.position();
        self.machine.run(&RunLimit { until, ..RunLimit::default() });
        self.machine.take_outbound().into_iter().for_each(|event| observer.outbound(event));
        let head = self.head();
        let Travel { tracker, pace: Some(pace), .. } = &mut self.travel else { return };
        tracker.take_paced(&mut self.machine, head, unsaved, pace);
    }

    /// What a checkpoint here is, but for the state.
    fn head(&mut self) -> Head {
        let at: Position = self.machine.position();
        let events = self.cursor.events as u64;
        let inputs = self.travel.inputs.hash(events).expect("a replay takes in what the journal has");
        Head { at, events, inputs, state: Vec::new().into() }
    }
}
