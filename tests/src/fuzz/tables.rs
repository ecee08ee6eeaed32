//! Descriptor tables, gates, TSSs and page tables that mostly hold together.

use super::guest::{Mode, layout};
use crate::rng::Rng;

const TABLE_BYTES: usize = 0x1000;
const GIB_TABLE: u64 = layout::PAGE_TABLES + 0x1000;
const DIRECTORY: u64 = layout::PAGE_TABLES + 0x2000;
const TABLE: u64 = layout::PAGE_TABLES + 0x3000;
/// 32-bit paging.
const DIRECTORY_32: u64 = layout::PAGE_TABLES + 0x4000;
const TABLE_32: u64 = layout::PAGE_TABLES + 0x5000;

/// P, RW, US.
const OPEN: u64 = 7;
const LARGE: u64 = 0x80;

/// CR3 in a mode.
pub fn cr3(mode: Mode) -> u64 {
    match mode {
        Mode::Legacy => DIRECTORY_32,
        Mode::Pae => GIB_TABLE,
        _ => layout::PAGE_TABLES,
    }
}

/// The PDPTE registers in a mode.
pub fn pdptes(mode: Mode) -> [u64; 4] {
    if mode == Mode::Pae { [DIRECTORY | 1, 0, DIRECTORY | 1, DIRECTORY | 1] } else { [0; 4] }
}

fn descriptor(base: u64, limit: u64, rights: u64) -> u64 {
    (limit & 0xFFFF)
        | (base & 0xFF_FFFF) << 16
        | (rights & 0xFF) << 40
        | (limit >> 16 & 0xF) << 48
        | (rights >> 8 & 0xF) << 52
        | (base >> 24 & 0xFF) << 56
}

/// The GDT: flat segments of every kind, TSSs, an LDT, call and task gates, and noise.
pub fn gdt(rng: &mut Rng) -> Vec<u8> {
    let flat = |rights: u64| descriptor(0, 0xF_FFFF, rights);
    let gate = |rng: &mut Rng, selector: u64, kind: u64| {
        let target = layout::CODE + rng.below(layout::CODE_BYTES);
        target & 0xFFFF | selector << 16 | rng.below(4) << 32 | kind << 40 | (target >> 16) << 48
    };
    let mut d = vec![
        0,
        flat(0xC9B),
        flat(0xC93),
        flat(0xA9B),
        descriptor(0, 0xFFFF, 0x09B),
        descriptor(0, 0xFFFF, 0x093),
        flat(0xCFB),
        flat(0xCF3),
        flat(0xAFB),
        descriptor(layout::TSS, 0x67, 0x089),
        0,
        descriptor(layout::TSS + 0x100, 0x2B, 0x081),
        descriptor(layout::LDT, 0xFF, 0x082),
        0,
        gate(rng, 8, 0xEC),
        gate(rng, 0x18, 0xEC),
        0,
        0x48 << 16 | 0xE5 << 40,
        flat(0xC9F),
        descriptor(0, 0x10, 0xC97),
        descriptor(layout::DATA, 0xFFF, 0x4F3),
        descriptor(layout::TSS + 0x200, 0x2067, 0x0E9),
        gate(rng, 0x33, 0xE4),
    ];
    while d.len() < 32 {
        d.push(rng.u64());
    }
    noise(rng, &mut d);
    to_bytes(&d)
}

/// Changes a few bits of a few entries, half of the time.
fn noise(rng: &mut Rng, entries: &mut [u64]) {
    if rng.one_in(2) {
        return;
    }
    for _ in 0..rng.below(4) {
        let at = rng.below(entries.len() as u64) as usize;
        entries[at] ^= 1 << rng.below(64);
    }
}

fn to_bytes(entries: &[u64]) -> Vec<u8> {
    entries.iter().flat_map(|e| e.to_le_bytes()).collect()
}

