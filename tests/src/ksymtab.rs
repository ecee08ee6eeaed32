//! The symbols that a Linux kernel exports to its modules, as a file that gdb reads: Debian strips
//! its kernels, but these are part of them.
//!
//! An entry of `__ksymtab` is three 32-bit distances, each from where it lies: to the symbol, to
//! its name, to its namespace (include/linux/export.h with CONFIG_HAVE_ARCH_PREL32_RELOCATIONS).

use std::collections::BTreeMap;

const ENTRY_BYTES: u64 = 12;

/// A section: its address, offset in the file, and size.
#[derive(Clone, Copy)]
struct Section {
    address: u64,
    offset: u64,
    size: u64,
}

fn number<const N: usize>(file: &[u8], at: u64) -> u64 {
    let mut bytes = [0; 8];
    let at = at as usize;
    bytes[..N].copy_from_slice(&file[at..at + N]);
    u64::from_le_bytes(bytes)
}

fn text(file: &[u8], at: u64) -> String {
    let bytes = file[at as usize..].iter().take_while(|byte| **byte != 0);
    bytes.map(|byte| char::from(*byte)).collect()
}

/// The sections of an ELF file, by name.
fn sections(file: &[u8]) -> BTreeMap<String, Section> {
    let (table, entry, count) = (number::<8>(file, 0x28), number::<2>(file, 0x3A), number::<2>(file, 0x3C));
    let header = |n: u64| table + n * entry;
    let section = |at: u64| Section {
        address: number::<8>(file, at + 16),
        offset: number::<8>(file, at + 24),
        size: number::<8>(file, at + 32),
    };
    let names = section(header(number::<2>(file, 0x3E))).offset;
    let named = |n: u64| (text(file, names + number::<4>(file, header(n))), section(header(n)));
    (0..count).map(named).collect()
}

/// The exported symbols of a kernel, and where they are.
///
/// # Panics
/// If it is no kernel with such symbols.
pub fn exported(vmlinux: &[u8]) -> BTreeMap<String, u64> {
    let sections = sections(vmlinux);
    let offset = |address: u64| {
        let holds = |s: &&Section| s.address != 0 && (s.address..s.address + s.size).contains(&address);
        let section = sections.values().find(holds).expect("an address in a section");
        section.offset + (address - section.address)
    };
    let mut symbols = BTreeMap::new();
    for name in ["__ksymtab", "__ksymtab_gpl"] {
        let section = sections[name];
        for entry in (0..section.size).step_by(ENTRY_BYTES as usize) {
            let target = |field: u64| {
                let distance = number::<4>(vmlinux, section.offset + entry + field) as u32 as i32;
                (section.address + entry + field).wrapping_add_signed(distance.into())
            };
            symbols.insert(text(vmlinux, offset(target(4))), target(0));
        }
    }
    symbols
}

/// An ELF file of these symbols and nothing else.
pub fn symbol_file(symbols: &BTreeMap<String, u64>) -> Vec<u8> {
    const HEADER_BYTES: u64 = 64;
    let (base, end) = (0xFFFF_FFFF_8000_0000u64, 0xFFFF_FFFF_FF00_0000u64);
    let mut strings = vec![0];
    let mut table = vec![0; 24];
    for (name, address) in symbols {
        table.extend((strings.len() as u32).to_le_bytes());
        // A global symbol without a type, in section 1.
        table.extend([0x10, 0, 1, 0]);
        table.extend(address.to_le_bytes());
        table.extend(0u64.to_le_bytes());
        strings.extend(name.bytes());
        strings.push(0);
    }
    let names = b"\0.text\0.symtab\0.strtab\0";
    let strings_at = HEADER_BYTES + table.len() as u64;
    let names_at = strings_at + strings.len() as u64;
    let sections_at = (names_at + names.len() as u64).next_multiple_of(8);
    let mut file = b"\x7FELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3E\0\x01\0\0\0".to_vec();
    file.extend([0, 0, sections_at].into_iter().flat_map(u64::to_le_bytes));
    file.extend(0u32.to_le_bytes());
    file.extend([64u16, 0, 0, 64, 5, 4].into_iter().flat_map(u16::to_le_bytes));
    file.extend(&table);
    file.extend(&strings);
    file.extend(names);
    file.resize(sections_at as usize, 0);
    // Name, type, flags, address, offset, size, link, info, alignment, entry size.
    let rows: [[u64; 10]; 5] = [
        [0; 10],
        [1, 8, 6, base, 0, end - base, 0, 0, 1, 0],
        [7, 2, 0, 0, HEADER_BYTES, table.len() as u64, 3, 1, 8, 24],
        [15, 3, 0, 0, strings_at, strings.len() as u64, 0, 0, 1, 0],
        [15, 3, 0, 0, names_at, names.len() as u64, 0, 0, 1, 0],
    ];
    for [name, kind, flags, address, offset, size, link, info, align, entry] in rows {
        file.extend([name as u32, kind as u32].into_iter().flat_map(u32::to_le_bytes));
        file.extend([flags, address, offset, size].into_iter().flat_map(u64::to_le_bytes));
        file.extend([link as u32, info as u32].into_iter().flat_map(u32::to_le_bytes));
        file.extend([align, entry].into_iter().flat_map(u64::to_le_bytes));
    }
    file
}
