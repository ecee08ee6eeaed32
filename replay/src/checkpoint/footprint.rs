//! Where a stretch of the run left traces: the pages that it stored to and fetched from. Who looks for a
//! store or an instruction need not run through a stretch that did not touch its page.
//!
//! A footprint claims too much, never too little; a stretch without one may have done anything.

use super::entry::Key;
use super::pages::Body;
use super::side_file::{FrameKind, decompress};
use super::store::StoreError;
use dejavm_core::boundary::{Position, Space, StopCondition, StopPoint, Watch, WatchKind};
use dejavm_core::mem::{PageFilter, Touched};
use dejavm_core::types::PAGE_SHIFT;
use std::os::unix::fs::FileExt;

/// The length of an encoded footprint.
pub const FOOTPRINT_BYTES: usize = KEY_BYTES + 3 * PageFilter::BYTES;
const KEY_BYTES: usize = 3 * 8;

/// zstd's level: a few thousand bits among many zeros, which its levels of speed leave as they are.
const LEVEL: i32 = 1;

/// More pages than this are not looked up one by one.
const MOST_PAGES: u64 = 1 << 12;

/// The pages that were touched between two places of the run.
#[derive(Clone, PartialEq, Eq)]
pub struct Footprint {
    /// Where it begins; it ends at the checkpoint that has it.
    pub from: Key,
    /// By linear address.
    linear: Touched,
    /// The pages of RAM that were stored to, by whomever.
    ram: PageFilter,
}

impl Footprint {
    /// Of what vCPUs did since `from`, and the pages of RAM written since then.
    pub fn new(from: Key, linear: Touched, written: &[u32]) -> Self {
        let mut ram = PageFilter::default();
        written.iter().for_each(|&page| ram.insert(page.into()));
        Self { from, linear, ram }
    }

    /// Puts in all that an earlier one has, which ends where this one begins, or later.
    pub fn prepend(&mut self, earlier: &Self) {
        self.from = self.from.min(earlier.from);
        self.linear.add(&earlier.linear);
        self.ram.add(&earlier.ram);
    }

    /// As a side file has it.
    pub fn encode(&self) -> Vec<u8> {
        let Self { from: (at, events), linear, ram } = self;
        let mut raw = Vec::with_capacity(FOOTPRINT_BYTES);
        [at.icount, at.now_ns, *events].into_iter().for_each(|n| raw.extend(n.to_le_bytes()));
        [&linear.stores, &linear.fetches, ram].into_iter().for_each(|filter| raw.extend(filter.to_bytes()));
        zstd::bulk::compress(&raw, LEVEL).expect("zstd compresses any bytes into a buffer of its own bound")
    }

    /// From its stored form.
    ///
    /// # Errors
    /// If it is damaged.
    pub fn read(body: &Body) -> Result<Self, StoreError> {
        let raw = match body {
            Body::Memory(stored) => decompress(stored, FOOTPRINT_BYTES)?,
            Body::File(file, frame) => {
                frame.read(FrameKind::Footprint, |bytes, at| file.read_exact_at(bytes, at))?
            }
        };
        Self::decode(&raw).ok_or(StoreError::Damaged("a footprint of another length"))
    }

    fn decode(raw: &[u8]) -> Option<Self> {
        let (key, filters) = raw.split_at_checked(KEY_BYTES)?;
        let (&[icount, now_ns, events], []) = key.as_chunks() else { return None };
        let [icount, now_ns, events] = [icount, now_ns, events].map(u64::from_le_bytes);
        let mut filters = filters.chunks(PageFilter::BYTES).map(PageFilter::from_bytes);
        let (stores, fetches, ram) = (filters.next()??, filters.next()??, filters.next()??);
        let from = (Position { icount, now_ns }, events);
        filters.next().is_none().then_some(Self { from, linear: Touched { stores, fetches }, ram })
    }
}

/// The pages that a search is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Linear pages that are stored to.
    stores: Vec<u64>,
    /// Pages of RAM that are stored to.
    ram: Vec<u64>,
    /// Linear pages with instructions.
    fetches: Vec<u64>,
}

