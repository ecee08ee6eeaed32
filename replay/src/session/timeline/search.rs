//! Backward to what happened last: the stretches between checkpoints are searched from the last one
//! on, several at once.

use super::fill::Filler;
use super::worker::Worker;
use crate::checkpoint::{CheckpointError, Interest, Store};
use crate::session::inputs::Inputs;
use crate::session::replay::{ReplaySession, ReplayStop};
use crate::session::{Observer, RunMachine, SessionError};
use crossbeam_channel::{Sender, unbounded};
use dejavm_core::boundary::{OnHit, StopHit, StopHits, StopPoint, StopPoints};
use dejavm_core::types::Icount;
use std::io::{Read, Seek};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A shorter stretch is searched by the session's own machine: it is near.
const SHORT_ICOUNT: Icount = 1 << 22;

/// The most machines that search at once.
const MOST_WORKERS: usize = 8;

/// Stretches are joined until they are no shorter than this part of the way from them to the nearer end of
/// the search.
const JOINED_PART: Icount = 24;

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

/// What a search ran through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SearchStats {
    /// So many instructions, of all machines together.
    pub ran_icount: Icount,
    /// So many were passed over: by their footprints, there is nothing in them.
    pub skipped_icount: Icount,
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
        self.travel.search_stats = SearchStats::default();
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
        self.search_apart(search, &starts, until, observer)
    }

    /// What the last search ran through, if it was not so short that the session's own machine did it.
    pub fn search_stats(&self) -> SearchStats {
        self.travel.search_stats
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
        let parts = joined(starts, until);
        self.hire(cores.min(MOST_WORKERS).min(parts.len()))?;
        let (store, inputs) = (self.checkpoints().clone(), self.travel.inputs.clone());
        let machine = &mut self.machine;
        let job = Job {
            search,
            points: search.stop_points(),
            interest: Interest::of(&search.points, |gpa| machine.ram_page(gpa)),
            parts: &parts,
            inputs: &inputs,
            store: &store,
            next: AtomicUsize::new(parts.len()),
            found: AtomicUsize::new(0),
            cancelled: AtomicBool::new(false),
        };
        let (sender, receiver) = unbounded();
        let mut best: Option<(usize, StopHit)> = None;
        let mut failed = false;
        let mut stats = SearchStats::default();
        let workers = &mut self.travel.workers;
        std::thread::scope(|scope| {
            for worker in workers.iter_mut() {
                let (job, sender) = (&job, sender.clone());
                scope.spawn(move || job.work(worker, &sender));
            }
            drop(sender);
            for message in receiver {
                match message {
                    Message::Ran(icount) => stats.ran_icount += icount,
                    Message::Skipped(icount) => stats.skipped_icount += icount,
                    Message::Hit(part, hit) if best.is_none_or(|(other, _)| other < part) => {
                        best = Some((part, hit));
                    }
                    Message::Hit(..) => {}
                    Message::Failed(error) => {
                        tracing::warn!(%error, "a checkpoint is of no use");
                        failed = true;
                        job.cancelled.store(true, Ordering::Relaxed);
                    }
                }
                let done = stats.ran_icount + stats.skipped_icount;
                if !observer.progress(search.from.saturating_add(done), until) {
                    job.cancelled.store(true, Ordering::Relaxed);
                }
            }
        });
        tracing::debug!(?stats, "search");
        self.travel.search_stats = stats;
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

/// A part of a search that one machine goes through at a time: stretches from one of these icounts to the
/// next.
type Stretches = Vec<Icount>;

/// The stretches that begin at `starts`, those that are far from the end of the search together: each
/// part costs going back to a checkpoint, and the translator getting warm again, and a hit so far back is
/// found late anyway. Where the search comes to its beginning they are short again, so that nobody waits
/// for the last one.
fn joined(starts: &[Icount], until: Icount) -> Vec<Stretches> {
    let mut parts: Vec<Stretches> = Vec::new();
    let mut end = until;
    for &start in starts.iter().rev() {
        let to_nearer_end = (until - end).min(end - starts[0]);
        let is_short = |part: &&mut Stretches| part[0] - end < to_nearer_end / JOINED_PART;
        match parts.last_mut().filter(is_short) {
            Some(part) => part.push(start),
            None => parts.push(vec![end, start]),
        }
        end = start;
    }
    parts.iter_mut().for_each(|part| part.reverse());
    parts.reverse();
    parts
}

/// What workers tell.
enum Message {
    /// So many instructions more are searched.
    Ran(Icount),
    /// So many need not be.
    Skipped(Icount),
    /// The last hit in the part with this number.
    Hit(usize, StopHit),
    /// A checkpoint could not be restored.
    Failed(CheckpointError),
}

/// A search that is under way.
struct Job<'a> {
    search: &'a Search,
    points: StopPoints,
    /// What is looked for, if footprints tell of it.
    interest: Option<Interest>,
    parts: &'a [Stretches],
    inputs: &'a Inputs,
    store: &'a Store,
    /// The parts before this one are not taken yet.
    next: AtomicUsize,
    /// The parts before this one need not be searched: there is a hit behind them.
    found: AtomicUsize,
    cancelled: AtomicBool,
}

