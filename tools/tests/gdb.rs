//! The real gdb against the program: the demo's recording, forward and back.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the program may take to listen, or gdb for a script.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whether gdb is there; says so if it is not.
fn has_gdb() -> bool {
    let found = Command::new("gdb").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("SKIPPED: gdb is not installed (apt-get install gdb; .ci/run does)");
    }
    found
}

fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dejavm"));
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Puts the demo's guest where `-kernel kernel` finds it.
fn put_kernel(folder: &Path) {
    let guest = dejavm_tools::demo::guest::build().unwrap();
    std::fs::write(folder.join("kernel"), guest.kernel).unwrap();
}

/// Waits for a socket.
fn wait_for(socket: &Path) {
    let start = Instant::now();
    while !socket.exists() {
        assert!(start.elapsed() < PATIENCE, "no socket");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A folder with the demo's journal, and dejavm serving it to gdb.
struct Server {
    folder: PathBuf,
    dejavm: Child,
}

impl Server {
    fn new(name: &str, arguments: &[&str]) -> Self {
        let demo = |folder: &Path| {
            assert!(program(folder).args(["demo", "--seed", "1"]).status().unwrap().success());
        };
        Self::with(name, arguments, demo)
    }

    /// In a folder that `prepare` fills.
    fn with(name: &str, arguments: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("gdb-{name}"));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        prepare(&folder);
        Self::in_folder(folder, arguments)
    }

    fn in_folder(folder: PathBuf, arguments: &[&str]) -> Self {
        let dejavm = program(&folder).args(arguments).args(["--gdb", "unix:g.sock"]).spawn().unwrap();
        let server = Self { folder, dejavm };
        wait_for(&server.socket());
        server
    }

    /// Waits until the guest ends the run.
    fn wait(&mut self) {
        self.dejavm.wait().unwrap();
        assert!(!self.socket().exists(), "the server's socket is left behind");
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("g.sock")
    }

    /// Runs gdb with these commands; gives what it prints.
    fn gdb(&self, commands: &str) -> String {
        let script = self.folder.join("script.gdb");
        let setup =
            "set pagination off\nset confirm off\nset architecture i386:x86-64\ntarget remote g.sock\n";
        std::fs::write(&script, format!("{setup}{commands}")).unwrap();
        let output = Command::new("timeout")
            .args([&PATIENCE.as_secs().to_string(), "gdb", "-nx", "-batch", "-x", "script.gdb"])
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        format!("{text}{}", String::from_utf8_lossy(&output.stderr))
    }

    /// Connects as a client of its own.
    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.dejavm.kill();
        let _ = self.dejavm.wait();
    }
}

/// The parts of a text are there, in this order.
fn in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} is not where it should be in\n{text}"));
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn a_watchpoint_leads_back_to_the_writer_and_forward_again() {
    if !has_gdb() {
        return;
    }
    let server = Server::new("writer", &["replay", "demo.dj"]);
    let text = server.gdb(
        "hbreak *0x2001b4\ncontinue\nx/i $pc\ndelete\n\
         watch *(long*)0x208000\ncontinue\ncontinue\nmonitor info replay\n\
         reverse-continue\nmonitor info replay\nreverse-continue\nmonitor info replay\np/x $rip\n\
         delete\nreverse-stepi\nstepi\nmonitor info replay\np/x $rip\n\
         reverse-continue\nmonitor info replay\ncontinue\np $cr0\ninfo threads\ndetach\n",
    );
    in_order(
        &text,
        &[
            "Breakpoint 1, 0x00000000002001b4",
            "mov    %rdx,0x208000",
            "Old value = ",
            "Old value = ",
            "Hardware watchpoint 2",
            "Hardware watchpoint 2",
            "$1 = 0x200",
            "$2 = 0x200",
            "No more reverse-execution history",
            "No more reverse-execution history",
            "PE",
            "CPU#0 [",
        ],
    );
    let counts: Vec<u64> = text.split("instruction count = ").skip(1).map(number).collect();
    assert_eq!(counts[1] + 1, counts[0], "going back ends before the instruction that wrote\n{text}");
    assert!(counts[2] < counts[1], "{text}");
    assert_eq!(counts[3], counts[2], "a step back and one forward\n{text}");
    assert_eq!(counts[4..], [0], "the beginning of the recording\n{text}");
    let places: Vec<_> = text.split(" = 0x200").skip(1).filter_map(|rest| rest.get(..3)).collect();
    assert_eq!(places[0], places[1], "{text}");
}

/// The number that a text begins with.
fn number(text: &str) -> u64 {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().expect("a number")
}

#[test]
fn a_replay_is_not_changed_and_gdb_says_why() {
    if !has_gdb() {
        return;
    }
    let seek = ["replay", "demo.dj", "--seek", "100000"];
    // An error ends gdb's script, and so gdb, and so the run.
    let text = Server::new("registers", &seek).gdb("set $rax = 5\n");
    assert!(text.contains("a replay is what was recorded"), "{text}");
    let server = Server::new("memory", &seek);
    let text = server.gdb("maintenance packet Qqemu.PhyMemMode:1\nx/1dg 0x208000\nset {long}0x208000 = 1\n");
    in_order(&text, &["received: \"OK\"", "0x208000:", "Cannot access memory"]);
}

