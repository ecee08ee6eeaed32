//! A recording that leaves checkpoints and is killed at any moment: what is there replays, with them as
//! without.

use dejavm_tests::busy_guest;
use dejavm_tests::cli::{Scratch, on, program, run};
use dejavm_tests::rng::Rng;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// `dejavm verify`: equal, but the recording did not end cleanly.
const TORN: i32 = 4;

fn start(folder: &Scratch, journal: &Path) -> std::process::Child {
    let kernel = folder.file("kernel");
    std::fs::write(&kernel, busy_guest::images().kernel).expect("a file");
    Command::new(program())
        .args(["record", "--force", "-o"])
        .arg(journal)
        .arg("--kernel")
        .arg(kernel)
        .args(["-m", "8M", "--smp", "2", "--seed", "7", "--rtc", "base=@0", "--idle", "jump"])
        // Whose checkpoints are close together.
        .args(["--serial", "null", "--accel", "interp"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("dejavm")
}

fn place(journal: &Path, icount: u64, more: &[&str]) -> String {
    run(on("replay", journal).args(["--seek", &icount.to_string()]).args(more)).success().console()
}

#[test]
fn killed_at_any_moment_with_checkpoints() {
    let scratch = Scratch::new("killed-checkpoints");
    let (journal, side) = (scratch.file("k.dj"), scratch.file("k.djc"));
    let seed = 5;
    let mut rng = Rng::new(seed);
    let mut with_checkpoints = 0;
    for round in 0..5 {
        let mut child = start(&scratch, &journal);
        // At any moment from when the journal has its first stretch on; in every other round, from
        // when there is a checkpoint.
        let begin = Instant::now();
        let info = || -> serde_json::Value {
            serde_json::from_slice(&run(on("info", &journal).arg("--json")).stdout).unwrap_or_default()
        };
        let checkpoints = |info: &serde_json::Value| info["checkpoints"]["count"].as_u64().unwrap_or(0);
        let far_enough = |info: &serde_json::Value| {
            info["last_icount"].is_u64() && (round % 2 == 1 || checkpoints(info) > 0)
        };
        while !far_enough(&info()) {
            assert!(begin.elapsed() < PATIENCE, "no journal, or no checkpoint");
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(200 + rng.below(700)));
        child.kill().expect("a child");
        child.wait().expect("a child");
        let info = info();
        let last = info["last_icount"].as_u64().expect("a number");
        with_checkpoints += u32::from(checkpoints(&info) > 0);
        let verdict = run(&mut on("verify", &journal));
        assert_eq!(verdict.status, Some(TORN), "seed {seed}, round {round}: {}", verdict.stderr);
        if last > 0 {
            let icount = rng.below(last + 1);
            let without = place(&journal, icount, &["--checkpoints", "none"]);
            assert_eq!(place(&journal, icount, &[]), without, "seed {seed}, round {round}: icount {icount}");
        }
        let _ = std::fs::remove_file(&side);
    }
    assert!(with_checkpoints > 0, "no recording came to its first checkpoint");
}
