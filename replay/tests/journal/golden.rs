//! Version 1 of the format, to the byte: these never change; a change needs a new version.

use crate::round_trip::read_all;
use crate::sample;
use dejavm_core::boundary::{Change, CpuRegister, DebuggerWrite, Inbound};
use dejavm_replay::journal::frame::{CHUNK_HEADER_LEN, ChunkKind};
use dejavm_replay::journal::{End, Ending, Writer};
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

/// The events of a debugger, as FORMAT.md shows them.
#[test]
fn the_bytes_of_a_debuggers_events() {
    let mut writer = Writer::new(Vec::new(), &sample::header(false), &sample::images()).unwrap();
    let change = Change::Memory { gpa: 0x1000, bytes: vec![0x12, 0x34] };
    let values = vec![(CpuRegister::General(3), 5), (CpuRegister::Xmm(15), 0x1_075B_CD15)];
    let events = [
        (sample::at(10, 10), Inbound::Debugger(DebuggerWrite { begun: false, change })),
        (
            sample::at(10, 10),
            Inbound::Debugger(DebuggerWrite { begun: true, change: Change::Registers { vcpu: 1, values } }),
        ),
    ];
    for (at, event) in &events {
        writer.append(*at, event).unwrap();
    }
    writer.end_chunk(sample::at(20, 20), &sample::digest(1)).unwrap();
    let journal =
        writer.finish(&End { position: sample::at(20, 20), hash: sample::digest(1), ..sample::end() });
    let journal = journal.unwrap();
    let (reader, chunks) = read_all(&journal).unwrap();
    assert_eq!(chunks[0].events, events);
    let chunk = *reader.chunks().iter().find(|chunk| chunk.kind == ChunkKind::Events).unwrap();
    let body = &journal[chunk.offset as usize + CHUNK_HEADER_LEN..chunk.end_offset() as usize];
    let raw = zstd::bulk::decompress(body, chunk.raw_len as usize).unwrap();
    let expected = "020a00060000fb00100212340000060101010200030507".to_owned() + "0ffd15cd5b0701000000";
    assert!(hex(&raw).starts_with(&expected), "{}", hex(&raw));
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