/// The interrupt table of a mode: each handler somewhere in the code.
pub fn idt(rng: &mut Rng, mode: Mode) -> Vec<u8> {
    let mut entries = Vec::new();
    for _ in 0..256 {
        let target = layout::CODE + rng.below(layout::CODE_BYTES);
        let kind = rng.pick(&[0x8Eu64, 0x8E, 0xEE, 0xEF, 0x8F]);
        let gate = |selector: u64, ist: u64, kind: u64| {
            target & 0xFFFF | selector << 16 | ist << 32 | kind << 40 | (target >> 16) << 48
        };
        match mode {
            Mode::Long | Mode::Compat => {
                let ist = if rng.one_in(4) { rng.below(8) } else { 0 };
                entries.extend([gate(0x18, ist, kind), 0]);
            }
            _ if rng.one_in(16) => entries.push(gate(0x48, 0, 0x85)),
            Mode::Real => {
                let vector = |target: u64| (layout::CODE >> 4) << 16 | (target & 0xFFF);
                entries.push(vector(target) | vector(target + 64) << 32);
            }
            _ if rng.one_in(8) => entries.push(gate(0x20, 0, kind & !8)),
            _ => entries.push(gate(8, 0, kind)),
        }
    }
    noise(rng, &mut entries);
    to_bytes(&entries)
}

/// The TSSs: stacks and entry points that work, the rest zero or noise.
pub fn tss(rng: &mut Rng, mode: Mode) -> Vec<u8> {
    let mut bytes = vec![0; 0x400];
    let mut put =
        |at: usize, v: u64, len: usize| bytes[at..at + len].copy_from_slice(&v.to_le_bytes()[..len]);
    if matches!(mode, Mode::Long | Mode::Compat) {
        for k in 0..11 {
            put(4 + 8 * k, layout::STACK_END - 0x100 * k as u64, 8);
        }
    } else {
        for k in 0..3 {
            put(4 + 8 * k, layout::STACK_END - 0x100 * k as u64, 4);
            put(8 + 8 * k, 0x10, 4);
        }
        put(0x1C, cr3(mode), 4);
        put(0x20, layout::CODE, 4);
        put(0x38, layout::STACK_END, 4);
        for (k, selector) in [0x10u64, 8, 0x10, 0x10, 0, 0].into_iter().enumerate() {
            put(0x48 + 4 * k, selector, 4);
        }
    }
    put(0x66, 0x68, 2);
    let copy = bytes[..0x68].to_vec();
    bytes[0x200..0x268].copy_from_slice(&copy);
    for _ in 0..rng.below(4) {
        let at = rng.below(0x400) as usize;
        bytes[at] = rng.u64() as u8;
    }
    bytes
}

/// Page tables of every kind: identity, with the device registers, themselves mapped, and noise.
pub fn page_tables(rng: &mut Rng) -> Vec<u8> {
    let mut b = vec![0; 6 * TABLE_BYTES];
    let mut put = |at: u64, index: usize, width: usize, entry: u64| {
        let at = (at - layout::PAGE_TABLES) as usize + width * index;
        b[at..at + width].copy_from_slice(&entry.to_le_bytes()[..width]);
    };
    put(layout::PAGE_TABLES, 0, 8, GIB_TABLE | OPEN);
    put(layout::PAGE_TABLES, 511, 8, layout::PAGE_TABLES | OPEN);
    // PDPT: bits RW and US are reserved in PAE paging, and unused by its register copies.
    for k in [0, 2, 3] {
        put(GIB_TABLE, k, 8, DIRECTORY | OPEN);
    }
    put(DIRECTORY, 0, 8, TABLE | OPEN);
    put(DIRECTORY, 1, 8, LARGE | OPEN);
    put(DIRECTORY, 2, 8, DIRECTORY | OPEN);
    put(DIRECTORY, 502, 8, 0xFEC0_0000 | LARGE | OPEN);
    put(DIRECTORY, 503, 8, 0xFEE0_0000 | LARGE | OPEN);
    put(DIRECTORY_32, 0, 4, TABLE_32 | OPEN);
    put(DIRECTORY_32, 1, 4, LARGE | OPEN);
    put(DIRECTORY_32, 1019, 4, 0xFEC0_0000 | LARGE | OPEN);
    put(DIRECTORY_32, 1023, 4, DIRECTORY_32 | OPEN);
    for k in 0..512 {
        put(TABLE, k, 8, (k as u64) << 12 | leaf_bits(rng));
        put(TABLE_32, k, 4, (k as u64) << 12 | leaf_bits(rng) & 0xFFF);
    }
    if rng.one_in(2) {
        for _ in 0..rng.below(12) {
            let at = rng.below(b.len() as u64) as usize;
            b[at] ^= 1 << rng.below(8);
        }
    }
    b
}

fn leaf_bits(rng: &mut Rng) -> u64 {
    match rng.below(200) {
        0 => 0,
        1 => rng.u64() & !0xF_F000,
        2 => 1 << 63 | OPEN,
        3 => 3,
        4 => 5,
        5..100 => OPEN | 0x60,
        _ => OPEN,
    }
}
