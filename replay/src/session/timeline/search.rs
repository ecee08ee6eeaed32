//! Backward to what happened last: the stretches between checkpoints are searched from the last one
//! on, several at once.

use super::fill::Filler;
use super::worker::Worker;
use crate::checkpoint::{CheckpointError, Target};
use crate::session::inputs::Inputs;
use crate::session::replay::{ReplaySession, ReplayStop};
use crate::session::{Observer, RunMachine, SessionError};
use crossbeam_channel::{Sender, unbounded};
use dejavm_core::boundary::{OnHit, StopHit, StopHits, StopPoint, StopPoints};
use dejavm_core::types::Icount;
use std::io::{Read, Seek};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A shorter stretch is searched by the session's own machine: it is near.
const SHORT_ICOUNT: Icount = 1 << 22;

/// The most machines that search at once.
const MOST_WORKERS: usize = 8;

/// A stretch is no shorter than this part of the way from its beginning to the end of the search, if
/// there are checkpoints to join.
const JOINED_PART: Icount = 64;

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// Any of these.
    pub points: Vec<StopPoint>,
    /// From this icount on.
    pub from: Icount,
    /// Before this one: of what hits at the instruction that is next there, only the delivery of
    /// an interrupt before it counts, and only with `delivered`.
    pub to: Icount,
    /// What is delivered before the instruction at `to` has happened already.
    pub delivered: bool,
}

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// This is the last hit.
    Hit(StopHit),
    /// There is none.
    Nothing,
    /// The observer interrupted it.
    Interrupted,
}

impl Search {
    /// The first icount that need not be searched.
    fn end(&self) -> Icount {
        self.to.saturating_add(self.delivered.into())
    }

    /// What to set on a machine.
    fn stop_points(&self) -> StopPoints {
        // Of the hits at `to` itself some may not count: those before them are wanted then.
        let keep = if self.delivered { 1 + self.points.len() } else { 1 };
        StopPoints { points: self.points.clone(), from: self.from, on_hit: OnHit::Scan { keep } }
    }

    /// The last hit that counts.
    fn choose(&self, hits: &StopHits) -> Option<StopHit> {
        let counts = |hit: &&StopHit| {
            (self.from..self.to).contains(&hit.icount) || (hit.in_delivery && hit.icount == self.to)
        };
        hits.last.iter().rfind(counts).copied()
    }
}

impl<M: RunMachine + Send, F: Read + Seek> ReplaySession<M, F> {
    /// The last hit that `search` looks for. The session's machine may have moved then, or not.
    ///
    /// # Errors
    /// If the stretch is not in the recording, or the replay diverges.
    pub fn last_hit(&mut self, search: &Search, observer: &mut dyn Observer) -> Result<Found, SessionError> {
        let until = search.end().min(self.last().icount);
        let spacing = self.travel.pace.as_ref().map_or(Icount::MAX, |pace| pace.spacing().least_icount / 2);
        if until.saturating_sub(search.from) <= SHORT_ICOUNT.min(spacing) {
            return self.search_here(search, until, observer);
        }
        let _held = self.travel.filler.as_ref().map(Filler::hold);
        self.travel.tracker.settle();
        let mut starts = self.checkpoints().icounts_between(search.from.saturating_add(1), until);
        // A checkpoint may lie behind the input at its icount, and what that hits must be seen.
        starts.retain(|icount| !self.travel.inputs.any_at(*icount));
        starts.insert(0, search.from);
        starts.dedup();
        join_far(&mut starts, until);
        self.search_apart(search, &starts, until, observer)
    }

    /// The icount of the last input before `icount`.
    pub fn last_input_before(&self, icount: Icount) -> Option<Icount> {
        let events = self.travel.inputs.events();
        let count = events.partition_point(|(at, _)| at.icount < icount);
        events[..count].last().map(|(at, _)| at.icount)
    }

    /// Searches with the machine of the session.
    fn search_here(
        &mut self,
        search: &Search,
        until: Icount,
        observer: &mut dyn Observer,
    ) -> Result<Found, SessionError> {
        if self.seek(search.from, observer)? == ReplayStop::Interrupted {
            return Ok(Found::Interrupted);
        }
        self.machine.set_stop_points(&search.stop_points());
        let stop = self.run_until(until, observer);
        let hits = self.machine.take_stop_hits();
        self.machine.set_stop_points(&StopPoints::default());
        match stop? {
            ReplayStop::Interrupted => Ok(Found::Interrupted),
            ReplayStop::Reached | ReplayStop::Ended | ReplayStop::StopPoint => {
                Ok(search.choose(&hits).map_or(Found::Nothing, Found::Hit))
            }
        }
    }

