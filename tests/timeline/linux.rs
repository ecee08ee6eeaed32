//! The random walk on recordings of Linux, through the monitor of the program.

use dejavm_core::machine::Accel;
use dejavm_tests::cli::{Scratch, on, program, record, run};
use dejavm_tests::rng::Rng;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const UNTIL: u64 = 150_000_000;

/// What the monitor of a replay answers to these lines.
fn converse(journal: &Path, options: &[&str], lines: &[String]) -> String {
    let mut child = Command::new(program())
        .arg("replay")
        .arg(journal)
        .args(["--monitor", "stdio", "--serial", "null"])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("dejavm");
    let text = format!("{}\nquit\n", lines.join("\n"));
    let mut stdin = child.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().expect("dejavm");
    writer.join().expect("a thread").expect("it reads all");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The icounts that `when` told, each with the hash that came after it.
fn places(text: &str) -> Vec<(u64, String)> {
    let mut places = Vec::new();
    let mut icount = None;
    let answers = text.lines().map(|line| line.trim().trim_start_matches("(dejavm) "));
    for line in answers {
        if let Some(rest) = line.strip_prefix("instruction count ") {
            icount = rest.split(',').next().and_then(|number| number.parse().ok());
        } else if line.len() == 32 && line.bytes().all(|b| b.is_ascii_hexdigit()) {
            places.push((icount.take().expect("a place before its hash"), line.to_owned()));
        }
    }
    places
}

fn look() -> [String; 2] {
    ["when".to_owned(), "info hash".to_owned()]
}

fn walk(rng: &mut Rng) -> Vec<String> {
    let mut lines = vec![format!("replay_seek {}", UNTIL / 2), "mark m0".to_owned()];
    for n in 1..22 {
        lines.push(match rng.below(7) {
            0 | 1 => format!("replay_seek {}", rng.below(UNTIL)),
            2 => format!("step {}", 1 + rng.below(1000)),
            3 => "reverse_step".to_owned(),
            4 => format!("reverse_step {}", 1 + rng.below(100_000)),
            5 => format!("replay_seek m{}", rng.below(n)),
            _ => "last_write $rsp".to_owned(),
        });
        lines.extend(look());
        lines.push(format!("mark m{n}"));
    }
    lines
}

fn a_walk(vcpus: u32, seed: u64) {
    let scratch = Scratch::new(&format!("walk-{vcpus}"));
    let journal = scratch.file("boot.dj");
    let append = "console=ttyS0 dejavm.mode=poweroff";
    run(record(&journal, "vmlinuz-cloud", vcpus, append).args(["--until", &UNTIL.to_string()])).success();
    let mut rng = Rng::new(seed);
    let (walker, straight) = match Accel::Jit.available() {
        Ok(()) => (["--accel", "jit"], ["--accel", "interp"]),
        Err(_) => (["--accel", "interp"], ["--accel", "interp"]),
    };
    let seen = places(&converse(&journal, &walker, &walk(&mut rng)));
    assert_eq!(seen.len(), 21, "seed {seed}");
    let icounts: std::collections::BTreeSet<u64> = seen.iter().map(|(icount, _)| *icount).collect();
    let visits: Vec<String> = icounts
        .iter()
        .flat_map(|icount| [vec![format!("replay_seek {icount}")], look().to_vec()].concat())
        .collect();
    std::fs::remove_file(scratch.file("boot.djc")).expect("the recording left it");
    let options = [&straight[..], &["--checkpoints", "none"]].concat();
    let expected: BTreeMap<u64, String> =
        places(&converse(&journal, &options, &visits)).into_iter().collect();
    assert_eq!(expected.len(), icounts.len());
    for (icount, hash) in &seen {
        assert_eq!(hash, &expected[icount], "{vcpus} vCPUs, seed {seed}: icount {icount}");
    }
    // With and without checkpoints, a condition is found at the same place.
    let when = ["--when", "console ~ /Command line/"];
    let once = run(on("bisect", &journal).args(when)).success().console();
    assert_eq!(run(on("bisect", &journal).args(when)).success().console(), once);
}

#[test]
fn a_walk_through_linux_with_1_vcpu() {
    a_walk(1, 1);
}

#[test]
fn a_walk_through_linux_with_4_vcpus() {
    a_walk(4, 2);
}
