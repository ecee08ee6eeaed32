//! Record, then replay: the same run, whatever the host did meanwhile.

use crate::script::{Script, Watch, images, open, record, text};
use crate::toy::{IDLE_EVERY, Toy};
use dejavm_core::boundary::Inbound;
use dejavm_replay::journal::{EndReason, Ending, Reader};
use dejavm_replay::session::{IdlePolicy, LiveOptions, LiveSession, ReplaySession, ReplayStop, Step};
use std::io::Cursor;

fn events() -> Vec<Inbound> {
    let mut events = vec![text("uname -a\n"), Inbound::Nmi, text(&"x".repeat(100)), Inbound::Reset];
    events.extend((0..20).map(|k| Inbound::Keyboard { scan_codes: vec![k, 0x80 | k] }));
    events
}

fn waiting() -> LiveOptions {
    LiveOptions { idle: IdlePolicy::Wait, ..LiveOptions::default() }
}

fn replay(bytes: &[u8], toy: fn() -> Toy) -> ReplaySession<Toy, Cursor<Vec<u8>>> {
    ReplaySession::with_machine(open(bytes), Box::new(move || Ok(toy()))).unwrap()
}

#[test]
fn every_recording_replays() {
    for seed in 0..60 {
        let options = if seed % 2 == 0 { waiting() } else { LiveOptions::default() };
        let mut host = Script::new(events(), seed);
        let toy = Toy { kick_every: 777 + seed, ..Toy::new() };
        let bytes = record(toy, &images(), &mut host, options, 30_000);
        let mut watch = Watch::default();
        let verdict = replay(&bytes, Toy::new).verify(&mut watch).unwrap().unwrap();
        assert_eq!(watch.out, host.out, "seed {seed}");
        assert!(verdict.events > 20 && verdict.hashes > 4, "seed {seed}: {verdict:?}");
        assert!(matches!(verdict.ending, Ending::Clean(end) if end.reason == EndReason::PowerOff));
    }
}

#[test]
fn the_same_inputs_give_the_same_journal() {
    let journal = |kick_every| {
        let mut host = Script { lazy: 16, ..Script::new(events(), 1) };
        record(Toy { kick_every, ..Toy::new() }, &images(), &mut host, LiveOptions::default(), 30_000)
    };
    assert_eq!(journal(u64::MAX), journal(500), "kicks without input leave no trace");
}

#[test]
fn a_live_run_is_the_same_run() {
    let mut live = LiveSession::new(Toy::new(), LiveOptions::default());
    let mut host = Script { lazy: 16, ..Script::new(Vec::new(), 1) };
    assert_eq!(live.step_until(12_345, &mut host).unwrap(), Step::Running);
    assert_eq!(live.machine().at.icount, 12_345);
    while live.step(&mut host).unwrap() == Step::Running {}
    let mut recorded = Script { lazy: 16, ..Script::new(Vec::new(), 2) };
    record(Toy::new(), &images(), &mut recorded, LiveOptions::default(), 10_000);
    assert_eq!(host.out, recorded.out);
    assert_eq!(live.ended(), Some(EndReason::PowerOff));
}

#[test]
fn seek_goes_forward_and_back() {
    let bytes = record(Toy::new(), &images(), &mut Script::new(events(), 3), waiting(), 30_000);
    let mut session = replay(&bytes, Toy::new);
    let mut digest_at = |icount| {
        assert_eq!(session.seek(icount, &mut ()).unwrap(), ReplayStop::Reached);
        assert_eq!(session.position().icount, icount);
        dejavm_replay::session::RunMachine::digest(session.machine())
    };
    let there = [50_000, 12_345, 99_999, 1, 50_000, 0, IDLE_EVERY, 50_000].map(&mut digest_at);
    assert_eq!(there[0], there[4]);
    assert_eq!(there[0], there[7]);
    assert_ne!(there[0], there[1]);
    let beyond = session.seek(100_001, &mut ()).unwrap_err().to_string();
    assert_eq!(beyond, "icount 100001 is beyond the end of the journal, icount 100000");
    assert!(session.verify(&mut ()).unwrap().is_some());
}

#[test]
fn a_stop_at_any_icount_changes_nothing() {
    let bytes = record(Toy::new(), &images(), &mut Script::new(events(), 4), waiting(), 30_000);
    let mut session = replay(&bytes, Toy::new);
    for icount in (0..100_000).step_by(997) {
        assert_eq!(session.run_until(icount, &mut ()).unwrap(), ReplayStop::Reached);
    }
    assert_eq!(session.run_until(u64::MAX, &mut ()).unwrap(), ReplayStop::Ended);
}

#[test]
fn progress_is_told_and_interrupts() {
    let toy = || Toy { off_at: 3 << 20, ..Toy::new() };
    let bytes = record(toy(), &images(), &mut Script::new(events(), 5), LiveOptions::default(), 1 << 19);
    let mut session = replay(&bytes, toy);
    let mut watch = Watch { patience: Some(4), ..Watch::default() };
    assert_eq!(session.verify(&mut watch).unwrap(), None);
    assert!(watch.progress.iter().all(|(icount, total)| icount < total && *total == 3 << 20));
    assert!(session.verify(&mut Watch::default()).unwrap().is_some());
}

#[test]
fn runs_end_for_their_reasons() {
    let ending = |toy: Toy, options: LiveOptions| {
        let mut host = Script { lazy: 0, ..Script::new(vec![Inbound::Nmi], 6) };
        let bytes = record(toy.clone(), &images(), &mut host, options, 30_000);
        let make = move || Ok(toy.clone());
        let verdict =
            ReplaySession::with_machine(open(&bytes), Box::new(make)).unwrap().verify(&mut ()).unwrap();
        match verdict.unwrap().ending {
            Ending::Clean(end) => (end.reason, end.position.icount),
            unclean => panic!("{unclean:?}"),
        }
    };
    let limited = LiveOptions { until_icount: Some(54_321), ..waiting() };
    assert_eq!(ending(Toy::new(), limited), (EndReason::Limit, 54_321));
    assert_eq!(ending(Toy::new(), waiting()), (EndReason::PowerOff, 100_000));
    let asleep = Toy { no_timer: true, ..Toy::new() };
    assert_eq!(ending(asleep.clone(), waiting()), (EndReason::Halted, IDLE_EVERY));
    assert_eq!(ending(asleep, LiveOptions::default()), (EndReason::Halted, IDLE_EVERY));
}

#[test]
fn a_torn_journal_replays_to_its_last_chunk() {
    let bytes = record(Toy::new(), &images(), &mut Script::new(events(), 7), waiting(), 30_000);
    let chunks: Vec<_> = open(&bytes).events_chunks().copied().collect();
    for chunk in &chunks[1..] {
        let torn = &bytes[..chunk.end_offset() as usize - 1];
        let verdict = replay(torn, Toy::new).verify(&mut ()).unwrap().unwrap();
        assert_eq!(verdict.last, chunk.first);
        assert_eq!(verdict.ending, Ending::Unclean { last: chunk.first, torn: Some(chunk.place()) });
    }
    assert!(Reader::new(Cursor::new(&bytes[..200])).is_err());
}
