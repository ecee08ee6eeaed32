//! A client's packets against a run that goes nowhere.

use super::filter::frame;
use super::{Closed, Link, Reply, Request, Stub, serve};
use crate::control::fake::Fake;
use crate::control::{Mode, StopCause, Stopped};
use crate::hmp::Hmp;
use crate::services::{Identity, LogControl, Services};
use dejavm_core::boundary::{HitCause, StopHit};
use dejavm_trace::event::Registry;
use dejavm_trace::sink::{Format, Writer};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

struct NoLog;

impl LogControl for NoLog {
    fn set_filter(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
    fn filter(&self) -> String {
        String::new()
    }
    fn set_file(&self, _: Option<&std::path::Path>) -> Result<(), String> {
        Ok(())
    }
}

/// Asks without a thread in between.
#[derive(Clone)]
struct Direct(Rc<RefCell<(Fake, Hmp)>>);

impl Direct {
    fn new(mode: Mode, vcpus: u32) -> Self {
        let trace = Arc::new(Registry::new(Writer::new(Format::Text, Box::new(std::io::sink()))));
        let hmp = Hmp::new(Rc::new(Services::new(trace, Box::new(NoLog), Identity::default())));
        Self(Rc::new(RefCell::new((Fake::with_vcpus(mode, vcpus), hmp))))
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.0.borrow_mut().0.told)
    }
}

impl Link for Direct {
    fn ask(&mut self, request: Request) -> Option<Reply> {
        let (run, hmp) = &mut *self.0.borrow_mut();
        Some(serve(request, run, hmp))
    }
}

struct Client {
    run: Direct,
    stub: Stub<Direct>,
}

impl Client {
    fn new(mode: Mode, vcpus: u32) -> Self {
        let run = Direct::new(mode, vcpus);
        let mut client = Self { stub: Stub::attach(run.clone()).expect("a run"), run };
        client.ask("qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+");
        client
    }

    fn replay() -> Self {
        Self::new(Mode::Replay { file: "run.dj".into() }, 2)
    }

    /// Sends a packet; gives all that comes, without acknowledgements and checksums.
    fn ask(&mut self, packet: &str) -> String {
        self.stub.push(&frame(packet.as_bytes())).expect("an open connection");
        self.heard()
    }

    fn heard(&mut self) -> String {
        let text = String::from_utf8(self.stub.take_output()).expect("ASCII");
        let packets = text.split('$').skip(1);
        packets.map(|packet| expand(packet.split('#').next().unwrap_or_default())).collect()
    }
}

/// Undoes run-length encoding: `*` and a character that says how often what stands before it
/// comes again.
fn expand(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, out.chars().last()) {
            ('*', Some(last)) => {
                let times = chars.next().map_or(0, |n| n as usize - 29);
                out.extend(std::iter::repeat_n(last, times));
            }
            _ => out.push(c),
        }
    }
    out
}

#[test]
fn it_says_what_it_can() {
    let mut client = Client::replay();
    let features = client.ask("qSupported:multiprocess+");
    for feature in ["ReverseStep", "ReverseContinue", "qXfer:features:read", "swbreak", "hwbreak"] {
        assert!(features.contains(feature), "{feature} is not in {features}");
    }
    assert!(!Client::new(Mode::Live, 1).ask("qSupported:multiprocess+").contains("Reverse"));
    assert_eq!(client.ask("?"), "T05thread:p01.01;");
    assert!(client.ask("qXfer:features:read:target.xml:0,40").starts_with("m<?xml"));
}

#[test]
fn threads_are_vcpus() {
    let mut client = Client::replay();
    assert_eq!(client.ask("qfThreadInfo"), "mp01.01,p01.02");
    assert_eq!(client.ask("Tp1.2"), "OK");
    assert_eq!(client.ask("Tp1.3"), "E01");
    let info = client.ask("qThreadExtraInfo,p1.1");
    assert_eq!(info, "435055233020".to_owned() + "5b72756e6e696e675d", "CPU#0 [running]");
}

#[test]
fn registers_and_memory_are_read() {
    let mut client = Client::replay();
    client.run.0.borrow_mut().0.change_cpu(|cpu| cpu.regs[1] = 0x1122);
    client.run.0.borrow_mut().0.write(0x1000, b"dejavm");
    assert_eq!(client.ask("g").len(), 2 * 608);
    assert_eq!(client.ask("p2"), "2211000000000000");
    assert_eq!(client.ask("m1000,6"), "64656a61766d");
    assert_eq!(client.ask("m40000000,6"), "E0e");
    assert_eq!(client.ask("mffffffffffffffff,6"), "E22");
}

