//! What the RAM of one machine holds, so that a checkpoint saves, and a restore writes, only what
//! differs.

use super::CheckpointError;
use super::entry::{Head, Key};
use super::keeper::{Capture, Keeper, PIECE_PAGES};
use super::machine::{PAGE_BYTES, SaveMachine};
use super::pace::Pace;
use super::pages::{Fetch, PageId, ZERO};
use super::store::{Store, StoreError, Target};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// A content that is not known: it differs from every other.
pub(super) const UNKNOWN: PageId = PageId::MAX;

/// Fewer groups than this are read on the calling thread.
const WORTH_THREADS: usize = 64;

/// Pages with their bytes: what a near checkpoint has besides a stored one.
pub type Aside = BTreeMap<u32, Arc<[u8]>>;

/// Follows one machine.
pub struct Tracker {
    store: Arc<Store>,
    /// Knows the machine's RAM as of the last checkpoint or restore, but for `aside`.
    keeper: Keeper,
    /// The pages that were saved since for near checkpoints.
    aside: Aside,
    /// What the machine has touched since is known to it.
    since: Key,
    /// Pages are read by several threads, if there are many.
    reads_apart: bool,
}

impl Tracker {
    /// For a machine that stands at the origin of the run, nothing of it unsaved.
    pub fn new(store: Arc<Store>) -> Self {
        let (keeper, since) = (Keeper::new(store.clone()), store.origin_key());
        Self { store, keeper, aside: Aside::new(), since, reads_apart: true }
    }

    /// For one of several machines that are busy on all cores: it reads pages on its own thread.
    pub fn alone(store: Arc<Store>) -> Self {
        Self { reads_apart: false, ..Self::new(store) }
    }

    /// The checkpoints.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Makes ready for a run that is about to begin.
    pub fn prepare(&mut self) {
        self.keeper.prepare();
    }

    #[cfg(test)]
    pub(super) fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// Whether a checkpoint would be kept, and without waiting for those before.
    pub fn ready(&self) -> bool {
        self.keeper.ready() && !self.store.is_closed()
    }

    /// Waits until the checkpoints that were taken are kept.
    pub fn settle(&self) {
        self.keeper.settle();
    }

    /// Takes a checkpoint of `machine`; `head.state` is filled in here. All but copying what was
    /// written since the last one is done by another thread.
    pub fn take<M: SaveMachine>(&mut self, machine: &mut M, head: Head) {
        let start = Instant::now();
        let written = machine.take_unsaved_pages();
        let aside = std::mem::take(&mut self.aside);
        let (lost, mut spare) = {
            let mut known = self.keeper.known();
            (std::mem::take(&mut known.lost), std::mem::take(&mut known.spare))
        };
        let mut numbers = written;
        if !aside.is_empty() || !lost.is_empty() {
            numbers.extend(aside.into_keys().chain(lost));
            numbers.sort_unstable();
            numbers.dedup();
        }
        let mut pieces = Vec::with_capacity(numbers.len().div_ceil(PIECE_PAGES));
        for piece in numbers.chunks(PIECE_PAGES) {
            let mut bytes = spare.pop().unwrap_or_else(|| Vec::with_capacity(PIECE_PAGES * PAGE_BYTES));
            piece.iter().for_each(|&number| bytes.extend_from_slice(machine.page(number)));
            pieces.push(bytes);
        }
        self.keeper.known().spare.append(&mut spare);
        let head = Head { state: machine.save_state().into(), ..head };
        tracing::debug!(icount = head.at.icount, pages = numbers.len(), time = ?start.elapsed(), "checkpoint");
        machine.note_checkpoint(numbers.len() as u64);
        let since = std::mem::replace(&mut self.since, head.key());
        let touched = machine.take_touched().map(|touched| (since, touched));
        self.keeper.keep(Capture { head, numbers, pieces, touched });
    }

    /// [`Self::take`] where `unsaved` pages are to be copied; `pace` hears what it took, and what the other
    /// thread has spent on those before.
    pub fn take_paced<M: SaveMachine>(
        &mut self,
        machine: &mut M,
        head: Head,
        unsaved: usize,
        pace: &mut Pace,
    ) {
        pace.begin_at(head.at.icount);
        let start = Instant::now();
        self.take(machine, head);
        pace.copied(unsaved, start.elapsed());
        let spent = std::mem::take(&mut self.keeper.known().spent);
        pace.kept(spent.pages, spent.time);
    }

