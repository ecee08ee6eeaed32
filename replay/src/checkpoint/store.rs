//! The checkpoints of one run: which there are, and which are kept when they cost too much.

use super::entry::{Changes, Entry, Head, Key, Manifest, PageMap, apply, differences, merge, origin_map};
use super::footprint::{Footprint, Interest};
use super::machine::{PAGE_BYTES, SaveMachine};
use super::pages::{Body, Fetch, GROUP_PAGES, PageId, Pages};
use super::side_file::{FrameKind, MAX_MANIFEST_BYTES, SideFile, compress};
use super::tracker::Aside;
use dejavm_core::boundary::Position;
use dejavm_core::types::Icount;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use xxhash_rust::xxh3::xxh3_128;

/// Why checkpoints are not to be had, or not to be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The host's file system failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Bytes that no writer writes.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// It is of another run, or of another dejavm.
    #[error("it does not belong to this recording: {0}")]
    Stale(&'static str),
    /// Another process writes to the file.
    #[error("another process writes to it")]
    Locked,
}

impl StoreError {
    /// Whether there is simply no file.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == std::io::ErrorKind::NotFound)
    }
}

/// What is kept and what it costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many checkpoints there are.
    pub count: usize,
    /// What they take, compressed, in bytes.
    pub bytes: u64,
    /// What they may take.
    pub budget_bytes: u64,
    /// Where they are.
    pub positions: Vec<Position>,
    /// Whether they are in a file.
    pub in_file: bool,
    /// Where a machine beside the run takes more of them, if one does.
    pub filling: Option<Icount>,
}

/// The checkpoints of one run; shared by all who take or restore them.
pub struct Store {
    inner: Mutex<Inner>,
    origin: Origin,
}

/// The machine at the origin of the run: power-on, or where a partial recording begins.
struct Origin {
    head: Head,
    map: PageMap,
    /// The pages that are not zero, if anyone may want them back.
    bytes: Vec<u8>,
}

pub(super) struct Inner {
    pub entries: Vec<Entry>,
    pub pages: Pages,
    pub side: Option<SideFile>,
    next_serial: u32,
    pub budget_bytes: u64,
    /// Nothing more is taken in: the host failed.
    pub closed: bool,
}

/// All that a restore needs to know of a checkpoint.
#[derive(Clone)]
pub struct Target {
    /// The state but for RAM, and where.
    pub head: Head,
    /// The checkpoint in the list that RAM is equal to, but for `aside`.
    pub(super) serial: u32,
    /// RAM, but for `aside`.
    pub(super) map: Arc<PageMap>,
    /// Pages with their bytes.
    pub(super) aside: Aside,
}

/// What became of a checkpoint that was to be taken in.
pub(super) enum Inserted {
    /// It has this number.
    As(u32),
    /// It was not taken in: these pages of it are not stored.
    Lacks(Vec<u32>),
}

