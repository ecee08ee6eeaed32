//! `dejavm trace`: what it writes of a recording, and what it says to bad wishes.

mod desk;

use desk::Desk;

const STRETCH: [&str; 4] = ["--from", "20000", "--to", "60000"];

fn trace(desk: &Desk, more: &[&str]) -> String {
    desk.expect(&[&["trace", "demo.dj"], more, &STRETCH].concat(), 0)
}

#[test]
fn the_output_is_the_same_however_many_look_at_once() {
    let desk = Desk::new("trace-jobs");
    desk.demo();
    let alone = trace(&desk, &["-e", "*", "-j", "1"]);
    assert!(alone.lines().count() >= 40_000, "one line per instruction at least");
    assert!(alone == trace(&desk, &["-e", "*", "-j", "3"]), "three jobs give another text");
    for accel in ["interp", "jit"] {
        let other = trace(&desk, &["-e", "*", "-j", "2", "--accel", accel]);
        assert!(alone == other, "--accel {accel} gives another text");
    }
}

#[test]
fn every_instruction_of_the_stretch_is_there_in_order() {
    let desk = Desk::new("trace-all");
    desk.demo();
    let text = trace(&desk, &["-e", "cpu_instruction"]);
    let places: Vec<u64> =
        text.lines().map(|l| l.split(' ').next().unwrap().parse().expect("an icount")).collect();
    assert_eq!((places.first(), places.last()), (Some(&20_000), Some(&59_999)));
    assert!(places.is_sorted());
}

#[test]
fn json_is_json() {
    let desk = Desk::new("trace-json");
    desk.demo();
    let lines = trace(&desk, &["-e", "cpu_*", "--format", "json"]);
    let records: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("an object per line")).collect();
    assert!(records.iter().all(|r| r["icount"].is_u64() && r["vcpu"] == 0), "{}", records[0]);
    let chrome = trace(&desk, &["-e", "cpu_block", "--format", "chrome"]);
    serde_json::from_str::<serde_json::Value>(&chrome).expect("Chrome's JSON");
}

#[test]
fn what_is_not_there_is_named() {
    let desk = Desk::new("trace-bad");
    desk.demo();
    let said = desk.refused(&["trace", "demo.dj", "-e", "no_such_event"], 1);
    assert!(said.contains("no_such_event"), "{said}");
}

#[test]
fn what_the_engine_does_is_seen_while_it_does_and_in_no_trace_of_the_recording() {
    let desk = Desk::new("trace-engine");
    desk.demo();
    for event in ["jit_translate", "tlb_fill", "replay_*"] {
        let said = desk.refused(&["trace", "demo.dj", "-e", event], 1);
        assert!(said.contains("no part of the recording") && said.contains("--trace"), "{said}");
    }
    assert!(!trace(&desk, &["-e", "*"]).contains("tlb_fill"));
    let replay = ["replay", "demo.dj", "--monitor", "stdio", "--seek", "200000", "--trace-file", "events"];
    let events = ["--trace", "tlb_fill", "--trace", "replay_*", "--trace", "jit_*"];
    desk.converse(
        &[replay.as_slice(), &events].concat(),
        "replay_break 250000\ncontinue\nreplay_seek 100000\ntrace-event jit_* off\nquit\n",
    );
    let seen = String::from_utf8(desk.bytes("events")).unwrap();
    assert!(seen.lines().any(|line| line.starts_with("100000 ") && line.ends_with(" replay_seek")), "{seen}");
}
