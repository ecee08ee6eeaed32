//! Traces as files: every format read by others than this program, parts of a run put together, files
//! that are damaged, full disks and readers that go away.

mod desk;

use desk::Desk;
use std::fs::OpenOptions;
use std::process::{Command, Stdio};

const STRETCH: [&str; 4] = ["--from", "20000", "--to", "60000"];
/// Events with numbers and texts as arguments, on vCPUs and on none.
const EVENTS: [&str; 8] = ["-e", "cpu_*", "-e", "memory_*", "-e", "chip_*", "-e", "*_event"];

fn trace(desk: &Desk, more: &[&str]) -> String {
    desk.expect(&[&["trace", "demo.dj"], &EVENTS[..], more, &STRETCH].concat(), 0)
}

/// Whether a tool is there; `.ci/run` installs it and demands it.
fn there(tool: &str, arguments: &[&str]) -> bool {
    let status = Command::new(tool).args(arguments).stdin(Stdio::null()).output();
    let found = status.is_ok_and(|output| output.status.success());
    let required = std::env::var("DEJAVM_READERS").is_ok_and(|v| v == "required");
    assert!(found || !required, "{tool} is missing, and DEJAVM_READERS=required");
    if !found {
        eprintln!("left out: {tool} {arguments:?} does not work here");
    }
    found
}

