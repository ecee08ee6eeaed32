//! Symbols of small tables that are made here.

use super::super::fake::Fake;
use super::*;

/// How kernels lay their tables out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Linux 6.1.
    Old,
    /// With the order of the names.
    Ordered,
    /// Linux 6.12.
    New,
}

/// The tables of a kernel with these symbols. Tokens stand for themselves, but for `\x80`, which is
/// `sys_`.
fn tables(symbols: &[(&str, u64)], base: u64, layout: Layout) -> Vec<u8> {
    let align = |bytes: &mut Vec<u8>| bytes.resize(bytes.len().next_multiple_of(8), 0);
    let mut offsets: Vec<u8> = Vec::new();
    for &(_, address) in symbols {
        let offset = match address.checked_sub(base) {
            Some(offset) => !(offset as u32),
            None => address as u32,
        };
        offsets.extend(offset.to_le_bytes());
    }
    align(&mut offsets);
    offsets.extend(base.to_le_bytes());
    let (mut names, mut markers) = (Vec::new(), Vec::new());
    for (n, (name, _)) in symbols.iter().enumerate() {
        if n % 256 == 0 {
            markers.extend((names.len() as u32).to_le_bytes());
        }
        let name = name.replace("sys_", "\u{1}");
        let count = name.len();
        match count {
            0..128 => names.push(count as u8),
            _ => names.extend([count as u8 & 0x7F | 0x80, (count >> 7) as u8]),
        }
        names.extend(name.bytes().map(|b| if b == 1 { 0x80 } else { b }));
    }
    let (mut texts, mut index) = (Vec::new(), Vec::new());
    for token in 0..=255u8 {
        index.extend((texts.len() as u16).to_le_bytes());
        match token {
            0x80 => texts.extend(b"sys_"),
            0x20..=0x7F => texts.push(token),
            _ => texts.extend(b"??"),
        }
        texts.push(0);
    }
    let new = layout == Layout::New;
    let mut all = if new { Vec::new() } else { offsets.clone() };
    let order = if layout == Layout::Ordered { vec![1; 3 * symbols.len()] } else { Vec::new() };
    all.extend((symbols.len() as u64).to_le_bytes());
    for mut part in [names, markers, order, texts, index] {
        align(&mut part);
        all.extend(part);
    }
    all.extend(if new { offsets } else { Vec::new() });
    all
}

const BASE: u64 = 0xFFFF_FFFF_A000_0000;

fn many() -> Vec<(String, u64)> {
    let plain = (0..1000).map(|n| (format!("Tsys_number_{n}"), BASE + 0x100 + 16 * n));
    let percpu = [("Afixed_percpu_data".to_owned(), 0), ("Acurrent_task".to_owned(), 0x1FB80)];
    let long = [(format!("t{}", "x".repeat(300)), BASE + 0x8000)];
    percpu.into_iter().chain([("T_text".to_owned(), BASE)]).chain(plain).chain(long).collect()
}

fn kernel(tables: &[u8]) -> Fake {
    let mut fake = Fake::new(1 << 20);
    fake.map(BASE, 0x8_0000, 0x4_0000);
    fake.put(0x9_0010, tables);
    fake
}

#[test]
fn kallsyms_are_found_and_read() {
    let symbols = many();
    let symbols: Vec<(&str, u64)> = symbols.iter().map(|(name, at)| (name.as_str(), *at)).collect();
    for layout in [Layout::Old, Layout::Ordered, Layout::New] {
        let found = Symbols::of_guest(&kernel(&tables(&symbols, BASE, layout))).unwrap();
        assert_eq!(found.len(), symbols.len());
        assert_eq!(found.address("sys_number_999"), Some(BASE + 0x100 + 16 * 999));
        assert_eq!(found.address("current_task"), Some(0x1FB80));
        assert_eq!(found.address(&"x".repeat(300)), Some(BASE + 0x8000));
        assert_eq!(found.describe(BASE + 0x105).as_deref(), Some("sys_number_0+0x5"));
        assert_eq!(found.describe(BASE).as_deref(), Some("_text"));
        assert_eq!(found.describe(BASE - 1), None);
        assert_eq!(found.describe(0x1FB80), None, "an offset, not an address");
        assert_eq!(found.end_of(BASE + 0x105), Some(BASE + 0x110));
    }
}

#[test]
fn a_guest_without_them_is_not_linux() {
    assert_eq!(Symbols::of_guest(&Fake::new(1 << 20)).unwrap_err(), SymbolError::NotLinux);
    assert_eq!(Symbols::of_guest(&kernel(b"0\x001\0")).unwrap_err(), SymbolError::NotLinux);
}

#[test]
fn damaged_tables_are_none() {
    let symbols = many();
    let symbols: Vec<(&str, u64)> = symbols.iter().map(|(name, at)| (name.as_str(), *at)).collect();
    let good = tables(&symbols, BASE, Layout::Ordered);
    let mut state = 1u64;
    for _ in 0..200 {
        let mut bad = good.clone();
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let at = (state >> 33) as usize % bad.len();
        bad[at] ^= 1 << (state >> 60 & 7);
        let image = [Stretch { address: BASE, bytes: bad }];
        // A name may be another now; the rest holds together, or it is none.
        if let Some(found) = kallsyms::find(&image) {
            assert!(found.len() <= symbols.len());
        }
    }
}

#[test]
fn a_map_is_read_and_moved() {
    let map = "ffffffff81000000 T _text\nffffffff81000100 D linux_banner\n0000000000000008 A percpu\n";
    let mut symbols = Symbols::from_file(map.as_bytes()).unwrap();
    let mut fake = Fake::new(1 << 20);
    fake.map(BASE, 0x8_0000, 0x1000);
    assert_eq!(symbols.fit_to(&fake), Err(SymbolError::OtherKernel));
    fake.put(0x8_0100, b"Linux version 6.1");
    assert_eq!(symbols.fit_to(&fake), Ok(BASE - 0xFFFF_FFFF_8100_0000));
    assert_eq!(symbols.address("linux_banner"), Some(BASE + 0x100));
    assert_eq!(symbols.address("percpu"), Some(8));
    assert_eq!(symbols.fit_to(&Fake::new(1 << 20)), Err(SymbolError::NotLinux));
}

#[test]
fn what_is_wrong_with_a_file_is_told() {
    let error = |content: &[u8]| Symbols::from_file(content).unwrap_err();
    assert_eq!(error(b""), SymbolError::UnknownFile);
    assert_eq!(error(b"hello world"), SymbolError::UnknownFile);
    assert_eq!(error(b"1000 T a\nnonsense\n"), SymbolError::Line(2));
    assert!(matches!(error(b"\x7fELF\x02\x01\x01"), SymbolError::Elf(_)));
}

#[test]
fn names_of_one_address_and_addresses_of_one_name() {
    let map = "1000 T first\n1000 t second\n2000 t same\n3000 t same\n";
    let symbols = Symbols::from_file(map.as_bytes()).unwrap();
    assert_eq!(symbols.describe(0x1004).as_deref(), Some("first+0x4"));
    assert_eq!(symbols.address("second"), Some(0x1000));
    assert_eq!(symbols.named("same").map(|s| s.address).collect::<Vec<_>>(), [0x2000, 0x3000]);
    assert_eq!(symbols.names_with_prefix("s").collect::<Vec<_>>(), ["same", "second"]);
    assert_eq!(symbols.describe(0x9000), None);
}
