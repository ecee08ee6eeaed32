//! Monitors over TCP, bound to this host: one for people and one for programs, at one recording.

use super::{PATIENCE, ended_well, python, recording, say, wait_for};
use dejavm_tests::cli::{Scratch, on};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A port that is free now.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

fn connect(port: u16) -> TcpStream {
    let start = Instant::now();
    let client = loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(client) => break client,
            Err(error) => assert!(start.elapsed() < PATIENCE, "nobody is there: {error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    client.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    client
}

#[test]
fn people_and_programs_drive_a_recording_over_tcp() {
    let scratch = Scratch::new("tcp");
    let (journal, last) = recording(&scratch);
    let [people, programs] = [free_port(), free_port()];
    let place = |port: u16| format!("tcp:127.0.0.1:{port},server=on,wait=off");
    let mut command = on("replay", &journal);
    command.args(["-S", "-serial", "null", "-monitor", &place(people), "-qmp", &place(programs)]);
    let child = command.stdin(Stdio::null()).spawn().expect("dejavm");

    let mut client = connect(people);
    wait_for(&mut client, "(qemu) ");
    assert!(say(&mut client, "info status").contains("prelaunch"));
    // Each client has a state of its own, and one that leaves takes only that away.
    let mut other = connect(people);
    wait_for(&mut other, "(qemu) ");
    assert!(say(&mut other, "cpu 7").contains("invalid CPU index"));
    drop(other);
    let half = last / 2;
    assert_eq!(say(&mut client, &format!("replay_break {half}")), "");
    assert_eq!(say(&mut client, "replay_seek end"), "");
    let back = say(&mut client, "reverse_continue");
    assert!(back.starts_with(&format!("{half} ")), "{back}");
    assert!(say(&mut client, "info replay").contains(&format!("instruction count = {half}")));
    assert_eq!(say(&mut client, "replay_delete_break"), "");
    let start = say(&mut client, "reverse_continue");
    assert!(start.starts_with("0 "), "{start}");

    if let Some(python) = python() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/qmp_session.py");
        let address = format!("127.0.0.1:{programs}");
        let session = Command::new(python).arg(script).arg(&address).arg(last.to_string()).output();
        let session = session.expect("python");
        assert!(session.status.success(), "{}", String::from_utf8_lossy(&session.stderr));
    } else {
        eprintln!("SKIPPED: no Python with the package qemu.qmp; tests/run.sh installs one ($DEJAVM_PYTHON)");
        drop(client);
        let mut client = connect(programs);
        std::io::Write::write_all(&mut client, b"{\"execute\":\"qmp_capabilities\"}{\"execute\":\"quit\"}")
            .expect("room");
    }
    ended_well(child);
}