#[test]
fn a_replay_is_not_written_to_and_says_why() {
    let mut client = Client::replay();
    assert_eq!(client.ask("M1000,1:55"), "E.a replay is not changed");
    assert_eq!(client.ask("P2=2211000000000000"), "E.a replay is not changed");
    let mut live = Client::new(Mode::Live, 1);
    assert_eq!(live.ask("M1000,1:55"), "OK");
    assert_eq!(live.ask("m1000,1"), "55");
    assert_eq!(live.ask("P2=2211000000000000"), "OK");
    assert_eq!(live.ask("p2"), "2211000000000000");
}

/// Number, value, and what is read back.
const WRITES: [(u8, &str, &str); 13] = [
    // Selectors: those of the boot GDT; 10h is code, 18h data.
    (0x14, "18000000", "18000000"),
    (0x17, "00000000", "00000000"),
    (0x18, "0000000000e0ffff", "0000000000e0ffff"),
    // CR3, CR4 with PAE and OSFXSR, CR8, EFER with NXE besides LME and LMA.
    (0x1D, "0050000000000000", "0050000000000000"),
    (0x1E, "2002000000000000", "2002000000000000"),
    (0x1F, "0700000000000000", "0700000000000000"),
    (0x20, "000d000000000000", "000d000000000000"),
    // ST(0), control, status with TOP 5, tags, the last instruction.
    (0x21, "00000000000000c0ff3f", "00000000000000c0ff3f"),
    (0x29, "7f020000", "7f020000"),
    (0x2A, "00280000", "00280000"),
    (0x2B, "ffff0000", "ffff0000"),
    (0x2D, "44332211", "44332211"),
    (0x30, "ff070000", "ff070000"),
];

#[test]
fn all_registers_are_written_as_far_as_the_cpu_could_hold_the_value() {
    let mut live = Client::new(Mode::Live, 1);
    live.run.0.borrow_mut().0 = Fake::booted(Mode::Live, 1);
    let cr3 = live.ask("p1d");
    for (number, value, after) in WRITES {
        assert_eq!(live.ask(&format!("P{number:x}={value}")), "OK", "register {number:#x}");
        assert_eq!(live.ask(&format!("p{number:x}")), after, "register {number:#x}");
    }
    // Through those tables the descriptors are found.
    assert_eq!(live.ask(&format!("P1d={cr3}")), "OK");
    let registers = live.ask("g");
    let refused = [
        ("P1b=2211000000000000", "E.cr0 cannot be 0x1122: the CPU does not take that value"),
        ("P1e=0000000000000000", "E.cr4 cannot be 0x0: the CPU does not"),
        ("P1f=1000000000000000", "E.cr8 cannot be 0x10: it has four bits"),
        ("P20=0001000000000000", "E.efer cannot be 0x100: LMA follows"),
        ("P12=00000000", "E.cs cannot be 0x0: it needs a segment"),
        ("P12=18000000", "E.cs cannot be 0x18: the segment is of another kind"),
        ("P14=00ff0000", "E.ds cannot be 0xff00: the descriptor table has no such entry"),
        ("P14=00000100", "E.ds cannot be 0x10000: a selector has 16 bits"),
    ];
    for (packet, error) in refused {
        let answer = live.ask(packet);
        assert!(answer.starts_with(error), "{packet}: {answer}");
    }
    assert_eq!(live.ask("g"), registers, "what is refused changes nothing");
}

#[test]
fn it_goes_both_ways_and_tells_where_it_stopped() {
    let mut client = Client::replay();
    assert_eq!(client.ask("Z0,1000,1"), "OK");
    assert_eq!(client.ask("Z2,2000,8"), "OK");
    client.run.told();
    client.ask("vCont;s:p1.2;c:p1.-1");
    assert_eq!(client.run.told(), ["Motion { backward: false, step: Some(1) }"]);
    client.stub.stopped(Stopped { vcpu: 1, cause: StopCause::Step }).unwrap();
    assert_eq!(client.heard(), "T05thread:p01.02;");
    client.ask("bc");
    assert_eq!(client.run.told(), ["Motion { backward: true, step: None }"]);
    let hit = |id, cause| StopHit { id, vcpu: 0, icount: 9, in_delivery: false, cause };
    let access = HitCause::Access { address: 0x1FFC, size: 8, write: true };
    client.stub.stopped(Stopped { vcpu: 0, cause: StopCause::Hit(hit(1, access)) }).unwrap();
    assert_eq!(client.heard(), "T05thread:p01.01;watch:2000;");
    client.ask("c");
    let at = HitCause::Instruction { address: 0x1000 };
    client.stub.stopped(Stopped { vcpu: 0, cause: StopCause::Hit(hit(0, at)) }).unwrap();
    assert_eq!(client.heard(), "T05thread:p01.01;swbreak:;");
    client.ask("bc");
    client.stub.stopped(Stopped { vcpu: 0, cause: StopCause::Begin }).unwrap();
    assert_eq!(client.heard(), "T05thread:p01.01;replaylog:begin;");
}

