//! What is written is read.

use crate::sample::{self, at, digest};
use dejavm_core::boundary::{Images, Inbound, PortWrite};
use dejavm_replay::journal::{
    Ending, EventsChunk, ImageRecord, JournalError, Reader, Writer, frame::ChunkKind, repair,
};
use std::io::Cursor;

pub type Read<'a> = (Reader<Cursor<&'a [u8]>>, Vec<EventsChunk>);

pub fn read_all(bytes: &[u8]) -> Result<Read<'_>, JournalError> {
    let mut reader = Reader::new(Cursor::new(bytes))?;
    reader.check_all()?;
    let entries: Vec<_> = reader.events_chunks().copied().collect();
    let chunks = entries.iter().map(|chunk| reader.read_events(chunk)).collect::<Result<_, _>>()?;
    Ok((reader, chunks))
}

#[test]
fn everything_written_is_read() {
    let bytes = sample::journal(true);
    let (mut reader, chunks) = read_all(&bytes).unwrap();
    assert_eq!(*reader.header(), sample::header(true));
    assert_eq!(*reader.ending(), Ending::Clean(sample::end()));
    assert_eq!(reader.read_images(Images::default()).unwrap(), sample::images());
    let events: Vec<_> = chunks.iter().flat_map(|chunk| chunk.events.clone()).collect();
    assert_eq!(events, sample::events());
    let hashes: Vec<_> = chunks.iter().map(|chunk| chunk.hash.clone()).collect();
    assert_eq!(hashes, [1, 2, 3, 4].map(|n| digest(n).shorten()));
    let lasts: Vec<_> = chunks.iter().map(|chunk| chunk.last.icount).collect();
    assert_eq!(lasts, [1000, 2000, 3000, 3500]);
}

#[test]
fn index_and_scan_find_the_same() {
    let bytes = sample::journal(true);
    let indexed = Reader::new(Cursor::new(&bytes[..])).unwrap();
    let scanned = Reader::new(Cursor::new(&bytes[..bytes.len() - 1])).unwrap();
    assert_eq!(indexed.chunks(), scanned.chunks());
    assert_eq!(indexed.ending(), scanned.ending());
    assert_eq!(indexed.chunks().last().unwrap().kind, ChunkKind::End);
}

#[test]
fn a_journal_without_an_end_says_so() {
    let complete = sample::journal(true);
    let (whole, _) = read_all(&complete).unwrap();
    let third = whole.events_chunks().nth(2).copied().unwrap();
    let (reader, chunks) = read_all(&complete[..third.end_offset() as usize]).unwrap();
    assert_eq!(*reader.ending(), Ending::Unclean { last: at(3000, 90_001), torn: None });
    assert_eq!(chunks.len(), 3);
    let (reader, chunks) = read_all(&complete[..third.end_offset() as usize - 1]).unwrap();
    assert_eq!(*reader.ending(), Ending::Unclean { last: at(2000, 80_000), torn: Some(third.place()) });
    assert_eq!(chunks.len(), 2);
}

#[test]
fn referenced_images_are_checked() {
    let bytes = sample::journal(false);
    let mut reader = Reader::new(Cursor::new(&bytes[..])).unwrap();
    assert_eq!(reader.read_images(sample::images()).unwrap(), sample::images());
    let missing = reader.read_images(Images::default()).unwrap_err();
    assert!(matches!(missing, JournalError::MissingImage { .. }), "{missing}");
    let other = Images { initrd: Some(b"an initrD".to_vec()), ..sample::images() };
    let wrong = reader.read_images(other).unwrap_err().to_string();
    assert!(wrong.starts_with("wrong initrd image: the journal was recorded with SHA-256 "), "{wrong}");
}

