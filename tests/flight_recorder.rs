//! The flight recorder: at any moment a whole journal of the last stretch is there, and replays.

use dejavm_core::boundary::{Images, Inbound};
use dejavm_core::machine::Machine;
use dejavm_replay::journal::{EndReason, Ending, Reader};
use dejavm_replay::session::{
    Host, LiveOptions, Observer, RecordOptions, ReplaySession, ReplayStop, RingSession, RingSize, Waited,
};
use dejavm_tests::busy_guest;
use dejavm_tests::cli::Scratch;
use std::fs::File;
use std::path::Path;

const INTERVAL_ICOUNT: u64 = 20_000;
const WINDOW_NS: u64 = 300_000;

/// Types a byte every now and then, or much at every step.
struct Typist {
    steps: u64,
    /// How many scan codes at each step.
    keys: usize,
}

impl Observer for Typist {}

impl Host for Typist {
    fn next_inbound(&mut self, room: &mut dyn FnMut(u8) -> usize) -> Option<Inbound> {
        self.steps += 1;
        if self.keys > 0 {
            // One event before each step; what does not shrink.
            let mut code = self.steps.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let mut next = || {
                code = code.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (code >> 56) as u8
            };
            let scan_codes = (0..self.keys).map(|_| next()).collect();
            return (!self.steps.is_multiple_of(2)).then_some(Inbound::Keyboard { scan_codes });
        }
        let due = self.steps.is_multiple_of(7) && room(0) > 0;
        due.then(|| Inbound::Serial { port: 0, bytes: vec![self.steps as u8] })
    }
    fn has_backlog(&self) -> bool {
        false
    }
    fn flush_due(&mut self) -> bool {
        false
    }
    fn wait(&mut self, _max_ns: Option<u64>) -> Waited {
        Waited::Elapsed(0)
    }
}

fn ring(path: &Path, vcpus: u32, size: RingSize, interval_icount: u64) -> RingSession<Machine> {
    let (images, config) = (busy_guest::images(), busy_guest::config(vcpus));
    let machine = busy_guest::machine(vcpus);
    let options = RecordOptions { interval_icount, ..RecordOptions::default() };
    let out = (path, File::create(path).expect("a file"));
    RingSession::start(machine, &config, &images, out, &options, size, LiveOptions::default())
        .expect("a ring")
}

/// Steps of the run, none longer than a chunk.
fn go(session: &mut RingSession<Machine>, host: &mut Typist, chunks: u64, interval_icount: u64) {
    for _ in 0..chunks {
        let icount = session.machine().position().icount + interval_icount;
        session.step_until(icount, host).expect("it goes on");
    }
}

/// Replays the journal at `path` from its beginning; gives how much virtual time it covers.
fn replay(path: &Path) -> u64 {
    let reader = Reader::open(path).expect("a journal");
    let covered_ns = reader.last().now_ns - reader.first().now_ns;
    let mut session = ReplaySession::open(reader, Images::default()).expect("it can be replayed");
    session.verify(&mut ()).expect("equal").expect("not interrupted");
    assert_eq!(session.seek(session.first().icount, &mut ()).expect("back"), ReplayStop::Reached);
    covered_ns
}

#[test]
fn whenever_it_is_killed_the_last_stretch_is_there() {
    let scratch = Scratch::new("ring-killed");
    let path = scratch.file("run.dj");
    for vcpus in [1, 3] {
        let mut session = ring(&path, vcpus, RingSize::Time(WINDOW_NS), INTERVAL_ICOUNT);
        let mut host = Typist { steps: 0, keys: 0 };
        let mut begun_later = 0;
        for _ in 0..25 {
            go(&mut session, &mut host, 5, INTERVAL_ICOUNT);
            // What a killed process leaves are its files as they are now.
            let copy = scratch.file("killed.dj");
            std::fs::copy(&path, &copy).expect("a copy");
            let covered_ns = replay(&copy);
            let now_ns = session.machine().position().now_ns;
            let slack_ns = 2 * INTERVAL_ICOUNT * u64::from(vcpus) + 200_000;
            assert!(covered_ns + slack_ns >= now_ns.min(WINDOW_NS), "{covered_ns} ns at {now_ns} ns");
            assert!(covered_ns <= 2 * WINDOW_NS + slack_ns, "{covered_ns} ns at {now_ns} ns");
            begun_later += u32::from(Reader::open(&copy).expect("a journal").has_start());
        }
        assert!(begun_later > 10, "it never turned round");
        session.end(EndReason::Crashed);
        session.finish().expect("a clean end");
        let reader = Reader::open(&path).expect("a journal");
        assert!(matches!(reader.ending(), Ending::Clean(end) if end.reason == EndReason::Crashed));
        assert!(replay(&path) >= WINDOW_NS);
        assert!(!scratch.file("run.dj.ring").exists());
    }
}

/// A guest that sleeps executes too little to come to the regular ends of chunks: the ring turns all the
/// same, by the guest's time.
#[test]
fn a_ring_turns_while_the_guest_sleeps() {
    let scratch = Scratch::new("ring-idle");
    let path = scratch.file("run.dj");
    let never_icount = 1 << 40;
    let mut session = ring(&path, 1, RingSize::Time(WINDOW_NS), never_icount);
    let mut host = Typist { steps: 0, keys: 0 };
    let step_icount = 5000;
    let mut turned = 0;
    for _ in 0..400 {
        go(&mut session, &mut host, 1, step_icount);
        let first_ns = Reader::open(&path).expect("a journal").first().now_ns;
        let covered_ns = session.machine().position().now_ns - first_ns;
        assert!(covered_ns <= 2 * WINDOW_NS + 200_000, "{covered_ns} ns");
        turned += u32::from(first_ns > 0);
    }
    assert!(turned > 100, "it never turned round");
    session.finish().expect("a clean end");
    assert!(replay(&path) >= WINDOW_NS);
}

#[test]
fn a_ring_of_bytes_does_not_grow() {
    let scratch = Scratch::new("ring-bytes");
    let (path, other) = (scratch.file("run.dj"), scratch.file("run.dj.ring"));
    let limit = 4_000_000;
    let mut session = ring(&path, 1, RingSize::Bytes(limit), 2_000);
    let mut host = Typist { steps: 0, keys: 2000 };
    let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |data| data.len());
    let mut turned = false;
    for _ in 0..25 {
        go(&mut session, &mut host, 100, 2_000);
        assert!(bytes(&path) + bytes(&other) < limit + limit / 10, "{} {}", bytes(&path), bytes(&other));
        turned |= Reader::open(&path).expect("a journal").has_start();
    }
    assert!(turned, "the limit was never reached: {} {}", bytes(&path), bytes(&other));
    session.finish().expect("a clean end");
    replay(&path);
}
