//! The translator: guest code to host code, block by block. Safe code that makes bytes; the
//! bytes are put in place and called by `codemem`, which says what they may do.
//!
//! A block is translated when it has run some times. Whatever is not worth translating is
//! interpreted from within the block, one instruction at a time, by the handlers of `cpu/exec`:
//! so there is one definition of what an instruction does.

mod asm;
mod emit;
mod heat;
mod hooks;
mod host;
mod jump_table;
pub mod regs;
mod return_ring;
mod stats;
mod thunks;
mod translate;
mod windows;
mod x87_image;

pub use heat::Heat;
pub use hooks::Hooks;
pub use host::{Family, Trust};
pub use stats::{FormCounts, JitStats};

use crate::codemem::{CodeRegion, Frame, Guest, enter, supported};
use crate::cpu::Insn;
use crate::cpu::decode_cache::FixedState;
use crate::types::{PAGE_OFFSET_MASK, PAGE_SHIFT};
use hooks::Notes;
use jump_table::JumpTable;
use return_ring::ReturnRing;
use std::collections::{BTreeSet, HashMap};
use thunks::Thunks;
use x87_image::X87Image;

/// How much code is kept at most, in bytes; beyond that, everything is forgotten.
const REGION_BYTES: usize = 64 << 20;
/// How much code and tables about it are kept at most together, in bytes; likewise.
const KEPT_BYTES: usize = 96 << 20;
/// About what a block costs in the tables of blocks and pages.
const BLOCK_ENTRY_BYTES: usize = 160;
/// How often a block is interpreted before it is translated, unless somebody says otherwise.
const HOT: u16 = 16;
/// A block never needs more.
const BLOCK_ROOM: usize = 128 << 10;

/// An instruction that generated code has interpreted.
pub struct Site {
    /// It.
    pub insn: Insn,
    /// Its linear address.
    pub rip: u64,
    /// The instructions of its block from it on, itself included: they are paid for.
    pub rest: u32,
    /// The block ends with it.
    pub ends: bool,
    /// There is no translation of it.
    pub always: bool,
}

/// A way out of generated code.
#[derive(Clone, Copy)]
pub struct ExitPoint {
    /// Where the guest goes on.
    pub rip: u64,
    /// The block at `rip` was not begun, for want of budget.
    pub starved: bool,
    /// To a block without windows.
    pub plain: bool,
    /// The jump that can be linked to the target.
    link: Option<Link>,
}

impl ExitPoint {
    /// One to an address that is not known to the translator.
    pub fn to(rip: u64) -> Self {
        Self { rip, starved: false, plain: false, link: None }
    }
}

/// A jump that can be linked.
#[derive(Clone, Copy)]
struct Link {
    /// Its number among the exits.
    exit: u32,
    /// Address of its 32-bit distance.
    at: usize,
    /// Address of the code that leads to the dispatcher: where it goes while it is not linked.
    stub: usize,
    /// Its target must be checked: it may not be on the page of the jump, or not when it is taken.
    checked: bool,
}

/// Where a block is entered.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// By whoever knows that the code is at its address now.
    pub known: u64,
    /// By whoever does not: the translation of its page is compared first.
    pub checked: u64,
    /// The RAM offset of the page that it goes on in, if it crosses the end of its page.
    pub second: Option<u64>,
}

/// What is known of a RAM page with translated code.
#[derive(Default)]
struct Page {
    blocks: Vec<Key>,
    /// Exits that are linked to checked entries of these blocks.
    linked: Vec<u32>,
}

/// Where the code of a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TranslatedBlock {
    /// Its host address.
    pub host: usize,
    /// Its size there, up to the next block.
    pub bytes: usize,
    /// The linear address of the guest's code.
    pub linear: u64,
}

/// Why there is no translator.
#[derive(Debug, thiserror::Error)]
pub enum JitUnavailable {
    /// Another kind of host.
    #[error(
        "the translator needs x86-64 Linux (5.9 or newer) on a processor with BMI2, SSE4.2, LAHF and FSGSBASE, which this host is not; --accel interp gives the same results"
    )]
    Host,
    /// No executable memory.
    #[error("the host gives no executable memory")]
    Memory(#[from] std::io::Error),
}

/// A block by where it lies in RAM and at which linear address it is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Its RAM offset.
    pub ram_offset: u64,
    /// Its linear address.
    pub linear: u64,
    /// It has no windows: every access is checked by itself.
    pub plain: bool,
}

