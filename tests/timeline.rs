//! Going back and forth in a recorded run: wherever one comes from, the state at an icount is the
//! one that a straight replay has there.

use dejavm_core::boundary::{
    HitCause, Images, OnHit, Space, StopCondition, StopHit, StopPoint, StopPoints, Watch, WatchKind,
};
use dejavm_core::vcpu::Engine;
use dejavm_replay::journal::Reader;
use dejavm_replay::session::timeline::{Found, Search};
use dejavm_replay::session::{ReplaySession, ReplayStop, RunMachine};
use dejavm_tests::recording::{DENSE, END, Session, recorded, replay, straight};
use dejavm_tests::rng::Rng;
use std::io::Cursor;

fn places(rng: &mut Rng, count: usize) -> Vec<u64> {
    let mut icounts: Vec<u64> = (0..count).map(|_| rng.below(END)).collect();
    // Neighbours, both ends, and what is next to them.
    icounts.extend(icounts.clone().iter().take(count / 4).map(|icount| icount + 1));
    icounts.extend([0, 1, 2, END - 1, END]);
    icounts.sort_unstable();
    icounts.dedup();
    icounts
}

#[test]
fn a_random_walk_finds_the_states_of_a_straight_replay() {
    for vcpus in [1, 3] {
        let journal = recorded(vcpus, 1, None);
        let mut rng = Rng::new(7);
        let icounts = places(&mut rng, 40);
        let expected = straight(&journal, &icounts);
        let mut session = replay(&journal);
        session.set_spacing(Some(DENSE));
        for step in 0..120 {
            let k = rng.below(icounts.len() as u64) as usize;
            if rng.below(20) == 0 {
                // Losing some of them, or all, makes things slower and nothing else.
                session.checkpoints().retain(|_| rng.below(3) == 0);
            }
            if rng.below(30) == 0 {
                session.checkpoints().set_budget(1 << (10 + rng.below(12)));
            }
            assert_eq!(session.seek(icounts[k], &mut ()).expect("a seek"), ReplayStop::Reached);
            assert_eq!(session.position().icount, icounts[k]);
            let digest = session.machine().digest();
            assert!(digest == expected[k], "{vcpus} vCPUs, step {step}: icount {} differs", icounts[k]);
        }
        session.checkpoints().set_budget(1 << 30);
        session.seek(0, &mut ()).expect("a seek");
        session.run_until(END, &mut ()).expect("a run");
        let kept = session.checkpoints().summary();
        assert!(kept.count > 3, "{kept:?}");
        assert!(session.verify(&mut ()).expect("a replay").is_some());
    }
}

/// Everything that `points` see in the whole run, in order.
fn all_hits(journal: &[u8], points: &[StopPoint]) -> Vec<StopHit> {
    let mut session = replay(journal);
    session.set_spacing(None);
    let on_hit = OnHit::Scan { keep: usize::MAX };
    session.machine().set_stop_points(&StopPoints { points: points.to_vec(), from: 0, on_hit });
    session.run_until(END, &mut ()).expect("a straight replay");
    session.machine().take_stop_hits().last.into()
}

/// Where the run is at many moments: addresses for breakpoints.
fn executed(journal: &[u8], rng: &mut Rng) -> Vec<u64> {
    let every = StopPoint { id: 0, vcpu: None, condition: StopCondition::EveryInstruction };
    let hits = all_hits(journal, &[every]);
    let address = |hit: &StopHit| match hit.cause {
        HitCause::Instruction { address } => Some(address),
        _ => None,
    };
    let all: Vec<u64> = hits.iter().filter_map(address).collect();
    (0..20).map(|_| rng.pick(&all)).collect()
}

#[test]
fn a_search_backward_finds_the_last_of_all_hits() {
    for vcpus in [1, 3] {
        let journal = recorded(vcpus, 1, None);
        let mut rng = Rng::new(11);
        let code = executed(&journal, &mut rng);
        let watch = |start, kind| StopCondition::Watch(Watch { space: Space::Physical, start, len: 8, kind });
        let rare = watch(0x21_0000 + 8 * 3, WatchKind::Write);
        let mut session = replay(&journal);
        session.set_spacing(Some(DENSE));
        for round in 0..12 {
            let conditions = [
                StopCondition::Breakpoint { address: rng.pick(&code) },
                rare,
                watch(0x4000, WatchKind::Access),
                watch(0x20_1100, WatchKind::Write),
                StopCondition::Interrupt { vector: Some(0x30) },
                StopCondition::Exception { vector: None },
            ];
            let count = 1 + rng.below(2);
            let points: Vec<StopPoint> = (0..count as u32)
                .map(|id| StopPoint { id, vcpu: None, condition: rng.pick(&conditions) })
                .collect();
            let all = all_hits(&journal, &points);
            for _ in 0..4 {
                // At a hit, next to one, or anywhere; from the beginning, or from a place before.
                let to = match rng.below(3) {
                    0 if !all.is_empty() => rng.pick(&all).icount + rng.below(3),
                    _ => rng.below(END + 1),
                };
                let from = if rng.one_in(3) { rng.below(to + 1) } else { 0 };
                let search = Search { points: points.clone(), from, to: to.min(END), delivered: false };
                let counts = |hit: &&StopHit| (from..to).contains(&hit.icount);
                let expected = all.iter().rfind(counts).map_or(Found::Nothing, |hit| Found::Hit(*hit));
                let found = session.last_hit(&search, &mut ()).expect("a search");
                assert_eq!(found, expected, "{vcpus} vCPUs, round {round}: {search:?}");
            }
            if rng.one_in(4) {
                session.checkpoints().retain(|_| rng.one_in(2));
            }
        }
    }
}

#[test]
fn an_engine_goes_back_and_forth_too() {
    let journal = recorded(2, 2, None);
    let icounts = places(&mut Rng::new(3), 10);
    let expected = straight(&journal, &icounts);
    let mut session: Session<Engine> =
        ReplaySession::open(Reader::new(Cursor::new(journal)).expect("a journal"), Images::default())
            .expect("a replay");
    session.set_spacing(Some(DENSE));
    let order = (0..icounts.len()).rev().chain(0..icounts.len());
    for k in order {
        session.seek(icounts[k], &mut ()).expect("a seek");
        assert!(session.machine().digest() == expected[k], "icount {}", icounts[k]);
    }
}
