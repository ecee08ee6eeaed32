//! Random walks of seeks, steps, marks and ways back.

use crate::engines;
use dejavm_core::boundary::{Images, Space, StopCondition, StopPoint, Watch, WatchKind};
use dejavm_core::machine::{Accel, Machine};
use dejavm_core::vcpu::Engine;
use dejavm_replay::journal::{Reader, StateDigest};
use dejavm_replay::session::timeline::{Found, Search};
use dejavm_replay::session::{ReplaySession, ReplayStop, RunMachine};
use dejavm_tests::recording::{DENSE, END, Session, recorded, replay, replay_on, straight};
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

/// What a walk came by.
type Seen = Vec<(u64, StateDigest)>;

/// A watched place, and where in the run it is looked for last: steps backward by what the guest does.
fn back_to_a_hit(session: &mut Session<Machine>, rng: &mut Rng) {
    let watch = |start, kind| StopCondition::Watch(Watch { space: Space::Physical, start, len: 8, kind });
    let conditions = [
        watch(0x21_0000 + 8 * rng.below(60), WatchKind::Write),
        watch(0x4000, WatchKind::Write),
        StopCondition::Interrupt { vector: Some(0x30) },
    ];
    let points = vec![StopPoint { id: 0, vcpu: None, condition: rng.pick(&conditions) }];
    let to = session.position().icount;
    let search = Search { points, from: 0, to, delivered: false };
    match session.last_hit(&search, &mut ()).expect("a search") {
        Found::Hit(hit) => session.seek(hit.icount, &mut ()),
        Found::Nothing => session.seek(0, &mut ()),
        Found::Interrupted => panic!("nobody interrupts"),
    }
    .expect("a seek");
}

fn walk(journal: &[u8], accel: Accel, seed: u64) -> Seen {
    let mut rng = Rng::new(seed);
    let mut session = replay_on(accel, journal);
    session.set_spacing(Some(DENSE));
    let mut marks = vec![0];
    let mut seen = Seen::new();
    for _ in 0..70 {
        let here = session.position().icount;
        match rng.below(8) {
            0 => drop(session.seek(rng.below(END + 1), &mut ()).expect("a seek")),
            1 => drop(session.run_until((here + rng.below(5)).min(END), &mut ()).expect("steps")),
            2 => drop(session.run_until((here + rng.below(50_000)).min(END), &mut ()).expect("a run")),
            3 => drop(session.seek(here.saturating_sub(1), &mut ()).expect("a step back")),
            4 => drop(session.seek(here.saturating_sub(rng.below(300)), &mut ()).expect("steps back")),
            5 => marks.push(here),
            6 => drop(session.seek(rng.pick(&marks), &mut ()).expect("a mark")),
            _ => back_to_a_hit(&mut session, &mut rng),
        }
        if rng.one_in(15) {
            session.checkpoints().retain(|_| rng.one_in(2));
        }
        seen.push((session.position().icount, session.machine().digest()));
    }
    seen
}

#[test]
fn whatever_way_one_goes_the_states_are_those_of_the_run() {
    for vcpus in [1, 4] {
        let journal = recorded(vcpus, 3, None);
        for accel in engines() {
            let seed = 40 + u64::from(vcpus);
            let mut seen = walk(&journal, accel, seed);
            seen.sort_by_key(|(icount, _)| *icount);
            let icounts: Vec<u64> = seen.iter().map(|(icount, _)| *icount).collect();
            for ((icount, walked), expected) in seen.iter().zip(straight(&journal, &icounts)) {
                assert!(*walked == expected, "{vcpus} vCPUs, {accel:?}, seed {seed}: icount {icount}");
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
