//! Where a run is stopped, by what and how often, never changes it: random guests end in the
//! same state, with the same output, whether they run in one piece or in many.
//!
//! `DEJAVM_FUZZ_SEED=N` repeats a case; a long run is
//! `DEJAVM_FUZZ_SECONDS=600 cargo test -p dejavm-tests --test stops`.

use dejavm_core::boundary::{Inbound, Outbound, Position};
use dejavm_core::machine::state_hash::StateHash;
use dejavm_core::machine::{Machine, Prepared, RunLimit, StopReason};
use dejavm_core::vcpu::Engine;
use dejavm_tests::fuzz::{self, guest::Guest};
use dejavm_tests::rng::Rng;

const CASES: u64 = 60;
/// Both runs stop at the multiples of this, and something comes in.
const PIECE: u64 = 3000;
const PIECES: u64 = 4;
/// A guest resets, and sleeps, so many times at most.
const STOPS: u32 = 30;

/// How a piece of a run is run.
trait Style {
    /// Runs to the limit, or to a stop that the guest causes.
    fn run(&mut self, machine: Machine, limit: &RunLimit) -> (Machine, StopReason);
}

/// In one go.
struct Whole;

impl Style for Whole {
    fn run(&mut self, mut machine: Machine, limit: &RunLimit) -> (Machine, StopReason) {
        let reason = machine.run(limit);
        (machine, reason)
    }
}

/// With stops, kicks, hashes and threads at random.
struct Cut {
    rng: Rng,
    outbound: Vec<Outbound>,
}

impl Cut {
    fn piece(&mut self, mut machine: Machine, limit: &RunLimit) -> (Machine, StopReason) {
        match self.rng.below(64) {
            0 => {
                let mut engine = Engine::new(machine);
                if self.rng.one_in(2) {
                    engine.kicker().kick();
                }
                let reason = engine.run(limit);
                (engine.into_machine(), reason)
            }
            1..16 => {
                let every = 1 + self.rng.below(6);
                let reason = loop {
                    let kick = self.rng.one_in(every);
                    match machine.prepare(limit, || kick) {
                        Prepared::Stop(reason) => break reason,
                        Prepared::Run(id) => machine.execute(id, limit),
                    }
                };
                (machine, reason)
            }
            _ => {
                let reason = machine.run(limit);
                (machine, reason)
            }
        }
    }
}

impl Style for Cut {
    fn run(&mut self, mut machine: Machine, limit: &RunLimit) -> (Machine, StopReason) {
        loop {
            let left = limit.until.icount.saturating_sub(machine.position().icount);
            let longest = self.rng.pick(&[1, 20, 20, 200, 200, PIECE]);
            let icount = machine.position().icount + (1 + self.rng.below(longest)).min(left);
            let inner = RunLimit { until: Position { icount, now_ns: 0 }, ..*limit };
            let reason;
            (machine, reason) = self.piece(machine, &inner);
            if self.rng.one_in(16) {
                machine.state_hash();
            }
            if self.rng.one_in(4) {
                self.outbound.append(&mut machine.take_outbound());
            }
            let last = reason == StopReason::Limit && icount == limit.until.icount;
            if last || !matches!(reason, StopReason::Limit | StopReason::Kicked) {
                return (machine, reason);
            }
        }
    }
}

#[derive(Debug, PartialEq)]
struct End {
    position: Position,
    reason: Option<StopReason>,
    hash: StateHash,
    outbound: Vec<Outbound>,
}

/// The whole script: pieces with an inbound event after each, idle times skipped.
fn end(guest: &Guest, script: u64, style: &mut impl Style) -> (Machine, Option<StopReason>) {
    let mut machine = guest.machine();
    let mut rng = Rng::new(script);
    let mut stops = 0;
    while machine.position().icount < PIECE * PIECES && stops < STOPS {
        let next = (machine.position().icount / PIECE + 1) * PIECE;
        let limit = RunLimit { stop_when_idle: true, stop_on_reset: true, ..RunLimit::to_icount(next) };
        let reason;
        (machine, reason) = style.run(machine, &limit);
        match reason {
            StopReason::Limit => {
                assert_eq!(machine.position().icount, next, "a run stops exactly at its limit");
                machine.apply(&inbound(&mut rng));
            }
            StopReason::Idle { deadline_ns: Some(ns) } => machine.skip_idle(ns),
            StopReason::Idle { deadline_ns: None } => machine.apply(&Inbound::Nmi),
            StopReason::Reset(_) => {}
            other => return (machine, Some(other)),
        }
        stops += u32::from(reason != StopReason::Limit);
    }
    (machine, None)
}

fn inbound(rng: &mut Rng) -> Inbound {
    match rng.below(4) {
        0 => Inbound::Nmi,
        1 => Inbound::Keyboard { scan_codes: vec![rng.u64() as u8] },
        _ => Inbound::Serial { port: 0, bytes: vec![rng.u64() as u8; rng.below(4) as usize] },
    }
}

fn finish((mut machine, reason): (Machine, Option<StopReason>), mut outbound: Vec<Outbound>) -> End {
    outbound.append(&mut machine.take_outbound());
    End { position: machine.position(), reason, hash: machine.state_hash(), outbound }
}

fn check(seed: u64) {
    let mut rng = Rng::new(seed);
    let guest = Guest::new(&mut rng);
    let script = rng.u64();
    let whole = finish(end(&guest, script, &mut Whole), Vec::new());
    let mut cut = Cut { rng, outbound: Vec::new() };
    let pieces = end(&guest, script, &mut cut);
    assert_eq!(finish(pieces, cut.outbound), whole);
}

#[test]
fn stops_change_nothing() {
    fuzz::run(CASES, check);
}

/// An interrupt is delivered right after a hash made its stack's page clean.
#[test]
fn a_delivery_after_a_hash_is_seen_by_the_next_hash() {
    check(51823);
}

/// XSAVE across the end of the address space.
#[test]
fn an_area_may_wrap() {
    check(202659);
}
