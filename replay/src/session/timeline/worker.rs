//! A machine beside the one of the session, which searches a stretch of the run between two
//! checkpoints, watches one, or takes checkpoints where there are none.

use super::super::inputs::Inputs;
use super::extract::PIECE_ICOUNT;
use super::fill::Shared;
use crate::checkpoint::{CheckpointError, Head, Pace, Store, Target, Tracker};
use crate::session::{Divergence, Mismatch, RunMachine, STEP_ICOUNT, SessionError};
use dejavm_core::boundary::{Inbound, Position, ProbeRecord, ProbeSettings, StopHits, StopPoints};
use dejavm_core::machine::{RunLimit, StopReason};
use dejavm_core::types::Icount;
use std::iter::Peekable;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// If it takes so long to come from a checkpoint to where a stretch begins, there is one from then on.
const LONG_WAY: Duration = Duration::from_millis(80);

/// A way so short is gone with probes on.
const SHORT_WAY_ICOUNT: Icount = 2 * PIECE_ICOUNT;

/// After all that happens.
const END_OF_TIME: Position = Position { icount: Icount::MAX, now_ns: u64::MAX };

/// About so many records are taken at once.
const BATCH: usize = 2048;
/// At least so much is run at once.
const LEAST_STEP_ICOUNT: Icount = 1 << 10;

