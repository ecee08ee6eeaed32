//! One checkpoint among those of a run: the list of pages in which it differs from the one before.

use super::pages::{Body, PageId, ZERO};
use super::store::StoreError;
use dejavm_core::boundary::Position;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The pages of RAM that differ from another checkpoint's, by number, ascending, with their content.
pub type Changes = Vec<(u32, PageId)>;

/// The content of every page of RAM.
pub type PageMap = Vec<PageId>;

/// What orders the checkpoints of a run: where, and how many inputs had come in.
pub type Key = (Position, u64);

/// What a checkpoint is, but for RAM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Where the machine stands.
    pub at: Position,
    /// How many of the run's inputs have come in.
    pub events: u64,
    /// The hash of these inputs.
    pub inputs: u128,
    /// The state but for RAM.
    pub state: Arc<[u8]>,
}

impl Head {
    /// What orders checkpoints.
    pub fn key(&self) -> Key {
        (self.at, self.events)
    }
}

/// A checkpoint in the list of a run's.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its number; 0 is the machine's origin, which is no entry.
    pub serial: u32,
    /// What it is, but for RAM.
    pub head: Head,
    /// In what RAM differs from that of the entry before in the list, or from the origin's.
    pub changes: Changes,
    /// The [`super::footprint::Footprint`] of the stretch before it, if there is one.
    pub footprint: Option<Body>,
}

/// An entry as a side file holds it.
#[derive(Serialize, Deserialize)]
pub struct Manifest {
    serial: u32,
    /// Its position.
    pub icount: u64,
    now_ns: u64,
    events: u64,
    inputs: [u8; 16],
    state: Vec<u8>,
    /// The entry that `changes` are relative to.
    pub base: u32,
    /// Differences of page numbers (the first from 0), and contents.
    changes: Changes,
}

impl Manifest {
    /// That of an entry.
    pub fn of(entry: &Entry, base: u32) -> Self {
        let Entry { serial, head, changes, .. } = entry;
        let mut before = 0;
        let step = |&(page, id): &(u32, PageId)| (page - std::mem::replace(&mut before, page), id);
        Self {
            serial: *serial,
            icount: head.at.icount,
            now_ns: head.at.now_ns,
            events: head.events,
            inputs: head.inputs.to_le_bytes(),
            state: head.state.to_vec(),
            base,
            changes: changes.iter().map(step).collect(),
        }
    }

    /// The entry, for a RAM of so many pages.
    pub fn resolve(self, ram_pages: u32) -> Result<Entry, StoreError> {
        let mut page = 0u32;
        let mut changes = Vec::with_capacity(self.changes.len());
        for (k, (step, id)) in self.changes.into_iter().enumerate() {
            let next = page.checked_add(step).filter(|next| *next < ram_pages && (k == 0 || step > 0));
            page = next.ok_or(StoreError::Damaged("pages out of order"))?;
            changes.push((page, id));
        }
        let head = Head {
            at: Position { icount: self.icount, now_ns: self.now_ns },
            events: self.events,
            inputs: u128::from_le_bytes(self.inputs),
            state: self.state.into(),
        };
        Ok(Entry { serial: self.serial, head, changes, footprint: None })
    }
}

/// Makes of a RAM the one that differs from it by `changes`.
pub fn apply(map: &mut PageMap, changes: &Changes) {
    for &(page, id) in changes {
        map[page as usize] = id;
    }
}

/// In what `to` differs from `from`.
pub fn differences(from: &PageMap, to: &PageMap) -> Changes {
    let pairs = from.iter().zip(to).enumerate();
    pairs.filter(|(_, (a, b))| a != b).map(|(page, (_, &id))| (page as u32, id)).collect()
}

/// One step of two: where both change a page, the second counts.
pub fn merge(first: &Changes, second: &Changes) -> Changes {
    let mut merged = Vec::with_capacity(first.len() + second.len());
    let (mut a, mut b) = (first.iter().peekable(), second.iter().peekable());
    while let (Some(&&(x, _)), Some(&&(y, _))) = (a.peek(), b.peek()) {
        if x < y {
            merged.extend(a.next());
        } else {
            if x == y {
                a.next();
            }
            merged.extend(b.next());
        }
    }
    merged.extend(a);
    merged.extend(b);
    merged
}

/// The map of a machine at its origin, whose pages that are not zero are `numbers`.
pub fn origin_map(ram_pages: u32, numbers: &[u32]) -> PageMap {
    let mut map = vec![ZERO; ram_pages as usize];
    for (&number, id) in numbers.iter().zip(1..) {
        map[number as usize] = id;
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_steps_are_one() {
        let first = vec![(1, 10), (3, 30), (5, 50)];
        let second = vec![(0, 1), (3, 31), (9, 90)];
        let merged = merge(&first, &second);
        assert_eq!(merged, [(0, 1), (1, 10), (3, 31), (5, 50), (9, 90)]);
        let (mut a, mut b) = (vec![0; 10], vec![0; 10]);
        apply(&mut a, &first);
        apply(&mut a, &second);
        apply(&mut b, &merged);
        assert_eq!(a, b);
        assert_eq!(differences(&vec![0; 10], &a), merged);
    }

    #[test]
    fn a_manifest_holds_the_entry() {
        let head = Head {
            at: Position { icount: 7, now_ns: 9 },
            events: 3,
            inputs: 1 << 100,
            state: vec![1, 2, 3].into(),
        };
        let entry = Entry { serial: 4, head, changes: vec![(0, 5), (1, 6), (900, 0)], footprint: None };
        let back = Manifest::of(&entry, 2).resolve(901).unwrap();
        assert_eq!((back.serial, back.head, back.changes), (4, entry.head.clone(), entry.changes.clone()));
        assert!(Manifest::of(&entry, 2).resolve(900).is_err());
    }
}
