//! Searches backward at random: they find the last of all hits that a straight replay sees.

use crate::engines;
use dejavm_core::boundary::{
    HitCause, OnHit, Space, StopCondition, StopHit, StopPoint, StopPoints, Watch, WatchKind,
};
use dejavm_core::machine::Accel;
use dejavm_replay::session::timeline::{Found, Search};
use dejavm_tests::recording::{DENSE, END, recorded, replay, replay_on};
use dejavm_tests::rng::Rng;

/// Everything that `points` see in the whole run, in order.
pub fn all_hits(journal: &[u8], points: &[StopPoint]) -> Vec<StopHit> {
    let mut session = replay(journal);
    session.set_spacing(None);
    let on_hit = OnHit::Scan { keep: usize::MAX };
    session.machine().set_stop_points(&StopPoints { points: points.to_vec(), from: 0, on_hit });
    let last = session.last().icount;
    session.run_until(last, &mut ()).expect("a straight replay");
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
        // The oracle is the interpreter.
        let accel = if vcpus == 1 { Accel::Interp } else { *engines().last().expect("an engine") };
        let mut session = replay_on(accel, &journal);
        session.set_spacing(Some(DENSE));
        let linear = |start| {
            StopCondition::Watch(Watch { space: Space::Linear, start, len: 8, kind: WatchKind::Write })
        };
        let mut skipped = 0;
        for round in 0..12 {
            let conditions = [
                StopCondition::Breakpoint { address: rng.pick(&code) },
                rare,
                watch(0x4000, WatchKind::Access),
                watch(0x20_1100, WatchKind::Write),
                linear(0x21_0000 + 8 * rng.below(0x1_0000)),
                linear(0x21_2FFC),
                linear(0x20_1100),
                linear(0x3F_0000),
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
                skipped += session.search_stats().skipped_icount;
            }
            if rng.one_in(4) {
                session.checkpoints().retain(|_| rng.one_in(2));
            }
            if round == 9 {
                session.checkpoints().forget_footprints();
            }
        }
        assert!(skipped > END / 4, "{skipped}: no stretch was passed over");
    }
}
