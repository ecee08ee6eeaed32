//! The same run, whatever the host does meanwhile: replays under load and interruption, and two
//! recordings of the same inputs.
//!
//! `DEJAVM_REPLAYS=N` replays N times (20), `DEJAVM_UNTIL=ICOUNT` records further.

use dejavm_tests::cli::{Finished, Scratch, on, record, run};
use std::path::Path;
use std::process::Command;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

const REPLAYS: u64 = 20;
/// Into the boot of the kernel, with all vCPUs running.
const UNTIL_ICOUNT: u64 = 200_000_000;

fn setting<T: FromStr>(name: &str, default: T) -> T {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} cannot be read")),
        Err(_) => default,
    }
}

/// Keeps every core of the host busy as long as it lives.
struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn new() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let threads = (0..cores).map(|_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        });
        Self { threads: threads.collect(), stop }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A spinning thread cannot panic.
            let _ = thread.join();
        }
    }
}

/// Records the first part of a boot.
fn record_boot(journal: &Path, vcpus: u32) -> Finished {
    let until = setting("DEJAVM_UNTIL", UNTIL_ICOUNT).to_string();
    let mut command = record(journal, "vmlinuz-cloud", vcpus, "console=ttyS0 dejavm.mode=workload");
    run(command.args(["--idle", "jump", "--until", &until])).success()
}

/// What verification found, without the host's speed.
fn verified(command: &mut Command) -> String {
    let out = run(command).success().console();
    assert!(out.contains("equal: "), "{out}");
    out.split(" (").next().expect("a first part").to_owned()
}

#[test]
fn replays_under_load_are_equal() {
    let scratch = Scratch::new("load");
    let journal = scratch.file("run.dj");
    let recorded = record_boot(&journal, 4);
    let _load = Load::new();
    let first = verified(&mut on("verify", &journal));
    for _ in 1..setting("DEJAVM_REPLAYS", REPLAYS) {
        assert_eq!(verified(&mut on("verify", &journal)), first);
    }
    let replayed = run(&mut on("replay", &journal)).success();
    assert!(replayed.stdout == recorded.stdout, "other console in replay:\n{}", replayed.console());
}

/// One core instead of several, and a low priority: the host switches between the vCPU
/// threads at other moments.
#[test]
fn another_schedule_of_the_host_changes_nothing() {
    let scratch = Scratch::new("schedule");
    let journal = scratch.file("run.dj");
    record_boot(&journal, 4);
    let anywhere = verified(&mut on("verify", &journal));
    let plain = on("verify", &journal);
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", "0", "nice", "-n", "10"]).arg(plain.get_program()).args(plain.get_args());
    let _load = Load::new();
    assert_eq!(verified(&mut pinned), anywhere);
}

#[test]
fn two_recordings_of_the_same_are_equal() {
    let scratch = Scratch::new("twice");
    let (first, second) = (scratch.file("first.dj"), scratch.file("second.dj"));
    let a = record_boot(&first, 2);
    let load = Load::new();
    let b = record_boot(&second, 2);
    drop(load);
    assert!(a.stdout == b.stdout, "other console");
    assert_eq!(final_hash(&first), final_hash(&second));
}

/// The end of a recording: its position and its hash, as the journal has them.
fn final_hash(journal: &Path) -> String {
    let reader = dejavm_replay::journal::Reader::open(journal).expect("a journal");
    let ending = format!("{:?}", reader.ending());
    assert!(ending.contains("Clean"), "{ending}");
    ending
}
