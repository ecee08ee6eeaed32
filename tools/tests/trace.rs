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