/// What a machine that watches has to say.
pub(super) enum Seen<'a, M> {
    /// Records of a piece, which may be taken out of the list.
    Records(&'a mut Vec<ProbeRecord>),
    /// The piece ends here.
    PieceEnds(&'a M, Icount),
}

/// A machine that searches.
pub struct Worker<M> {
    machine: M,
    tracker: Tracker,
}

impl<M: RunMachine> Worker<M> {
    /// With a machine that was just made.
    pub fn new(mut machine: M, store: Arc<Store>) -> Self {
        machine.take_unsaved_pages();
        Self { machine, tracker: Tracker::alone(store) }
    }

    /// Waits until the checkpoints that it took are kept.
    pub fn settle(&self) {
        self.tracker.settle();
    }

    /// Takes checkpoints between two icounts, at the first of which there is one, or the origin. False
    /// if it is told to end, if the run ends, or if no more checkpoints are kept.
    pub(super) fn fill(
        &mut self,
        inputs: &Inputs,
        store: &Store,
        pace: &mut Pace,
        (from, to): (Icount, Icount),
        shared: &Shared,
    ) -> Result<bool, CheckpointError> {
        let start = store.last_before(from.saturating_add(1));
        self.tracker.restore(&mut self.machine, &start)?;
        pace.begin_at(start.head.at.icount);
        let mut next = start.head.events as usize;
        loop {
            let here = self.machine.position();
            if here.icount >= to {
                return Ok(true);
            }
            if !shared.goes_on(here.icount) {
                return Ok(false);
            }
            let input = inputs.events().get(next).map_or(END_OF_TIME, |event| event.0);
            let pause = here.icount.saturating_add(STEP_ICOUNT.min(pace.spacing().least_icount)).min(to);
            let until = input.min(Position { icount: pause, now_ns: 0 });
            let (from_here, began) = (here.icount, Instant::now());
            let stop = self.machine.run(&RunLimit { until, ..RunLimit::default() });
            self.machine.take_outbound();
            let here = self.machine.position();
            if here == input {
                self.machine.apply(&inputs.events()[next].1);
                next += 1;
                continue;
            }
            if stop != StopReason::Limit || here > input {
                return Ok(false);
            }
            pace.ran(here.icount - from_here, began.elapsed());
            if !self.checkpoint_if_due(inputs, store, pace, next) {
                return Ok(false);
            }
        }
    }

    /// Takes a checkpoint here, after so many inputs, if it is time. False if none are kept any more.
    fn checkpoint_if_due(&mut self, inputs: &Inputs, store: &Store, pace: &mut Pace, events: usize) -> bool {
        let (at, unsaved) = (self.machine.position(), self.machine.unsaved_pages());
        let due = pace.is_due_among(at.icount, unsaved, store) && !self.machine.in_instruction();
        if due && !store.is_closed() {
            // Nobody waits for this machine, so it may wait for what it took before.
            self.tracker.settle();
            let events = events as u64;
            let inputs = inputs.hash(events).expect("a run takes in what its journal has");
            let head = Head { at, events, inputs, state: Vec::new().into() };
            self.tracker.take_paced(&mut self.machine, head, unsaved, pace);
        }
        !store.is_closed()
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
            let input = events.peek().map_or(END_OF_TIME, |e| e.0);
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

    /// Hands over what `probes` see of `range`, in pieces that end at multiples of
    /// [`PIECE_ICOUNT`]; `start` is a checkpoint before it, or the origin. `take` says whether to
    /// go on.
    pub(super) fn watch(
        &mut self,
        inputs: &Inputs,
        probes: &ProbeSettings,
        start: &Target,
        range: Range<Icount>,
        mut take: impl FnMut(Seen<'_, M>) -> bool,
    ) -> Result<(), SessionError> {
        let useless = |error: CheckpointError| SessionError::BadStart(error.to_string());
        // To go a short way is cheaper than to translate everything twice more; what is seen on it is
        // left out.
        let near = range.start.saturating_sub(start.head.at.icount) <= SHORT_WAY_ICOUNT;
        let nothing = ProbeSettings::default();
        self.machine.set_probes(if near { probes } else { &nothing });
        // A search that was interrupted leaves them.
        self.machine.set_stop_points(&StopPoints::default());
        self.tracker.restore(&mut self.machine, start).map_err(useless)?;
        let mut events = inputs.events()[start.head.events as usize..].iter().peekable();
        let quiet = Position { icount: range.start.saturating_sub(1), now_ns: 0 };
        let began = Instant::now();
        self.run_with_inputs(&mut events, quiet)?;
        if began.elapsed() >= LONG_WAY {
            let come = inputs.events().len() - events.len();
            self.checkpoint(inputs, come as u64);
        }
        let mut records = Vec::new();
        self.machine.take_probe_records_into(&mut records);
        records.clear();
        self.machine.set_probes(probes);
        let (mut from, mut step) = (range.start, 8 * LEAST_STEP_ICOUNT);
        while from < range.end {
            let to = ((from / PIECE_ICOUNT + 1) * PIECE_ICOUNT).min(range.end);
            // In short steps, so that records are taken while they are in the caches.
            let (mut here, mut ended) = (from, false);
            while here < to && !ended {
                here = here.saturating_add(step).min(to);
                ended = self.run_with_inputs(&mut events, Position { icount: here, now_ns: 0 })?;
                self.machine.take_probe_records_into(&mut records);
                step = match records.len() {
                    0..BATCH => (2 * step).min(PIECE_ICOUNT),
                    len if len > 4 * BATCH => (step / 2).max(LEAST_STEP_ICOUNT),
                    _ => step,
                };
                let of_later = records.partition_point(|record| record.position.icount < to);
                let later = if of_later < records.len() { records.split_off(of_later) } else { Vec::new() };
                if records.first().is_some_and(|first| first.position.icount < range.start) {
                    records.drain(..records.partition_point(|record| record.position.icount < range.start));
                }
                take(Seen::Records(&mut records));
                records.clear();
                records.extend(later);
            }
            if !take(Seen::PieceEnds(&self.machine, to)) || ended {
                break;
            }
            from = to;
        }
        Ok(())
    }

    /// Nothing more is to be watched for now.
    pub(super) fn unwatch(&mut self) {
        self.machine.set_probes(&ProbeSettings::default());
    }

    /// Takes a checkpoint here, after so many inputs, for whoever comes here again.
    fn checkpoint(&mut self, inputs: &Inputs, events: u64) {
        let at = self.machine.position();
        if let Some(inputs) = inputs.hash(events).filter(|_| self.tracker.ready()) {
            self.tracker.take(&mut self.machine, Head { at, events, inputs, state: Vec::new().into() });
        }
    }

    /// Runs up to `until`; true if the run ends before.
    fn run_with_inputs<'a>(
        &mut self,
        events: &mut Peekable<impl Iterator<Item = &'a (Position, Inbound)>>,
        until: Position,
    ) -> Result<bool, SessionError> {
        while self.machine.position() < until {
            let input = events.peek().map_or(END_OF_TIME, |e| e.0);
            let stop = self.machine.run(&RunLimit { until: input.min(until), ..RunLimit::default() });
            self.machine.take_outbound();
            let here = self.machine.position();
            if here == input && here < until {
                if let Some((_, event)) = events.next() {
                    self.machine.apply(event);
                }
            } else if here > input {
                let mismatch = Mismatch::Position { recorded: input, stop };
                let divergence = Divergence { last_good: Position::default(), seen_at: here, mismatch };
                return Err(SessionError::Divergence(Box::new(divergence)));
            } else if stop != StopReason::Limit {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