/// The translator, with all that it has translated; shared by all vCPUs.
pub struct Jit {
    region: CodeRegion,
    thunks: Thunks,
    thunk_bytes: usize,
    blocks: HashMap<Key, Entry, FixedState>,
    pages: HashMap<u32, Page, FixedState>,
    exits: Vec<ExitPoint>,
    /// More bytes of code than this are not kept.
    limit: usize,
    /// The host's time in nanoseconds, for the time that translating takes; nothing else sees it.
    pub stopwatch: Option<fn() -> u64>,
    /// A block is translated when it is wanted for this time.
    pub hot: u16,
    /// How often blocks were wanted that are not translated.
    pub heat: Heat,
    /// The families that are translated to the host's own instructions.
    trust: Trust,
    /// What code is instrumented for.
    pub hooks: Hooks,
    /// Linear pages, by number and in order, whose code is not translated.
    kept_off: Vec<u64>,
    /// What is needed while generated code runs.
    pub tables: Tables,
}

/// What is needed while generated code runs, besides the code.
pub struct Tables {
    sites: Vec<Site>,
    jumps: JumpTable,
    returns: ReturnRing,
    /// The x87 state on its way to or from the host's unit.
    pub x87: Box<X87Image>,
    /// What instrumented code notes.
    pub notes: Notes,
    /// What the translator did so far.
    pub stats: JitStats,
    /// How often an instruction of each form was interpreted for want of a translation.
    pub untranslated: FormCounts,
    /// Instructions that were translated, each time that they were.
    pub translated: FormCounts,
}

impl Tables {
    fn new(thunks: &Thunks) -> Self {
        Self {
            sites: Vec::new(),
            jumps: JumpTable::default(),
            returns: ReturnRing::new(thunks.lost),
            x87: Box::default(),
            stats: JitStats::default(),
            untranslated: FormCounts::default(),
            translated: FormCounts::default(),
            notes: Notes::default(),
        }
    }

    /// A site.
    #[inline]
    pub fn site(&self, number: u32) -> &Site {
        &self.sites[number as usize]
    }

    /// The host address of the table of jump targets.
    pub fn jumps_address(&self) -> u64 {
        self.jumps.address()
    }

    /// The host address of the ring of returns.
    pub fn returns_address(&self) -> u64 {
        self.returns.address()
    }

    /// Remembers the checked entry of the block at `linear`.
    #[inline]
    pub fn remember_jump(&mut self, linear: u64, entry: Entry) {
        self.jumps.insert(linear, entry.checked);
    }

    /// The checked entry of a block at `linear`, if one is known.
    #[inline]
    pub fn jump_target(&self, linear: u64) -> Option<u64> {
        self.jumps.find(linear)
    }
}

/// Translated code, to be run.
#[derive(Clone, Copy)]
pub struct Code<'a> {
    region: &'a CodeRegion,
    enter: usize,
}

impl Code<'_> {
    /// Runs generated code from [`Frame::entry`] on, until it leaves.
    #[inline]
    pub fn run<G: Guest>(self, frame: &mut Frame, guest: &mut G) -> u32 {
        enter(self.region, self.enter, frame, guest)
    }
}

impl Jit {
    /// An empty one.
    ///
    /// # Errors
    /// Why this host cannot have one.
    pub fn new() -> Result<Self, JitUnavailable> {
        if !supported() {
            return Err(JitUnavailable::Host);
        }
        let mut region = CodeRegion::new(REGION_BYTES)?;
        let (bytes, thunks) = thunks::build(region.next());
        region.append(&bytes);
        let mut jit = Self {
            thunk_bytes: region.used(),
            region,
            thunks,
            blocks: HashMap::default(),
            pages: HashMap::default(),
            exits: Vec::new(),
            limit: REGION_BYTES,
            stopwatch: None,
            hot: HOT,
            heat: Heat::default(),
            trust: Trust::ALL,
            hooks: Hooks::default(),
            kept_off: Vec::new(),
            tables: Tables::new(&thunks),
        };
        jit.trust = host::trust(&mut jit);
        jit.clear();
        jit.tables.stats = JitStats::default();
        Ok(jit)
    }

    /// The families that are translated to the host's own instructions.
    pub fn trust(&self) -> Trust {
        self.trust
    }

    /// Translates fewer families from now on: what a host that does otherwise would do.
    pub fn trust_only(&mut self, trust: Trust) {
        self.trust = self.trust.and(trust);
        self.clear();
    }

    /// Keeps at most so much code, at least one block.
    pub fn limit_code(&mut self, bytes: usize) {
        self.limit = bytes.min(REGION_BYTES);
    }

