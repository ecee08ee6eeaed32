//! The history of memory: what is found in it is what looking at all stores finds, whatever was done
//! to the file.

use dejavm_core::boundary::{MemoryAccess, Position, ProbeEvent, ProbeRecord};
use dejavm_trace::analysis::history::Place;
use dejavm_trace::history::{History, PIECE_ICOUNT, Piece, SPAN_ICOUNT, Span};
use std::path::PathBuf;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

fn path(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_file(&path);
    path
}

/// Stores to a few pages, which linear pages are mapped to crosswise, over three spans.
fn stores(seed: u64) -> Vec<ProbeRecord> {
    let mut random = Random(seed);
    let mut icount = SPAN_ICOUNT - 3 * PIECE_ICOUNT;
    let mut records = Vec::new();
    while icount < 3 * SPAN_ICOUNT {
        let page = random.below(6);
        let offset = random.below(4096);
        let physical = (page * 5 % 6) << 12 | offset;
        let access = MemoryAccess {
            address: page << 12 | offset,
            physical,
            size: 1 << random.below(5),
            value: random.below(1 << 40),
            high: 0,
        };
        let position = Position { icount, now_ns: icount };
        let cr3 = random.below(2) << 12;
        records.push(ProbeRecord { position, vcpu: Some(0), cpl: 0, cr3, event: ProbeEvent::Store(access) });
        icount += random.below(PIECE_ICOUNT / 8);
    }
    records
}

fn spans(records: &[ProbeRecord]) -> Vec<Span> {
    let numbers = |icount: u64, size: u64| icount / size;
    let mut spans: Vec<Span> = (0..3).map(Span::new).collect();
    for piece in records
        .chunk_by(|a, b| numbers(a.position.icount, PIECE_ICOUNT) == numbers(b.position.icount, PIECE_ICOUNT))
    {
        let piece = Piece::of(piece).unwrap();
        spans[piece.span() as usize].add(piece);
    }
    spans
}

fn last(history: &History, place: &Place, before: u64) -> Option<ProbeRecord> {
    (0..=before / SPAN_ICOUNT).rev().find_map(|number| history.last_store(number, place, before).unwrap())
}

#[test]
fn the_last_store_is_found() {
    let path = path("found.djm");
    for seed in 0..4 {
        let records = stores(seed);
        let mut history = History::open(&path, [seed as u8; 16]).unwrap();
        assert!((0..3).all(|number| !history.has(number)), "that of another run is not used");
        spans(&records).iter().rev().for_each(|span| history.add(span).unwrap());
        drop(history);
        let history = History::open(&path, [seed as u8; 16]).unwrap();
        assert!((0..3).all(|number| history.has(number)));
        let mut random = Random(seed + 100);
        for _ in 0..300 {
            let place = Place {
                address: random.below(6 << 12),
                bytes: 1 + random.below(8),
                physical: random.below(2) == 0,
                cr3: (random.below(3) == 0).then_some(0x1000),
            };
            let before = random.below(3 * SPAN_ICOUNT);
            let of_all = |r: &&ProbeRecord| r.position.icount < before && place.is_touched_by(r);
            assert_eq!(
                last(&history, &place, before).as_ref(),
                records.iter().rev().find(of_all),
                "{place:?}"
            );
        }
    }
}

#[test]
fn a_torn_end_is_cut_and_damage_never_answers() {
    let path = path("damaged.djm");
    let records = stores(9);
    let binding = [3; 16];
    let mut history = History::open(&path, binding).unwrap();
    spans(&records).iter().for_each(|span| history.add(span).unwrap());
    drop(history);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let mut history = History::open(&path, binding).unwrap();
    assert_eq!((0..3).map(|n| history.has(n)).collect::<Vec<_>>(), [true, true, false]);
    history.add(&spans(&records)[2]).unwrap();
    drop(history);
    assert_eq!(std::fs::read(&path).unwrap(), whole);
    let place = Place { address: 0, bytes: 6 << 12, physical: true, cr3: None };
    let mut random = Random(5);
    for _ in 0..300 {
        let mut damaged = whole.clone();
        let at = random.below(whole.len() as u64) as usize;
        damaged[at] ^= 1 << random.below(8);
        std::fs::write(&path, damaged).unwrap();
        let history = History::open(&path, binding).unwrap();
        for number in 0..3 {
            let before = (number + 1) * SPAN_ICOUNT;
            let of_all = |r: &&ProbeRecord| r.position.icount < before && place.is_touched_by(r);
            // An error, or nothing where the span is lost: but no other store.
            if let Ok(Some(found)) = history.last_store(number, &place, before) {
                assert_eq!(Some(&found), records.iter().rev().find(of_all), "damage at {at}");
            }
        }
    }
}

#[test]
fn one_process_writes_at_a_time() {
    let path = path("locked.djm");
    let first = History::open(&path, [1; 16]).unwrap();
    let second = History::open(&path, [1; 16]).unwrap();
    assert_eq!((first.is_writable(), second.is_writable()), (true, false));
}
