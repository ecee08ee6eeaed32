//! The program as a user or a CI job starts it: outputs and exit statuses.

mod desk;

use desk::{Desk, number_after};
use std::process::{Command, Stdio};

#[test]
fn the_demo_tells_its_story_and_leaves_a_journal() {
    let desk = Desk::new("story");
    let story = desk.demo();
    for part in ["PANIC: the audit failed", "replayed:", "verified:", "*** interrupt 0x", "STORES"] {
        assert!(story.contains(part), "{part:?} is not in\n{story}");
    }
    assert!(desk.folder.join("demo.dj").exists());
}

#[test]
fn a_journal_can_be_looked_at_from_all_sides() {
    let desk = Desk::new("sides");
    let story = desk.demo();
    let store = number_after(&story, "the store at instruction ");

    let info: serde_json::Value =
        serde_json::from_str(&desk.expect(&["info", "demo.dj", "--json"], 0)).unwrap();
    assert_eq!(info["clean"], true);
    assert_eq!(info["machine"]["vcpus"], 1);
    assert!(info["length_icount"].as_u64().unwrap() > store);
    let keys = info["events"]["serial"]["payload_bytes"].as_u64().unwrap_or(0);
    assert!(desk.expect(&["info", "demo.dj"], 0).contains("end         clean: debug exit with code 7"));

    let part = |name: &str| info[name].as_u64().unwrap();
    assert!(part("images_bytes") > 0 && part("events_bytes") > 0, "{info}");
    assert!(part("images_bytes") + part("events_bytes") < part("file_bytes"), "{info}");

    let events = desk.expect(&["events", "demo.dj"], 0);
    assert_eq!(events.matches('d').count() as u64, keys, "{events}");
    assert!(desk.expect(&["verify", "demo.dj"], 0).contains("equal"));

    let console = desk.expect(&["replay", "demo.dj"], 0);
    assert!(console.starts_with("ledger: open for business\r\n"), "{console}");
    assert!(console.ends_with("ledger: halted\r\n"), "{console}");

    let place = desk.expect(&["replay", "demo.dj", "--seek", &store.to_string()], 0);
    assert!(
        place.contains(&format!("icount {store},")) && place.contains("movq     %rdx, 0x208000"),
        "{place}"
    );
    assert!(!place.contains("ledger"), "the console is not shown on the way: {place}");
    let until = desk.expect(&["replay", "demo.dj", "--until", &store.to_string()], 0);
    assert!(until.starts_with("ledger") && until.contains("movq     %rdx, 0x208000"), "{until}");
}

#[test]
fn trace_events_of_a_replay_are_the_same_each_time() {
    let desk = Desk::new("trace");
    desk.demo();
    let trace = |name: &str| {
        let arguments =
            ["replay", "demo.dj", "--trace", "cpu_interrupt", "--trace", "inbound*", "--trace-file", name];
        desk.expect(&arguments, 0);
        std::fs::read_to_string(desk.folder.join(name)).unwrap()
    };
    let first = trace("first.txt");
    assert!(first.lines().filter(|line| line.contains(" 0 cpu_interrupt vector=0x20 ")).count() > 10);
    assert!(first.contains("inbound_event class=serial"), "{first}");
    assert_eq!(first, trace("second.txt"));
    let icounts: Vec<u64> = first.lines().map(|l| l.split(' ').next().unwrap().parse().unwrap()).collect();
    assert!(icounts.is_sorted(), "{first}");
}

#[test]
fn exit_statuses() {
    let desk = Desk::new("status");
    desk.expect(&["--help"], 0);
    desk.expect(&["nosuch"], 2);
    desk.expect(&["info", "missing.dj"], 1);
    std::fs::write(desk.folder.join("text.dj"), "this is no journal, but it is long enough").unwrap();
    let output = desk.run(&["verify", "text.dj"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not a dejavm journal"));
    desk.demo();
    let journal = std::fs::read(desk.folder.join("demo.dj")).unwrap();
    desk.expect(&["replay", "demo.dj", "--seek", "999999999999"], 1);
    let mut flipped = journal.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x10;
    std::fs::write(desk.folder.join("flipped.dj"), &flipped).unwrap();
    assert_eq!(desk.run(&["verify", "flipped.dj"]).status.code(), Some(1));
}

#[test]
fn recording_does_not_overwrite_unasked() {
    let desk = Desk::new("overwrite");
    desk.put_kernel();
    std::fs::write(desk.folder.join("old.dj"), "precious").unwrap();
    let output = desk.run(&["record", "-o", "old.dj", "-kernel", "kernel", "--until", "1000"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--force"));
    assert_eq!(std::fs::read(desk.folder.join("old.dj")).unwrap(), b"precious");
    desk.expect(&["record", "--force", "-o", "old.dj", "-kernel", "kernel", "--until", "1000"], 0);
    desk.expect(&["verify", "old.dj"], 0);
}

#[test]
fn a_recorded_console_is_the_replayed_one_and_a_panic_has_its_exit_status() {
    let desk = Desk::new("record");
    desk.put_kernel();
    let mut statuses = Vec::new();
    for seed in 0..8 {
        let seed = seed.to_string();
        let arguments = ["-kernel", "kernel", "-m", "16M", "-nographic", "-seed", &seed];
        let recorded = desk.run(&[&["record", "--force", "-o", "run.dj"], &arguments[..]].concat());
        let status = recorded.status.code().unwrap();
        let replayed = desk.expect(&["replay", "run.dj"], 0);
        assert_eq!(String::from_utf8_lossy(&recorded.stdout), replayed);
        assert_eq!(desk.run(&[&["run"], &arguments[..]].concat()).status.code(), Some(status));
        assert_eq!(replayed.contains("PANIC"), status == 15, "{replayed}");
        statuses.push(status);
    }
    assert!(statuses.contains(&0) && statuses.contains(&15), "{statuses:?}");
}

#[test]
fn a_reader_that_stops_reading_is_no_error() {
    let desk = Desk::new("pipe");
    let output = desk.unread(&["demo", "--seed", "2"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn the_monitor_takes_commands_from_a_pipe() {
    use std::io::Write as _;
    let desk = Desk::new("monitor");
    desk.demo();
    let mut child = Command::new(env!("CARGO_BIN_EXE_dejavm"))
        .args(["replay", "demo.dj", "--monitor", "stdio"])
        .current_dir(&desk.folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let commands = "info status\nreplay_seek 100000\ninfo replay\nstep 5\nreplay_seek 1000\ninfo replay\n\
                    system_reset\ninfo trace-events inbound*\nx/1i 0x200000\nq\n";
    child.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for line in [
        "monitor - type 'help' for more information",
        "VM status: paused (prelaunch)",
        "Replaying execution 'demo.dj': instruction count = 100000\r",
        "(dejavm) 100005 0x",
        "Replaying execution 'demo.dj': instruction count = 1000\r",
        "a replay takes nothing in but what its journal holds",
        "inbound_event : state 0",
        "0x00200000:  fa                       cli",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
}
