//! Checkpoints: what is loaded is what was saved, and nothing else is taken for it.

use dejavm_core::machine::RunLimit;
use dejavm_replay::checkpoint::{CheckpointError, FullCheckpoint, MAX_PIECE_BYTES};
use dejavm_tests::busy_guest::{RAM_BYTES, machine};

fn full_at(icount: u64) -> FullCheckpoint {
    let mut machine = machine(2);
    machine.run(&RunLimit::to_icount(icount));
    machine.take_outbound();
    let at = machine.position();
    FullCheckpoint::save(&mut machine, at)
}

fn through(pieces: Vec<Vec<u8>>) -> Result<FullCheckpoint, CheckpointError> {
    FullCheckpoint::from_pieces(pieces.into_iter().map(Ok), RAM_BYTES)
}

#[test]
fn a_machine_anywhere_goes_on_from_a_full_checkpoint() {
    let full = full_at(100_001);
    let pieces: Vec<_> = full.pieces().collect();
    assert!(pieces.len() > 1 && pieces.iter().all(|piece| piece.len() <= MAX_PIECE_BYTES));
    let read = through(pieces).unwrap();
    assert_eq!(read, full);
    let mut straight = machine(2);
    straight.run(&RunLimit::to_icount(200_000));
    for before in [0, 50_000, 300_000] {
        let mut machine = machine(2);
        machine.run(&RunLimit::to_icount(before));
        read.load(&mut machine).unwrap();
        assert_eq!(machine.position(), full.at);
        machine.run(&RunLimit::to_icount(200_000));
        assert_eq!(machine.state_hash(), straight.state_hash(), "from {before}");
    }
}

#[test]
fn pieces_that_nobody_wrote_are_refused() {
    let pieces: Vec<_> = full_at(50_000).pieces().collect();
    assert!(through(Vec::new()).is_err());
    assert!(through(pieces[..pieces.len() - 1].to_vec()).is_err(), "a piece is missing");
    let all = pieces.iter().cloned().map(Ok::<_, CheckpointError>);
    assert!(FullCheckpoint::from_pieces(all, RAM_BYTES / 2).is_err());
    let mut twice = pieces.clone();
    twice.push(pieces[1].clone());
    assert!(through(twice).is_err());
    for cut in [0, 1, 3, 4, 100, pieces[1].len() - 1] {
        let mut short = pieces.clone();
        short[1].truncate(cut);
        assert!(through(short).is_err(), "cut to {cut}");
    }
    assert!(full_at(50_000).load(&mut machine(1)).is_err(), "a machine with fewer vCPUs");
}

#[test]
fn a_damaged_head_is_refused_or_another_state_but_does_no_harm() {
    let pieces: Vec<_> = full_at(50_000).pieces().collect();
    let mut refused = 0;
    for at in 0..pieces[0].len() {
        let mut flipped = pieces.clone();
        flipped[0][at] ^= 0x10;
        match through(flipped) {
            Ok(full) => refused += u32::from(full.load(&mut machine(2)).is_err()),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 0);
}
