//! Stop points change nothing: random guests with random breakpoints, watchpoints and the like
//! go the same way as without; and what they see does not depend on where a run is cut, nor on
//! whether it stops at hits or only counts them.
//!
//! `DEJAVM_FUZZ_SEED=N` repeats a case.

use dejavm_core::boundary::{
    HitCause, Inbound, OnHit, Position, Space, StopCondition, StopHit, StopPoint, StopPoints, Watch,
    WatchKind,
};
use dejavm_core::machine::state_hash::StateHash;
use dejavm_core::machine::{Machine, RunLimit, StopReason};
use dejavm_core::types::PAGE_SIZE;
use dejavm_tests::fuzz::{self, guest::Guest, guest::layout};
use dejavm_tests::rng::Rng;

const CASES: u64 = 60;
/// Something comes in at the multiples of this.
const PIECE: u64 = 2000;
const PIECES: u64 = 4;
/// A guest resets, and sleeps, so many times at most.
const STOPS: u32 = 20;

/// What a run came to, and what was hit on the way.
#[derive(Debug, PartialEq)]
struct End {
    position: Position,
    hash: StateHash,
}

/// How a run treats its stop points.
struct Style {
    points: StopPoints,
    /// Runs at most so many instructions at a time.
    longest: u64,
    rng: Rng,
    hits: Vec<StopHit>,
    /// The hash of each position at which a hit stopped the run, if it is the position's state.
    stops: Vec<(Position, StateHash)>,
}

impl Style {
    fn new(points: Vec<StopPoint>, on_hit: OnHit, longest: u64) -> Self {
        let points = StopPoints { points, from: 0, on_hit };
        Self { points, longest, rng: Rng::new(longest), hits: Vec::new(), stops: Vec::new() }
    }

    /// Runs to the limit, or to a stop that the guest causes.
    fn run(&mut self, machine: &mut Machine, limit: &RunLimit) -> StopReason {
        loop {
            let here = machine.position().icount;
            let icount = limit.until.icount.min(here + 1 + self.rng.below(self.longest));
            let inner = RunLimit { until: Position { icount, now_ns: 0 }, ..*limit };
            let reason = machine.run(&inner);
            let hits = machine.take_stop_hits();
            assert_eq!(hits.count, hits.last.len() as u64, "all hits are kept");
            let stepped_to = hits.last.iter().any(|hit| matches!(hit.cause, HitCause::Instruction { .. }));
            self.hits.extend(hits.last);
            match reason {
                StopReason::StopPoint => {
                    if stepped_to {
                        machine.pass_breakpoints_here();
                    }
                    if !machine.in_instruction() && self.stops.len() < 4 {
                        self.stops.push((machine.position(), machine.state_hash()));
                    }
                }
                StopReason::Limit if icount < limit.until.icount => {}
                other => return other,
            }
        }
    }
}

/// A run with an inbound event after each piece, idle times skipped.
fn end(guest: &Guest, script: u64, style: &mut Style) -> End {
    let mut machine = guest.machine();
    machine.set_stop_points(&style.points);
    let mut rng = Rng::new(script);
    let mut stops = 0;
    while machine.position().icount < PIECE * PIECES && stops < STOPS {
        let next = (machine.position().icount / PIECE + 1) * PIECE;
        let limit = RunLimit { stop_when_idle: true, stop_on_reset: true, ..RunLimit::to_icount(next) };
        let reason = style.run(&mut machine, &limit);
        match reason {
            StopReason::Limit => machine.apply(&inbound(&mut rng)),
            StopReason::Idle { deadline_ns: Some(ns) } => machine.skip_idle(ns),
            StopReason::Idle { deadline_ns: None } => machine.apply(&Inbound::Nmi),
            StopReason::Reset(_) => {}
            _ => break,
        }
        stops += u32::from(reason != StopReason::Limit);
    }
    // Hits are about what the guest does, and hashes about where it stands.
    let hits = machine.take_stop_hits();
    style.hits.extend(hits.last);
    End { position: machine.position(), hash: machine.state_hash() }
}

fn inbound(rng: &mut Rng) -> Inbound {
    match rng.below(4) {
        0 => Inbound::Nmi,
        1 => Inbound::Keyboard { scan_codes: vec![rng.u64() as u8] },
        _ => Inbound::Serial { port: 0, bytes: vec![rng.u64() as u8; rng.below(4) as usize] },
    }
}

