//! Mutated journals: whatever the bytes, the reader answers, in bounded memory.
//!
//! Each case is a seed. A failing one is repeated with `DEJAVM_FUZZ_SEED=n`; a longer run is
//! `DEJAVM_FUZZ_SECONDS=600 cargo test --release -p dejavm-replay --test journal fuzz`.

use crate::hostile::forged;
use crate::round_trip::read_all;
use crate::sample;
use dejavm_core::boundary::Images;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

const TELLING: [u64; 10] = [0, 1, 0x7f, 0xff, 251, 252, 253, u32::MAX as u64, i64::MAX as u64, u64::MAX];

/// One small change at a random place.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(bytes.len());
    let len = random.below(16).min(bytes.len() - at);
    match random.below(6) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.next() as u8,
        2 => drop(bytes.drain(at..at + len)),
        3 => drop(bytes.splice(at..at, (0..len).map(|k| k as u8).collect::<Vec<_>>())),
        4 => {
            let value = TELLING[random.below(TELLING.len())].to_le_bytes();
            let len = len.min(8);
            bytes[at..at + len].copy_from_slice(&value[..len]);
        }
        _ => {
            let from = random.below(bytes.len() - len);
            bytes.copy_within(from..from + len, at);
        }
    }
    if bytes.is_empty() {
        bytes.push(0);
    }
}

/// The journal of a case: mutated as a file, or within a chunk whose checksums are good again.
fn case(seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let rounds = 1 + random.below(4);
    if random.below(2) == 0 {
        let mut bytes = sample::journal(true);
        (0..rounds).for_each(|_| mutate(&mut bytes, &mut random));
        return bytes;
    }
    let chunk = random.below(8);
    forged(chunk, |header, raw| {
        (0..rounds).for_each(|_| mutate(raw, &mut random));
        if random.below(8) != 0 {
            header.raw_len = raw.len() as u32;
        }
        let counts = [
            &mut header.first.icount,
            &mut header.first.now_ns,
            &mut header.last.icount,
            &mut header.last.now_ns,
        ];
        if random.below(8) == 0 {
            let count = random.below(4);
            let Some(count) = counts.into_iter().nth(count) else { return };
            *count = TELLING[random.below(TELLING.len())];
        }
    })
}

/// Reads it all; true if it was accepted.
fn read(bytes: &[u8]) -> bool {
    let Ok((mut reader, chunks)) = read_all(bytes) else { return false };
    let images = reader.read_images(Images::default());
    for chunk in &chunks {
        assert_eq!(chunk.hash.parts.len(), reader.header().part_names.len());
    }
    images.is_ok()
}

fn check(seed: u64) -> bool {
    catch_unwind(AssertUnwindSafe(|| read(&case(seed)))).unwrap_or_else(|_| {
        panic!("the reader panicked: repeat with DEJAVM_FUZZ_SEED={seed}");
    })
}

fn env_number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn mutated_journals_are_answered() {
    if let Some(seed) = env_number("DEJAVM_FUZZ_SEED") {
        check(seed);
        return;
    }
    let (start, budget) = (Instant::now(), env_number("DEJAVM_FUZZ_SECONDS").map(Duration::from_secs));
    let (mut seed, mut accepted) = (0, 0);
    while budget.map_or(seed < 3000, |budget| start.elapsed() < budget) {
        accepted += u64::from(check(seed));
        seed += 1;
    }
    println!("seeds 0 to {}: {accepted} accepted, the others refused", seed - 1);
    assert!(accepted > 0 && accepted < seed, "mutations reach past the checksums, and are noticed");
    assert!(peak_memory_kib() < 512 << 10, "memory stays bounded: {} KiB", peak_memory_kib());
}
