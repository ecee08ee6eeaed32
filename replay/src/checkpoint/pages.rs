//! Pages of RAM by content: each is kept once, however many checkpoints have it, in groups that are
//! compressed together.

use super::machine::PAGE_BYTES;
use super::side_file::{Frame, FrameKind, SideFile, decompress};
use super::store::StoreError;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

/// A page's content. Numbers are never used for another content, even if it is dropped.
pub type PageId = u32;

/// The page of zeros, which costs nothing.
pub const ZERO: PageId = 0;

/// The most pages in a group.
pub const GROUP_PAGES: usize = 16;

/// One of zstd's levels of speed: checkpoints must keep up with the run.
pub const LEVEL: i32 = -3;

/// The stored bytes of a group, or of a footprint.
#[derive(Clone, Debug)]
pub enum Body {
    /// Compressed, in memory.
    Memory(Arc<[u8]>),
    /// In the side file.
    File(Arc<File>, Frame),
}

impl Body {
    /// What it takes, in bytes.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(_, frame) => frame.total_len(),
        }
    }

    /// The stored bytes themselves.
    pub fn stored(&self) -> Result<Vec<u8>, StoreError> {
        match self {
            Self::Memory(bytes) => Ok(bytes.to_vec()),
            Self::File(file, frame) => frame.read_stored(|bytes, at| file.read_exact_at(bytes, at)),
        }
    }

    /// Moves it to another file, if it is in one.
    pub fn move_to(&mut self, new: &mut SideFile) -> Result<(), StoreError> {
        if let Self::File(file, frame) = self {
            *self = Self::File(new.file().clone(), new.copy(file, frame)?);
        }
        Ok(())
    }
}

/// A group as it is stored: contents with consecutive numbers.
struct Group {
    body: Body,
    count: u32,
    live: bool,
}

/// All pages of the checkpoints of a run.
pub struct Pages {
    /// Those of the machine at its origin come first: 1 to `origin`. They are not stored.
    origin: u32,
    next: PageId,
    /// By the number of the first page.
    groups: BTreeMap<PageId, Group>,
    known: HashMap<u128, PageId>,
}

impl Pages {
    /// The pages of the machine at its origin, with the hash of the content of each.
    pub fn new(origin: impl Iterator<Item = u128>) -> Self {
        let hashes: Vec<u128> = origin.collect();
        let known = hashes.iter().zip(1..).map(|(hash, id)| (*hash, id)).collect();
        let origin = hashes.len() as u32;
        Self { origin, next: origin + 1, groups: BTreeMap::new(), known }
    }

    /// Whether a page of this content can be had.
    pub fn has(&self, id: PageId) -> bool {
        id <= self.origin || self.group_of(id).is_some()
    }

    fn group_of(&self, id: PageId) -> Option<(PageId, &Group)> {
        let (&first, group) = self.groups.range(..=id).next_back()?;
        (id - first < group.count).then_some((first, group))
    }

    /// The page with this content; if it is new it gets a number, and must be stored.
    pub fn identify(&mut self, bytes: &[u8]) -> (PageId, bool) {
        if bytes == [0; PAGE_BYTES] {
            return (ZERO, false);
        }
        let id = *self.known.entry(xxh3_128(bytes)).or_insert(self.next);
        let new = id == self.next;
        self.next += PageId::from(new);
        (id, new)
    }

    /// Takes in a stored group of `count` pages, numbered from `first` on.
    ///
    /// # Errors
    /// If there are such pages already.
    pub fn add(&mut self, first: PageId, count: u32, body: Body) -> Result<(), StoreError> {
        let last = first.checked_add(count - 1).ok_or(StoreError::Damaged("too many pages"))?;
        let below = self.groups.range(..=last).next_back();
        if first <= self.origin || below.is_some_and(|(at, group)| at + group.count > first) {
            return Err(StoreError::Damaged("a page that is there twice"));
        }
        self.next = self.next.max(last.saturating_add(1));
        self.groups.insert(first, Group { body, count, live: true });
        Ok(())
    }

    /// The bytes that all groups take.
    pub fn bytes(&self) -> u64 {
        self.groups.values().map(|group| group.body.bytes()).sum()
    }

    /// Drops the groups that nothing in `used` needs.
    pub fn keep_only(&mut self, used: impl Iterator<Item = PageId>) {
        self.groups.values_mut().for_each(|group| group.live = false);
        for id in used {
            if let Some((_, group)) = self.groups.range_mut(..=id).next_back() {
                group.live = true;
            }
        }
        self.groups.retain(|_, group| group.live);
        let mut known = std::mem::take(&mut self.known);
        known.retain(|_, id| self.has(*id));
        self.known = known;
    }

    /// Moves all groups to another file. Those that turn out to be damaged are dropped.
    pub fn move_to(&mut self, new: &mut SideFile) -> Result<(), StoreError> {
        let mut damaged = Vec::new();
        for (&first, Group { body, .. }) in &mut self.groups {
            match body.move_to(new) {
                Ok(()) => {}
                Err(StoreError::Damaged(_)) => damaged.push(first),
                Err(error) => return Err(error),
            }
        }
        damaged.iter().for_each(|first| drop(self.groups.remove(first)));
        let mut known = std::mem::take(&mut self.known);
        known.retain(|_, id| self.has(*id));
        self.known = known;
        Ok(())
    }

    /// Where `wanted` pages (by number, with their contents) are, group by group; those of the
    /// origin are not stored and not among them.
    pub fn locate(&self, wanted: &[(u32, PageId)]) -> Result<Vec<Fetch>, StoreError> {
        let mut fetches: BTreeMap<PageId, Fetch> = BTreeMap::new();
        for &(page, id) in wanted.iter().filter(|(_, id)| *id > self.origin) {
            let (first, group) = self.group_of(id).ok_or(StoreError::Damaged("a page that is not there"))?;
            let new = || Fetch { body: group.body.clone(), first, count: group.count, pages: Vec::new() };
            fetches.entry(first).or_insert_with(new).pages.push((page, id));
        }
        Ok(fetches.into_values().collect())
    }
}

/// A group, and where its pages go.
pub struct Fetch {
    body: Body,
    first: PageId,
    count: u32,
    /// The RAM pages that are wanted, and their contents.
    pages: Vec<(u32, PageId)>,
}

impl Fetch {
    /// How many pages go somewhere.
    pub fn len(&self) -> usize {
        self.pages.len()
    }

    /// The bytes of the group.
    pub fn read(&self) -> Result<Vec<u8>, StoreError> {
        let bytes = self.count as usize * PAGE_BYTES;
        let raw = match &self.body {
            Body::Memory(stored) => decompress(stored, bytes)?,
            Body::File(file, frame) => {
                frame.read(FrameKind::Pages, |bytes, at| file.read_exact_at(bytes, at))?
            }
        };
        if raw.len() != bytes {
            return Err(StoreError::Damaged("a group of another number of pages"));
        }
        Ok(raw)
    }

    /// The RAM pages, their contents' numbers and, from what [`Self::read`] gave, their bytes.
    pub fn pages<'a>(&'a self, raw: &'a [u8]) -> impl Iterator<Item = (u32, PageId, &'a [u8])> {
        let at = |id: PageId| (id - self.first) as usize * PAGE_BYTES;
        self.pages.iter().map(move |&(page, id)| (page, id, &raw[at(id)..][..PAGE_BYTES]))
    }
}
