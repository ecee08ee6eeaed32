//! The thread that takes in checkpoints: it hashes, compresses and writes while the run goes on.
//!
//! Memory: at most one checkpoint waits and one is worked on; each is the pages written since the
//! one before, so no more than two times the guest's RAM, and in practice a few MiB. Their buffers
//! are used again, and no more than [`MOST_SPARE`] are kept for that.

use super::entry::{Head, Key, PageMap};
use super::footprint::Footprint;
use super::machine::PAGE_BYTES;
use super::pages::GROUP_PAGES;
use super::store::{Inserted, Store};
use super::tracker::UNKNOWN;
use crossbeam_channel::{Receiver, Sender, bounded};
use dejavm_core::mem::Touched;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Pages are copied into buffers for so many, which are used again: to ask the host for memory anew is
/// dearer than to copy.
pub(super) const PIECE_PAGES: usize = 4 * GROUP_PAGES;

/// The most buffers that wait to be used again: 32 MiB.
const MOST_SPARE: usize = (32 << 20) / (PIECE_PAGES * PAGE_BYTES);

/// A checkpoint as it was copied from the machine.
pub(super) struct Capture {
    pub head: Head,
    /// The pages written since the last one.
    pub numbers: Vec<u32>,
    /// Their bytes, of [`PIECE_PAGES`] pages each time.
    pub pieces: Vec<Vec<u8>>,
    /// What vCPUs touched, and since when.
    pub touched: Option<(Key, Touched)>,
}

/// What is known of the RAM of the machine.
pub(super) struct Known {
    /// The content of each page.
    pub map: Arc<PageMap>,
    /// The checkpoint that it is equal to.
    pub serial: u32,
    /// Pages that could not be kept: the next checkpoint must have them.
    pub lost: Vec<u32>,
    /// What taking in checkpoints took since anyone asked.
    pub spent: Spent,
    /// Empty buffers for the next ones.
    pub spare: Vec<Vec<u8>>,
}

/// So many pages were taken in, in so much time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Pages.
    pub pages: usize,
    /// Time of the host.
    pub time: Duration,
}

impl Known {
    fn lose(&mut self, pages: Vec<u32>) {
        let map = Arc::make_mut(&mut self.map);
        pages.iter().for_each(|&page| map[page as usize] = UNKNOWN);
        self.lost.extend(pages);
    }
}

enum Order {
    /// Make buffers for what is to come.
    Prepare,
    Keep(Capture),
    Tell(Sender<()>),
}

/// Takes in the checkpoints of one machine.
pub(super) struct Keeper {
    store: Arc<Store>,
    known: Arc<Mutex<Known>>,
    thread: Option<(Sender<Order>, JoinHandle<()>)>,
}

impl Keeper {
    pub fn new(store: Arc<Store>) -> Self {
        let known = Known {
            map: Arc::new(store.origin_map().clone()),
            serial: 0,
            lost: Vec::new(),
            spent: Spent::default(),
            spare: Vec::new(),
        };
        Self { store, known: Arc::new(Mutex::new(known)), thread: None }
    }

    pub fn ready(&self) -> bool {
        self.thread.as_ref().is_none_or(|(sender, _)| !sender.is_full())
    }

    pub fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    /// Buffers are made while the run begins: its first checkpoints have the most pages.
    pub fn prepare(&mut self) {
        self.order(Order::Prepare);
    }

    /// Takes in a checkpoint, in a while.
    pub fn keep(&mut self, capture: Capture) {
        self.order(Order::Keep(capture));
    }

    fn order(&mut self, order: Order) {
        let (sender, _) = self.thread.get_or_insert_with(|| {
            let (sender, orders) = bounded(1);
            let worker = Worker { store: self.store.clone(), known: self.known.clone() };
            let thread = std::thread::Builder::new().name("checkpoints".to_owned());
            (sender, thread.spawn(move || worker.serve(&orders)).expect("the host starts a thread"))
        });
        sender.send(order).expect("the thread ends after its sender");
    }

    /// Waits until all is taken in.
    pub fn settle(&self) {
        let Some((sender, _)) = &self.thread else { return };
        let (tell, told) = bounded(1);
        sender.send(Order::Tell(tell)).expect("the thread ends after its sender");
        told.recv().expect("the thread answers");
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.thread.take() {
            drop(sender);
            // If it panicked, that was told on stderr; the run does not depend on it.
            let _ = thread.join();
        }
    }
}

struct Worker {
    store: Arc<Store>,
    known: Arc<Mutex<Known>>,
}

impl Worker {
    fn serve(&self, orders: &Receiver<Order>) {
        for order in orders {
            match order {
                // Written to once, so that the host has given the memory.
                Order::Prepare => (0..MOST_SPARE).for_each(|_| self.spare(vec![1; PIECE_PAGES * PAGE_BYTES])),
                Order::Keep(capture) => self.keep_measured(capture),
                // Who asked may have gone.
                Order::Tell(tell) => drop(tell.send(())),
            }
        }
    }

    fn spare(&self, mut buffer: Vec<u8>) {
        let mut known = lock(&self.known);
        if known.spare.len() < MOST_SPARE {
            buffer.clear();
            known.spare.push(buffer);
        }
    }

    fn keep_measured(&self, mut capture: Capture) {
        let start = Instant::now();
        self.keep(&mut capture);
        let mut known = lock(&self.known);
        known.spent.pages += capture.numbers.len();
        known.spent.time += start.elapsed();
    }

