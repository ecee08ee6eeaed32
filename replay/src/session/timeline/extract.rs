//! What the probes see of a stretch of the run: the stretch is cut where there are checkpoints, and
//! its parts are replayed at once, each on a machine of its own. What comes out is the same, to the
//! last record, as if one machine had gone through it.
//!
//! For that a machine is watched from one instruction before its part on: what is due at the first
//! position of the part, and whether a block begins there, depends on how it was reached.

use super::worker::{Seen, Worker};
use crate::checkpoint::Target;
use crate::session::inputs::Inputs;
use crate::session::replay::ReplaySession;
use crate::session::{Observer, RunMachine, SessionError};
use crossbeam_channel::{Receiver, Sender, unbounded};
use dejavm_core::boundary::{ProbeRecord, ProbeSettings};
use dejavm_core::types::Icount;
use std::io::{Read, Seek};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Records are handed over in pieces that end at multiples of this, so that how they are cut does
/// not depend on how the stretch was.
pub const PIECE_ICOUNT: Icount = 1 << 18;

/// A part is worth a restore if it is at least so long.
const LEAST_PART_ICOUNT: Icount = 1 << 21;

/// Beside a part of this length a restore does not count.
const WORTH_A_RESTORE_ICOUNT: Icount = 1 << 25;
/// Of a short stretch, each machine gets about so many parts.
const PARTS_OF_A_MACHINE: u64 = 6;

/// The stretch and what is to be seen of it.
#[derive(Clone, Debug)]
pub struct Extraction {
    /// The probes.
    pub probes: ProbeSettings,
    /// The first icount.
    pub from: Icount,
    /// The first that is not wanted any more.
    pub to: Icount,
    /// How many machines at most.
    pub machines: usize,
    /// About so many records may wait for those of the parts before theirs, as `encode` makes them; who has more
    /// than that waits. For parts to be watched at once it must be as many as there are in one.
    pub waiting: u64,
}

impl Extraction {
    /// For what is as large as the records themselves.
    pub const FEW_WAITING: u64 = 1 << 22;
    /// For what takes a few bytes for each record, or nothing.
    pub const MANY_WAITING: u64 = 1 << 25;
}

/// Records that were encoded together.
#[derive(Clone, Debug)]
pub struct Piece<T> {
    /// How many.
    pub records: u64,
    /// What they were made into.
    pub encoded: T,
}

/// Makes something of records, piece by piece.
pub trait Encoder<M>: Sync {
    /// What is made of a piece so far, and what making it needs; of one piece after the other.
    type Draft: Default;
    /// What a piece is made into.
    type Encoded: Send;
    /// More records of the piece, which may be taken out of the list.
    fn add(&self, draft: &mut Self::Draft, records: &mut Vec<ProbeRecord>);
    /// The piece ends, where the machine is. Never called of one without records.
    fn finish(&self, draft: &mut Self::Draft, machine: &M) -> Self::Encoded;
}

/// Pieces are encoded as a whole.
pub struct Whole<'a, T, M>(pub &'a (dyn Fn(&[ProbeRecord], &M) -> T + Sync));

impl<T: Send, M> Encoder<M> for Whole<'_, T, M> {
    type Draft = Vec<ProbeRecord>;
    type Encoded = T;

    fn add(&self, draft: &mut Self::Draft, records: &mut Vec<ProbeRecord>) {
        draft.append(records);
    }

    fn finish(&self, draft: &mut Self::Draft, machine: &M) -> T {
        let encoded = (self.0)(draft, machine);
        draft.clear();
        encoded
    }
}

/// A part of the stretch.
struct Part {
    from: Icount,
    to: Icount,
    start: Target,
}