#[test]
fn images_larger_than_a_chunk() {
    let kernel: Vec<u8> = (0..9_000_001u32).map(|k| (k.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut header = sample::header(true);
    let hash = dejavm_replay::journal::ImageHash::of(&kernel);
    header.images[0] = ImageRecord { hash, ..header.images[0].clone() };
    let images = Images { kernel, ..sample::images() };
    let bytes = Writer::new(Vec::new(), &header, &images).unwrap().finish(&sample::end()).unwrap();
    let mut reader = Reader::new(Cursor::new(&bytes[..])).unwrap();
    assert_eq!(reader.chunks().iter().filter(|c| c.kind == ChunkKind::Image).count(), 4);
    assert!(reader.read_images(Images::default()).unwrap() == images);
}

#[test]
fn boundaries_are_multiples_of_the_interval() {
    let mut writer = Writer::new(Vec::new(), &sample::header(true), &sample::images()).unwrap();
    assert_eq!(writer.next_boundary(), 1000);
    assert!(!writer.is_due(at(999, 999), true), "nothing is pending");
    assert!(writer.is_due(at(1000, 1000), false));
    writer.append(at(300, 300), &Inbound::Nmi).unwrap();
    assert!(!writer.is_due(at(300, 300), false));
    assert!(writer.is_due(at(300, 300), true));
    writer.end_chunk(at(400, 400), &digest(1)).unwrap();
    assert_eq!(writer.next_boundary(), 1000);
    writer.end_chunk(at(1000, 1000), &digest(2)).unwrap();
    assert_eq!(writer.next_boundary(), 2000);
}

#[test]
fn what_exceeds_the_limits_is_not_written() {
    let mut header = sample::header(true);
    header.config.command_line = "x".repeat(1 << 17);
    let error = Writer::new(Vec::new(), &header, &sample::images()).unwrap_err();
    assert!(matches!(error, JournalError::TooLarge { .. }), "{error}");
    let mut writer = sample::begun(true);
    let event = Inbound::Serial { port: 0, bytes: vec![0; 1 << 17] };
    assert!(matches!(writer.append(at(3001, 90_002), &event), Err(JournalError::TooLarge { .. })));
}

#[test]
fn a_long_run_without_input_takes_next_to_nothing() {
    let names = ["vcpu0", "pic_8259", "pit_8254", "ioapic", "lapic0", "hpet", "rtc_cmos", "uart0", "uart1"];
    let names = names.into_iter().chain(["i8042", "acpi_pm", "pci_host", "debug_exit", "memory"]);
    let parts: Vec<_> = names.map(String::from).collect();
    let mut header = sample::header(false);
    (header.part_names, header.interval_icount) = (parts.clone(), 1 << 26);
    let mut writer = Writer::new(Vec::new(), &header, &sample::images()).unwrap();
    let hash = |n: u128| {
        let mut digest = digest(n);
        digest.parts = parts.iter().cloned().zip((1..).map(|k| digest.combined.wrapping_mul(k))).collect();
        digest
    };
    for n in 1..=119u64 {
        let idle_ns = n * n * 12_345_677;
        writer.end_chunk(at(n << 26, (n << 26) + idle_ns), &hash(n.into())).unwrap();
    }
    let end = dejavm_replay::journal::End { hash: hash(119), position: writer.last(), ..sample::end() };
    let bytes = writer.finish(&end).unwrap();
    let (reader, chunks) = read_all(&bytes).unwrap();
    assert_eq!(chunks.len(), 119);
    let longest = reader.events_chunks().map(|chunk| chunk.end_offset() - chunk.offset).max().unwrap();
    assert!(longest <= 104, "an empty chunk of {longest} bytes");
    assert!(bytes.len() < 14 << 10, "8 G instructions in {} bytes", bytes.len());
}

#[test]
fn repair_cuts_at_the_damage_and_nowhere_else() {
    let path = std::env::temp_dir().join(format!("dejavm-repair-{}.dj", std::process::id()));
    let good = sample::journal(true);
    std::fs::write(&path, &good).unwrap();
    let untouched = repair(&path).unwrap();
    assert_eq!((untouched.kept_bytes, untouched.dropped_bytes), (good.len() as u64, 0));
    let second = read_all(&good).unwrap().0.events_chunks().nth(1).copied().unwrap();
    let mut bad = good.clone();
    bad[second.offset as usize + 60] ^= 1;
    std::fs::write(&path, &bad).unwrap();
    let cut = repair(&path).unwrap();
    assert_eq!(cut.kept_bytes, second.offset);
    assert!(matches!(cut.damage, Some(JournalError::Damaged { place, .. }) if place == second.place()));
    let (reader, chunks) = read_all(&std::fs::read(&path).unwrap()).map(|(r, c)| (r.last(), c)).unwrap();
    assert_eq!((reader, chunks.len()), (at(1000, 5990), 1));
    bad[20] ^= 1;
    std::fs::write(&path, &bad).unwrap();
    assert!(repair(&path).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), bad);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn port_writes_of_sizes_that_there_are() {
    let journal = |size| {
        let mut writer = sample::begun(true);
        let event = Inbound::PortWrite(PortWrite { port: 0x3F8, size, value: 0x41 });
        writer.append(at(3200, 90_500), &event).unwrap();
        (writer.finish(&sample::end()).unwrap(), event)
    };
    for size in [1, 2, 4] {
        let (bytes, event) = journal(size);
        let (_, chunks) = read_all(&bytes).unwrap();
        assert_eq!(chunks.last().unwrap().events, [(at(3200, 90_500), event)]);
    }
    for size in [0, 3, 5, 255] {
        let error = read_all(&journal(size).0).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("a size that no CPU can write"), "{error}");
    }
}