    fn keep(&self, capture: &mut Capture) {
        let kept = if self.store.is_closed() { Ok(None) } else { self.try_keep(capture).map(Some) };
        if let Ok(Some(())) = kept {
            return;
        }
        if let Err(error) = kept {
            self.store.close(&error);
        }
        lock(&self.known).lose(capture.numbers.clone());
    }

    fn try_keep(&self, capture: &mut Capture) -> Result<(), super::StoreError> {
        let mut changes = Vec::with_capacity(capture.numbers.len());
        for (numbers, bytes) in capture.numbers.chunks(PIECE_PAGES).zip(capture.pieces.drain(..)) {
            changes.extend(self.store.add_pages(numbers, &bytes)?);
            self.spare(bytes);
        }
        let touched = capture.touched.take();
        let footprint =
            touched.map(|(from, touched)| Footprint::new(from, touched, &capture.numbers).encode());
        let mut known = lock(&self.known);
        let map = Arc::make_mut(&mut known.map);
        changes.retain(|&(page, id)| std::mem::replace(&mut map[page as usize], id) != id);
        match self.store.insert(capture.head.clone(), &known.map, known.serial, changes, footprint)? {
            Inserted::As(serial) => known.serial = serial,
            Inserted::Lacks(pages) => known.lose(pages),
        }
        Ok(())
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::error::StateError;
    use super::super::machine::SaveMachine;
    use super::super::tracker::Tracker;
    use super::*;
    use dejavm_core::boundary::Position;

    /// RAM of which all is written between two checkpoints.
    struct Writer {
        pages: Vec<[u8; PAGE_BYTES]>,
    }

    impl Writer {
        fn new(pages: usize) -> Self {
            Self { pages: vec![[0; PAGE_BYTES]; pages] }
        }

        /// No page has a content that was there before.
        fn write_all(&mut self, round: u64) {
            for (number, page) in self.pages.iter_mut().enumerate() {
                page[..8].copy_from_slice(&(round << 32 | number as u64).to_le_bytes());
            }
        }
    }

    impl SaveMachine for Writer {
        fn ram_pages(&mut self) -> u32 {
            self.pages.len() as u32
        }
        fn page(&mut self, number: u32) -> &[u8] {
            &self.pages[number as usize]
        }
        fn pages_not_zero(&mut self) -> Vec<u32> {
            Vec::new()
        }
        fn unsaved_pages(&mut self) -> usize {
            self.pages.len()
        }
        fn take_unsaved_pages(&mut self) -> Vec<u32> {
            (0..self.pages.len() as u32).collect()
        }
        fn save_state(&mut self) -> Vec<u8> {
            vec![1]
        }
        fn load_pages(&mut self, _pages: &mut dyn Iterator<Item = (u32, &[u8])>) {
            unreachable!("nothing is restored");
        }
        fn load_state(&mut self, _state: &[u8]) -> Result<(), StateError> {
            unreachable!("nothing is restored");
        }
    }

    fn head(icount: u64) -> Head {
        let at = Position { icount, now_ns: icount };
        Head { at, events: 0, inputs: 0, state: Vec::new().into() }
    }

    #[test]
    fn memory_beside_a_run_is_bounded_however_slow_the_disk_is() {
        let mut machine = Writer::new(4 * PIECE_PAGES);
        let store = Arc::new(Store::new(&mut machine, Position::default(), u64::MAX, false));
        let mut tracker = Tracker::new(store.clone());
        // A disk that does not answer: nobody gets on with the store.
        let held = store.lock();
        let mut taken = 0;
        while tracker.keeper().ready() {
            taken += 1;
            assert!(taken <= 2, "one that is worked on, and one that waits");
            machine.write_all(taken);
            tracker.take(&mut machine, head(taken));
            // The thread takes the first one up.
            while taken == 1 && !tracker.keeper().ready() {
                std::thread::yield_now();
            }
        }
        assert_eq!(taken, 2);
        drop(held);
        // Nor does it grow with the number of checkpoints.
        for round in 3..30 {
            tracker.settle();
            machine.write_all(round);
            tracker.take(&mut machine, head(round));
        }
        tracker.settle();
        let known = tracker.keeper().known();
        assert!(known.spare.len() <= MOST_SPARE);
        let spare: usize = known.spare.iter().map(Vec::capacity).sum();
        assert!((1..=32 << 20).contains(&spare), "{spare} bytes of buffers");
        assert_eq!(known.map.len(), machine.pages.len(), "a number for each page of RAM");
        drop(known);
        assert_eq!(store.summary().count, 29);
    }

    #[test]
    fn no_more_buffers_wait_than_are_allowed() {
        let store = Arc::new(Store::new(&mut Writer::new(1), Position::default(), u64::MAX, false));
        let keeper = Keeper::new(store.clone());
        let worker = Worker { store, known: keeper.known.clone() };
        (0..MOST_SPARE + 9).for_each(|_| worker.spare(Vec::with_capacity(PIECE_PAGES * PAGE_BYTES)));
        let known = keeper.known();
        assert_eq!(known.spare.len(), MOST_SPARE);
        assert_eq!(known.spare.iter().map(Vec::capacity).sum::<usize>(), 32 << 20);
        drop(known);
        let mut prepared =
            Keeper::new(Arc::new(Store::new(&mut Writer::new(1), Position::default(), 0, false)));
        prepared.prepare();
        prepared.settle();
        let known = prepared.known();
        assert_eq!(known.spare.len(), MOST_SPARE);
        assert!(known.spare.iter().all(Vec::is_empty));
    }
}
