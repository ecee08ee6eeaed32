//! Clients of the monitors of a real run: the public QMP client, and those that behave badly.

use dejavm_tests::cli::{Scratch, on, program, run};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a client may wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// A small recording, and how long it is.
fn recording(scratch: &Scratch) -> (PathBuf, u64) {
    let journal = scratch.file("demo.dj");
    run(Command::new(program()).args(["demo", "--seed", "5", "-o"]).arg(&journal)).success();
    let info = run(on("info", &journal).arg("--json")).success();
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).expect("JSON");
    (journal, info["last_icount"].as_u64().expect("a number"))
}

/// A replay that stands still, with a monitor for programs at a socket.
fn replay(journal: &Path, socket: &Path) -> Child {
    let place = format!("unix:{},server=on,wait=off", socket.display());
    let mut command = on("replay", journal);
    command.args(["-S", "-serial", "null", "-monitor", "none", "-qmp", &place]).stdin(Stdio::null());
    let child = command.spawn().expect("dejavm");
    let start = Instant::now();
    while !socket.exists() {
        assert!(start.elapsed() < PATIENCE, "there is no socket");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

fn connect(socket: &Path) -> UnixStream {
    let client = UnixStream::connect(socket).expect("a client");
    client.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    client.set_write_timeout(Some(Duration::from_millis(200))).expect("a time limit");
    client
}

fn wait_for(client: &mut UnixStream, text: &str) {
    let (mut heard, mut buffer) = (String::new(), [0; 4096]);
    while !heard.contains(text) {
        let n = client.read(&mut buffer).expect("an answer in time");
        assert!(n > 0, "no {text} in {heard}");
        heard.push_str(&String::from_utf8_lossy(&buffer[..n]));
    }
}

fn ended_well(mut child: Child) {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().expect("a child") {
            assert!(status.success(), "{status}");
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    panic!("it did not end");
}

#[test]
fn a_run_waits_for_no_client() {
    let scratch = Scratch::new("clients");
    let (journal, last) = recording(&scratch);
    let socket = scratch.file("q.sock");
    let child = replay(&journal, &socket);
    // One floods and never reads, one leaves in the middle of a word, one sends nonsense.
    let mut flood = connect(&socket);
    let hello = "{\"execute\":\"qmp_capabilities\"}";
    let mut sent = flood.write(hello.as_bytes()).expect("room for a greeting");
    while let Ok(n) = flood.write("{\"execute\":\"query-qmp-schema\"}".repeat(100).as_bytes()) {
        sent += n;
        assert!(sent < 100 << 20, "the flood is taken in without end");
    }
    connect(&socket).write_all(b"{\"execute\": \"qmp_cap").expect("room");
    connect(&socket).write_all(&[b'['; 5000]).expect("room");
    let mut good = connect(&socket);
    good.write_all(hello.as_bytes()).expect("room");
    good.write_all(b"{\"execute\":\"cont\"}").expect("room");
    wait_for(&mut good, "\"REPLAY_ARRIVED\"");
    good.write_all(b"{\"execute\":\"query-replay\",\"id\":1}").expect("room");
    wait_for(&mut good, &format!("\"icount\": {last}"));
    good.write_all(b"{\"execute\":\"quit\"}").expect("room");
    wait_for(&mut good, "\"return\": {}");
    ended_well(child);
    assert!(!socket.exists(), "the socket is left behind");
}

/// The Python that has the package `qemu.qmp`: that of tests/run.sh, or the host's.
fn python() -> Option<PathBuf> {
    let of_suite = std::env::var_os("DEJAVM_PYTHON").map(PathBuf::from);
    of_suite.into_iter().chain([PathBuf::from("python3")]).find(|python| {
        let found = Command::new(python).args(["-c", "import qemu.qmp"]).stderr(Stdio::null()).status();
        found.is_ok_and(|status| status.success())
    })
}

#[test]
fn the_public_client_drives_a_recording() {
    let Some(python) = python() else {
        eprintln!("SKIPPED: no Python with the package qemu.qmp; tests/run.sh installs one ($DEJAVM_PYTHON)");
        return;
    };
    let scratch = Scratch::new("python");
    let (journal, last) = recording(&scratch);
    let socket = scratch.file("q.sock");
    let child = replay(&journal, &socket);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/qmp_session.py");
    let session = Command::new(python).arg(script).arg(&socket).arg(last.to_string()).output();
    let session = session.expect("python");
    assert!(session.status.success(), "{}", String::from_utf8_lossy(&session.stderr));
    ended_well(child);
}
