//! The side file of a journal: it makes replays faster and never wrong, whatever becomes of it.

use dejavm_core::boundary::{Space, StopCondition, StopPoint, Watch, WatchKind};
use dejavm_replay::checkpoint::{Spacing, inspect, noted_budget, side_path};
use dejavm_replay::journal::StateDigest;
use dejavm_replay::session::timeline::{Found, Search};
use dejavm_replay::session::{ReplayStop, RunMachine};
use dejavm_tests::cli::Scratch;
use dejavm_tests::recording::{DENSE, END, recorded, replay, straight};
use dejavm_tests::rng::Rng;
use std::fs;
use std::path::Path;

const BUDGET: u64 = 64 << 20;

/// A recording with checkpoints, and what it is at some places.
struct Sample {
    journal: Vec<u8>,
    side: Vec<u8>,
    icounts: Vec<u64>,
    expected: Vec<StateDigest>,
}

impl Sample {
    fn new(path: &Path, seed: u64) -> Self {
        let journal = recorded(2, seed, Some(path));
        let icounts: Vec<u64> = (0..12).map(|k| 1 + k * (END - 1) / 11).collect();
        let expected = straight(&journal, &icounts);
        Self { journal, side: fs::read(path).expect("a side file"), icounts, expected }
    }

    /// Replays with the side file at `path`; gives how many checkpoints were taken from it.
    fn check(&self, path: &Path, rng: &mut Rng) -> usize {
        let mut session = replay(&self.journal);
        session.set_spacing(Some(DENSE));
        let count = session.use_side_file(path, BUDGET).unwrap_or(0);
        for _ in 0..8 {
            let k = rng.below(self.icounts.len() as u64) as usize;
            let stop = session.seek(self.icounts[k], &mut ()).expect("a seek");
            assert_eq!(stop, ReplayStop::Reached);
            assert!(session.machine().digest() == self.expected[k], "icount {}", self.icounts[k]);
        }
        count
    }
}

#[test]
fn a_recording_leaves_checkpoints_that_replays_use_and_add_to() {
    let scratch = Scratch::new("side-file-use");
    let path = scratch.file("a.djc");
    let sample = Sample::new(&path, 5);
    let mut rng = Rng::new(1);
    let count = sample.check(&path, &mut rng);
    assert!(count > 3, "{count}");
    assert!(sample.check(&path, &mut rng) >= count);
    // Without one a new one is made.
    fs::remove_file(&path).expect("it is there");
    assert_eq!(sample.check(&path, &mut rng), 0);
    let again = sample.check(&path, &mut rng);
    assert!(again > 0, "the first replay left some");
}

#[test]
fn a_seek_does_not_run_what_a_checkpoint_saves() {
    let scratch = Scratch::new("side-file-speed");
    let path = scratch.file("a.djc");
    let sample = Sample::new(&path, 5);
    let mut session = replay(&sample.journal);
    session.set_spacing(None);
    session.use_side_file(&path, BUDGET).expect("it is used");
    session.run_until(END, &mut ()).expect("a replay");
    let (before, _) = session.checkpoints().around(END - 1);
    assert!(END - before < END / 3, "{before}");
    let mut ran = 0;
    let mut from = None;
    let mut watch = |icount: u64| {
        ran += icount - *from.get_or_insert(icount);
        from = Some(icount);
    };
    session.seek(END - 1, &mut Progress(&mut watch)).expect("a seek");
    assert!(ran <= END - before, "{ran}");
}

struct Progress<'a>(&'a mut dyn FnMut(u64));

impl dejavm_replay::session::Observer for Progress<'_> {
    fn progress(&mut self, icount: u64, _total_icount: u64) -> bool {
        (self.0)(icount);
        true
    }
}

#[test]
fn a_side_file_cut_anywhere_is_used_as_far_as_it_goes() {
    let scratch = Scratch::new("side-file-cut");
    let path = scratch.file("a.djc");
    let sample = Sample::new(&path, 6);
    let mut rng = Rng::new(2);
    let lengths = [0, 1, 15, 16, 17, 39, 40, 100];
    let random: Vec<u64> = (0..10).map(|_| rng.below(sample.side.len() as u64)).collect();
    for length in lengths.into_iter().chain(random) {
        fs::write(&path, &sample.side[..length as usize]).expect("a file");
        sample.check(&path, &mut rng);
        sample.check(&path, &mut rng);
    }
}

#[test]
fn a_damaged_side_file_never_gives_a_wrong_state() {
    let scratch = Scratch::new("side-file-damage");
    let path = scratch.file("a.djc");
    let sample = Sample::new(&path, 7);
    let mut rng = Rng::new(3);
    for _ in 0..20 {
        let mut side = sample.side.clone();
        for _ in 0..1 + rng.below(6) {
            let at = rng.below(side.len() as u64) as usize;
            side[at] ^= 1 << rng.below(8);
        }
        fs::write(&path, &side).expect("a file");
        sample.check(&path, &mut rng);
    }
}

