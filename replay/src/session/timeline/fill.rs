//! Checkpoints for a recording that was made without them: a machine of its own, on a thread of its own,
//! runs through what has none, while the user looks around.
//!
//! It takes one pass, so it ends; it holds one machine and, like all who take checkpoints, at most two
//! of these that wait to be written. While the session itself travels, it stands still.

use super::worker::Worker;
use crate::checkpoint::{Pace, Store};
use crate::session::inputs::Inputs;
use crate::session::replay::ReplaySession;
use crate::session::{RunMachine, SessionError};
use dejavm_core::types::Icount;
use std::io::{Read, Seek};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long it looks away while others travel, unless it is woken.
const LOOK_AWAY: Duration = Duration::from_millis(20);

/// Where it is, once it has ended.
const DONE: Icount = Icount::MAX;

/// What the thread and its owner share.
#[derive(Default)]
pub(super) struct Shared {
    stop: AtomicBool,
    /// So many want it to stand still.
    held: AtomicUsize,
    at: AtomicU64,
}

impl Shared {
    /// It is at `icount`. False if it is to end; returns only when nobody holds it.
    pub fn goes_on(&self, icount: Icount) -> bool {
        self.at.store(icount, Ordering::Relaxed);
        while self.held.load(Ordering::Acquire) > 0 && !self.stop.load(Ordering::Acquire) {
            std::thread::park_timeout(LOOK_AWAY);
        }
        !self.stop.load(Ordering::Acquire)
    }
}

/// Takes checkpoints in the background until it is dropped, or done.
pub(in crate::session) struct Filler {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// For as long as this lives, the filler stands still.
pub(in crate::session) struct Hold(Arc<Shared>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Filler {
    fn start<M: RunMachine + Send + 'static>(
        mut worker: Worker<M>,
        store: Arc<Store>,
        inputs: Arc<Inputs>,
        mut pace: Pace,
        (last, width): (Icount, Icount),
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let its = shared.clone();
        let thread = std::thread::Builder::new().name("fill".to_owned()).spawn(move || {
            let mut from = 0;
            while let Some((start, end)) = store.gap_after(from, last, width) {
                match worker.fill(&inputs, &store, &mut pace, (start.max(from), end), &its) {
                    Ok(true) => from = end,
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(%error, "no more checkpoints are taken in the background");
                        break;
                    }
                }
            }
            worker.settle();
            its.at.store(DONE, Ordering::Relaxed);
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Where it is; None once it has ended.
    pub fn at(&self) -> Option<Icount> {
        let at = self.shared.at.load(Ordering::Relaxed);
        (at != DONE).then_some(at)
    }

    /// Lets it stand still.
    pub fn hold(&self) -> Hold {
        self.shared.held.fetch_add(1, Ordering::AcqRel);
        Hold(self.shared.clone())
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // If it panicked, that was told on stderr; the session does not depend on it.
            let _ = thread.join();
        }
    }
}

impl<M: RunMachine + Send + 'static, F: Read + Seek> ReplaySession<M, F> {
    /// Where long stretches of the recording have no checkpoint, some are taken from now on by another
    /// machine, while this session is used. True if there are such stretches.
    ///
    /// # Errors
    /// If the machine cannot be made.
    pub fn fill_in_background(&mut self) -> Result<bool, SessionError> {
        let Some(pace) = self.travel.pace.clone() else { return Ok(false) };
        let (store, last) = (self.checkpoints().clone(), self.last().icount);
        // Where they are few for want of space, more would only drive each other out.
        let usual = store.median_gap().map_or(0, |gap| gap.saturating_mul(4));
        let width = pace.spacing().close_icount().max(usual);
        let at_work = self.travel.filler.as_ref().is_some_and(|filler| filler.at().is_some());
        if at_work || store.gap_after(0, last, width).is_none() {
            return Ok(false);
        }
        let worker = Worker::new((self.make)()?, store.clone());
        let inputs = self.travel.inputs.clone();
        match Filler::start(worker, store, inputs, pace, (last, width)) {
            Ok(filler) => self.travel.filler = Some(filler),
            Err(error) => tracing::warn!(%error, "no checkpoints are taken in the background"),
        }
        Ok(true)
    }
}