    /// What the translator did so far.
    pub fn stats(&self) -> JitStats {
        let cached_bytes = (self.region.used() - self.thunk_bytes) as u64;
        JitStats { cached_blocks: self.blocks.len() as u64, cached_bytes, ..self.tables.stats }
    }

    /// The entry points of a block.
    pub fn find(&self, key: Key) -> Option<Entry> {
        self.blocks.get(&key).copied()
    }

    /// An exit.
    #[inline]
    pub fn exit(&self, number: u64) -> ExitPoint {
        self.exits[number as usize]
    }

    /// Makes an exit go straight to `entry`, the block at its address, which lies at `ram_offset`,
    /// from now on. False: it is none that can be.
    pub fn link(&mut self, exit: ExitPoint, ram_offset: u64, entry: Entry) -> bool {
        let Some(link) = exit.link else { return false };
        // Who is in the first page knows nothing of the second.
        let checked = link.checked || entry.second.is_some();
        if checked {
            for page in pages_of(ram_offset, entry) {
                self.pages.entry(page).or_default().linked.push(link.exit);
            }
        }
        self.lead(link, if checked { entry.checked } else { entry.known });
        self.tables.stats.links += 1;
        true
    }

    fn lead(&mut self, link: Link, to: u64) {
        let distance = (to as i64 - (link.at as i64 + 4)) as i32;
        self.region.patch(link.at, distance.to_le_bytes());
    }

    /// The code, and what is needed while it runs.
    #[inline]
    pub fn parts(&mut self) -> (Code<'_>, &mut Tables) {
        (Code { region: &self.region, enter: self.thunks.enter }, &mut self.tables)
    }

    /// Forgets the blocks of a page whose code was overwritten. Whoever holds an entry point
    /// must look it up again. Nothing leads to these blocks any more, but for jumps that are not
    /// checked: those are in blocks of the same page.
    pub fn drop_page(&mut self, ram_page: u32) {
        let Some(page) = self.pages.remove(&ram_page) else { return };
        for key in page.blocks {
            self.blocks.remove(&key);
            self.tables.jumps.forget(key.linear);
            self.tables.stats.dropped += 1;
        }
        for exit in page.linked {
            if let Some(link) = self.exits[exit as usize].link {
                self.lead(link, link.stub as u64);
            }
        }
    }

    /// Translates nothing from now on that lies in one of these linear pages, given by their numbers in
    /// order: somebody wants to see each instruction there before it executes.
    pub fn keep_off(&mut self, pages: Vec<u64>) {
        if self.kept_off == pages {
            return;
        }
        self.kept_off = pages;
        let affected = self.blocks.keys().filter(|key| self.keeps_off(key.linear));
        let affected: BTreeSet<u32> = affected.map(|key| (key.ram_offset >> PAGE_SHIFT) as u32).collect();
        affected.into_iter().for_each(|page| self.drop_page(page));
    }

    /// Whether code at a linear address is not to be translated.
    #[inline]
    pub fn keeps_off(&self, linear: u64) -> bool {
        !self.kept_off.is_empty() && self.kept_off.binary_search(&(linear >> PAGE_SHIFT)).is_ok()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.region.truncate(self.thunk_bytes);
        self.blocks.clear();
        self.pages.clear();
        self.tables.sites.clear();
        self.tables.notes.steps.clear();
        self.exits.clear();
        self.tables.jumps.clear();
        self.tables.returns.clear(self.thunks.lost);
        self.tables.stats.flushes += 1;
    }

    /// Every block that is translated now, in the order of the code.
    pub fn translated(&self) -> Vec<TranslatedBlock> {
        let mut found: Vec<_> =
            self.blocks.iter().map(|(key, entry)| (entry.checked as usize, key.linear)).collect();
        found.sort_unstable();
        let ends = found.iter().skip(1).map(|(host, _)| *host).chain([self.region.next()]);
        found
            .iter()
            .zip(ends)
            .map(|(&(host, linear), end)| TranslatedBlock { host, bytes: end - host, linear })
            .collect()
    }

    fn keep(&mut self, key: Key, entry: Entry) {
        debug_assert!((key.ram_offset ^ key.linear) & PAGE_OFFSET_MASK == 0);
        self.blocks.insert(key, entry);
        for page in pages_of(key.ram_offset, entry) {
            self.pages.entry(page).or_default().blocks.push(key);
        }
    }
}

/// The RAM pages that a block depends on.
fn pages_of(ram_offset: u64, entry: Entry) -> impl Iterator<Item = u32> {
    std::iter::once(ram_offset).chain(entry.second).map(|offset| (offset >> PAGE_SHIFT) as u32)
}