#[test]
fn checkpoints_of_another_run_are_not_used() {
    let scratch = Scratch::new("side-file-stale");
    let (path, other) = (scratch.file("a.djc"), scratch.file("b.djc"));
    let sample = Sample::new(&path, 8);
    // The same machine and images, but other input.
    let stale = Sample::new(&other, 9);
    assert!(sample.journal != stale.journal);
    fs::write(&path, &stale.side).expect("a file");
    let mut session = replay(&sample.journal);
    let taken = session.use_side_file(&path, BUDGET).expect("it is usable");
    assert!(taken <= 1, "all but what comes before the first input is of another run: {taken}");
    drop(session);
    sample.check(&path, &mut Rng::new(4));
    fs::write(&path, b"something else altogether, which is no side file").expect("a file");
    assert_eq!(sample.check(&path, &mut Rng::new(5)), 0);
}

#[test]
fn two_replays_at_once_do_not_disturb_each_other() {
    let scratch = Scratch::new("side-file-two");
    let path = scratch.file("a.djc");
    let sample = Sample::new(&path, 10);
    let mut first = replay(&sample.journal);
    first.set_spacing(Some(Spacing { least_icount: 1 << 10, most_icount: 1 << 11, ..DENSE }));
    first.use_side_file(&path, BUDGET).expect("it is used");
    first.run_until(END / 2, &mut ()).expect("a replay");
    sample.check(&path, &mut Rng::new(6));
    first.run_until(END, &mut ()).expect("a replay");
    drop(first);
    sample.check(&path, &mut Rng::new(7));
}

#[test]
fn a_small_budget_is_kept() {
    let scratch = Scratch::new("side-file-budget");
    let path = scratch.file("a.djc");
    let sample = Sample::new(&path, 11);
    let budget = sample.side.len() as u64 / 3;
    let mut session = replay(&sample.journal);
    session.set_spacing(Some(DENSE));
    session.use_side_file(&path, budget).expect("it is used");
    session.run_until(END, &mut ()).expect("a replay");
    let kept = session.checkpoints().summary();
    assert!(kept.bytes <= budget, "{kept:?}");
    drop(session);
    assert!(fs::metadata(&path).expect("a file").len() <= budget);
    // Whoever comes next and is told nothing keeps to it.
    assert_eq!(noted_budget(&path), Some(budget.next_multiple_of(1024)));
    assert_eq!(inspect(&path).expect("a side file").budget_bytes, noted_budget(&path));
    let mut session = replay(&sample.journal);
    session.use_side_file(&path, 3 << 30).expect("it is used");
    assert_eq!(noted_budget(&path), Some(3 << 30));
    drop(session);
    sample.check(&path, &mut Rng::new(8));
}

#[test]
fn the_side_file_lies_beside_the_journal() {
    assert_eq!(side_path(Path::new("runs/boot.dj")), Path::new("runs/boot.djc"));
    assert_eq!(side_path(Path::new("boot")), Path::new("boot.djc"));
}

/// CRC-32 as in the format.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// The frames behind the preamble: each with its kind, and where it is.
fn frames(side: &[u8]) -> Vec<(u8, std::ops::Range<usize>)> {
    let mut all = Vec::new();
    let mut at = 16;
    while at < side.len() {
        let stored = u32::from_le_bytes(side[at + 4..at + 8].try_into().expect("four bytes"));
        let end = at + 24 + stored as usize;
        all.push((side[at + 3], at..end));
        at = end;
    }
    all
}

#[test]
fn searches_pass_over_what_footprints_exclude_and_do_without_them() {
    let scratch = Scratch::new("side-file-footprints");
    let path = scratch.file("a.djc");
    let sample = Sample::new(&path, 8);
    let footprints: Vec<_> = frames(&sample.side).into_iter().filter(|(kind, _)| *kind == b'F').collect();
    assert!(footprints.len() > 3, "{}", footprints.len());
    // As the version before wrote it.
    let mut old = sample.side[..16].to_vec();
    old[8..12].copy_from_slice(&1u32.to_le_bytes());
    let crc = crc32(&old[..12]);
    old[12..].copy_from_slice(&crc.to_le_bytes());
    let kept = frames(&sample.side).into_iter().filter(|(kind, _)| *kind != b'F');
    kept.for_each(|(_, range)| old.extend(&sample.side[range]));
    let mut damaged = sample.side.clone();
    damaged[footprints[footprints.len() / 2].1.start + 30] ^= 1;
    // A word that nobody writes.
    let watch = Watch { space: Space::Linear, start: 0x3F_0000, len: 8, kind: WatchKind::Write };
    let points = vec![StopPoint { id: 0, vcpu: None, condition: StopCondition::Watch(watch) }];
    let search = Search { points, from: 0, to: END, delivered: false };
    let mut found = Vec::new();
    for side in [&sample.side, &damaged, &old] {
        fs::write(&path, side).expect("a file");
        let mut session = replay(&sample.journal);
        session.set_spacing(Some(DENSE));
        assert!(session.use_side_file(&path, BUDGET).expect("it is used") > 3);
        let hit = session.last_hit(&search, &mut ()).expect("a search");
        found.push((hit, session.search_stats().ran_icount));
    }
    assert!(found.iter().all(|(hit, _)| *hit == Found::Nothing), "{found:?}");
    assert!(found[0].1 < END / 4 && found[0].1 < found[1].1 && found[1].1 < found[2].1, "{found:?}");
    assert_eq!(fs::read(&path).expect("a file")[8], 2, "who goes on writing makes it one of this version");
}
