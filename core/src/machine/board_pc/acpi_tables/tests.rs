//! The tables as a guest walks them.

use super::*;

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |a, &b| a.wrapping_add(b))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// The table at an address of the block, its length taken from its header.
fn table_at(block: &[u8], address: u64) -> &[u8] {
    let at = (address - ACPI_BASE) as usize;
    &block[at..at + u32_at(block, at + 4) as usize]
}

fn tables(block: &[u8]) -> Vec<&[u8]> {
    let xsdt = table_at(block, u64_at(block, 24));
    assert_eq!((&xsdt[..4], sum(xsdt)), (&b"XSDT"[..], 0));
    (36..xsdt.len()).step_by(8).map(|at| table_at(block, u64_at(xsdt, at))).collect()
}

#[test]
fn rsdp_leads_to_tables_with_good_checksums() {
    let block = build(4);
    assert_eq!(&block[..8], b"RSD PTR ");
    assert_eq!((sum(&block[..20]), sum(&block[..36])), (0, 0));
    let tables = tables(&block);
    let signatures: Vec<_> = tables.iter().map(|t| &t[..4]).collect();
    assert_eq!(signatures, [b"FACP", b"APIC", b"HPET", b"MCFG"]);
    assert!(tables.iter().all(|t| sum(t) == 0));
    let dsdt = table_at(&block, u32_at(tables[0], 40).into());
    assert_eq!((&dsdt[..4], sum(dsdt)), (&b"DSDT"[..], 0));
    let facs = u32_at(tables[0], 36);
    assert_eq!((facs % 64, &table_at(&block, facs.into())[..4]), (0, &b"FACS"[..]));
}

#[test]
fn fadt_points_at_the_chips() {
    let block = build(1);
    let fadt = tables(&block)[0];
    assert_eq!([56, 64, 76, 80].map(|at| u32_at(fadt, at)), [0x600, 0x604, 0x608, 0x620]);
    assert_eq!(&fadt[116..129], [1, 8, 0, 1, 0xF9, 0x0C, 0, 0, 0, 0, 0, 0, 6]);
}

#[test]
fn madt_lists_every_vcpu() {
    for vcpus in [1, 8, 64] {
        let block = build(vcpus);
        assert!(ACPI_BASE + block.len() as u64 <= 0x10_0000);
        let madt = tables(&block)[1];
        let (mut at, mut lapics, mut overrides) = (44, 0, vec![]);
        while at < madt.len() {
            match madt[at] {
                0 => lapics += 1,
                2 => overrides.push((madt[at + 3], madt[at + 4], madt[at + 8])),
                _ => {}
            }
            at += usize::from(madt[at + 1]);
        }
        assert_eq!(lapics, vcpus);
        assert_eq!(overrides, [(0, 2, 5), (9, 9, 13)]);
    }
}

#[test]
fn dsdt_holds_s5_as_the_power_management_block_wants_it() {
    let block = build(1);
    let needle = [b"_S5_".as_slice(), &[0x12, 0x08, 4, 0x0A, 5, 0x0A, 5, 0, 0]].concat();
    assert!(block.windows(needle.len()).any(|w| w == needle));
}
