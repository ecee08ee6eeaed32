//! Images taken into a journal and out of it.

use crate::round_trip::read_all;
use crate::sample;
use dejavm_core::boundary::Images;
use dejavm_replay::journal::{Ending, JournalError, Reader, rewrite_images};
use std::io::Cursor;

fn rewrite(journal: &[u8], given: Images, embed: bool) -> Result<Vec<u8>, JournalError> {
    rewrite_images(&mut Reader::new(Cursor::new(journal))?, given, embed, Vec::new())
}

#[test]
fn out_and_in_again_is_the_same_to_the_byte() {
    let (packed, unpacked) = (sample::journal(true), sample::journal(false));
    assert!(rewrite(&packed, Images::default(), false).unwrap() == unpacked);
    assert!(rewrite(&unpacked, sample::images(), true).unwrap() == packed);
}

#[test]
fn without_the_images_it_stays_out() {
    assert!(matches!(
        rewrite(&sample::journal(false), Images::default(), true),
        Err(JournalError::MissingImage { .. })
    ));
    let other = Images { kernel: b"another kernel".to_vec(), ..sample::images() };
    assert!(matches!(rewrite(&sample::journal(false), other, true), Err(JournalError::WrongImage { .. })));
}

#[test]
fn a_torn_journal_stays_torn_without_what_was_torn() {
    let whole = sample::journal(true);
    let (reader, _) = read_all(&whole).unwrap();
    let third = reader.events_chunks().nth(2).copied().unwrap();
    let copy = rewrite(&whole[..third.end_offset() as usize - 1], Images::default(), false).unwrap();
    let (reader, chunks) = read_all(&copy).unwrap();
    assert_eq!(*reader.ending(), Ending::Unclean { last: sample::at(2000, 80_000), torn: None });
    assert_eq!(chunks.len(), 2);
}

#[test]
fn damage_is_not_copied() {
    let mut journal = sample::journal(true);
    let (reader, _) = read_all(&journal).unwrap();
    let second = reader.events_chunks().nth(1).copied().unwrap();
    journal[second.end_offset() as usize - 1] ^= 1;
    assert!(matches!(rewrite(&journal, Images::default(), false), Err(JournalError::Damaged { .. })));
}
