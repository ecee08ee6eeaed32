//! A replay that is not the recorded run stops, and says where and in what.

use crate::script::{Script, images, open, record, text};
use crate::toy::{IDLE_EVERY, Toy};
use dejavm_core::boundary::Inbound;
use dejavm_core::machine::StopReason;
use dejavm_replay::journal::{Header, Writer};
use dejavm_replay::session::{Divergence, LiveOptions, Mismatch, ReplaySession, SessionError};

fn recorded(toy: Toy) -> Vec<u8> {
    let events = vec![text("a"), text("b"), Inbound::PowerButton];
    record(toy, &images(), &mut Script::new(events, 9), LiveOptions::default(), 10_000)
}

fn diverges(bytes: &[u8], toy: fn() -> Toy) -> Divergence {
    let mut session = ReplaySession::with_machine(open(bytes), Box::new(move || Ok(toy()))).unwrap();
    match session.verify(&mut ()).unwrap_err() {
        SessionError::Divergence(divergence) => *divergence,
        other => panic!("{other}"),
    }
}

#[test]
fn a_flipped_bit_is_found_in_its_interval() {
    let divergence = diverges(&recorded(Toy { off_at: 90_000, ..Toy::new() }), || Toy {
        flip_at: Some(IDLE_EVERY * 4 + 5),
        off_at: 90_000,
        ..Toy::new()
    });
    assert_eq!((divergence.last_good.icount, divergence.seen_at.icount), (40_000, 50_000));
    let Mismatch::State { parts, recorded, replayed } = &divergence.mismatch else { panic!("{divergence}") };
    assert_eq!(*parts, ["vcpu0"]);
    let message = divergence.to_string();
    let start = "replay diverges from the recording between icount 40000 (equal) and 50000: state hash ";
    assert!(message.starts_with(start), "{message}");
    assert!(message.contains(&format!("{replayed:016x}, recorded {recorded:016x}")), "{message}");
}

#[test]
fn a_machine_that_ends_early_is_told() {
    let divergence = diverges(&recorded(Toy::new()), || Toy { off_at: 65_432, ..Toy::new() });
    assert_eq!(divergence.seen_at.icount, 65_432);
    assert!(matches!(divergence.mismatch, Mismatch::Position { stop: StopReason::PowerOff, .. }));
}

#[test]
fn a_machine_that_sleeps_for_ever_is_told_and_does_not_hang() {
    let divergence = diverges(&recorded(Toy::new()), || Toy { no_timer: true, ..Toy::new() });
    assert_eq!(divergence.seen_at.icount, IDLE_EVERY);
    assert!(matches!(
        divergence.mismatch,
        Mismatch::Position { stop: StopReason::Idle { deadline_ns: None }, .. }
    ));
}

#[test]
fn a_machine_that_goes_on_after_the_end_is_told() {
    let divergence = diverges(&recorded(Toy::new()), || Toy { off_at: 200_000, ..Toy::new() });
    assert_eq!(divergence.seen_at.icount, 100_000);
    assert!(matches!(divergence.mismatch, Mismatch::End { stop: StopReason::Limit, .. }), "{divergence}");
}

#[test]
fn another_machine_is_refused_at_once() {
    let good = open(&recorded(Toy::new())).header().clone();
    let refused = |header: &Header| {
        let journal = Writer::new(Vec::new(), header, &images()).unwrap().into_inner();
        let session = ReplaySession::with_machine(open(&journal), Box::new(|| Ok(Toy::new())));
        session.map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(refused(&good), Ok(()));
    let mut other = good.clone();
    other.part_names[1] = "hpet".into();
    assert_eq!(
        refused(&other).unwrap_err(),
        "the journal was recorded by dejavm 0.1.0, whose set of devices differs: vcpu0, hpet, clock; \
         here: vcpu0, device, clock"
    );
    let mut other = good;
    other.cpu_model.version += 1;
    assert!(refused(&other).unwrap_err().contains("whose CPU model differs"));
}