    /// A checkpoint that is not kept with the others: for places near by that are wanted again
    /// soon.
    pub fn take_near<M: SaveMachine>(&mut self, machine: &mut M, head: Head) -> Target {
        self.keeper.settle();
        for number in machine.take_unsaved_pages() {
            self.aside.insert(number, machine.page(number).into());
        }
        let head = Head { state: machine.save_state().into(), ..head };
        let known = self.keeper.known();
        Target { head, serial: known.serial, map: known.map.clone(), aside: self.aside.clone() }
    }

    /// Puts `machine` where `target` was taken.
    ///
    /// # Errors
    /// If the checkpoint is damaged. The machine is then in no state to go on from: another must
    /// be restored, or it must be made anew.
    pub fn restore<M: SaveMachine>(
        &mut self,
        machine: &mut M,
        target: &Target,
    ) -> Result<(), CheckpointError> {
        let start = Instant::now();
        self.keeper.settle();
        let here = std::mem::take(&mut self.aside);
        let written = machine.take_unsaved_pages();
        let mut known = self.keeper.known();
        let pairs = known.map.iter().zip(target.map.iter()).enumerate();
        let differing = pairs.filter(|(_, (a, b))| a != b).map(|(page, _)| page as u32);
        let mut pages: Vec<u32> = differing.chain(written.iter().copied()).collect();
        pages.extend(here.keys().chain(target.aside.keys()));
        pages.sort_unstable();
        pages.dedup();
        pages.retain(|page| match (here.get(page), target.aside.get(page)) {
            (Some(a), Some(b)) if Arc::ptr_eq(a, b) => written.binary_search(page).is_ok(),
            _ => true,
        });
        let map = Arc::make_mut(&mut known.map);
        pages.iter().for_each(|&page| map[page as usize] = UNKNOWN);
        self.load(machine, &pages, target)?;
        machine.load_state(&target.head.state)?;
        machine.take_unsaved_pages();
        machine.take_touched();
        self.since = target.head.key();
        (known.map, known.serial) = (target.map.clone(), target.serial);
        known.lost.clear();
        drop(known);
        self.aside = target.aside.clone();
        let (icount, pages, time) = (target.head.at.icount, pages.len(), start.elapsed());
        tracing::debug!(icount, pages, ?time, "back to a checkpoint");
        Ok(())
    }

    fn load<M: SaveMachine>(
        &self,
        machine: &mut M,
        pages: &[u32],
        target: &Target,
    ) -> Result<(), StoreError> {
        let mut stored = Vec::new();
        for &page in pages {
            let id = target.map[page as usize];
            if let Some(bytes) = target.aside.get(&page) {
                machine.load_pages(&mut std::iter::once((page, &bytes[..])));
            } else if id == ZERO {
                machine.load_pages(&mut std::iter::once((page, &[0; PAGE_BYTES][..])));
            } else if let Some(bytes) = self.store.origin_page(id) {
                machine.load_pages(&mut std::iter::once((page, bytes)));
            } else {
                stored.push((page, id));
            }
        }
        let fetches = self.store.locate(&stored)?;
        let found: usize = fetches.iter().map(Fetch::len).sum();
        if found != stored.len() {
            return Err(StoreError::Damaged("a page of the origin that is not kept"));
        }
        read_groups(&fetches, self.reads_apart, |fetch, raw| {
            machine.load_pages(&mut fetch.pages(raw).map(|(page, _, bytes)| (page, bytes)));
        })
    }
}

/// Reads groups of pages; `apart`: on several threads if there are many.
fn read_groups(
    fetches: &[Fetch],
    apart: bool,
    mut take: impl FnMut(&Fetch, &[u8]),
) -> Result<(), StoreError> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(8));
    if !apart || fetches.len() < WORTH_THREADS || threads == 1 {
        return fetches.iter().try_for_each(|fetch| fetch.read().map(|raw| take(fetch, &raw)));
    }
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (sender, receiver) = crossbeam_channel::bounded(threads * 4);
        for _ in 0..threads {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some(fetch) = fetches.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if sender.send((fetch, fetch.read())).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        receiver.iter().try_for_each(|(fetch, raw)| raw.map(|raw| take(fetch, &raw)))
    })
}
