//! Mutated kernel images: whatever the bytes, the loader loads them or says what is wrong, and
//! what it loads runs.
//!
//! `DEJAVM_FUZZ_SEED=N` repeats a case; a long run is
//! `DEJAVM_FUZZ_SECONDS=600 cargo test -p dejavm-tests --test fuzz_images`.

use dejavm_core::boundary::{Images, MachineConfig};
use dejavm_core::machine::{Machine, MachineError, RunLimit};
use dejavm_tests::fuzz;
use dejavm_tests::rng::Rng;
use std::cell::Cell;

const CASES: u64 = 3000;
const CODE_BYTES: usize = 1024;
const SETUP_BYTES: usize = 5 * 512;
const TELLING: [u64; 14] = [
    0,
    1,
    0x7F,
    0xFF,
    0xFFF,
    0x10_0000,
    0x20_0000,
    0xC000_0000,
    u32::MAX as u64,
    1 << 32,
    1 << 40,
    i64::MAX as u64,
    u64::MAX - 0xFFF,
    u64::MAX,
];

fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

/// A bzImage that boots.
fn bzimage() -> Vec<u8> {
    let mut i = vec![0xF4; SETUP_BYTES + CODE_BYTES];
    i[..SETUP_BYTES].fill(0);
    i[0x1F1] = 4;
    put(&mut i, 0x1F4, &(CODE_BYTES as u32 / 16).to_le_bytes());
    i[0x201] = 0x6A;
    put(&mut i, 0x202, b"HdrS");
    put(&mut i, 0x206, &0x020Fu16.to_le_bytes());
    i[0x211] = 1;
    put(&mut i, 0x22C, &0x7FFF_FFFFu32.to_le_bytes());
    put(&mut i, 0x230, &0x20_0000u32.to_le_bytes());
    i[0x234] = 1;
    put(&mut i, 0x236, &1u16.to_le_bytes());
    put(&mut i, 0x238, &2047u32.to_le_bytes());
    put(&mut i, 0x258, &0x10_0000u64.to_le_bytes());
    put(&mut i, 0x260, &0x8000u32.to_le_bytes());
    i
}

/// An ELF kernel of two segments and a PVH note that boots.
fn elf() -> Vec<u8> {
    const PADDR: u64 = 0x10_0000;
    const VADDR: u64 = 0xFFFF_FFFF_8010_0000;
    let mut i = vec![0; 0x200];
    put(&mut i, 0, b"\x7FELF\x02\x01\x01");
    put(&mut i, 16, &[2, 0, 62, 0]);
    put(&mut i, 24, &PADDR.to_le_bytes());
    put(&mut i, 32, &64u64.to_le_bytes());
    put(&mut i, 54, &[56, 0, 3, 0]);
    let header = |kind: u32, numbers: [u64; 6]| {
        let mut h = [kind, 5].map(u32::to_le_bytes).concat();
        h.extend(numbers.map(u64::to_le_bytes).concat());
        h
    };
    put(&mut i, 64, &header(1, [0x200, VADDR, PADDR, CODE_BYTES as u64, 0x3000, 0]));
    put(&mut i, 120, &header(4, [0x1C0, 0, 0, 24, 24, 0]));
    put(&mut i, 176, &header(1, [0x200, VADDR + 0x4000, PADDR + 0x4000, 16, 0x100, 0]));
    let mut note = [4u32, 8, 18].map(u32::to_le_bytes).concat();
    note.extend(b"Xen\0");
    note.extend(PADDR.to_le_bytes());
    i.resize(0x200 + CODE_BYTES, 0xF4);
    put(&mut i, 0x1C0, &note);
    i
}

/// One change at a place that is read.
fn mutate(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let header = if bytes.starts_with(b"\x7FELF") { 0..0x200 } else { 0x1F0..0x270 };
    let anywhere = rng.one_in(8);
    let (start, end) = if anywhere { (0, bytes.len()) } else { (header.start, header.end.min(bytes.len())) };
    let at = start.min(bytes.len()) + rng.below(end.saturating_sub(start).max(1) as u64) as usize;
    let len = (1 + rng.below(8) as usize).min(bytes.len().saturating_sub(at));
    match rng.below(6) {
        0 if len > 0 => bytes[at] ^= 1 << rng.below(8),
        1 if len > 0 => bytes[at] = rng.u64() as u8,
        2 => bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize),
        3 if len > 0 => drop(bytes.drain(at..at + len)),
        // A field as a whole: fields are aligned, in both formats.
        _ => {
            let at = (at & !3).min(bytes.len());
            let value = rng.pick(&TELLING).wrapping_add(rng.below(3)).wrapping_sub(1).to_le_bytes();
            let len = rng.pick(&[2, 4, 8]).min(bytes.len() - at);
            bytes[at..at + len].copy_from_slice(&value[..len]);
        }
    }
}

fn command_line(rng: &mut Rng) -> String {
    let len = rng.pick(&[0, 10, 2047, 2048, 600_000]);
    let mut line: String = (0..len).map(|_| char::from(1 + rng.below(127) as u8)).collect();
    if rng.one_in(16) {
        line.push('\0');
    }
    line
}

/// Loads a case and runs what was loaded; whether it was loaded.
fn check(seed: u64) -> bool {
    let mut rng = Rng::new(seed);
    let mut kernel = if rng.one_in(2) { bzimage() } else { elf() };
    for _ in 0..rng.below(4) {
        mutate(&mut kernel, &mut rng);
    }
    let initrd_bytes = rng.pick(&[0, 1, 4095, 4096, 0x10_0000, 0x1F_0000]) + rng.below(3);
    let initrd = (!rng.one_in(3)).then(|| vec![0x5A; initrd_bytes as usize]);
    let sizes = [0, 1, 0xF_FFFF, 0x10_0000, 0x10_1000, 0x20_0000, 0x40_0000];
    let config = MachineConfig {
        vcpus: rng.pick(&[1, 1, 1, 2, 64, 0, 65]),
        ram_bytes: if rng.one_in(3) { rng.pick(&sizes) } else { 0x40_0000 },
        command_line: if rng.one_in(2) { command_line(&mut rng) } else { String::new() },
        ..MachineConfig::default()
    };
    match Machine::new(&config, Images { kernel, initrd }) {
        Ok(mut machine) => {
            machine.run(&RunLimit { stop_when_idle: true, stop_on_reset: true, ..RunLimit::to_icount(200) });
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(!matches!(error, MachineError::Ram { .. }), "{error}");
            false
        }
    }
}

#[test]
fn mutated_images_are_answered() {
    let counts = Cell::new((0u64, 0u64));
    fuzz::run(CASES, |seed| {
        let (loaded, refused) = counts.get();
        counts.set(if check(seed) { (loaded + 1, refused) } else { (loaded, refused + 1) });
    });
    let (loaded, refused) = counts.get();
    println!("{loaded} loaded, {refused} refused");
    assert!(loaded + refused < 2 || (loaded > 0 && refused > 0), "some load, and some do not");
}
