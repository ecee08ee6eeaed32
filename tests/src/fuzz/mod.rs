//! Fuzzing by seed: whatever a case does, it ends, without a panic, in bounded time and memory.
//!
//! Each case is a seed, counted up from 0. `DEJAVM_FUZZ_SEED=N` repeats one case;
//! `DEJAVM_FUZZ_SECONDS=S` goes on that long, from `DEJAVM_FUZZ_FIRST=N` (0).

pub mod code;
pub mod guest;
mod tables;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A case takes milliseconds; one that takes this long hangs.
const HANG: Duration = Duration::from_secs(60);
/// What a process of cases may ever hold, in KiB.
const MEMORY_LIMIT_KIB: u64 = 1 << 20;
/// How often memory is looked at, in cases.
const MEMORY_EVERY: u64 = 256;

fn env_number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Runs `cases` cases, or as many as `DEJAVM_FUZZ_SECONDS` allow.
///
/// # Panics
/// If a case panics or memory grows too far. A case that hangs ends the process.
pub fn run(cases: u64, check: impl Fn(u64)) {
    if let Some(seed) = env_number("DEJAVM_FUZZ_SEED") {
        check(seed);
        return;
    }
    let budget = env_number("DEJAVM_FUZZ_SECONDS").map(Duration::from_secs);
    let first = env_number("DEJAVM_FUZZ_FIRST").unwrap_or(0);
    let (start, watchdog) = (Instant::now(), Watchdog::new());
    let mut seed = first;
    while budget.map_or(seed - first < cases, |budget| start.elapsed() < budget) {
        watchdog.case(seed);
        let result = catch_unwind(AssertUnwindSafe(|| check(seed)));
        assert!(result.is_ok(), "case failed: repeat it with DEJAVM_FUZZ_SEED={seed}");
        seed += 1;
        if seed % MEMORY_EVERY == 0 {
            let peak = peak_memory_kib();
            assert!(peak < MEMORY_LIMIT_KIB, "{peak} KiB of memory by DEJAVM_FUZZ_SEED={seed}");
        }
    }
    println!("seeds {first} to {}", seed - 1);
}

fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells about its processes");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number of KiB")
}

/// Ends the process when a case does not end.
struct Watchdog(Arc<AtomicU64>);

impl Watchdog {
    fn new() -> Self {
        let current = Arc::new(AtomicU64::new(0));
        let watched = Arc::downgrade(&current);
        std::thread::spawn(move || {
            let mut last = u64::MAX;
            while let Some(current) = watched.upgrade() {
                let seed = current.load(Ordering::Relaxed);
                drop(current);
                if seed == last {
                    eprintln!("case hangs: repeat it with DEJAVM_FUZZ_SEED={seed}");
                    std::process::abort();
                }
                last = seed;
                std::thread::sleep(HANG);
            }
        });
        Self(current)
    }

    fn case(&self, seed: u64) {
        self.0.store(seed, Ordering::Relaxed);
    }
}