    /// Searches the stretches that begin at `starts` with machines of their own.
    fn search_apart(
        &mut self,
        search: &Search,
        starts: &[Icount],
        until: Icount,
        observer: &mut dyn Observer,
    ) -> Result<Found, SessionError> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.hire(cores.min(MOST_WORKERS).min(starts.len()))?;
        let (store, inputs) = (self.checkpoints().clone(), self.travel.inputs.clone());
        let job = Job {
            search,
            points: search.stop_points(),
            starts,
            until,
            inputs: &inputs,
            target: &|icount: Icount| match inputs.any_at(icount) {
                true => store.last_before(icount),
                false => store.last_before(icount.saturating_add(1)),
            },
            next: AtomicUsize::new(starts.len()),
            found: AtomicUsize::new(0),
            cancelled: AtomicBool::new(false),
        };
        let (sender, receiver) = unbounded();
        let mut best: Option<(usize, StopHit)> = None;
        let mut failed = false;
        let workers = &mut self.travel.workers;
        std::thread::scope(|scope| {
            for worker in workers.iter_mut() {
                let (job, sender) = (&job, sender.clone());
                scope.spawn(move || job.work(worker, &sender));
            }
            drop(sender);
            let mut done = 0;
            for message in receiver {
                match message {
                    Message::Ran(icount) => done += icount,
                    Message::Hit(stretch, hit) if best.is_none_or(|(other, _)| other < stretch) => {
                        best = Some((stretch, hit));
                    }
                    Message::Hit(..) => {}
                    Message::Failed(error) => {
                        tracing::warn!(%error, "a checkpoint is of no use");
                        failed = true;
                        job.cancelled.store(true, Ordering::Relaxed);
                    }
                }
                if !observer.progress(search.from.saturating_add(done), until) {
                    job.cancelled.store(true, Ordering::Relaxed);
                }
            }
        });
        if failed {
            // Without the checkpoints there is always a way, if a slow one.
            workers.clear();
            return self.search_here(search, until, observer);
        }
        let cancelled = job.cancelled.load(Ordering::Relaxed);
        Ok(match best {
            _ if cancelled => Found::Interrupted,
            Some((_, hit)) => Found::Hit(hit),
            None => Found::Nothing,
        })
    }

    /// Sees to it that there are so many workers.
    pub(super) fn hire(&mut self, count: usize) -> Result<(), SessionError> {
        for _ in self.travel.workers.len()..count {
            let machine = (self.make)()?;
            let store = self.checkpoints().clone();
            self.travel.workers.push(Worker::new(machine, store));
        }
        Ok(())
    }
}

/// Joins stretches that are far from the end of the search: each one costs going back to a checkpoint,
/// and the translator getting warm again, and a hit so far back is found late anyway.
fn join_far(starts: &mut Vec<Icount>, until: Icount) {
    let mut end = until;
    for k in (1..starts.len()).rev() {
        if end - starts[k] < (until - starts[k]) / JOINED_PART {
            starts.remove(k);
        } else {
            end = starts[k];
        }
    }
}

/// What workers tell.
enum Message {
    /// So many instructions more are searched.
    Ran(Icount),
    /// The last hit in the stretch with this number.
    Hit(usize, StopHit),
    /// A checkpoint could not be restored.
    Failed(CheckpointError),
}

/// A search that is under way.
struct Job<'a> {
    search: &'a Search,
    points: StopPoints,
    /// Where the stretches begin; each ends where the next one begins.
    starts: &'a [Icount],
    until: Icount,
    inputs: &'a Inputs,
    target: &'a (dyn Fn(Icount) -> Target + Sync),
    /// The stretches before this one are not taken yet.
    next: AtomicUsize,
    /// The stretches before this one need not be searched: there is a hit behind them.
    found: AtomicUsize,
    cancelled: AtomicBool,
}

impl Job<'_> {
    /// Searches stretch after stretch, the last ones first.
    fn work<M: RunMachine>(&self, worker: &mut Worker<M>, tell: &Sender<Message>) {
        let one_less = |next: usize| next.checked_sub(1);
        while let Ok(next) = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) {
            let stretch = next - 1;
            if !self.wanted(stretch) {
                return;
            }
            // Who listens ends after all who tell.
            let _ = match self.search(worker, stretch, tell) {
                Ok(Some(hit)) => {
                    self.found.fetch_max(stretch, Ordering::Relaxed);
                    tell.send(Message::Hit(stretch, hit))
                }
                Ok(None) => continue,
                Err(error) => tell.send(Message::Failed(error)),
            };
        }
    }

    fn wanted(&self, stretch: usize) -> bool {
        !self.cancelled.load(Ordering::Relaxed) && stretch >= self.found.load(Ordering::Relaxed)
    }

    fn search<M: RunMachine>(
        &self,
        worker: &mut Worker<M>,
        stretch: usize,
        tell: &Sender<Message>,
    ) -> Result<Option<StopHit>, CheckpointError> {
        let to = self.starts.get(stretch + 1).copied().unwrap_or(self.until);
        let target = (self.target)(self.starts[stretch]);
        let mut before = self.starts[stretch];
        let hits = worker.search(self.inputs, &self.points, &target, to, |here| {
            let _ = tell.send(Message::Ran(here.saturating_sub(before)));
            before = before.max(here);
            self.wanted(stretch)
        })?;
        Ok(hits.and_then(|hits| self.search.choose(&hits)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_grow_with_their_distance() {
        let mut starts: Vec<Icount> = (0..1000).map(|k| k * 10).collect();
        join_far(&mut starts, 10_000);
        assert_eq!(starts[0], 0, "the beginning stays");
        assert_eq!(starts.last(), Some(&9_990), "and so does what is near the end");
        let ends = starts.iter().skip(1).copied().chain([10_000]);
        for (start, end) in starts.iter().zip(ends) {
            assert!(end - start <= 10 + (10_000 - start) / JOINED_PART, "{start} to {end}");
        }
        assert!((200..700).contains(&starts.len()), "{}", starts.len());
        let mut few = vec![5, 9];
        join_far(&mut few, 10);
        assert_eq!(few, [5, 9]);
    }
}