fn output_of(desk: &Desk, tool: &str, arguments: &[&str]) -> String {
    let output = Command::new(tool).args(arguments).current_dir(&desk.folder).output().unwrap();
    assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn python() -> String {
    std::env::var("DEJAVM_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

fn script(name: &str) -> String {
    format!("{}/../tests/python/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// So that a difference is told by its first line and not by megabytes.
fn assert_same(what: &str, found: &str, expected: &str) {
    for (number, (a, b)) in found.lines().zip(expected.lines()).enumerate() {
        assert_eq!(a, b, "{what}, line {number}");
    }
    assert_eq!(found.lines().count(), expected.lines().count(), "{what}");
}

#[test]
fn our_own_format_gives_all_others_and_windows() {
    let desk = Desk::new("trace-djt");
    desk.demo();
    trace(&desk, &["-j", "1", "-o", "a.djt"]);
    trace(&desk, &["-j", "3", "-o", "b.djt", "--accel", "jit"]);
    assert!(desk.bytes("a.djt") == desk.bytes("b.djt"), "other jobs, another engine, other bytes");
    for format in ["text", "json", "chrome", "perfetto", "simpletrace", "djt"] {
        trace(&desk, &["--format", format, "-o", "direct"]);
        desk.expect(&["trace", "a.djt", "--format", format, "-o", "converted"], 0);
        assert!(desk.bytes("direct") == desk.bytes("converted"), "{format}");
        for name in ["direct", "converted"] {
            std::fs::remove_file(desk.folder.join(name)).unwrap();
        }
    }
    let window = desk
        .expect(&["trace", "a.djt", "--from", "30000", "--to", "30100", "-e", "cpu_instruction,cpl=0"], 0);
    assert_eq!(window.lines().count(), 100);
    assert!(window.starts_with("30000 ") && window.lines().all(|line| line.contains(" cpu_instruction ")));
}

#[test]
fn parts_put_together_are_the_whole() {
    let desk = Desk::new("trace-segments");
    desk.demo();
    let all = ["trace", "demo.dj", "-e", "cpu_block", "-e", "chip_*"];
    for (format, joined) in [("text", true), ("chrome", true), ("perfetto", true), ("djt", false)] {
        let run = |more: &[&str]| desk.expect(&[&all[..], &["--format", format], more].concat(), 0);
        run(&["-o", "whole"]);
        let mut together = Vec::new();
        for part in ["1", "2", "3"] {
            run(&["--segment", &format!("{part}/3"), "-o", part]);
            together.extend(desk.bytes(part));
        }
        if !joined {
            desk.expect(&["trace", "1", "2", "3", "-o", "joined.djt"], 0);
            together = desk.bytes("joined.djt");
            let said = desk.refused(&["trace", "2", "1"], 1);
            assert!(said.contains("in the order of the run"), "{said}");
        }
        assert!(together == desk.bytes("whole"), "{format}");
        for name in ["whole", "1", "2", "3"] {
            std::fs::remove_file(desk.folder.join(name)).unwrap();
        }
    }
}

#[test]
fn babeltrace2_reads_the_common_trace_format() {
    let desk = Desk::new("trace-ctf");
    desk.demo();
    trace(&desk, &["--format", "ctf", "-o", "demo.ctf"]);
    let said = desk.refused(&["trace", "demo.dj", "-e", "cpu_nmi", "--format", "ctf", "-o", "demo.ctf"], 1);
    assert!(said.contains("is there already"), "{said}");
    if !there("babeltrace2", &["--version"]) {
        return;
    }
    let arguments = ["--clock-cycles", "--no-delta", "--names", "none", "demo.ctf"];
    let lines = output_of(&desk, "babeltrace2", &arguments);
    // [00000000000000020009] cpu_block: { 20000, 0 }, { 0x200123 }
    let as_text = |line: &str| {
        let words: Vec<&str> = line
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-')
            .filter(|w| !w.is_empty())
            .collect();
        let [time, name, icount, vcpu, values @ ..] = words.as_slice() else { panic!("{line}") };
        let vcpu = if *vcpu == "-1" { "-" } else { vcpu };
        let values: Vec<String> = values.iter().map(|v| v.to_lowercase()).collect();
        format!("{icount} {} {vcpu} {name} {}", time.trim_start_matches('0'), values.join(" "))
    };
    let found: Vec<String> = lines.lines().map(as_text).collect();
    // Our text without the names of the arguments.
    let plain = |line: &str| {
        let words: Vec<&str> =
            line.split(' ').map(|w| w.split_once('=').map_or(w, |(_, value)| value)).collect();
        words.join(" ")
    };
    let expected: Vec<String> = trace(&desk, &[]).lines().map(plain).collect();
    assert!(found.len() > 40_000);
    let trimmed: Vec<&str> = found.iter().map(|line| line.trim_end()).collect();
    assert_same("babeltrace2", &trimmed.join("\n"), &expected.join("\n"));
}

#[test]
fn a_reader_of_simpletrace_made_from_its_description_sees_the_same() {
    let desk = Desk::new("trace-simple");
    desk.demo();
    trace(&desk, &["--format", "simpletrace", "-o", "demo.simple"]);
    let events = desk.expect(&["trace", "--list", "--format", "simpletrace"], 0);
    std::fs::write(desk.folder.join("events"), events).unwrap();
    let found = output_of(&desk, &python(), &[&script("simpletrace_reader.py"), "events", "demo.simple"]);
    assert_same("simpletrace", &found, &trace(&desk, &[]));
}

#[test]
fn perfettos_own_message_descriptors_read_its_format() {
    let desk = Desk::new("trace-perfetto");
    desk.demo();
    trace(&desk, &["-o", "demo.pftrace"]);
    if !there(&python(), &["-c", "import perfetto.protos.perfetto.trace.perfetto_trace_pb2"]) {
        return;
    }
    let found = output_of(&desk, &python(), &[&script("perfetto_reader.py"), "demo.pftrace"]);
    assert_same("perfetto", &found, &trace(&desk, &[]));
}

#[test]
fn damaged_and_torn_files_are_told_apart() {
    let desk = Desk::new("trace-damaged");
    desk.demo();
    trace(&desk, &["-o", "good.djt"]);
    let good = desk.bytes("good.djt");
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 0x10;
    std::fs::write(desk.folder.join("bad.djt"), bad).unwrap();
    let said = desk.refused(&["trace", "bad.djt"], 1);
    assert!(said.contains("damaged at byte") && said.contains("extract it again"), "{said}");
    std::fs::write(desk.folder.join("torn.djt"), &good[..good.len() - 100]).unwrap();
    let said = desk.refused(&["trace", "torn.djt"], 4);
    assert!(said.contains("was not written to its end"), "{said}");
    std::fs::write(desk.folder.join("empty.djt"), &good[..8]).unwrap();
    let said = desk.refused(&["trace", "empty.djt"], 1);
    assert!(said.contains("is no trace"), "{said}");
}

#[test]
fn a_full_disk_is_an_error_and_a_reader_that_goes_away_is_none() {
    let desk = Desk::new("trace-full");
    desk.demo();
    for format in ["text", "djt"] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_dejavm"))
            .args(["trace", "demo.dj", "-e", "cpu_instruction", "--format", format])
            .current_dir(&desk.folder)
            .stdout(full)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("the trace cannot be written") && said.contains("No space left"), "{said}");
    }
    let output = desk.unread(&["trace", "demo.dj", "-e", "*"]);
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}
