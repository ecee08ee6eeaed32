//! The random walk on recordings of Linux, through the monitor of the program.

use dejavm_core::machine::Accel;
use dejavm_tests::cli::{Scratch, on, program, record, run};
use dejavm_tests::rng::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// How many places a walk comes by.
const PLACES: usize = 18;

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

/// Lines that go here and there in the last third of a run, and look at each place.
fn walk(rng: &mut Rng, until: u64) -> Vec<String> {
    let from = until / 3 * 2;
    let mut lines = vec![format!("replay_seek {from}"), "mark m0".to_owned()];
    for n in 1..=PLACES as u64 {
        lines.push(match rng.below(10) {
            0 | 1 => format!("replay_seek {}", from + rng.below(until - from)),
            2 => format!("step {}", 1 + rng.below(1000)),
            3 => "reverse_step".to_owned(),
            4 => format!("reverse_step {}", 1 + rng.below(100_000)),
            5 => format!("replay_seek m{}", rng.below(n)),
            6 => "reverse_continue -i".to_owned(),
            7 => "reverse_continue -e 14".to_owned(),
            8 => "reverse_continue schedule".to_owned(),
            _ => "last_write $rsp".to_owned(),
        });
        lines.extend(look());
        lines.push(format!("mark m{n}"));
    }
    lines
}

/// Walks by one engine; a straight replay, by the other one, is what it is compared with.
fn a_walk(vcpus: u32, until: u64, [walker, straight]: [&str; 2], seed: u64) {
    if Accel::Jit.available().is_err() {
        eprintln!("SKIPPED: the translator does not run on this host; the interpreter serves");
    }
    let scratch = Scratch::new(&format!("walk-{vcpus}"));
    let journal = scratch.file("boot.dj");
    let append = "console=ttyS0 dejavm.mode=poweroff";
    let mut command = record(&journal, "vmlinuz-cloud", vcpus, append);
    run(command.args(["--accel", straight, "--until", &until.to_string()])).success();
    let mut rng = Rng::new(seed);
    let seen = places(&converse(&journal, &["--accel", walker], &walk(&mut rng, until)));
    assert_eq!(seen.len(), PLACES, "seed {seed}");
    let icounts: BTreeSet<u64> = seen.iter().map(|(icount, _)| *icount).collect();
    let visit = |icount: &u64| [vec![format!("replay_seek {icount}")], look().to_vec()].concat();
    let visits: Vec<String> = icounts.iter().flat_map(visit).collect();
    let options = ["--accel", straight, "--checkpoints", "none"];
    let expected: BTreeMap<u64, String> =
        places(&converse(&journal, &options, &visits)).into_iter().collect();
    assert_eq!(expected.len(), icounts.len());
    for (icount, hash) in &seen {
        assert_eq!(hash, &expected[icount], "{vcpus} vCPUs, seed {seed}: icount {icount}");
    }
    // Halves are taken at checkpoints, and the answer is exact all the same.
    let goal = until / 7 * 5;
    let when = format!("icount >= {goal}");
    let found =
        run(on("bisect", &journal).args(["--monotonic", "--accel", walker, "--when", &when])).success();
    assert!(found.console().contains(&format!("first at icount {goal},")), "{}", found.console());
}

#[test]
fn a_walk_through_linux_with_1_vcpu() {
    a_walk(1, 150_000_000, ["jit", "interp"], 1);
}

#[test]
fn a_walk_through_linux_with_4_vcpus() {
    a_walk(4, 450_000_000, ["interp", "jit"], 2);
}
