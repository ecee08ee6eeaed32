//! The examples of the libraries do what they say.

mod desk;
#[path = "../examples/on_each_event.rs"]
mod on_each_event;
#[path = "../examples/seek_and_look.rs"]
mod seek_and_look;

use desk::Desk;

#[test]
fn a_place_is_seen_as_the_program_shows_it() {
    let desk = Desk::new("example-look");
    desk.demo();
    let seen = seek_and_look::look(&desk.folder.join("demo.dj"), 50_000).unwrap();
    let line =
        desk.expect(&["trace", "demo.dj", "-e", "cpu_instruction", "--from", "50000", "--to", "50001"], 0);
    let rip = line.trim().rsplit_once("rip=").unwrap().1;
    assert!(seen.starts_with("icount=50000 ns=") && seen.contains(&format!(" rip={rip} ")), "{seen} {line}");
}

#[test]
fn each_event_comes_in_order() {
    let desk = Desk::new("example-events");
    desk.demo();
    let mut lines = String::new();
    let journal = desk.folder.join("demo.dj");
    on_each_event::on_each_event(&journal, "cpu_block", (20_000, 30_000), &mut |record| {
        lines.push_str(&dejavm_trace::sink::text_line(record));
        lines.push('\n');
        true
    })
    .unwrap();
    let expected =
        desk.expect(&["trace", "demo.dj", "-e", "cpu_block", "--from", "20000", "--to", "30000"], 0);
    assert!(!lines.is_empty() && lines == expected);
}
