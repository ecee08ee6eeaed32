//! Version 1 of the format, to the byte: these never change; a change needs a new version.

use crate::round_trip::read_all;
use crate::sample;
use dejavm_replay::journal::Ending;
use dejavm_replay::journal::frame::CHUNK_HEADER_LEN;
use std::fmt::Write;

const GOLDEN: &[u8] = include_bytes!("golden_v1.dj");

#[test]
fn the_golden_journal_is_read() {
    let (mut reader, chunks) = read_all(GOLDEN).unwrap();
    assert_eq!(*reader.header(), sample::header(true));
    assert_eq!(*reader.ending(), Ending::Clean(sample::end()));
    assert_eq!(reader.read_images(Default::default()).unwrap(), sample::images());
    let events: Vec<_> = chunks.into_iter().flat_map(|chunk| chunk.events).collect();
    assert_eq!(events, sample::events());
}

/// Everything but what zstd makes of it (another zstd may compress otherwise).
fn raw(journal: &[u8]) -> Vec<Vec<u8>> {
    let (reader, _) = read_all(journal).unwrap();
    let mut raw = vec![journal[..16].to_vec()];
    for chunk in reader.chunks() {
        let body = chunk.offset as usize + CHUNK_HEADER_LEN;
        raw.push(journal[chunk.offset as usize..body][..8].to_vec());
        raw.push(journal[chunk.offset as usize..body][20..52].to_vec());
        let stored = &journal[body..chunk.end_offset() as usize];
        raw.push(zstd::bulk::decompress(stored, chunk.raw_len as usize).unwrap());
    }
    raw
}

#[test]
fn the_same_is_written_today() {
    assert_eq!(raw(&sample::journal(true)), raw(GOLDEN));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn bytes_as_format_md_shows_them() {
    assert_eq!(hex(&GOLDEN[..16]), "89444a560d0a1a0a010000004042ce07");
    let (reader, _) = read_all(GOLDEN).unwrap();
    let chunk = reader.chunks()[3];
    let header = chunk.offset as usize;
    let body = &GOLDEN[header + CHUNK_HEADER_LEN..chunk.end_offset() as usize];
    let raw = zstd::bulk::decompress(body, chunk.raw_len as usize).unwrap();
    assert_eq!(hex(&GOLDEN[header..header + 8]), "444a634503000000");
    assert_eq!(hex(&raw), "030a000000036c730a00fbfc260101fbb2020002021e9e34c8ed5c60c09cf3033cc824c82cc8");
}
