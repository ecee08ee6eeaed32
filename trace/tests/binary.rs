//! dejavm's own format of traces: what is written is read, whatever is done to a file ends in an
//! error or in what was written, and the bytes of the format are what they were.

use dejavm_core::boundary::{Position, ProbeKind, ProbeRecord};
use dejavm_trace::binary::{Reader, TraceFileError};
use dejavm_trace::event::{all, unpack};
use dejavm_trace::sink::{Format, Writer};
use std::io::{self, Cursor, Write};
use std::sync::{Arc, Mutex};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// Records of all kinds, with steps and values small and large.
fn records(seed: u64, count: usize) -> Vec<ProbeRecord> {
    let mut random = Random(seed);
    let mut position = Position { icount: random.below(1 << 40), now_ns: random.below(1 << 50) };
    let mut records = Vec::new();
    while records.len() < count {
        let event = &all()[random.below(all().len() as u64) as usize];
        let number = |random: &mut Random| match random.below(3) {
            0 => random.below(4),
            1 => random.below(256),
            _ => random.next(),
        };
        let numbers: Vec<u64> = event.arguments.iter().map(|_| number(&mut random)).collect();
        // Not all numbers are values of all arguments.
        let Some(event) = unpack(event.kind, &numbers) else { continue };
        let step = [0, 1, 1, random.below(1 << 20)][random.below(4) as usize];
        position.icount += step;
        position.now_ns += step + [0, 0, random.below(1 << 30)][random.below(3) as usize];
        let vcpu = (random.below(5) != 0).then(|| random.below(4) as u8);
        let cr3 = vcpu.map_or(0, |_| random.below(3) << 12);
        let cpl = vcpu.map_or(0, |_| random.below(4) as u8);
        records.push(ProbeRecord { position, vcpu, cpl, cr3, event });
    }
    records
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn written(pieces: &[&[ProbeRecord]]) -> Vec<u8> {
    let output = Shared::default();
    let mut writer = Writer::new(Format::Binary, Box::new(output.clone()));
    pieces.iter().for_each(|piece| writer.write(piece).unwrap());
    writer.finish().unwrap();
    let bytes = output.0.lock().unwrap();
    bytes.clone()
}

fn read(bytes: &[u8]) -> Result<(Vec<ProbeRecord>, bool), TraceFileError> {
    let mut reader = Reader::open(Cursor::new(bytes))?;
    let mut records = Vec::new();
    reader.window(0, u64::MAX, |some| {
        records.extend_from_slice(some);
        true
    })?;
    Ok((records, reader.is_whole()))
}

#[test]
fn what_is_written_is_read() {
    for seed in 0..20 {
        let records = records(seed, 2000);
        let bytes = written(&[&records[..700], &records[700..700], &records[700..]]);
        assert_eq!(read(&bytes).unwrap(), (records, true), "seed {seed}");
    }
    assert_eq!(read(&written(&[])).unwrap(), (Vec::new(), true));
}

#[test]
fn a_window_is_found_without_reading_the_rest() {
    let records = records(7, 20_000);
    let pieces: Vec<&[ProbeRecord]> = records.chunks(5000).collect();
    let mut bytes = written(&pieces);
    let reader = Reader::open(Cursor::new(&bytes)).unwrap();
    assert_eq!((reader.chunks().len(), reader.record_count()), (4, 20_000));
    // What lies elsewhere may be damaged.
    let (first, third) = (reader.chunks()[0], reader.chunks()[2]);
    bytes[first.offset as usize + 100] ^= 1;
    let (from, to) = (third.first_icount + 1, third.last_icount);
    let expected: Vec<_> =
        records.iter().filter(|r| (from..to).contains(&r.position.icount)).cloned().collect();
    let mut found = Vec::new();
    let mut reader = Reader::open(Cursor::new(&bytes)).unwrap();
    reader
        .window(from, to, |some| {
            found.extend_from_slice(some);
            true
        })
        .unwrap();
    assert_eq!(found, expected);
    let error = reader.read(0).unwrap_err().to_string();
    assert!(error.contains(&format!("damaged at byte {}: wrong checksum", first.offset)), "{error}");
}

#[test]
fn instructions_take_much_less_than_a_byte() {
    // A loop of 100 instructions of several lengths, that calls one of 8 functions by turns.
    let mut random = Random(3);
    let loop_of: Vec<u64> = (0..100).map(|_| 1 + random.below(8)).collect();
    let mut records = Vec::new();
    for icount in 0..200_000u64 {
        let (turn, k) = (icount / 100, (icount % 100) as usize);
        let base = if k < 50 { 0x40_0000 } else { 0x50_0000 + (turn % 8) * 0x1000 };
        let address = base + loop_of[..k].iter().sum::<u64>();
        let event = unpack(ProbeKind::Instruction, &[address]).unwrap();
        let position = Position { icount, now_ns: icount };
        records.push(ProbeRecord { position, vcpu: Some(0), cpl: 0, cr3: 0x1000, event });
    }
    let bytes = written(&[&records]);
    assert!(bytes.len() < 200_000 / 20, "{} bytes", bytes.len());
    assert_eq!(read(&bytes).unwrap().0, records);
}

#[test]
fn a_trace_that_was_cut_off_is_read_up_to_its_last_chunk() {
    let records = records(5, 15_000);
    let pieces: Vec<&[ProbeRecord]> = records.chunks(5000).collect();
    let bytes = written(&pieces);
    let third = Reader::open(Cursor::new(&bytes)).unwrap().chunks()[2];
    let (found, whole) = read(&bytes[..third.offset as usize + 1000]).unwrap();
    assert_eq!((found.as_slice(), whole), (&records[..10_000], false));
}

/// Anything may be done to a file: an error comes of it, or the very records that were written.
#[test]
fn damage_is_found() {
    let records = records(11, 6000);
    let bytes = written(&[&records[..5000], &records[5000..]]);
    let mut random = Random(1);
    for _ in 0..3000 {
        let mut damaged = bytes.clone();
        let at = random.below(bytes.len() as u64) as usize;
        match random.below(3) {
            0 => damaged[at] ^= 1 << random.below(8),
            1 => damaged.truncate(at),
            _ => {
                let end = (at + 1 + random.below(64) as usize).min(damaged.len());
                damaged[at..end].fill(random.next() as u8);
            }
        }
        // A broken trailer looks like a trace that was cut off.
        if let Ok((found, _)) = read(&damaged) {
            assert!(records.starts_with(&found), "damage at {at} gives other records");
        }
    }
}

/// Bodies of chunks with a good checksum, but random bytes in them, as an attacker could make them.
#[test]
fn hostile_bodies_are_refused() {
    let plain = written(&[&records(2, 5000)]);
    let opened = Reader::open(Cursor::new(&plain)).unwrap();
    let place = opened.chunks()[0];
    let start = place.offset as usize;
    let stored = u32::from_le_bytes(plain[start + 4..start + 8].try_into().unwrap()) as usize;
    let body = zstd::bulk::decompress(&plain[start + 44..start + 44 + stored], 1 << 24).unwrap();
    let seconds = std::env::var("DEJAVM_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    let begun = std::time::Instant::now();
    let mut seed = 0;
    while seed < 1500 || begun.elapsed().as_secs() < seconds {
        let mut random = Random(seed);
        let mut body = body.clone();
        for _ in 0..=random.below(8) {
            let at = random.below(body.len() as u64) as usize;
            body[at] = random.next() as u8;
        }
        body.truncate(body.len() - random.below(2) as usize * random.below(100) as usize);
        let stored = zstd::bulk::compress(&body, 1).unwrap();
        let mut file = plain[..start].to_vec();
        let mut header = plain[start..start + 44].to_vec();
        header[4..8].copy_from_slice(&(stored.len() as u32).to_le_bytes());
        header[8..12].copy_from_slice(&(body.len() as u32).to_le_bytes());
        header[12..16].copy_from_slice(&crc32fast::hash(&stored).to_le_bytes());
        let crc = crc32fast::hash(&header[..40]).to_le_bytes();
        header[40..].copy_from_slice(&crc);
        file.extend(header);
        file.extend(stored);
        // No panic, no endless loop; whether it is an error depends on what was hit.
        let _ = read(&file);
        seed += 1;
    }
}

#[test]
fn other_files_and_versions_are_named() {
    let said = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
    assert_eq!(said(b""), "this is no trace of dejavm");
    assert_eq!(said(b"\x89DJV\r\n\x1a\n________"), "this is no trace of dejavm");
    let mut later = written(&[]);
    later[8] = 2;
    let crc = crc32fast::hash(&later[..12]).to_le_bytes();
    later[12..16].copy_from_slice(&crc);
    assert_eq!(said(&later), "this trace has version 2 of the format; this dejavm reads version 1");
}

/// What stands before the schema, in it, and in a chunk, as they were when the version was made.
#[test]
fn golden_bytes() {
    let event = |kind, numbers: &[u64]| unpack(kind, numbers).unwrap();
    let record = |icount, event| ProbeRecord {
        position: Position { icount, now_ns: icount + 5 },
        vcpu: Some(0),
        cpl: 3,
        cr3: 0x1000,
        event,
    };
    let records = [
        record(100, event(ProbeKind::Instruction, &[0x40_0000])),
        record(101, event(ProbeKind::Instruction, &[0x40_0003])),
        record(101, event(ProbeKind::Store, &[0x7000, 0x1_7000, 8, 42, 0])),
        record(102, event(ProbeKind::Instruction, &[0x40_0000])),
        record(103, event(ProbeKind::Instruction, &[0x40_0003])),
    ];
    let bytes = written(&[&records]);
    assert_eq!(bytes[..16], *b"\x89DJT\r\n\x1a\n\x01\0\0\0\xC6\x6A\x38\x29");
    let start = Reader::open(Cursor::new(&bytes)).unwrap().chunks()[0].offset as usize;
    let stored = u32::from_le_bytes(bytes[start + 4..start + 8].try_into().unwrap()) as usize;
    let body = zstd::bulk::decompress(&bytes[start + 44..start + 44 + stored], 1 << 20).unwrap();
    let hex: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
    // Time; shapes; definitions; cpu_instruction (3) with its column; memory_store (14) with five.
    assert_eq!(
        hex,
        concat!(
            "69",
            "05",
            "0000000202",
            "15",
            "03000001038020",
            "03010001038020",
            "0e000001038020",
            "03",
            "09008080800400060005",
            "0e",
            "040080c003",
            "0400808008",
            "020010",
            "020054",
            "00",
        )
    );
}
