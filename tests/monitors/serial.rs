//! A serial port with somebody at its other side: at sockets, a terminal, named pipes; and a monitor at a
//! terminal.

use super::{PATIENCE, connect, ended_well, place, say, wait_for};
use dejavm_tests::busy_guest::elf;
use dejavm_tests::cli::{Scratch, on, program, run};
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Sends back what COM1 gets: words of eight bits, then LSR bit 0, RBR, THR without end.
const ECHO: &[u8] = &[
    0x66, 0xBA, 0xFB, 0x03, 0xB0, 0x03, 0xEE, // mov dx, 3FBh; mov al, 3; out dx, al
    0x66, 0xBA, 0xFD, 0x03, 0xEC, 0xA8, 0x01, 0x74, 0xF7, // mov dx, 3FDh; in al, dx; test al, 1; jz
    0x66, 0xBA, 0xF8, 0x03, 0xEC, 0xEE, 0xEB, 0xEF, // mov dx, 3F8h; in al, dx; out dx, al; jmp
];

/// Sends words to the guest, which must come back.
fn echo(client: &mut (impl Read + Write), words: &str) {
    client.write_all(words.as_bytes()).expect("room");
    let mut back = vec![0; words.len()];
    client.read_exact(&mut back).expect("an echo");
    assert_eq!(String::from_utf8_lossy(&back), words);
}

/// The terminal that a line tells of.
fn terminal(line: &str) -> &str {
    let (_, rest) = line.split_once("char device redirected to ").unwrap_or_else(|| panic!("{line}"));
    rest.split(' ').next().expect("a path")
}

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(path).expect("a terminal or a pipe")
}

fn tcp(text: &str) -> TcpStream {
    let (_, rest) = text.split_once("tcp:").unwrap_or_else(|| panic!("{text}"));
    let client = TcpStream::connect(rest.split(',').next().expect("an address")).expect("a client");
    client.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    client
}

/// One port, at one place after another while it is recorded; what came in is in the journal, wherever it
/// came from.
#[test]
fn a_serial_port_moves_from_a_socket_to_a_terminal_to_pipes() {
    let scratch = Scratch::new("serial");
    let [journal, guest, socket, console, pipe] =
        ["run.dj", "echo", "h.sock", "c.sock", "pipe"].map(|name| scratch.file(name));
    std::fs::write(&guest, elf(ECHO)).expect("a file");
    let mut command = Command::new(program());
    command.arg("record").arg("-o").arg(&journal).arg("--kernel").arg(&guest).args(["-m", "16M"]);
    command.args(["-serial", &place(&console), "-monitor", &place(&socket)]);
    let child = super::start(&mut command, &socket);
    let mut client = connect(&socket);
    wait_for(&mut client, "(qemu) ");
    let chardev = |client: &mut _| say(client, "info chardev");
    assert!(chardev(&mut client).contains("serial0: filename=disconnected:unix:"));
    let mut first = connect(&console);
    echo(&mut first, "at a unix socket, ");
    assert!(chardev(&mut client).contains("serial0: filename=unix:"));
    assert_eq!(say(&mut client, "chardev-send-break serial0"), "");
    // The guest gets it as a character that is zero, and sends that back.
    let mut zero = [1];
    first.read_exact(&mut zero).expect("an echo");
    assert_eq!(zero, [0]);

    // The one before is gone, and its socket with it.
    let change = "chardev-change serial0 socket,host=127.0.0.1,port=0,server=on,wait=off";
    assert_eq!(say(&mut client, change), "");
    assert_eq!(first.read(&mut [0]).expect("its end"), 0);
    assert!(!console.exists());
    echo(&mut tcp(&chardev(&mut client)), "at a tcp socket, ");

    let said = say(&mut client, "chardev-change serial0 pty");
    echo(&mut open(Path::new(terminal(&said))), "at a terminal, ");

    let halves = ["in", "out"].map(|half| scratch.file(&format!("pipe.{half}")));
    assert!(Command::new("mkfifo").args(&halves).status().expect("mkfifo").success());
    assert_eq!(say(&mut client, &format!("chardev-change serial0 pipe,path={}", pipe.display())), "");
    let [mut there, mut back] = halves.map(|half| open(&half));
    there.write_all(b"in pipes").expect("room");
    let mut words = [0; 8];
    back.read_exact(&mut words).expect("an echo");
    assert_eq!(&words, b"in pipes");

    // Who floods and never reads holds up nothing, and is gone with the next change.
    let flood = "chardev-change serial0 socket,host=127.0.0.1,port=0,server=on,wait=off";
    assert_eq!(say(&mut client, flood), "");
    let mut flood = tcp(&chardev(&mut client));
    flood.set_nonblocking(true).expect("a socket");
    while flood.write(&[b'x'; 4096]).is_ok() {}
    assert_eq!(say(&mut client, "chardev-change serial0 null"), "");
    client.write_all(b"quit\r").expect("room");
    ended_well(child);

    run(&mut on("verify", &journal)).success();
    let events = run(&mut on("events", &journal)).success().console();
    assert!(events.contains("serial_break"), "{events}");
    let heard = run(on("replay", &journal).args(["-serial", "stdio"])).success().console();
    assert!(heard.starts_with("at a unix socket, \0at a tcp socket, at a terminal, in pipes"), "{heard}");
}

/// A monitor for people at a terminal, and one for programs at a pipe made with the long options.
#[test]
fn monitors_at_a_terminal_and_at_pipes() {
    let scratch = Scratch::new("monitor-pty");
    let [guest, pipe] = ["echo", "pipe"].map(|name| scratch.file(name));
    std::fs::write(&guest, elf(ECHO)).expect("a file");
    let halves = ["in", "out"].map(|half| scratch.file(&format!("pipe.{half}")));
    assert!(Command::new("mkfifo").args(&halves).status().expect("mkfifo").success());
    let mut command = Command::new(program());
    command.arg("run").arg("--kernel").arg(&guest).args(["-m", "16M", "-serial", "pty", "-monitor", "pty"]);
    command.arg("-chardev").arg(format!("pipe,id=q,path={}", pipe.display()));
    command.args(["-mon", "chardev=q,mode=control"]);
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("dejavm");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut next = || lines.next().expect("a line").expect("text").trim().to_owned();
    let (console, monitor) = (next(), next());
    assert!(
        console.ends_with("(label serial0)") && monitor.ends_with("(label compat_monitor0)"),
        "{monitor}"
    );
    echo(&mut open(Path::new(terminal(&console))), "hello");
    let mut people = open(Path::new(terminal(&monitor)));
    let heard = |people: &mut File, last: &str| {
        let (mut text, mut byte, start) = (String::new(), [0], Instant::now());
        while !text.ends_with(last) {
            assert!(start.elapsed() < PATIENCE, "no {last:?} in {text}");
            people.read_exact(&mut byte).expect("a byte");
            text.push(char::from(byte[0]));
        }
        text
    };
    heard(&mut people, "(qemu) ");
    people.write_all(b"info status\r").expect("room");
    assert!(heard(&mut people, "running\r\n(qemu) ").contains("VM status: "));
    let [mut there, mut back] = halves.map(|half| open(&half));
    heard(&mut back, "\"QMP\"");
    there.write_all(b"{\"execute\":\"qmp_capabilities\"}{\"execute\":\"quit\",\"id\":7}").expect("room");
    heard(&mut back, "\"id\": 7}\r\n");
    ended_well(child);
}