impl Store {
    /// No checkpoints yet of the run that begins with `machine` as it stands, at `at`. With `restores`, what is needed to go back to it is kept.
    pub fn new<M: SaveMachine>(machine: &mut M, at: Position, budget_bytes: u64, restores: bool) -> Self {
        machine.take_unsaved_pages();
        let numbers = machine.pages_not_zero();
        let mut bytes = Vec::new();
        if restores {
            bytes.reserve_exact(numbers.len() * PAGE_BYTES);
            numbers.iter().for_each(|&number| bytes.extend_from_slice(machine.page(number)));
        }
        let map = origin_map(machine.ram_pages(), &numbers);
        let pages = Pages::new(numbers.iter().map(|&number| xxh3_128(machine.page(number))));
        let head = Head { at, events: 0, inputs: 0, state: machine.save_state().into() };
        let origin = Origin { head, map, bytes };
        let inner =
            Inner { entries: Vec::new(), pages, side: None, next_serial: 1, budget_bytes, closed: false };
        Self { inner: Mutex::new(inner), origin }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere ends the process soon; what is in here is whole between statements.
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// RAM at the origin.
    pub fn origin_map(&self) -> &PageMap {
        &self.origin.map
    }

    /// A page of the origin.
    pub(super) fn origin_page(&self, id: PageId) -> Option<&[u8]> {
        let at = (id as usize).checked_sub(1)? * PAGE_BYTES;
        self.origin.bytes.get(at..at + PAGE_BYTES)
    }

    /// What is kept.
    pub fn summary(&self) -> Summary {
        let inner = self.lock();
        Summary {
            count: inner.entries.len(),
            bytes: inner.bytes(),
            budget_bytes: inner.budget_bytes,
            positions: inner.entries.iter().map(|entry| entry.head.at).collect(),
            in_file: inner.side.is_some(),
            filling: None,
        }
    }

    /// What the checkpoints may take from now on, in bytes.
    pub fn set_budget(&self, bytes: u64) {
        let mut inner = self.lock();
        inner.budget_bytes = bytes;
        if let Some(Err(error)) = inner.side.as_mut().map(|side| side.set_budget(bytes)) {
            tracing::warn!(%error, "the checkpoint file does not say what it may take");
        }
        inner.keep_budget();
    }

    /// The origin of the run.
    pub fn origin(&self) -> Target {
        let Origin { head, map, .. } = &self.origin;
        Target { head: head.clone(), serial: 0, map: Arc::new(map.clone()), aside: Aside::new() }
    }

    /// The last checkpoint whose icount is below `icount`; else the origin.
    pub fn last_before(&self, icount: Icount) -> Target {
        let inner = self.lock();
        let count = inner.entries.partition_point(|entry| entry.head.at.icount < icount);
        let Some(Entry { serial, head, .. }) = inner.entries[..count].last() else { return self.origin() };
        let map = Arc::new(inner.map_after(&self.origin.map, count));
        Target { head: head.clone(), serial: *serial, map, aside: Aside::new() }
    }

    /// Where the run begins.
    pub(super) fn origin_key(&self) -> Key {
        self.origin.head.key()
    }

    /// What identifies the last checkpoint below `icount`, or else the origin.
    pub fn key_before(&self, icount: Icount) -> Key {
        let inner = self.lock();
        let count = inner.entries.partition_point(|entry| entry.head.at.icount < icount);
        inner.entries[..count].last().map_or(self.origin.head.key(), |entry| entry.head.key())
    }

    /// Whether what a search is about may have happened from the checkpoint `from` on, up to the first
    /// position with icount `to`.
    pub fn may_touch(&self, interest: &Interest, from: Key, to: Icount) -> bool {
        let Some(stretches) = self.lock().footprints(from, to) else { return true };
        let mut reached = from;
        stretches.into_iter().any(|(end, body)| {
            let before = std::mem::replace(&mut reached, end);
            let footprint = Footprint::read(&body).ok().filter(|footprint| footprint.from <= before);
            footprint.is_none_or(|footprint| interest.meets(&footprint))
        })
    }

    /// Forgets what the stretches touched.
    pub fn forget_footprints(&self) {
        self.lock().entries.iter_mut().for_each(|entry| entry.footprint = None);
    }

    /// Takes in a footprint that a side file holds.
    pub(super) fn load_footprint(&self, serial: u32, body: Body) {
        // Of a checkpoint that was not good it is of no use.
        if let Some(entry) = self.lock().entries.iter_mut().find(|entry| entry.serial == serial) {
            entry.footprint = Some(body);
        }
    }

    /// Drops a checkpoint that turned out to be damaged.
    pub fn drop_damaged(&self, target: &Target) {
        self.retain(|head| head.key() != target.head.key());
    }

    /// Whether nothing is taken in any more, since the host failed.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Takes nothing in any more.
    pub(super) fn close(&self, error: &StoreError) {
        tracing::warn!(%error, "checkpoints cannot be kept; going on without new ones");
        self.lock().closed = true;
    }

    /// The icounts of the last checkpoint at or before `icount` (or of the origin) and of the first
    /// one after it.
    pub fn around(&self, icount: Icount) -> (Icount, Option<Icount>) {
        let inner = self.lock();
        let count = inner.entries.partition_point(|entry| entry.head.at.icount <= icount);
        let before = inner.entries[..count].last().map_or(self.origin.head.at.icount, |e| e.head.at.icount);
        (before, inner.entries.get(count).map(|entry| entry.head.at.icount))
    }

    /// The first stretch without a checkpoint that reaches beyond `from` and is wider than `width`: from
    /// a checkpoint, or the origin, to the next one, or to `last`.
    pub fn gap_after(&self, from: Icount, last: Icount, width: Icount) -> Option<(Icount, Icount)> {
        let inner = self.lock();
        let origin = self.origin.head.at.icount;
        let starts = std::iter::once(origin).chain(inner.entries.iter().map(|entry| entry.head.at.icount));
        let ends = inner.entries.iter().map(|entry| entry.head.at.icount).chain([last]);
        starts.zip(ends).find(|(start, end)| *end > from && end.saturating_sub(*start) > width)
    }

    /// How far apart most of them are, if there are enough to tell.
    pub fn median_gap(&self) -> Option<Icount> {
        const ENOUGH: usize = 8;
        let inner = self.lock();
        let icounts = inner.entries.iter().map(|entry| entry.head.at.icount);
        let mut gaps: Vec<Icount> = icounts.clone().zip(icounts.skip(1)).map(|(a, b)| b - a).collect();
        gaps.sort_unstable();
        (gaps.len() >= ENOUGH).then(|| gaps[gaps.len() / 2])
    }

    /// Where the last checkpoint below `icount`, or the origin, is.
    pub fn position_before(&self, icount: Icount) -> Position {
        let inner = self.lock();
        let count = inner.entries.partition_point(|entry| entry.head.at.icount < icount);
        inner.entries[..count].last().map_or(self.origin.head.at, |entry| entry.head.at)
    }

    /// The icounts of the checkpoints between two others.
    pub fn icounts_between(&self, from: Icount, to: Icount) -> Vec<Icount> {
        let inner = self.lock();
        let icounts = inner.entries.iter().map(|entry| entry.head.at.icount);
        icounts.filter(|icount| (from..to).contains(icount)).collect()
    }

    /// Drops the checkpoints that `keep` does not want.
    pub fn retain(&self, mut keep: impl FnMut(&Head) -> bool) {
        let mut inner = self.lock();
        for k in (0..inner.entries.len()).rev() {
            if !keep(&inner.entries[k].head) {
                inner.drop_entry(k);
            }
        }
        inner.drop_unused_pages();
    }

    pub(super) fn locate(&self, wanted: &[(u32, PageId)]) -> Result<Vec<Fetch>, StoreError> {
        self.lock().pages.locate(wanted)
    }

    /// Takes in pages of RAM: gives each its content's number, and stores those that are new.
    pub(super) fn add_pages(&self, numbers: &[u32], bytes: &[u8]) -> Result<Changes, StoreError> {
        let mut changes = Vec::with_capacity(numbers.len());
        // The new ones: their contents' numbers, and where in `bytes` they are.
        let mut new = Vec::new();
        {
            let mut inner = self.lock();
            for (k, (&number, page)) in numbers.iter().zip(bytes.chunks_exact(PAGE_BYTES)).enumerate() {
                let (id, is_new) = inner.pages.identify(page);
                changes.push((number, id));
                if is_new {
                    new.push((id, k * PAGE_BYTES));
                }
            }
        }
        let mut gathered = Vec::new();
        for group in new.chunks(GROUP_PAGES) {
            let (first, last) = (group[0].1, group[group.len() - 1].1);
            let raw = if last - first == (group.len() - 1) * PAGE_BYTES {
                &bytes[first..last + PAGE_BYTES]
            } else {
                gathered.clear();
                group.iter().for_each(|&(_, at)| gathered.extend_from_slice(&bytes[at..at + PAGE_BYTES]));
                &gathered
            };
            // Compressed before the lock is taken: others read meanwhile.
            let stored = compress(raw);
            self.lock().add_group(group[0].0, stored, raw.len())?;
        }
        Ok(changes)
    }

    /// Takes in a checkpoint whose RAM is `map`, which differs by `changes` from the one with the
    /// number `base`; `footprint`, encoded, is that of the stretch before it.
    pub(super) fn insert(
        &self,
        head: Head,
        map: &PageMap,
        base: u32,
        changes: Changes,
        footprint: Option<Vec<u8>>,
    ) -> Result<Inserted, StoreError> {
        let mut inner = self.lock();
        let at = inner.entries.partition_point(|entry| entry.head.key() < head.key());
        if let Some(same) = inner.entries.get(at).filter(|entry| entry.head.key() == head.key()) {
            return Ok(Inserted::As(same.serial));
        }
        let before = inner.serial_before(at);
        let changes =
            if base == before { changes } else { differences(&inner.map_after(&self.origin.map, at), map) };
        // What only a checkpoint had that was dropped is gone.
        let lacks = changes.iter().filter(|(_, id)| !inner.pages.has(*id));
        let lacks: Vec<u32> = lacks.map(|(page, _)| *page).collect();
        if !lacks.is_empty() {
            return Ok(Inserted::Lacks(lacks));
        }
        if at < inner.entries.len() {
            let after = inner.map_after(&self.origin.map, at + 1);
            inner.entries[at].changes = differences(map, &after);
        }
        let serial = inner.next_serial;
        inner.next_serial += 1;
        let mut entry = Entry { serial, head, changes, footprint: None };
        inner.write(&entry, before)?;
        entry.footprint = footprint.map(|stored| inner.keep_footprint(serial, stored)).transpose()?;
        inner.entries.insert(at, entry);
        inner.keep_budget();
        Ok(Inserted::As(serial))
    }

    /// Takes in an entry that a side file holds.
    pub(super) fn load_entry(&self, manifest: Manifest) -> Result<(), StoreError> {
        let mut inner = self.lock();
        let base = manifest.base;
        let entry = manifest.resolve(self.origin.map.len() as u32)?;
        if entry.changes.iter().any(|(_, id)| !inner.pages.has(*id)) {
            return Err(StoreError::Damaged("a page that is not there"));
        }
        let at = inner.entries.partition_point(|other| other.head.key() < entry.head.key());
        let same = inner.entries.get(at).is_some_and(|other| other.head.key() == entry.head.key());
        if same || inner.entries.iter().any(|other| other.serial == entry.serial) {
            return Err(StoreError::Damaged("a checkpoint that is there twice"));
        }
        inner.next_serial = inner.next_serial.max(entry.serial.saturating_add(1));
        if at == inner.entries.len() && base == inner.serial_before(at) {
            inner.entries.push(entry);
            return Ok(());
        }
        let base = match base {
            0 => 0,
            base => {
                1 + inner
                    .entries
                    .iter()
                    .position(|other| other.serial == base)
                    .ok_or(StoreError::Damaged("a checkpoint that rests on none"))?
            }
        };
        let mut map = inner.map_after(&self.origin.map, base);
        apply(&mut map, &entry.changes);
        let changes = differences(&inner.map_after(&self.origin.map, at), &map);
        if at < inner.entries.len() {
            let after = inner.map_after(&self.origin.map, at + 1);
            inner.entries[at].changes = differences(&map, &after);
        }
        inner.entries.insert(at, Entry { changes, ..entry });
        Ok(())
    }
}

impl Inner {
    /// RAM after the first `count` entries.
    fn map_after(&self, origin: &PageMap, count: usize) -> PageMap {
        let mut map = origin.clone();
        self.entries[..count].iter().for_each(|entry| apply(&mut map, &entry.changes));
        map
    }

