//! Files read back by a small reader.

use super::super::source::fake::Fake;
use super::super::vmcoreinfo::tests::put_kernel;
use super::*;
use dejavm_core::cpu::state::efer;
use dejavm_core::mem::HIGH_RAM_BASE;
use std::io::Read as _;

fn guest() -> Fake {
    let mut fake = Fake::new(2 << 20, 0x4000);
    fake.vcpus[0].efer = efer::LMA;
    put_kernel(&mut fake, "6.1.0", 0x2_0000);
    let noise: Vec<u8> = (0..4096u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fake.put(0x5000, &noise);
    fake.put(HIGH_RAM_BASE + 0x1000, b"high");
    fake
}

fn file(compression: Compression, raw: bool) -> Vec<u8> {
    let path =
        std::env::temp_dir().join(format!("dejavm-kdump-{}-{compression:?}-{raw}", std::process::id()));
    let mut output = Output::open(crate::dump::Destination::Path(path.clone())).unwrap();
    write(&guest(), compression, raw, &mut output, &mut |_, _| {}).unwrap();
    output.commit().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    bytes
}

fn word(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

fn quad(bytes: &[u8], at: usize) -> usize {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize
}

/// The page of descriptor `n`.
fn page(bytes: &[u8], n: usize) -> Vec<u8> {
    let descriptors = 4096 * (1 + word(bytes, 432) + word(bytes, 436));
    let d = descriptors + 24 * n;
    let data = &bytes[quad(bytes, d)..][..word(bytes, d + 8)];
    match word(bytes, d + 12) {
        0 => data.to_vec(),
        1 => {
            let mut page = Vec::new();
            flate2::read::ZlibDecoder::new(data).read_to_end(&mut page).unwrap();
            page
        }
        2 => lzo::tests::decompress(data),
        4 => snap::raw::Decoder::new().decompress_vec(data).unwrap(),
        other => panic!("flag {other}"),
    }
}

#[test]
fn every_page_is_there() {
    let fake = guest();
    for (compression, flag) in [(Compression::Zlib, 1), (Compression::Lzo, 2), (Compression::Snappy, 4)] {
        let bytes = file(compression, true);
        assert_eq!(word(&bytes, 424), flag);
        let pages = fake.ram.iter().flat_map(|r| r.clone().step_by(4096));
        for (n, gpa) in pages.enumerate() {
            let expected = fake.page(gpa).map_or(vec![0; 4096], <[u8]>::to_vec);
            assert!(page(&bytes, n) == expected, "{compression:?} {gpa:#x}");
        }
    }
}

#[test]
fn headers_say_what_readers_need() {
    let bytes = file(Compression::Zlib, true);
    assert_eq!(&bytes[..8], b"KDUMP   ");
    assert_eq!(word(&bytes, 440), (HIGH_RAM_BASE as usize + 0x4000) / 4096);
    for (field, text) in ["Linux", "guest", "6.1.0", "#1", "x86_64"].iter().enumerate() {
        assert!(bytes[12 + 65 * field..].starts_with(&[text.as_bytes(), b"\0"].concat()), "{text}");
    }
    assert_eq!(quad(&bytes, 408), 1_000_000_000, "the guest's time");
    let sub = &bytes[4096..];
    assert_eq!(quad(sub, 0) as i64, -15 << 20, "phys_base");
    let text = &bytes[quad(sub, 32)..][..quad(sub, 40)];
    assert!(text.starts_with(b"OSRELEASE=6.1.0\n") && text.ends_with(b"\n"), "{text:?}");
}

#[test]
fn a_32_bit_guest_has_headers_of_its_width() {
    let h = SubHeader { phys_base: 5, frames: 77, notes_bytes: 3, vmcoreinfo: Some(1..2) };
    let bytes = h.to_bytes(Architecture::I386);
    assert_eq!((bytes.len(), word(&bytes, 0), word(&bytes, 28), quad(&bytes, 72)), (80, 5, 1, 77));
    assert_eq!(quad(&bytes, 20), 4096 + 80 + 1);
}

#[test]
fn flattened_is_raw_in_pieces() {
    let flat = file(Compression::Snappy, false);
    let mut raw = Vec::new();
    let mut at = 4096;
    loop {
        let number = |at: usize| u64::from_be_bytes(flat[at..at + 8].try_into().unwrap());
        let (offset, bytes) = (number(at), number(at + 8));
        at += 16;
        if offset == u64::MAX {
            break;
        }
        let (offset, bytes) = (offset as usize, bytes as usize);
        assert_ne!(bytes, 0, "makedumpfile wants no empty piece");
        raw.resize(raw.len().max(offset + bytes), 0);
        raw[offset..offset + bytes].copy_from_slice(&flat[at..at + bytes]);
        at += bytes;
    }
    assert_eq!(at, flat.len());
    assert!(raw == file(Compression::Snappy, true));
}

#[test]
fn nothing_is_gained_by_noise() {
    let noise: Vec<u8> =
        (0..4096u32).map(|n| (n.wrapping_mul(n).wrapping_mul(2_654_435_761) >> 15) as u8).collect();
    for compression in [Compression::Zlib, Compression::Lzo, Compression::Snappy] {
        let mut compressor = Compressor::new(compression);
        let stored = compressor.compress(&noise).0.len();
        assert!(stored <= 4096, "{compression:?}: {stored}");
        assert!(compressor.compress(&[0; 4096]).0.len() < 256);
    }
}
