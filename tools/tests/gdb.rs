//! The real gdb against the program: the demo's recording, forward and back.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
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

/// A folder with the demo's journal, and dejavm serving it to gdb.
struct Server {
    folder: PathBuf,
    dejavm: Child,
}

impl Server {
    fn new(name: &str, arguments: &[&str]) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("gdb-{name}"));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let program = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_dejavm"));
            command.current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::null());
            command
        };
        assert!(program().args(["demo", "--seed", "1"]).status().unwrap().success());
        let dejavm = program().args(arguments).args(["--gdb", "unix:g.sock"]).spawn().unwrap();
        let server = Self { folder, dejavm };
        let start = Instant::now();
        while !server.socket().exists() {
            assert!(start.elapsed() < PATIENCE, "no socket");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
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
