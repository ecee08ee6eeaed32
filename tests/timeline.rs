//! Going back and forth in a recorded run: wherever one comes from, the state at an icount is the
//! one that a straight replay has there.

use dejavm_core::boundary::{
    HitCause, Images, Inbound, OnHit, Outbound, Space, StopCondition, StopHit, StopPoint, StopPoints, Watch,
    WatchKind,
};
use dejavm_core::machine::Machine;
use dejavm_core::vcpu::Engine;
use dejavm_replay::checkpoint::Spacing;
use dejavm_replay::journal::{Reader, StateDigest};
use dejavm_replay::session::timeline::{Found, Search};
use dejavm_replay::session::{
    Host, LiveOptions, Observer, RecordOptions, RecordSession, ReplaySession, ReplayStop, RunMachine, Waited,
};
use dejavm_tests::busy_guest::{config, images, machine};
use dejavm_tests::rng::Rng;
use std::io::Cursor;

const END: u64 = 1_000_000;

/// Checkpoints as dense as the tests are short.
const DENSE: Spacing = Spacing { least_icount: 1 << 14, most_icount: 1 << 15, icount_per_page: 64 };

/// Types something now and then.
struct Typist(Rng);

impl Observer for Typist {
    fn outbound(&mut self, _event: Outbound) {}
}

impl Host for Typist {
    fn next_inbound(&mut self, room: &mut dyn FnMut(u8) -> usize) -> Option<Inbound> {
        match self.0.below(4) {
            0 if room(0) > 0 => Some(Inbound::Serial { port: 0, bytes: vec![self.0.below(256) as u8] }),
            1 => Some(Inbound::Nmi),
            2 => Some(Inbound::Keyboard { scan_codes: vec![0x1E, 0x9E] }),
            _ => None,
        }
    }
    fn has_backlog(&self) -> bool {
        true
    }
    fn flush_due(&mut self) -> bool {
        self.0.below(3) == 0
    }
    fn wait(&mut self, _max_ns: Option<u64>) -> Waited {
        Waited::NoMoreInput
    }
}

fn recorded(vcpus: u32) -> Vec<u8> {
    let options = RecordOptions { interval_icount: 200_000, ..RecordOptions::default() };
    let live = LiveOptions { until_icount: Some(END), ..LiveOptions::default() };
    let (machine, config) = (machine(vcpus), config(vcpus));
    let mut session =
        RecordSession::start(machine, &config, &images(), Vec::new(), &options, live).expect("a recording");
    let mut host = Typist(Rng::new(u64::from(vcpus)));
    while session.ended().is_none() {
        session.step(&mut host).expect("a step");
    }
    session.finish().expect("an end").1
}

type Session<M> = ReplaySession<M, Cursor<Vec<u8>>>;

fn replay(journal: &[u8]) -> Session<Machine> {
    let mut reader = Reader::new(Cursor::new(journal.to_vec())).expect("a journal");
    let images = reader.read_images(Images::default()).expect("images");
    let config = reader.header().config.clone();
    let make = move || Ok(Machine::new(&config, images.clone())?);
    ReplaySession::with_machine(reader, Box::new(make)).expect("a replay")
}

/// The hashes that a straight replay has at `icounts`, ascending.
fn straight(journal: &[u8], icounts: &[u64]) -> Vec<StateDigest> {
    let mut session = replay(journal);
    session.set_spacing(None);
    let mut at = |&icount| {
        session.run_until(icount, &mut ()).expect("a straight replay");
        session.machine().digest()
    };
    icounts.iter().map(&mut at).collect()
}

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
        let journal = recorded(vcpus);
        let mut rng = Rng::new(7);
        let icounts = places(&mut rng, 40);
        let expected = straight(&journal, &icounts);
        let mut session = replay(&journal);
        session.set_spacing(Some(DENSE));
        for step in 0..200 {
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
        let journal = recorded(vcpus);
        let mut rng = Rng::new(11);
        let code = executed(&journal, &mut rng);
        let watch = |start, kind| StopCondition::Watch(Watch { space: Space::Physical, start, len: 8, kind });
        let rare = watch(0x21_0000 + 8 * 3, WatchKind::Write);
        let mut session = replay(&journal);
        session.set_spacing(Some(DENSE));
        for round in 0..24 {
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
    let journal = recorded(2);
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
