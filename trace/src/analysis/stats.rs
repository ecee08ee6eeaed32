//! What a stretch consists of: events by name, the instructions by mnemonic, the blocks that ran most,
//! the pages that were accessed most.

use super::{AddressMap, Code};
use crate::event::description;
use crate::linux::Guest;
use dejavm_core::boundary::{ProbeEvent, ProbeKind, ProbeRecord};
use iced_x86::Mnemonic;
use std::collections::BTreeMap;

const PAGE_SHIFT: u32 = 12;

/// A block by its address and, if it is a user's, its CR3.
pub type Place = (u64, u64);

/// How often a block ran, and how many instructions that were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockCount {
    /// How often its first instruction was executed as such.
    pub runs: u64,
    /// Instructions up to the next block.
    pub instructions: u64,
}

/// How often a physical page was accessed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageCount {
    /// Loads.
    pub loads: u64,
    /// Stores.
    pub stores: u64,
}

/// The statistics.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    events: BTreeMap<ProbeKind, u64>,
    mix: BTreeMap<String, u64>,
    undecoded: u64,
    blocks: AddressMap<Place, BlockCount>,
    pages: AddressMap<u64, PageCount>,
}

impl Stats {
    /// Of the records of a piece, and of the guest at its end.
    pub fn of(records: &[ProbeRecord], guest: &dyn Guest) -> Self {
        let mut stats = Self::default();
        let mut counts = [0u64; ProbeKind::COUNT];
        let mut instructions: AddressMap<(u64, u64), (u64, u8)> = AddressMap::default();
        // The block that each vCPU is in. One that began before this piece goes on without its name.
        let mut within: [Option<Place>; 256] = [None; 256];
        for record in records {
            counts[record.event.kind().index()] += 1;
            let vcpu = record.vcpu.unwrap_or_default();
            match &record.event {
                ProbeEvent::Block { address } => {
                    let place = place(record, *address);
                    within[usize::from(vcpu)] = Some(place);
                    stats.blocks.entry(place).or_default().runs += 1;
                }
                ProbeEvent::Instruction { address } => {
                    instructions.entry((record.cr3, *address)).or_insert((0, vcpu)).0 += 1;
                    if let Some(place) = within[usize::from(vcpu)] {
                        stats.blocks.entry(place).or_default().instructions += 1;
                    }
                }
                ProbeEvent::Load(access) => {
                    stats.pages.entry(access.physical >> PAGE_SHIFT).or_default().loads += 1;
                }
                ProbeEvent::Store(access) => {
                    stats.pages.entry(access.physical >> PAGE_SHIFT).or_default().stores += 1;
                }
                _ => {}
            }
        }
        let kinds = ProbeKind::all().zip(counts).filter(|(_, count)| *count != 0);
        stats.events = kinds.collect();
        stats.count_mix(&instructions, guest);
        stats
    }

    fn count_mix(&mut self, instructions: &AddressMap<(u64, u64), (u64, u8)>, guest: &dyn Guest) {
        let mut code = Code::new(guest);
        let mut mix: BTreeMap<Mnemonic, u64> = BTreeMap::new();
        for (&(cr3, address), &(count, vcpu)) in instructions {
            match code.instruction(vcpu, cr3, address) {
                Some(instruction) => *mix.entry(instruction.mnemonic()).or_default() += count,
                None => self.undecoded += count,
            }
        }
        self.mix = mix.into_iter().map(|(m, count)| (format!("{m:?}").to_lowercase(), count)).collect();
    }

    /// Adds those of another stretch.
    pub fn add(&mut self, other: Self) {
        for (kind, count) in other.events {
            *self.events.entry(kind).or_default() += count;
        }
        for (mnemonic, count) in other.mix {
            *self.mix.entry(mnemonic).or_default() += count;
        }
        self.undecoded += other.undecoded;
        for (place, count) in other.blocks {
            let block = self.blocks.entry(place).or_default();
            block.runs += count.runs;
            block.instructions += count.instructions;
        }
        for (page, count) in other.pages {
            let sum = self.pages.entry(page).or_default();
            sum.loads += count.loads;
            sum.stores += count.stores;
        }
    }

    /// Events by name, those first of which there are most.
    pub fn events(&self) -> Vec<(&'static str, u64)> {
        let named = self.events.iter().map(|(kind, count)| (description(*kind).name.as_str(), *count));
        sorted(named, |count| *count)
    }

    /// Instructions by mnemonic, and how many could not be read any more at the end of their piece.
    pub fn mix(&self) -> (Vec<(&str, u64)>, u64) {
        let named = self.mix.iter().map(|(mnemonic, count)| (mnemonic.as_str(), *count));
        (sorted(named, |count| *count), self.undecoded)
    }

    /// Blocks, those first that took most instructions.
    pub fn blocks(&self) -> Vec<(Place, BlockCount)> {
        sorted(self.blocks.iter().map(|(k, v)| (*k, *v)), |count| count.instructions.max(count.runs))
    }

    /// Physical pages by number, those first with most accesses.
    pub fn pages(&self) -> Vec<(u64, PageCount)> {
        sorted(self.pages.iter().map(|(k, v)| (*k, *v)), |count| count.loads + count.stores)
    }
}

fn place(record: &ProbeRecord, address: u64) -> Place {
    (address, if address >> 63 == 1 { 0 } else { record.cr3 })
}

/// The most first; of equals the lower key.
fn sorted<K: Ord, V>(items: impl Iterator<Item = (K, V)>, weight: impl Fn(&V) -> u64) -> Vec<(K, V)> {
    let mut items: Vec<(K, V)> = items.collect();
    items.sort_by(|a, b| weight(&b.1).cmp(&weight(&a.1)).then_with(|| a.0.cmp(&b.0)));
    items
}