/// The text of the monitor's `info replay`: how far the run is.
fn icount_in(text: &str) -> u64 {
    number(text.split("instruction count = ").nth(1).expect("a count"))
}

#[test]
fn what_gdb_changes_in_a_recording_is_in_its_journal() {
    if !has_gdb() {
        return;
    }
    let record =
        ["record", "--force", "-o", "changed.dj", "-kernel", "kernel", "-m", "16M", "-S", "-seed", "3"];
    let mut server = Server::with("changed", &record, put_kernel);
    // At its start, at a breakpoint, and at an interrupt's handler; then its course is another.
    let text = server.gdb(
        "set {long}0x209000 = 0x1122334455667788\nset $r15 = 77\n\
         hbreak *0x2001b4\ncontinue\nset $xmm3.uint128 = 5\nset {char}0x209008 = 9\np/x $r15\n\
         set $st0 = 1.5\nset $fctrl = 0x27f\nset $cr8 = 0\nset $gs = $ss\nset $cr3 = $cr3 | 8\np $st0\n\
         x/1xg 0x209000\nx/1db 0x209008\nmonitor info replay\ndelete\nset $cr8 = 16\n",
    );
    in_order(
        &text,
        &["Breakpoint 1, ", "= 1.5", "0x1122334455667788", "0x209008:", "9", "cr8 cannot be 0x10"],
    );
    let at = icount_in(&text);
    // The error ended gdb's script, and gdb let the guest go on.
    server.wait();
    let program = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dejavm"));
        let output = command.args(arguments).current_dir(&server.folder).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (status, verdict) = program(&["verify", "changed.dj"]);
    assert_eq!(status, Some(0), "{verdict}");
    let (_, events) = program(&["events", "changed.dj"]);
    in_order(
        &events,
        &[
            "0x209000: 88 77 66 55 44 33 22 11",
            "r15=0x4d",
            "xmm3=0x5",
            "0x209008: 09",
            "st0=0x3fffc000000000000000",
            "fctrl=0x27f",
            "cr3=",
        ],
    );
    // A replay has it, at the very place, and refuses to be changed itself.
    let replay = Server::in_folder(server.folder.clone(), &["replay", "changed.dj"]);
    let text = replay.gdb(&format!(
        "monitor replay_seek {}\nmaintenance flush register-cache\np/x $r15\nx/1db 0x209008\np $st0\np $fctrl\n\
         watch *(char *)0x209008\nreverse-continue\nmonitor info replay\nset $r15 = 5\n",
        at + 1
    ));
    in_order(&text, &["= 0x4d", "0x209008:", "9", "= 1.5", "= 639", "monitor go_live FILE"]);
    assert_eq!(icount_in(&text), at, "what came in there is found again\n{text}");
}

#[test]
fn the_monitor_starts_and_ends_the_server() {
    if !has_gdb() {
        return;
    }
    let server = Server::new("monitor", &["replay", "demo.dj"]);
    // From one server to another, and back to none.
    let text = server.gdb("monitor info status\nmonitor gdbserver unix:other.sock\n");
    assert!(text.contains("VM status: paused"), "{text}");
    let other = server.folder.join("other.sock");
    wait_for(&other);
    assert!(!server.socket().exists(), "the old one is gone");
    let mut client = UnixStream::connect(&other).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(&packet(&format!("qRcmd,{}", hex("gdbserver tcp::bad")))).unwrap();
    let mut answer = String::new();
    while !answer.contains(&hex("is no port")) {
        let mut some = [0; 4096];
        let read = client.read(&mut some).expect("an answer");
        assert!(read > 0, "only this came: {answer}");
        answer.push_str(&String::from_utf8_lossy(&some[..read]));
    }
    client.write_all(&packet(&format!("qRcmd,{}", hex("gdbserver none")))).unwrap();
    let mut last = Vec::new();
    client.read_to_end(&mut last).expect("it is sent away");
    assert!(last.ends_with(b"$OK#9a"), "with an answer: {}", last.escape_ascii());
    let start = Instant::now();
    while other.exists() {
        assert!(start.elapsed() < PATIENCE, "the socket is still there");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// A packet as it goes over the wire.
fn packet(body: &str) -> Vec<u8> {
    let sum = body.bytes().fold(0u8, |sum, byte| sum.wrapping_add(byte));
    format!("${body}#{sum:02x}").into_bytes()
}

#[test]
fn clients_that_misbehave_leave_room_for_the_next() {
    let server = Server::new("clients", &["replay", "demo.dj"]);
    let mut first = server.connect();
    first.write_all(b"$?#3f").unwrap();
    let mut answer = [0; 8];
    first.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+$T05thr");
    let mut second = server.connect();
    assert_eq!(second.read(&mut answer).unwrap(), 0, "a second client is sent away");
    first.write_all(b"$m1000,").unwrap();
    drop(first);
    let start = Instant::now();
    loop {
        let mut next = server.connect();
        let sent = next.write_all(b"$?#3f");
        if sent.is_ok() && next.read_exact(&mut answer).is_ok() {
            assert_eq!(&answer, b"+$T05thr");
            return;
        }
        assert!(start.elapsed() < PATIENCE, "the client that left is not forgotten");
        std::thread::sleep(Duration::from_millis(20));
    }
}