    fn serial_before(&self, at: usize) -> u32 {
        self.entries[..at].last().map_or(0, |entry| entry.serial)
    }

    fn bytes(&self) -> u64 {
        self.side.as_ref().map_or_else(|| self.thinnable_bytes(), SideFile::len)
    }

    fn thinnable_bytes(&self) -> u64 {
        let footprints = self.entries.iter().filter_map(|entry| entry.footprint.as_ref());
        self.pages.bytes() + footprints.map(Body::bytes).sum::<u64>()
    }

    /// The footprints of the stretches from the checkpoint `from` on up to `to`, each with where its stretch
    /// ends; None if there are not all of them.
    fn footprints(&self, from: Key, to: Icount) -> Option<Vec<(Key, Body)>> {
        let first = self.entries.partition_point(|entry| entry.head.key() <= from);
        let mut stretches = Vec::new();
        for entry in &self.entries[first..] {
            stretches.push((entry.head.key(), entry.footprint.clone()?));
            if entry.head.at.icount >= to {
                return Some(stretches);
            }
        }
        None
    }

    fn keep_footprint(&mut self, serial: u32, stored: Vec<u8>) -> Result<Body, StoreError> {
        Ok(match &mut self.side {
            Some(side) => {
                let frame = side.append_footprint(serial, &stored)?;
                Body::File(side.file().clone(), frame)
            }
            None => Body::Memory(stored.into()),
        })
    }

