//! Random input from seeds for all that reads what clients send: nothing may panic, and what follows
//! must be understood. More rounds: DEJAVM_FUZZ_ROUNDS.

use crate::control::fake::Fake;
use crate::hmp::Hmp;
use crate::line_editor::LineEditor;
use crate::qmp::tests::services;
use crate::qmp::{Qmp, parse};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// Some words in a row, with a random byte now and then.
    fn text(&mut self, words: &[&str]) -> Vec<u8> {
        let mut text = Vec::new();
        for _ in 0..self.below(12) {
            if self.below(8) == 0 {
                text.push(self.next() as u8);
            } else {
                text.extend(words[self.below(words.len())].bytes());
            }
        }
        text
    }
}

fn rounds() -> u64 {
    std::env::var("DEJAVM_FUZZ_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(2000)
}

const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "'",
    "\\",
    "\\u00e9",
    "\\ud800",
    "1",
    "-1",
    "1.5e3",
    "true",
    "null",
    "nul",
    "\"execute\"",
    "\"arguments\"",
    "\"id\"",
    "\"exec-oob\"",
    "\"query-status\"",
    "\"replay-break\"",
    "{\"execute\":\"query-name\"}",
    "{\"exec-oob\":\"stop\"}",
    "{\"icount\":5}",
    " ",
    "\n",
    "\u{1F600}",
];

const LINES: &[&str] = &[
    "x",
    "xp",
    "print",
    "info ",
    "help ",
    "replay_seek ",
    "replay_break ",
    "sum ",
    "i",
    "/",
    "4",
    "16",
    "x",
    "g",
    "i",
    "c",
    " ",
    "$",
    "$rip",
    "$nosuch",
    "0x",
    "ffff",
    "+",
    "-",
    "*",
    "/",
    "%",
    "(",
    ")",
    "~",
    "'a'",
    "99999999999999999999",
    "mem",
    "tlb",
    "registers",
    "-a",
    "qom-get ",
    "/machine",
    "ram-size",
    "sendkey ",
    "ctrl-",
    "a",
    "\u{E9}",
    "#",
];

const KEYS: &[&str] = &[
    "a", "info ", "\t", "\r", "\x01", "\x05", "\x0b", "\x15", "\x17", "\x7f", "\x1b[A", "\x1b[D", "\x1b",
    "[", "\u{E9}",
];

#[test]
fn qmp_is_in_step_again_after_anything() {
    let (services, mut control) = (services(), Fake::replay());
    for seed in 0..rounds() {
        let mut random = Random(seed);
        let mut qmp = Qmp::default();
        let hello = b"{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}";
        qmp.feed(hello, &mut control, &services);
        qmp.execute_next(&mut control, &services);
        let text = random.text(JSON);
        let mut out = String::new();
        for piece in text.chunks(1 + random.below(7)) {
            out.push_str(&qmp.feed(piece, &mut control, &services));
        }
        out.push_str(&qmp.feed(b"\xFF{\"execute\":\"query-kvm\",\"id\":\"last\"}", &mut control, &services));
        while let Some(text) = qmp.execute_next(&mut control, &services) {
            out.push_str(&text);
        }
        for line in out.lines() {
            assert!(parse(line.as_bytes()).is_ok(), "seed {seed}: {line}");
        }
        let last = "{\"return\": {\"enabled\": false, \"present\": false}, \"id\": \"last\"}\r\n";
        assert!(out.ends_with(last), "seed {seed}: {:?}: {out}", String::from_utf8_lossy(&text));
    }
}

#[test]
fn values_are_read_as_they_are_written() {
    for seed in 0..rounds() {
        if let Ok(value) = parse(&Random(seed).text(JSON)) {
            assert_eq!(parse(value.to_string().as_bytes()), Ok(value), "seed {seed}");
        }
    }
}

#[test]
fn lines_and_expressions_of_any_kind_are_answered() {
    let services = services();
    let mut hmp = Hmp::new(services.clone());
    let mut control = Fake::replay();
    for seed in 0..rounds() {
        let mut random = Random(seed);
        let line = String::from_utf8_lossy(&random.text(LINES)).into_owned();
        let out = hmp.execute(&line, &mut control);
        assert!(out.is_empty() || out.ends_with('\n'), "seed {seed}: {line:?}: {out}");
        hmp.execute(&format!("print {line}"), &mut control);
        Hmp::complete(&line, &services.words);
    }
}

#[test]
fn the_line_editor_takes_any_key() {
    let (mut editor, services) = (LineEditor::default(), services());
    let complete = |line: &str| Hmp::complete(line, &services.words);
    for seed in 0..rounds() {
        for byte in Random(seed).text(KEYS) {
            let edit = editor.push(byte, &complete);
            assert!(edit.line.is_none_or(|line| line.len() <= 4 * 4096), "seed {seed}");
        }
    }
}
