//! Clients of the monitors of a real run: the public QMP client, and those that behave badly.

mod events;
mod serial;
mod tcp;

use dejavm_tests::busy_guest::elf;
use dejavm_tests::cli::{Scratch, on, program, run};
use std::io::{Read, Write};
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
    let mut command = on("replay", journal);
    command.args(["-S", "-serial", "null", "-monitor", "none", "-qmp", &place(socket)]);
    start(&mut command, socket)
}

fn place(socket: &Path) -> String {
    format!("unix:{},server=on,wait=off", socket.display())
}

/// Starts a program, and waits until its socket is there.
fn start(command: &mut Command, socket: &Path) -> Child {
    let child = command.stdin(Stdio::null()).spawn().expect("dejavm");
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

fn wait_for(client: &mut impl Read, text: &str) {
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

/// As scripts do: all requests at once through a pipe that ends; or at a socket of which one half is closed.
#[test]
fn who_has_said_all_hears_the_answers() {
    let scratch = Scratch::new("half-closed");
    let (journal, last) = recording(&scratch);
    let words = b"{\"execute\":\"qmp_capabilities\"}{\"execute\":\"query-name\",\"id\":1}{\"execute\":\"quit\",\"id\":2}";
    let mut command = on("replay", &journal);
    command.args(["-S", "-serial", "null", "-qmp", "stdio"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("dejavm");
    child.stdin.take().expect("a pipe").write_all(words).expect("room");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("\"QMP\"") && said.contains("\"id\": 1") && said.contains("\"id\": 2"), "{said}");

    let socket = scratch.file("h.sock");
    let mut command = on("replay", &journal);
    let child = start(command.args(["-S", "-serial", "null", "-monitor", &place(&socket)]), &socket);
    let mut client = connect(&socket);
    client.write_all(format!("replay_seek {last}\rwhen\rquit\r").as_bytes()).expect("room");
    client.shutdown(std::net::Shutdown::Write).expect("a half");
    let mut said = String::new();
    client.read_to_string(&mut said).expect("all answers");
    assert!(said.contains(&format!("instruction count {last}")), "{said}");
    ended_well(child);
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

/// The public client's shell for people, driven as people do: line by line.
#[test]
fn the_public_shell_drives_a_recording() {
    let Some(python) = python() else {
        eprintln!("SKIPPED: no Python with the package qemu.qmp; tests/run.sh installs one ($DEJAVM_PYTHON)");
        return;
    };
    let scratch = Scratch::new("shell");
    let (journal, last) = recording(&scratch);
    let (socket, core) = (scratch.file("q.sock"), scratch.file("core"));
    let child = replay(&journal, &socket);
    let shell = |options: &[&str], lines: &str| {
        let mut command = Command::new(&python);
        command.args(["-m", "qemu.qmp.qmp_shell"]).args(options).arg(&socket);
        // It keeps its history there.
        command
            .env("HOME", scratch.file(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut shell = command.spawn().expect("python");
        shell.stdin.take().expect("a pipe").write_all(lines.as_bytes()).expect("it reads");
        let output = shell.wait_with_output().expect("it ends");
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let half = last / 2;
    let lines = format!(
        "query-status\nreplay-break icount={half}\ncont\nnosuch\nreplay-break icount=abc\n\
         human-monitor-command command-line=info\\ version\n"
    );
    let said = shell(&[], &lines);
    for part in [
        "Connected to QEMU 10.0.2",
        "prelaunch",
        "The command nosuch has not been found",
        "Invalid parameter type for 'icount', expected: integer",
    ] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    let mut client = connect(&socket);
    client.write_all(b"{\"execute\":\"qmp_capabilities\"}").expect("room");
    let there = format!("\"icount\": {half}");
    while !ask(&mut client, "{\"execute\":\"query-replay\"}").contains(&there) {
        std::thread::sleep(Duration::from_millis(20));
    }
    // As a human monitor.
    let lines = format!("info replay\nx/2i $rip\ndump-guest-memory {}\nquit\n", core.display());
    let said = shell(&["-H"], &lines);
    assert!(said.contains(&format!("instruction count = {half}")), "{said}");
    let code = said.lines().filter(|line| line.contains("0x00") && line.contains(":  "));
    assert_eq!(code.count(), 2, "{said}");
    assert!(std::fs::read(&core).expect("a dump").starts_with(b"\x7FELF"));
    ended_well(child);
}

/// Sends a request and gives the next answer.
fn ask(client: &mut UnixStream, request: &str) -> String {
    client.write_all(request.as_bytes()).expect("room");
    let (mut heard, mut byte) = (Vec::new(), [0]);
    loop {
        assert_eq!(client.read(&mut byte).expect("an answer in time"), 1, "{heard:?}");
        heard.push(byte[0]);
        if byte[0] == b'\n' {
            let line = String::from_utf8_lossy(&std::mem::take(&mut heard)).into_owned();
            if line.contains("\"return\"") && !line.contains("\"return\": {}") {
                return line;
            }
        }
    }
}

#[test]
fn descriptors_are_passed_over_a_socket() {
    let scratch = Scratch::new("descriptors");
    let (journal, _) = recording(&scratch);
    let socket = scratch.file("q.sock");
    let child = replay(&journal, &socket);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/qmp_descriptors.py");
    let client = Command::new("python3").arg(script).arg(&socket).arg(scratch.file("core")).output();
    let client = client.expect("python3");
    assert!(client.status.success(), "{}", String::from_utf8_lossy(&client.stderr));
    ended_well(child);
}

/// Jumps in place.
const SPIN: &[u8] = &[0xEB, 0xFE];

/// A monitor for people at a socket: sends a line, gives what comes before the next prompt.
fn say(client: &mut (impl Read + Write), line: &str) -> String {
    client.write_all(format!("{line}\r").as_bytes()).expect("room");
    let (mut heard, mut buffer) = (Vec::new(), [0; 4096]);
    // The echo ends with the end of the line; then comes the answer, then the prompt.
    while !(heard.ends_with(b"(qemu) ") && heard.windows(2).any(|w| w == b"\r\n")) {
        let n = client.read(&mut buffer).expect("an answer in time");
        assert!(n > 0, "it ended after {:?}", String::from_utf8_lossy(&heard));
        heard.extend(&buffer[..n]);
    }
    let text = String::from_utf8_lossy(&heard).replace('\r', "");
    let (_, answer) = text.split_once('\n').expect("an end of the echo");
    answer.trim_end_matches("(qemu) ").to_owned()
}

/// What a monitor gives to the machine while recording is in the journal, at its place, so that the replay has it
/// again; the ring buffer keeps what the guest sent.
#[test]
fn port_writes_are_recorded_and_replayed() {
    let scratch = Scratch::new("door");
    let [journal, guest, socket, log] = ["run.dj", "spin", "h.sock", "log"].map(|name| scratch.file(name));
    std::fs::write(&guest, elf(SPIN)).expect("a file");
    let mut command = Command::new(program());
    command.arg("record").arg("-o").arg(&journal).arg("--kernel").arg(&guest).args(["-m", "16M", "-S"]);
    command.args(["-chardev", "ringbuf,id=console,size=4K", "-serial", "chardev:console"]);
    command.args(["-monitor", &place(&socket)]);
    let child = start(&mut command, &socket);
    let mut client = connect(&socket);
    wait_for(&mut client, "(qemu) ");
    // It stands still: what is written is there at once. First, words of eight bits.
    assert_eq!(say(&mut client, "o /b 0x3fb 3"), "");
    assert_eq!(say(&mut client, "o /b 0x3f8 0x41"), "");
    assert_eq!(say(&mut client, "ringbuf_read console 10"), "A\n");
    assert_eq!(say(&mut client, "o /b 0x3ff 0x5a"), "");
    assert_eq!(say(&mut client, "i /b 0x3ff"), "portb[0x03ff] = 0x5a\n");
    assert_eq!(say(&mut client, &format!("logfile {}", log.display())), "");
    assert_eq!(say(&mut client, "trace-event uart_write on"), "");
    let at_first = say(&mut client, "when");
    assert_eq!(say(&mut client, "c"), "");
    // What is written at the very start and a mark there have one place, which a seek stops before.
    while say(&mut client, "when") == at_first {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(say(&mut client, "o /b 0x3f8 0x42"), "");
    while say(&mut client, "ringbuf_read console 10") != "B\n" {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(say(&mut client, "savevm b"), "");
    assert_eq!(say(&mut client, "stop"), "");
    assert!(say(&mut client, "info chardev").contains("console: filename=ringbuf\n"));
    assert_eq!(say(&mut client, "chardev-change console null"), "");
    assert_eq!(say(&mut client, "o /b 0x3f8 0x43"), "");
    assert!(say(&mut client, "info profile").contains("standing still"));
    client.write_all(b"quit\r").expect("room");
    ended_well(child);
    assert!(std::fs::read_to_string(log).expect("a log").contains("uart_write"), "no trace in the log file");

    run(&mut on("verify", &journal)).success();
    let events = run(&mut on("events", &journal)).success().console();
    let writes: Vec<_> = events.lines().filter(|line| line.contains("port_write")).collect();
    assert_eq!(writes.len(), 5, "{events}");
    assert!(writes[1].contains("port_write port=0x3f8 size=1 value=0x41"), "{events}");
    assert_eq!(run(on("replay", &journal).args(["-serial", "stdio"])).success().console(), "ABC");

    // The replay has it, and takes nothing more in; the mark is there.
    let mut command = on("replay", &journal);
    let child = start(command.args(["-S", "-serial", "null", "-monitor", &place(&socket)]), &socket);
    let mut client = connect(&socket);
    wait_for(&mut client, "(qemu) ");
    assert!(say(&mut client, "o /b 0x3ff 1").contains("`go_live FILE`"));
    assert_eq!(say(&mut client, "i /b 0x3ff"), "portb[0x03ff] = 0x00\n", "the journal's writes come later");
    assert!(say(&mut client, "info snapshots").contains("--      b "));
    assert_eq!(say(&mut client, "loadvm b"), "");
    assert_eq!(say(&mut client, "i /b 0x3ff"), "portb[0x03ff] = 0x5a\n");
    client.write_all(b"quit\r").expect("room");
    ended_well(child);
}
