//! A writer killed at any moment leaves a journal that is good up to its last complete chunk.

use crate::round_trip::read_all;
use crate::sample::{self, at, digest};
use dejavm_core::boundary::Inbound;
use dejavm_replay::journal::{Ending, Writer};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// In the process that is killed: the journal that it writes.
const KILLED_WRITER: &str = "DEJAVM_TEST_KILLED_WRITER";

/// Writes chunk after chunk until it is killed.
fn write_for_ever(path: &str) {
    let file = File::create(path).unwrap();
    let mut writer = Writer::new(file, &sample::header(true), &sample::images()).unwrap();
    for n in 1u64.. {
        let bytes = (0..(n % 4000) as u32).map(|k| (k.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
        writer.append(at(n * 1000 - 1, n * 1000 - 1), &Inbound::Serial { port: 0, bytes }).unwrap();
        writer.end_chunk(at(n * 1000, n * 1000), &digest(n.into())).unwrap();
    }
}

/// This test in a process of its own, as the writer.
fn start(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::a_killed_writer_leaves_whole_chunks"])
        .env(KILLED_WRITER, path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_killed_writer_leaves_whole_chunks() {
    if let Ok(path) = std::env::var(KILLED_WRITER) {
        return write_for_ever(&path);
    }
    let path = std::env::temp_dir().join(format!("dejavm-kill-{}.dj", std::process::id()));
    for round in 0..12u64 {
        let mut child = start(&path);
        while std::fs::metadata(&path).map_or(0, |file| file.len()) < 2000 {
            std::thread::sleep(Duration::from_micros(200));
        }
        std::thread::sleep(Duration::from_micros(round * 1300));
        child.kill().unwrap();
        child.wait().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let (reader, chunks) = read_all(&bytes).unwrap();
        assert!(matches!(reader.ending(), Ending::Unclean { .. }));
        assert!(!chunks.is_empty());
        for (chunk, n) in chunks.iter().zip(1..) {
            assert_eq!(chunk.last, at(n * 1000, n * 1000));
            assert_eq!(chunk.hash, digest(n.into()).shorten());
        }
        std::fs::remove_file(&path).unwrap();
    }
}
