//! A journal that was damaged anywhere is refused, or replays as far as it is good; never as another run.

use dejavm_core::boundary::Images;
use dejavm_core::machine::Machine;
use dejavm_replay::journal::Reader;
use dejavm_replay::session::{ReplaySession, RunMachine};
use dejavm_tests::cli::Scratch;
use dejavm_tests::recording::{END, Session, recorded, straight};
use dejavm_tests::rng::Rng;
use std::io::Cursor;

fn open(journal: Vec<u8>) -> Option<Session<Machine>> {
    let reader = Reader::new(Cursor::new(journal)).ok()?;
    ReplaySession::open_here(reader, Images::default()).ok()
}

fn damage(journal: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = journal.to_vec();
    if rng.one_in(4) {
        bytes.truncate(rng.below(bytes.len() as u64) as usize);
        return bytes;
    }
    for _ in 0..1 + rng.below(4) {
        let at = rng.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << rng.below(8);
    }
    bytes
}

#[test]
fn a_damaged_journal_is_no_other_run() {
    let scratch = Scratch::new("damage");
    let side = scratch.file("a.djc");
    let journal = recorded(2, 31, Some(&side));
    let checkpoints = std::fs::read(&side).expect("a side file");
    let mut rng = Rng::new(31);
    let (mut refused, mut whole) = (0, 0);
    let mut ends = Vec::new();
    for case in 0..40 {
        let Some(mut session) = open(damage(&journal, &mut rng)) else {
            refused += 1;
            continue;
        };
        std::fs::write(&side, &checkpoints).expect("a file");
        // What a damaged journal has in common with the checkpoints may be used.
        let _ = session.use_side_file(&side, 64 << 20);
        let last = session.last().icount;
        assert!(last <= END, "case {case}");
        if session.seek(last, &mut ()).is_ok() {
            whole += 1;
            ends.push((last, session.machine().digest(), case));
        }
    }
    assert!(refused > 0 && whole > 0, "{refused} refused, {whole} replayed");
    ends.sort_by_key(|(last, ..)| *last);
    let icounts: Vec<u64> = ends.iter().map(|(last, ..)| *last).collect();
    for ((last, digest, case), expected) in ends.iter().zip(straight(&journal, &icounts)) {
        assert!(*digest == expected, "case {case}: icount {last}");
    }
}