impl<M: RunMachine + Send, F: Read + Seek> ReplaySession<M, F> {
    /// Hands what the probes see of a stretch to `take`, in order, made into whatever `encode` makes
    /// of it; `encode` is called by several threads. False if `take` or the observer stopped it.
    ///
    /// # Errors
    /// If the stretch is not in the recording, a checkpoint is of no use, or the run diverges.
    pub fn extract<T: Send>(
        &mut self,
        extraction: &Extraction,
        encode: &(dyn Fn(&[ProbeRecord]) -> T + Sync),
        take: &mut dyn FnMut(Piece<T>) -> bool,
        observer: &mut dyn Observer,
    ) -> Result<bool, SessionError> {
        self.extract_with(extraction, &|records, _| encode(records), take, observer)
    }

    /// [`Self::extract`], with a look at the machine, which stands at the end of the piece then:
    /// at a multiple of [`PIECE_ICOUNT`], or where the stretch ends.
    ///
    /// # Errors
    /// As there.
    pub fn extract_with<T: Send>(
        &mut self,
        extraction: &Extraction,
        encode: &(dyn Fn(&[ProbeRecord], &M) -> T + Sync),
        take: &mut dyn FnMut(Piece<T>) -> bool,
        observer: &mut dyn Observer,
    ) -> Result<bool, SessionError> {
        self.extract_by(extraction, &Whole(encode), take, observer)
    }

    /// [`Self::extract`], by something that is given records as they come: a piece of them need not be
    /// kept.
    ///
    /// # Errors
    /// As there.
    pub fn extract_by<E: Encoder<M>>(
        &mut self,
        extraction: &Extraction,
        encoder: &E,
        take: &mut dyn FnMut(Piece<E::Encoded>) -> bool,
        observer: &mut dyn Observer,
    ) -> Result<bool, SessionError> {
        let (first, last) = (self.first().icount, self.last().icount);
        let from = extraction.from.max(first);
        let to = extraction.to.min(last.saturating_add(1));
        if from >= to {
            return Err(match extraction.from > last {
                true => SessionError::BeyondEnd { icount: extraction.from, last },
                false => SessionError::EmptyStretch { from: extraction.from, to: extraction.to },
            });
        }
        self.travel.tracker.settle();
        let parts = self.parts(from, to, extraction.machines);
        let machines = extraction.machines.clamp(1, parts.len());
        self.hire(machines)?;
        let inputs = self.travel.inputs.clone();
        let job = Job {
            probes: &extraction.probes,
            parts,
            inputs: &inputs,
            encoder,
            flow: Flow::default(),
            most_waiting: extraction.waiting,
        };
        let workers = &mut self.travel.workers[..machines];
        let result = job.run(workers, take, &mut |icount| observer.progress(icount, to));
        if result.is_err() {
            // Who knows what they are in the middle of.
            self.travel.workers.clear();
        }
        result
    }

    fn parts(&self, from: Icount, to: Icount, machines: usize) -> Vec<Part> {
        let mut starts = vec![from];
        // Each part costs a restore, and the last ones must not keep one machine busy alone.
        let share = (to - from) / (PARTS_OF_A_MACHINE * machines.max(1) as u64);
        let least = share.clamp(LEAST_PART_ICOUNT, WORTH_A_RESTORE_ICOUNT);
        if machines > 1 {
            for icount in self.checkpoints().icounts_between(from, to) {
                // The part begins with a piece, behind the checkpoint.
                let start = (icount / PIECE_ICOUNT + 1) * PIECE_ICOUNT;
                let before = starts.last().copied().unwrap_or(from);
                if start >= before + least && start + LEAST_PART_ICOUNT <= to {
                    starts.push(start);
                }
            }
        }
        let ends = starts.iter().skip(1).copied().chain([to]);
        let part =
            |(&from, to): (&Icount, Icount)| Part { from, to, start: self.checkpoints().last_before(from) };
        starts.iter().zip(ends).map(part).collect()
    }
}

/// What comes from a part.
enum Message<T> {
    Piece(Piece<T>),
    Ran(Icount),
    Failed(SessionError),
}

/// How far the consumer is, and what waits for it.
#[derive(Default)]
struct Progress {
    part: usize,
    waiting: u64,
    cancelled: bool,
}

