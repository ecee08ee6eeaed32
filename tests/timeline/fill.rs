//! A recording that was made without checkpoints gets them in the background.

use crate::engines;
use dejavm_core::machine::Machine;
use dejavm_replay::checkpoint::Spacing;
use dejavm_replay::session::RunMachine;
use dejavm_tests::cli::Scratch;
use dejavm_tests::recording::{DENSE, END, Session, recorded, replay, replay_on, straight};
use dejavm_tests::rng::Rng;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(120);

fn wait_until_filled(session: &Session<Machine>) {
    let start = Instant::now();
    while session.checkpoint_summary().filling.is_some() {
        assert!(start.elapsed() < PATIENCE, "it never ends: {:?}", session.checkpoint_summary());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The widest stretch without a checkpoint.
fn widest(session: &Session<Machine>) -> u64 {
    let positions = session.checkpoints().summary().positions;
    let mut icounts: Vec<u64> = positions.iter().map(|at| at.icount).collect();
    icounts.insert(0, 0);
    icounts.push(END);
    icounts.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(END)
}

#[test]
fn a_recording_without_checkpoints_is_filled_while_it_is_used() {
    for vcpus in [1, 3] {
        for accel in engines() {
            let scratch = Scratch::new("fill");
            let path = scratch.file("a.djc");
            let journal = recorded(vcpus, 21, None);
            let mut rng = Rng::new(9);
            let icounts: Vec<u64> = (1..20).map(|k| k * END / 20).collect();
            let expected = straight(&journal, &icounts);
            let mut session = replay_on(accel, &journal);
            session.set_spacing(Some(DENSE));
            session.use_side_file(&path, 64 << 20).expect("it is made");
            assert!(session.fill_in_background().expect("a second machine"));
            for _ in 0..10 {
                let k = rng.below(icounts.len() as u64) as usize;
                session.seek(icounts[k], &mut ()).expect("a seek");
                assert!(session.machine().digest() == expected[k], "{accel:?}: icount {}", icounts[k]);
            }
            wait_until_filled(&session);
            assert!(widest(&session) < 4 * DENSE.most_icount, "{}", widest(&session));
            for k in (0..icounts.len()).rev() {
                session.seek(icounts[k], &mut ()).expect("a seek");
                assert!(session.machine().digest() == expected[k], "{accel:?}: icount {}", icounts[k]);
            }
            assert!(!session.fill_in_background().expect("nothing to do"), "there are enough");
            drop(session);
            // They are in the file for the next one.
            let mut next = replay(&journal);
            assert!(next.use_side_file(&path, 64 << 20).expect("it is used") > 10);
            next.set_spacing(Some(DENSE));
            assert!(!next.fill_in_background().expect("nothing to do"));
        }
    }
}

#[test]
fn it_ends_with_the_session_at_once() {
    let journal = recorded(2, 22, None);
    for wait_us in [0, 300, 3000] {
        let mut session = replay(&journal);
        session.set_spacing(Some(Spacing { least_icount: 64, most_icount: 128, icount_per_page: 1 }));
        assert!(session.fill_in_background().expect("a second machine"));
        std::thread::sleep(Duration::from_micros(wait_us));
        let start = Instant::now();
        drop(session);
        assert!(start.elapsed() < PATIENCE / 4, "{:?}", start.elapsed());
    }
}

#[test]
fn only_what_is_missing_is_filled_and_a_small_budget_is_kept() {
    let journal = recorded(1, 23, None);
    let mut session = replay(&journal);
    session.set_spacing(Some(DENSE));
    assert!(session.fill_in_background().expect("a second machine"));
    wait_until_filled(&session);
    session.checkpoints().retain(|head| head.at.icount < END / 2);
    let before = session.checkpoints().summary();
    assert!(session.fill_in_background().expect("a second machine"));
    wait_until_filled(&session);
    let after = session.checkpoints().summary();
    let half = |at: &&dejavm_core::boundary::Position| at.icount < END / 2;
    assert_eq!(after.positions.iter().filter(half).count(), before.positions.iter().filter(half).count());
    assert!(widest(&session) < 4 * DENSE.most_icount, "{}", widest(&session));
    let budget = after.bytes / 3;
    let mut session = replay(&journal);
    session.set_spacing(Some(DENSE));
    session.checkpoints().set_budget(budget);
    session.fill_in_background().expect("a second machine");
    wait_until_filled(&session);
    assert!(session.checkpoints().summary().bytes <= budget);
}
