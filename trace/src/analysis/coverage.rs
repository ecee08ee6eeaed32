//! Which code ran: instructions, and the blocks that they make, as drcov and lcov write them.
//!
//! A block begins where control came to from elsewhere, and where the instruction before it did not
//! run; it ends where the next begins, or behind its last instruction that ran.

use super::{AddressMap, Code};
use crate::linux::{Guest, Symbols};
use dejavm_core::boundary::{ProbeEvent, ProbeRecord};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What is known of an instruction that ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ran {
    /// How often.
    count: u64,
    /// Its length; 0 if it could not be read.
    len: u8,
    /// Control came to it from elsewhere.
    leads: bool,
}

/// What ran in a stretch.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    instructions: AddressMap<u64, Ran>,
}

/// A block that ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CoveredBlock {
    /// Its first address.
    pub address: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// How often its first instruction ran.
    pub count: u64,
}

/// A file, or a part of memory, that blocks are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its name.
    pub path: String,
    /// Its first address.
    pub base: u64,
    /// Behind its last.
    pub end: u64,
}

impl Coverage {
    /// Of the instruction and block events of a piece, and of the guest at its end.
    pub fn of(records: &[ProbeRecord], guest: &dyn Guest) -> Self {
        let mut seen: AddressMap<(u64, u64), (Ran, u8)> = AddressMap::default();
        for record in records {
            let vcpu = record.vcpu.unwrap_or_default();
            match record.event {
                ProbeEvent::Block { address } => {
                    seen.entry((record.cr3, address)).or_insert((Ran::default(), vcpu)).0.leads = true;
                }
                ProbeEvent::Instruction { address } => {
                    seen.entry((record.cr3, address)).or_insert((Ran::default(), vcpu)).0.count += 1;
                }
                _ => {}
            }
        }
        let mut code = Code::new(guest);
        let mut coverage = Self::default();
        for ((cr3, address), (ran, vcpu)) in seen {
            let len = code.instruction(vcpu, cr3, address).map_or(0, |i| i.len() as u8);
            coverage.put(address, Ran { len, ..ran });
        }
        coverage
    }

    fn put(&mut self, address: u64, ran: Ran) {
        let sum = self.instructions.entry(address).or_default();
        sum.count += ran.count;
        sum.len = sum.len.max(ran.len);
        sum.leads |= ran.leads;
    }

    /// Adds what ran in another stretch.
    pub fn add(&mut self, other: Self) {
        other.instructions.into_iter().for_each(|(address, ran)| self.put(address, ran));
    }

    /// How many instructions ran that could not be read any more at the end of their piece; they are
    /// blocks of one byte.
    pub fn unread(&self) -> usize {
        self.instructions.values().filter(|ran| ran.len == 0).count()
    }

    /// The blocks, by address.
    pub fn blocks(&self) -> Vec<CoveredBlock> {
        let mut sorted: Vec<(u64, Ran)> = self.instructions.iter().map(|(k, v)| (*k, *v)).collect();
        sorted.sort_unstable_by_key(|(address, _)| *address);
        let mut blocks: Vec<CoveredBlock> = Vec::new();
        for (address, ran) in sorted.into_iter().filter(|(_, ran)| ran.count != 0) {
            let bytes = u64::from(ran.len.max(1));
            match blocks.last_mut() {
                Some(block) if !ran.leads && block.address + block.bytes == address => block.bytes += bytes,
                _ => blocks.push(CoveredBlock { address, bytes, count: ran.count }),
            }
        }
        blocks
    }
}

/// The modules that blocks are of which are in none of `known`: a module for each GiB.
fn modules_of(blocks: &[CoveredBlock], known: &[Module]) -> Vec<Module> {
    const SPAN: u64 = 1 << 30;
    let mut modules = known.to_vec();
    for block in blocks {
        if find(&modules, block).is_none() {
            let base = block.address & !(SPAN - 1);
            let path = format!("guest-{base:#x}");
            modules.push(Module { path, base, end: base.saturating_add(SPAN) });
        }
    }
    modules
}

fn find(modules: &[Module], block: &CoveredBlock) -> Option<usize> {
    modules.iter().position(|module| (module.base..module.end).contains(&block.address))
}

/// DynamoRIO's drcov, version 2 of the log and of the module table.
pub fn drcov(blocks: &[CoveredBlock], known: &[Module]) -> Vec<u8> {
    /// The longest block that an entry can tell.
    const MOST_BYTES: u64 = 0xFFFF;
    let modules = modules_of(blocks, known);
    let mut out = String::from("DRCOV VERSION: 2\nDRCOV FLAVOR: dejavm\n");
    let _ = writeln!(out, "Module Table: version 2, count {}", modules.len());
    out.push_str("Columns: id, base, end, entry, checksum, timestamp, path\n");
    for (id, Module { path, base, end }) in modules.iter().enumerate() {
        let _ =
            writeln!(out, "{id:3}, {base:#018x}, {end:#018x}, {:#018x}, 0x00000000, 0x00000000, {path}", 0);
    }
    let mut entries = Vec::new();
    let mut count = 0;
    for block in blocks {
        let Some(id) = find(&modules, block) else { continue };
        let (mut at, end) = (block.address, block.address + block.bytes);
        while at < end {
            let bytes = (end - at).min(MOST_BYTES);
            entries.extend_from_slice(&((at - modules[id].base) as u32).to_le_bytes());
            entries.extend_from_slice(&(bytes as u16).to_le_bytes());
            entries.extend_from_slice(&(id as u16).to_le_bytes());
            at += bytes;
            count += 1;
        }
    }
    let _ = writeln!(out, "BB Table: {count} bbs");
    let mut out = out.into_bytes();
    out.append(&mut entries);
    out
}

/// lcov's tracefile, by symbol: a "line" is the number of a function in the order of addresses, and
/// its count how often the function was entered at its beginning, or, if it never was, how often the
/// first of its blocks ran.
pub fn lcov(blocks: &[CoveredBlock], symbols: &Symbols, source: &str) -> String {
    let by_address: BTreeMap<u64, u64> = blocks.iter().map(|block| (block.address, block.count)).collect();
    let (mut functions, mut counts, mut lines) = (String::new(), String::new(), String::new());
    let (mut found, mut hit) = (0, 0);
    let mut before = None;
    for symbol in symbols.iter().filter(|symbol| matches!(symbol.kind, 'T' | 't' | 'W' | 'w')) {
        if before.replace(symbol.address) == Some(symbol.address) {
            continue;
        }
        let end = symbols.end_of(symbol.address).unwrap_or(symbol.address);
        let inside = by_address.range(symbol.address..end.max(symbol.address + 1)).next();
        let count = inside.map_or(0, |(_, count)| *count);
        found += 1;
        hit += u64::from(count != 0);
        let _ = writeln!(functions, "FN:{found},{}", symbol.name);
        let _ = writeln!(counts, "FNDA:{count},{}", symbol.name);
        let _ = writeln!(lines, "DA:{found},{count}");
    }
    format!(
        "TN:dejavm\nSF:{source}\n{functions}{counts}FNF:{found}\nFNH:{hit}\n{lines}LF:{found}\nLH:{hit}\nend_of_record\n"
    )
}