#[derive(Default)]
struct Flow {
    progress: Mutex<Progress>,
    changed: Condvar,
}

impl Flow {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits until there is room for what `part` has to say; false if nobody wants it any more.
    fn wait(&self, part: usize, most: u64) -> bool {
        let held = |p: &mut Progress| p.waiting > most && p.part != part && !p.cancelled;
        let progress = self.changed.wait_while(self.lock(), held);
        !progress.unwrap_or_else(PoisonError::into_inner).cancelled
    }
}

struct Job<'a, E> {
    probes: &'a ProbeSettings,
    parts: Vec<Part>,
    inputs: &'a Inputs,
    encoder: &'a E,
    flow: Flow,
    most_waiting: u64,
}

impl<E: Sync> Job<'_, E> {
    fn run<M: RunMachine + Send>(
        &self,
        workers: &mut [Worker<M>],
        take: &mut dyn FnMut(Piece<E::Encoded>) -> bool,
        progress: &mut dyn FnMut(Icount) -> bool,
    ) -> Result<bool, SessionError>
    where
        E: Encoder<M>,
    {
        let channels: Vec<_> = self.parts.iter().map(|_| unbounded()).collect();
        let (senders, receivers): (Vec<_>, Vec<_>) = channels.into_iter().unzip();
        let senders: Vec<_> = senders.into_iter().map(|sender| Mutex::new(Some(sender))).collect();
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for worker in workers {
                scope.spawn(|| {
                    let mut draft = E::Draft::default();
                    loop {
                        let part = next.fetch_add(1, Ordering::Relaxed);
                        let Some(sender) = senders.get(part) else { return worker.unwatch() };
                        let sender = sender.lock().unwrap_or_else(PoisonError::into_inner).take();
                        if let Some(sender) = sender {
                            self.work(worker, part, &mut draft, &sender);
                        }
                    }
                });
            }
            let result = self.consume(&receivers, take, progress);
            self.flow.change(|flow| flow.cancelled = true);
            result
        })
    }

    /// Takes what comes, part by part.
    fn consume<T>(
        &self,
        receivers: &[Receiver<Message<T>>],
        take: &mut dyn FnMut(Piece<T>) -> bool,
        progress: &mut dyn FnMut(Icount) -> bool,
    ) -> Result<bool, SessionError> {
        for (part, receiver) in receivers.iter().enumerate() {
            self.flow.change(|flow| flow.part = part);
            for message in receiver {
                let go_on = match message {
                    Message::Piece(piece) => {
                        self.flow.change(|flow| flow.waiting -= piece.records);
                        take(piece)
                    }
                    Message::Ran(icount) => progress(icount),
                    Message::Failed(error) => return Err(error),
                };
                if !go_on {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn work<M: RunMachine>(
        &self,
        worker: &mut Worker<M>,
        part: usize,
        draft: &mut E::Draft,
        tell: &Sender<Message<E::Encoded>>,
    ) where
        E: Encoder<M>,
    {
        let Part { from, to, start } = &self.parts[part];
        let mut count = 0;
        let watched = worker.watch(self.inputs, self.probes, start, *from..*to, |seen| {
            let (machine, here) = match seen {
                Seen::Records(records) => {
                    count += records.len() as u64;
                    self.encoder.add(draft, records);
                    return true;
                }
                Seen::PieceEnds(machine, here) => (machine, here),
            };
            // Nobody listens any more only if all is cancelled.
            let records = std::mem::take(&mut count);
            if records != 0 {
                let piece = Piece { records, encoded: self.encoder.finish(draft, machine) };
                self.flow.change(|flow| flow.waiting += records);
                let _ = tell.send(Message::Piece(piece));
            }
            let _ = tell.send(Message::Ran(here));
            self.flow.wait(part, self.most_waiting)
        });
        if let Err(error) = watched {
            let _ = tell.send(Message::Failed(error));
        }
    }
}