    fn add_group(&mut self, first: PageId, stored: Vec<u8>, raw_len: usize) -> Result<(), StoreError> {
        let body = match &mut self.side {
            Some(side) => {
                let frame = side.append_group(first, &stored, raw_len)?;
                Body::File(side.file().clone(), frame)
            }
            None => Body::Memory(stored.into()),
        };
        self.pages.add(first, (raw_len / PAGE_BYTES) as u32, body)
    }

    fn write(&mut self, entry: &Entry, base: u32) -> Result<(), StoreError> {
        let Some(side) = &mut self.side else { return Ok(()) };
        let raw = encode(&Manifest::of(entry, base));
        if raw.len() <= MAX_MANIFEST_BYTES {
            side.append(FrameKind::Checkpoint, &raw)?;
        }
        Ok(())
    }

    fn drop_entry(&mut self, at: usize) {
        let gone = self.entries.remove(at);
        if let Some(after) = self.entries.get_mut(at) {
            after.changes = merge(&gone.changes, &after.changes);
            if let (Some(earlier), Some(later)) = (&gone.footprint, &after.footprint)
                && let (Ok(earlier), Ok(mut later)) = (Footprint::read(earlier), Footprint::read(later))
                && later.from <= gone.head.key()
            {
                later.prepend(&earlier);
                after.footprint = Some(Body::Memory(later.encode().into()));
            }
        }
    }

