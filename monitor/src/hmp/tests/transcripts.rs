//! Golden transcripts: what comes after `(qemu) ` is said, the lines up to the next are the answer.
//!
//! `qemu.txt` has what QEMU 10.0.2 was heard to answer, on a machine that stands still, live, with memory that
//! is all zero: a script written for it must find the same here. `replay.txt` is our own.

use super::monitor;
use crate::control::Mode;
use crate::control::fake::Fake;

fn play(transcript: &str, mut control: Fake) {
    let mut hmp = monitor();
    let mut differences = String::new();
    for part in transcript.split("(qemu) ").skip(1) {
        let (line, expected) = part.split_once('\n').expect("an answer follows");
        let answer = hmp.execute(line, &mut control);
        if answer != expected {
            differences.push_str(&format!("(qemu) {line}\nexpected:\n{expected}got:\n{answer}\n"));
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn what_qemu_answers() {
    play(include_str!("transcripts/qemu.txt"), Fake::new(Mode::Live));
}

#[test]
fn a_replay() {
    play(include_str!("transcripts/replay.txt"), Fake::replay());
}