#[test]
fn ctrl_c_asks_the_run_to_stop() {
    let mut client = Client::replay();
    client.ask("c");
    client.stub.push(&[3]).unwrap();
    assert_eq!(client.heard(), "", "nothing before it stands");
    client.stub.stopped(Stopped { vcpu: 0, cause: StopCause::Interrupted }).unwrap();
    assert_eq!(client.heard(), "T02thread:p01.01;");
}

#[test]
fn monitor_commands_answer_as_on_the_terminal() {
    let mut client = Client::replay();
    let command: String = "info status".bytes().map(|b| format!("{b:02x}")).collect();
    let answer = client.ask(&format!("qRcmd,{command}"));
    let expected: String = "VM status: paused".bytes().map(|b| format!("{b:02x}")).collect();
    assert!(answer.starts_with(&format!("O{expected}")), "{answer}");
    assert!(answer.ends_with("OK"), "{answer}");
}

#[test]
fn a_client_that_leaves_takes_its_stop_points_along() {
    let mut client = Client::replay();
    client.ask("Z0,1000,1");
    client.run.told();
    assert_eq!(client.stub.push(&frame(b"D;1")), Err(Closed));
    assert_eq!(client.heard(), "OK");
    assert_eq!(client.run.told(), ["0 stop points"]);
    let mut other = Client::replay();
    other.stub.push(b"$m10").unwrap();
    other.stub.hang_up();
    assert_eq!(other.run.told(), ["0 stop points"]);
    let mut killer = Client::replay();
    assert_eq!(killer.stub.push(&frame(b"k")), Err(Closed));
    assert_eq!(killer.run.told(), ["quit"]);
}

/// Packets that a hostile client may build others of.
const PACKETS: [&str; 28] = [
    "?",
    "g",
    "G00",
    "p10",
    "P2=22",
    "m0,10",
    "M0,2:1122",
    "X0,2:ab",
    "Z0,1000,1",
    "z2,1000,8",
    "Z4,ffff,0",
    "Hg0",
    "Hc-1",
    "qfThreadInfo",
    "Tp1.1",
    "vCont?",
    "vCont;c",
    "vCont;s:p1.1;c",
    "vCont;r1,2:1",
    "bc",
    "bs",
    "qSupported:xmlRegisters=i386",
    "qXfer:features:read:target.xml:0,ffb",
    "qRcmd,696e666f",
    "c",
    "s",
    "qThreadExtraInfo,p1.1",
    "QStartNoAckMode",
];

/// The same numbers on every host.
fn random(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

fn hostile_bytes(seed: &mut u64) -> Vec<u8> {
    let mut packet = PACKETS[random(seed) % PACKETS.len()].as_bytes().to_vec();
    for _ in 0..random(seed) % 4 {
        let at = random(seed) % (packet.len() + 1);
        match random(seed) % 4 {
            0 => packet.insert(at, random(seed) as u8),
            1 if at < packet.len() => packet[at] = b",;:=-0fp."[random(seed) % 9],
            2 => packet.truncate(at),
            _ => packet.extend_from_within(at..),
        }
    }
    let mut bytes = frame(&packet);
    match random(seed) % 8 {
        0 => bytes.truncate(random(seed) % bytes.len()),
        1 => bytes.insert(random(seed) % bytes.len(), 3),
        2 => bytes = vec![random(seed) as u8; random(seed) % 99],
        _ => {}
    }
    bytes
}

/// Whatever comes, the stub answers, or closes the connection, and gives up what was set. With
/// `DEJAVM_FUZZ_SECONDS=S` it goes on that long.
#[test]
fn hostile_packets_do_no_harm() {
    let budget = std::env::var("DEJAVM_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok());
    let (start, budget) = (std::time::Instant::now(), budget.map(std::time::Duration::from_secs));
    let mut seed = 1;
    let mut clients = 0;
    while budget.map_or(clients < 300, |budget| start.elapsed() < budget) {
        clients += 1;
        let mode = if clients % 2 == 0 { Mode::Live } else { Mode::Replay { file: "run.dj".into() } };
        let mut client = Client::new(mode, 2);
        for _ in 0..40 {
            if client.stub.push(&hostile_bytes(&mut seed)).is_err() {
                break;
            }
            if random(&mut seed) % 3 == 0 {
                let stopped = Stopped { vcpu: random(&mut seed) % 2, cause: StopCause::Interrupted };
                client.stub.stopped(stopped).expect("only the client closes");
            }
            assert!(client.stub.take_output().len() < 1 << 20, "replies stay small");
        }
        client.run.told();
        client.stub.hang_up();
        assert!(client.run.told().contains(&"0 stop points".to_owned()));
    }
}