/// Stop points at which random guests come by; `executed` are addresses of their instructions.
fn points(rng: &mut Rng, executed: &[u64]) -> Vec<StopPoint> {
    let areas = [layout::DATA, layout::STACK_END - 0x80, layout::GDT, layout::IDT, layout::TSS, 0];
    let count = 1 + rng.below(6) as u32;
    (0..count)
        .map(|id| {
            let condition = match rng.below(8) {
                0..3 if !executed.is_empty() => {
                    StopCondition::Breakpoint { address: executed[rng.below(executed.len() as u64) as usize] }
                }
                0 => StopCondition::Exception { vector: None },
                1 => StopCondition::Interrupt { vector: None },
                2 => StopCondition::Exception { vector: Some(rng.below(20) as u8) },
                _ => StopCondition::Watch(Watch {
                    space: rng.pick(&[Space::Linear, Space::Physical]),
                    start: rng.pick(&areas) + rng.below(0x100),
                    len: rng.pick(&[1, 8, 64, PAGE_SIZE, 3 * PAGE_SIZE]),
                    kind: rng.pick(&[WatchKind::Read, WatchKind::Write, WatchKind::Access]),
                }),
            };
            StopPoint { id, vcpu: rng.one_in(8).then_some(0), condition }
        })
        .collect()
}

const KEEP_ALL: OnHit = OnHit::Scan { keep: usize::MAX };

fn check(seed: u64) {
    let mut rng = Rng::new(seed);
    let guest = Guest::new(&mut rng);
    let script = rng.u64();
    let without = end(&guest, script, &mut Style::new(Vec::new(), OnHit::Stop, PIECE));

    let every = StopPoint { id: 0, vcpu: None, condition: StopCondition::EveryInstruction };
    let mut trace = Style::new(vec![every], KEEP_ALL, PIECE);
    assert_eq!(end(&guest, script, &mut trace), without);
    let executed: Vec<_> = trace.hits.iter().map(|hit| address(hit).unwrap()).collect();
    let icounts = trace.hits.windows(2).all(|pair| pair[0].icount + 1 == pair[1].icount);
    assert!(icounts, "each instruction is looked at once");

    let points = points(&mut rng, &executed);
    let mut scanned = Style::new(points.clone(), KEEP_ALL, PIECE);
    assert_eq!(end(&guest, script, &mut scanned), without);
    let mut cut = Style::new(points.clone(), KEEP_ALL, 30);
    assert_eq!(end(&guest, script, &mut cut), without);
    same(&cut.hits, &scanned.hits);
    let mut stopped = Style::new(points.clone(), OnHit::Stop, PIECE);
    assert_eq!(end(&guest, script, &mut stopped), without);
    same(&stopped.hits, &scanned.hits);

    breakpoints_are_where_the_trace_says(&points, &trace.hits, &scanned.hits);
    stops_are_positions(&guest, script, &stopped.stops);
}

fn same(one: &[StopHit], other: &[StopHit]) {
    let first = one.iter().zip(other).position(|(a, b)| a != b).unwrap_or(one.len().min(other.len()));
    assert_eq!(one.get(first), other.get(first), "at {first} of {} and {}", one.len(), other.len());
}

fn address(hit: &StopHit) -> Option<u64> {
    match hit.cause {
        HitCause::Instruction { address } => Some(address),
        _ => None,
    }
}

fn breakpoints_are_where_the_trace_says(points: &[StopPoint], trace: &[StopHit], hits: &[StopHit]) {
    for point in points {
        let StopCondition::Breakpoint { address: at } = point.condition else { continue };
        let on = |hit: &&StopHit| point.vcpu.is_none_or(|vcpu| vcpu == hit.vcpu);
        let expected = trace.iter().filter(|hit| address(hit) == Some(at)).filter(on);
        let seen = hits.iter().filter(|hit| hit.id == point.id);
        assert!(seen.map(|hit| hit.icount).eq(expected.map(|hit| hit.icount)), "{point:?}");
    }
}

/// The state in which a hit stops a run is the state of that position.
fn stops_are_positions(guest: &Guest, script: u64, stops: &[(Position, StateHash)]) {
    for (position, hash) in stops {
        let mut rng = Rng::new(script);
        let mut machine = guest.machine();
        let mut next = PIECE;
        // Without the guest's own stops in between, which are skipped here, it would differ.
        while next < position.icount {
            if machine.run(&RunLimit {
                stop_when_idle: true,
                stop_on_reset: true,
                ..RunLimit::to_icount(next)
            }) != StopReason::Limit
            {
                return;
            }
            machine.apply(&inbound(&mut rng));
            next += PIECE;
        }
        let limit = RunLimit { stop_when_idle: true, ..RunLimit::to_icount(position.icount) };
        if machine.run(&limit) == StopReason::Limit && machine.position() == *position {
            assert_eq!(machine.state_hash(), *hash, "{position:?}");
        }
    }
}

#[test]
fn stop_points_change_nothing_and_see_everything() {
    fuzz::run(CASES, check);
}