impl Job<'_> {
    /// Searches part after part, the last ones first.
    fn work<M: RunMachine>(&self, worker: &mut Worker<M>, tell: &Sender<Message>) {
        let one_less = |next: usize| next.checked_sub(1);
        while let Ok(next) = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) {
            let part = next - 1;
            if !self.wanted(part) {
                return;
            }
            // Who listens ends after all who tell.
            let _ = match self.search(worker, part, tell) {
                Ok(Some(hit)) => {
                    self.found.fetch_max(part, Ordering::Relaxed);
                    tell.send(Message::Hit(part, hit))
                }
                Ok(None) => continue,
                Err(error) => tell.send(Message::Failed(error)),
            };
        }
    }

    fn wanted(&self, part: usize) -> bool {
        !self.cancelled.load(Ordering::Relaxed) && part >= self.found.load(Ordering::Relaxed)
    }

    fn search<M: RunMachine>(
        &self,
        worker: &mut Worker<M>,
        part: usize,
        tell: &Sender<Message>,
    ) -> Result<Option<StopHit>, CheckpointError> {
        for stretch in self.to_be_run(&self.parts[part], tell).into_iter().rev() {
            let target = self.store.last_before(self.above_start(stretch.start));
            let mut before = stretch.start;
            let hits = worker.search(self.inputs, &self.points, &target, stretch.end, |here| {
                let _ = tell.send(Message::Ran(here.saturating_sub(before)));
                before = before.max(here);
                self.wanted(part)
            })?;
            let Some(hits) = hits else { return Ok(None) };
            if let Some(hit) = self.search.choose(&hits) {
                return Ok(Some(hit));
            }
        }
        Ok(None)
    }

    /// The stretches of a part that may have what is looked for; those that follow each other as one.
    fn to_be_run(&self, part: &[Icount], tell: &Sender<Message>) -> Vec<Range<Icount>> {
        let mut all: Vec<Range<Icount>> = Vec::new();
        for (&start, &end) in part.iter().zip(&part[1..]) {
            let may_touch = self.interest.as_ref().is_none_or(|interest| {
                let from = self.store.key_before(self.above_start(start));
                self.store.may_touch(interest, from, end)
            });
            match all.last_mut() {
                _ if !may_touch => drop(tell.send(Message::Skipped(end - start))),
                Some(before) if before.end == start => before.end = end,
                _ => all.push(start..end),
            }
        }
        all
    }

    /// A stretch begins at the last checkpoint below this icount: the one at its start, unless it may lie
    /// behind an input there.
    fn above_start(&self, start: Icount) -> Icount {
        if self.inputs.any_at(start) { start } else { start.saturating_add(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_grow_with_their_distance() {
        let starts: Vec<Icount> = (0..1000).map(|k| k * 10).collect();
        let parts = joined(&starts, 10_000);
        assert_eq!(parts[0], [0, 10], "what is at the beginning stands alone");
        assert_eq!(parts.last().unwrap(), &[9_990, 10_000], "what is near the end stands alone");
        for (part, next) in parts.iter().zip(&parts[1..]) {
            assert_eq!(part.last(), next.first(), "nothing is left out");
        }
        let all: Vec<Icount> = parts.iter().flat_map(|part| &part[..part.len() - 1]).copied().collect();
        assert_eq!(all, starts);
        for part in &parts {
            let (start, end) = (part[0], part[part.len() - 1]);
            assert!(end - start <= 10 + (10_000 - start).min(end) / JOINED_PART, "{start} to {end}");
        }
        assert!((100..700).contains(&parts.len()), "{}", parts.len());
        assert_eq!(joined(&[5, 9], 10), [vec![5, 9], vec![9, 10]]);
    }
}