    fn drop_unused_pages(&mut self) {
        let Self { entries, pages, .. } = self;
        pages.keep_only(entries.iter().flat_map(|entry| entry.changes.iter().map(|(_, id)| *id)));
    }

    /// Thins the checkpoints out to half of the budget, when they exceed it: always the one whose
    /// neighbours are closest, so that what is left is spread evenly.
    fn keep_budget(&mut self) {
        if self.bytes() <= self.budget_bytes {
            return;
        }
        while self.thinnable_bytes() > self.budget_bytes / 2 && !self.entries.is_empty() {
            for _ in 0..self.entries.len().div_ceil(8) {
                self.drop_entry(self.most_crowded());
            }
            self.drop_unused_pages();
        }
        if let Err(error) = self.rewrite() {
            tracing::warn!(%error, "the checkpoint file cannot be made smaller; no more are kept");
            self.closed = true;
        }
    }

    /// Drops the checkpoints that have pages which are not there.
    pub(super) fn drop_incomplete(&mut self) {
        let mut missing = BTreeSet::new();
        let mut at = 0;
        while let Some(entry) = self.entries.get(at) {
            for &(page, id) in &entry.changes {
                if self.pages.has(id) {
                    missing.remove(&page);
                } else {
                    missing.insert(page);
                }
            }
            if missing.is_empty() {
                at += 1;
            } else {
                self.drop_entry(at);
            }
        }
    }

    fn most_crowded(&self) -> usize {
        let icount = |k: usize| self.entries.get(k).map_or(Icount::MAX, |entry| entry.head.at.icount);
        let gap = |k: usize| icount(k + 1) - if k == 0 { 0 } else { icount(k - 1) };
        (0..self.entries.len()).min_by_key(|k| gap(*k)).unwrap_or(0)
    }

    /// Moves what is kept to a new side file, if it is in one.
    pub(super) fn rewrite(&mut self) -> Result<(), StoreError> {
        let Some(old) = &self.side else { return Ok(()) };
        let mut new = old.successor()?;
        self.pages.move_to(&mut new)?;
        self.drop_incomplete();
        let mut base = 0;
        for entry in &mut self.entries {
            let raw = encode(&Manifest::of(entry, std::mem::replace(&mut base, entry.serial)));
            new.append(FrameKind::Checkpoint, &raw)?;
            // One that is damaged is none.
            let stored = entry.footprint.take().and_then(|body| body.stored().ok());
            if let Some(stored) = stored {
                let frame = new.append_footprint(entry.serial, &stored)?;
                entry.footprint = Some(Body::File(new.file().clone(), frame));
            }
        }
        new.take_place()?;
        self.side = Some(new);
        Ok(())
    }
}

fn encode(manifest: &Manifest) -> Vec<u8> {
    bincode::serde::encode_to_vec(manifest, bincode::config::standard()).expect("plain data encodes")
}
