//! Journals that are cut, flipped or forged: never a panic, always the place.

use crate::round_trip::read_all;
use crate::sample;
use dejavm_core::boundary::Images;
use dejavm_replay::journal::frame::{CHUNK_HEADER_LEN, ChunkHeader, ChunkKind};
use dejavm_replay::journal::{Damage, Ending, JournalError, Reader};
use std::io::Cursor;

#[test]
fn every_truncation_is_refused_or_read_up_to_it() {
    let bytes = sample::journal(true);
    let (whole, all) = read_all(&bytes).unwrap();
    for len in 0..bytes.len() {
        let whole_chunks = |kind| {
            whole.chunks().iter().filter(move |c| c.kind == kind && c.end_offset() <= len as u64).count()
        };
        match read_all(&bytes[..len]) {
            Ok((mut reader, chunks)) => {
                assert_eq!(whole_chunks(ChunkKind::Image), 2);
                assert_eq!(chunks, all[..whole_chunks(ChunkKind::Events)]);
                let clean = matches!(reader.ending(), Ending::Clean(_));
                assert_eq!(clean, whole_chunks(ChunkKind::End) == 1);
                assert_eq!(reader.read_images(Images::default()).unwrap(), sample::images());
            }
            Err(JournalError::NotAJournal) => assert_eq!(len, 0),
            Err(JournalError::CutShort { place, .. }) => {
                assert!(whole_chunks(ChunkKind::Image) < 2);
                assert!(place.offset <= len as u64);
            }
            Err(other) => panic!("cut at {len}: {other}"),
        }
    }
}

#[test]
fn every_flipped_byte_is_noticed_in_its_chunk() {
    let good = sample::journal(true);
    let (whole, _) = read_all(&good).unwrap();
    for offset in 0..good.len() {
        for flip in [1u8, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[offset] ^= flip;
            match read_all(&bad).map(|_| ()).expect_err("damage is noticed") {
                JournalError::NotAJournal => assert!(offset < 8),
                JournalError::Damaged { place, .. } => {
                    let here = whole.chunks().iter().find(|c| c.end_offset() > offset as u64);
                    let Some(here) = here else { continue };
                    assert!(offset < 16 || place == here.place(), "flip at {offset}: {place}");
                }
                other => panic!("flip at {offset}: {other}"),
            }
        }
    }
}

#[test]
fn the_place_is_in_the_message() {
    let mut bad = sample::journal(true);
    let chunk = read_all(&bad).unwrap().0.events_chunks().next().copied().unwrap();
    bad[chunk.offset as usize + CHUNK_HEADER_LEN] ^= 4;
    let message = read_all(&bad).map(|_| ()).unwrap_err().to_string();
    let start = format!("journal is damaged: chunk 3 at file offset {} (", chunk.offset);
    assert!(message.starts_with(&start), "{message}");
    assert!(message.contains("wrong checksum of the chunk's"), "{message}");
}

#[test]
fn other_versions_and_other_files() {
    let mut other = sample::journal(true);
    other[8] = 9;
    let crc = crc32fast::hash(&other[..12]);
    other[12..16].copy_from_slice(&crc.to_le_bytes());
    let error = read_all(&other).map(|_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "journal format version 9 is not supported (this dejavm reads versions up to 2)"
    );
    for file in [&b""[..], b"\x7fELF", &[0; 4096], b"\x89DJV\r\n\x1a\x0b"] {
        assert!(matches!(read_all(file), Err(JournalError::NotAJournal)));
    }
}

/// The sample with chunk `k` replaced by a forged one with good checksums.
pub fn forged(k: usize, forge: impl FnOnce(&mut ChunkHeader, &mut Vec<u8>)) -> Vec<u8> {
    let good = sample::journal(true);
    let chunk = Reader::new(Cursor::new(&good[..])).unwrap().chunks()[k];
    let (start, end) = (chunk.offset as usize, chunk.end_offset() as usize);
    let body = start + CHUNK_HEADER_LEN;
    let mut header = ChunkHeader::from_bytes(good[start..body].try_into().unwrap()).unwrap();
    let mut raw = zstd::bulk::decompress(&good[body..end], header.raw_len as usize).unwrap();
    forge(&mut header, &mut raw);
    let stored = zstd::bulk::compress(&raw, 3).unwrap();
    header.stored_crc = crc32fast::hash(&stored);
    let untouched = header.stored_len == chunk.stored_len;
    header.stored_len = if untouched { stored.len() as u32 } else { header.stored_len };
    let scanned = good.len() - 24;
    [&good[..start], &header.to_bytes(), &stored, &good[end..scanned]].concat()
}

fn damage(bytes: &[u8]) -> Damage {
    match read_all(bytes).map(|_| ()).unwrap_err() {
        JournalError::Damaged { damage, .. } => damage,
        other => panic!("{other}"),
    }
}

#[test]
fn forged_lengths() {
    let raw = forged(3, |header, _| header.raw_len = u32::MAX);
    assert!(matches!(damage(&raw), Damage::TooLong { what: "raw length", .. }));
    let stored = forged(3, |header, _| header.stored_len = u32::MAX);
    assert!(matches!(damage(&stored), Damage::TooLong { what: "stored length", .. }));
    let shorter = forged(3, |header, _| header.raw_len -= 1);
    assert!(matches!(damage(&shorter), Damage::Compression(_)));
    let longer = forged(3, |header, _| header.raw_len += 1);
    assert!(matches!(damage(&longer), Damage::Compression(_)));
}

#[test]
fn forged_bodies() {
    let left_over = forged(3, |header, raw| {
        raw.push(0);
        header.raw_len += 1;
    });
    assert!(matches!(damage(&left_over), Damage::Encoding(_)));
    let many = forged(3, |header, raw| {
        raw.splice(..1, [253, 255, 255, 255, 255, 255, 255, 255, 0]);
        header.raw_len = raw.len() as u32;
    });
    assert!(matches!(damage(&many), Damage::Encoding(_)));
    let late = forged(3, |header, raw| {
        raw.splice(1..2, [251, 0xb0, 1]);
        header.raw_len = raw.len() as u32;
    });
    assert!(matches!(damage(&late), Damage::Order(_)), "the chunk's last event comes after its end");
    let ram = forged(0, |_, raw| {
        let at = raw.windows(5).position(|w| w == [252, 0, 0, 0, 16]).expect("256 MiB of RAM");
        raw[at] = 252;
        raw[at - 1] = 0;
    });
    assert!(matches!(damage(&ram), Damage::Value(_)), "no vCPUs");
}

#[test]
fn forged_order() {
    let twice = forged(4, |header, _| header.sequence = 3);
    assert!(matches!(damage(&twice), Damage::Sequence { found: 3, expected: 4 }));
    let gap = forged(4, |header, _| header.first.icount += 1);
    assert!(matches!(damage(&gap), Damage::Gap { .. }));
    let backwards = forged(4, |header, _| header.last.now_ns = 0);
    assert!(matches!(damage(&backwards), Damage::Order(_)));
    let image = forged(4, |header, _| header.kind = ChunkKind::Image);
    assert!(matches!(damage(&image), Damage::Value(_)));
    let header = forged(3, |header, _| header.kind = ChunkKind::Header);
    assert!(matches!(damage(&header), Damage::Value(_)));
}