impl Interest {
    /// What hits of `points` leave in footprints; `ram_page` is the page of RAM at a physical address. None:
    /// it cannot be told from a footprint whether there are any.
    pub fn of(points: &[StopPoint], mut ram_page: impl FnMut(u64) -> Option<u32>) -> Option<Self> {
        let mut interest = Self::default();
        for point in points {
            match point.condition {
                StopCondition::Breakpoint { address } => interest.fetches.push(address >> PAGE_SHIFT),
                StopCondition::Watch(watch @ Watch { kind: WatchKind::Write, space, start, .. }) => {
                    let (first, last) = (start >> PAGE_SHIFT, watch.last() >> PAGE_SHIFT);
                    if last - first >= MOST_PAGES {
                        return None;
                    }
                    match space {
                        Space::Linear => interest.stores.extend(first..=last),
                        Space::Physical => {
                            for page in first..=last {
                                interest.ram.push(ram_page(page << PAGE_SHIFT)?.into());
                            }
                        }
                    }
                }
                StopCondition::Watch(_)
                | StopCondition::EveryInstruction
                | StopCondition::Exception { .. }
                | StopCondition::Interrupt { .. } => return None,
            }
        }
        Some(interest)
    }

    /// Whether a stretch with this footprint may have a hit.
    pub fn meets(&self, footprint: &Footprint) -> bool {
        let any = |pages: &[u64], filter: &PageFilter| pages.iter().any(|&page| filter.may_have(page));
        any(&self.stores, &footprint.linear.stores)
            || any(&self.fetches, &footprint.linear.fetches)
            || any(&self.ram, &footprint.ram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(icount: u64) -> Key {
        (Position { icount, now_ns: icount * 2 }, icount / 3)
    }

    fn footprint(from: u64, store: u64, ram: u32) -> Footprint {
        let mut linear = Touched::default();
        linear.stores.insert(store);
        linear.fetches.insert(store + 1);
        Footprint::new(key(from), linear, &[ram])
    }

    fn point(condition: StopCondition) -> StopPoint {
        StopPoint { id: 1, vcpu: None, condition }
    }

    fn write(space: Space, start: u64, len: u64) -> StopPoint {
        point(StopCondition::Watch(Watch { space, start, len, kind: WatchKind::Write }))
    }

    fn meets(points: &[StopPoint], footprint: &Footprint) -> Option<bool> {
        let ram_page = |gpa| (gpa < 1 << 20).then_some((gpa >> PAGE_SHIFT) as u32 + 100);
        Interest::of(points, ram_page).map(|interest| interest.meets(footprint))
    }

    #[test]
    fn it_is_what_was_written() {
        let one = footprint(7, 0xF_FFFF_8123_4567, 90);
        let stored = Body::Memory(one.encode().into());
        assert!(Footprint::read(&stored).is_ok_and(|back| back == one));
        assert!(Footprint::read(&Body::Memory(one.encode()[..9].into())).is_err());
        let short = zstd::bulk::compress(&[0; FOOTPRINT_BYTES - 1], LEVEL).unwrap();
        assert!(Footprint::read(&Body::Memory(short.into())).is_err());
    }

    #[test]
    fn two_are_as_good_as_one_of_both_stretches() {
        let mut later = footprint(70, 5, 6);
        later.prepend(&footprint(7, 500, 600));
        assert_eq!(later.from, key(7));
        for page in [5, 500] {
            assert_eq!(meets(&[write(Space::Linear, page << 12, 1)], &later), Some(true));
        }
    }

    #[test]
    fn it_is_met_by_page_and_kind() {
        let one = footprint(0, 0x200, 105);
        let cases = [
            (write(Space::Linear, 0x20_0FFF, 1), Some(true)),
            (write(Space::Linear, 0x1F_FFFF, 2), Some(true)),
            (write(Space::Linear, 0x1F_FFFF, 1), Some(false)),
            (write(Space::Physical, 0x5008, 8), Some(true)),
            (write(Space::Physical, 0x20_0000, 8), None),
            (write(Space::Linear, 0, 1 << 40), None),
            (point(StopCondition::Breakpoint { address: 0x20_1234 }), Some(true)),
            (point(StopCondition::Breakpoint { address: 0x20_0234 }), Some(false)),
            (point(StopCondition::Interrupt { vector: None }), None),
        ];
        for (point, expected) in cases {
            assert_eq!(meets(&[point], &one), expected, "{point:?}");
        }
        let read = Watch { space: Space::Linear, start: 0, len: 1, kind: WatchKind::Access };
        assert_eq!(meets(&[point(StopCondition::Watch(read))], &one), None);
        assert_eq!(meets(&[cases[3].0, cases[2].0], &one), Some(true), "one of several");
    }
}
