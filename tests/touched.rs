//! What a stretch of a run touched, as a machine tells by the way, against all that stop points see: random
//! guests, in every mode, by either engine. Nothing may be missing.
//!
//! `DEJAVM_FUZZ_SEED=N` repeats a case.

use dejavm_core::boundary::{HitCause, Inbound, OnHit, Space, StopCondition, StopPoint, StopPoints};
use dejavm_core::boundary::{Watch, WatchKind};
use dejavm_core::machine::{Accel, Machine, RunLimit, StopReason};
use dejavm_core::types::PAGE_SHIFT;
use dejavm_tests::accel;
use dejavm_tests::fuzz::{self, guest::Guest};
use dejavm_tests::rng::Rng;
use std::cell::Cell;

const CASES: u64 = 40;
const END: u64 = 8000;
/// A guest resets, and sleeps, so many times at most.
const STOPS: u32 = 20;
/// The guests live below this; each part of it is watched by itself, since one access is told for each
/// watchpoint and instruction.
const WATCHED_APART: u64 = 4 << 20;
const PART: u64 = 32 << 10;

/// Every store, and every instruction.
fn everything() -> StopPoints {
    let store = |start, last: u64| {
        let watch = Watch { space: Space::Linear, start, len: last - start + 1, kind: WatchKind::Write };
        StopCondition::Watch(watch)
    };
    let parts = (0..WATCHED_APART / PART).map(|n| store(n * PART, (n + 1) * PART - 1));
    let rest = [store(WATCHED_APART, u64::MAX), StopCondition::EveryInstruction];
    let points = parts.chain(rest).zip(0..).map(|(condition, id)| StopPoint { id, vcpu: None, condition });
    StopPoints { points: points.collect(), from: 0, on_hit: OnHit::Scan { keep: usize::MAX } }
}

/// Goes on in both machines alike, whatever made them stop. False if that is the end.
fn go_on(machines: [&mut Machine; 2], reason: StopReason, rng: &mut Rng) -> bool {
    let event = match reason {
        StopReason::Limit if rng.one_in(2) => return true,
        StopReason::Limit => Inbound::Serial { port: 0, bytes: vec![rng.u64() as u8] },
        StopReason::Idle { deadline_ns: Some(ns) } => {
            machines.into_iter().for_each(|machine| machine.skip_idle(ns));
            return true;
        }
        StopReason::Idle { deadline_ns: None } => Inbound::Nmi,
        StopReason::Reset(_) => return true,
        _ => return false,
    };
    machines.into_iter().for_each(|machine| machine.apply(&event));
    true
}

#[test]
fn nothing_is_missing_of_what_was_touched() {
    let (seen, claimed) = (Cell::new(0), Cell::new(0));
    fuzz::run(CASES, |seed| {
        let mut rng = Rng::new(seed);
        let guest = Guest::new(&mut rng);
        let engine = if seed % 2 == 0 && Accel::Jit.available().is_ok() { Accel::Jit } else { Accel::Interp };
        let mut machine = accel::on(engine, guest.machine());
        let mut watched = accel::on(Accel::Interp, guest.machine());
        watched.set_stop_points(&everything());
        let mut stops = 0;
        while machine.position().icount < END && stops < STOPS {
            let next = machine.position().icount + 1 + rng.below(2000);
            let limit = RunLimit { stop_when_idle: true, stop_on_reset: true, ..RunLimit::to_icount(next) };
            let reason = machine.run(&limit);
            assert_eq!(watched.run(&limit), reason);
            assert_eq!(machine.position(), watched.position());
            let touched = machine.take_touched();
            for hit in watched.take_stop_hits().last {
                let (what, set, first, last) = match hit.cause {
                    HitCause::Instruction { address } => ("fetch", &touched.fetches, address, address),
                    HitCause::Access { address, size, .. } => {
                        ("store", &touched.stores, address, address.saturating_add(u64::from(size) - 1))
                    }
                    other => panic!("nobody asked for {other:?}"),
                };
                for address in [first, last] {
                    assert!(set.may_have(address >> PAGE_SHIFT), "{what} at {address:#x}: {hit:?}");
                }
                seen.set(seen.get() + 1);
            }
            // It is not that everything is claimed: no guest goes there.
            let claims = (0..64).filter(|page| touched.stores.may_have(0x1234_5678 + page)).count();
            claimed.set(claimed.get() + u32::from(claims > 4));
            machine.take_outbound();
            watched.take_outbound();
            stops += u32::from(reason != StopReason::Limit);
            if !go_on([&mut machine, &mut watched], reason, &mut rng) {
                break;
            }
        }
    });
    assert!(seen.get() > 40_000 || std::env::var_os("DEJAVM_FUZZ_SEED").is_some(), "{}", seen.get());
    assert!(claimed.get() < 8, "{} stretches claim too much", claimed.get());
}
