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
        // From when the journal has its first stretch on, at any moment.
        let begin = Instant::now();
        let verified = || run(on("info", &journal).arg("--json")).stdout;
        while !String::from_utf8_lossy(&verified()).contains("\"last_icount\"") {
            assert!(begin.elapsed() < PATIENCE, "no journal");
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(200 + rng.below(700)));
        child.kill().expect("a child");
        child.wait().expect("a child");
        let info: serde_json::Value = serde_json::from_slice(&verified()).expect("JSON");
        let last = info["last_icount"].as_u64().expect("a number");
        let count = info["checkpoints"]["count"].as_u64().unwrap_or(0);
        with_checkpoints += u32::from(count > 0);
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
