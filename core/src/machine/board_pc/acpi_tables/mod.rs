//! The ACPI tables that describe the board (ACPI 6.5, chapter 5; HPET specification 1.0a,
//! 3.2.4; PCI Firmware specification 3.3, 4.1.2), as one block of low memory.

mod dsdt;
#[cfg(test)]
mod tests;

use super::layout::{
    ECAM_BASE, HPET_BASE, IOAPIC_BASE, LAPIC_BASE, PM_BASE, RESET_PORT, SCI_IRQ, TIMER_GSI, TIMER_IRQ,
};
use crate::devices::acpi_pm::{GPE_BYTES, GPE0, PM_TIMER, PM1_CONTROL};
use crate::devices::hpet;
use acpi_tables::Aml;
use acpi_tables::facs::FACS;
use acpi_tables::fadt::{FADT, FADTBuilder, Flags};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};
use acpi_tables::mcfg::MCFG;
use acpi_tables::rsdp::Rsdp;
use acpi_tables::sdt::Sdt;
use acpi_tables::xsdt::XSDT;

/// Where the block starts, and the RSDP with it: in the BIOS area, where a guest that was not
/// told looks for it (ACPI 6.5, 5.2.5.1).
pub const ACPI_BASE: u64 = 0xE_0000;

pub(super) const OEM_ID: [u8; 6] = *b"DEJAVM";
pub(super) const OEM_TABLE_ID: [u8; 8] = *b"BOARDPC ";
pub(super) const OEM_REVISION: u32 = 1;

/// The block of all tables for a machine with `vcpus` vCPUs, to be put at [`ACPI_BASE`].
pub fn build(vcpus: u32) -> Vec<u8> {
    let mut block = Block { bytes: vec![0; 64] };
    let facs = block.append(&bytes_of(&FACS::new()));
    let dsdt = block.append(dsdt::build().as_slice());
    let tables = [
        block.append(&bytes_of(&fadt(facs, dsdt))),
        block.append(madt(vcpus).as_slice()),
        block.append(hpet_table().as_slice()),
        block.append(&bytes_of(&mcfg())),
    ];
    let mut xsdt = XSDT::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    for table in tables {
        xsdt.add_entry(table);
    }
    let xsdt = block.append(&bytes_of(&xsdt));
    let rsdp = bytes_of(&Rsdp::new(OEM_ID, xsdt));
    block.bytes[..rsdp.len()].copy_from_slice(&rsdp);
    block.bytes
}

struct Block {
    bytes: Vec<u8>,
}

impl Block {
    /// Appends a table at a multiple of 64 (FACS needs it); gives its address.
    fn append(&mut self, table: &[u8]) -> u64 {
        self.bytes.resize(self.bytes.len().next_multiple_of(64), 0);
        let at = ACPI_BASE + self.bytes.len() as u64;
        self.bytes.extend_from_slice(table);
        at
    }
}

fn bytes_of(table: &dyn Aml) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.to_aml_bytes(&mut bytes);
    bytes
}

fn port(address: u16, bits: u8, access: AccessSize) -> GAS {
    GAS::new(AddressSpace::SystemIo, bits, 0, access, address.into())
}

/// Legacy devices, an i8042, no VGA.
const BOOT_ARCHITECTURE: u16 = 1 | 1 << 1 | 1 << 2;
/// A latency that says: there is no C2 or C3.
const NO_C_STATE: u16 = 0xFFFF;
/// The CMOS byte that holds the century.
const CENTURY: u8 = 0x32;
/// RST_CPU and SYS_RST.
const RESET_VALUE: u8 = 6;

fn fadt(facs: u64, dsdt: u64) -> FADT {
    let mut f = FADTBuilder::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION)
        .firmware_ctrl_32(facs as u32)
        .dsdt_32(dsdt as u32)
        .flag(Flags::Wbinvd)
        .flag(Flags::ProcC1)
        .flag(Flags::SlpButton)
        .flag(Flags::FixRtc)
        .flag(Flags::TmrValExt)
        .flag(Flags::ResetRegSup)
        .gpe_info((PM_BASE + GPE0).into(), 0, GPE_BYTES as u8, 0, 0);
    f.sci_int = u16::from(SCI_IRQ).into();
    f.pm1a_evt_blk = u32::from(PM_BASE).into();
    f.pm1a_cnt_blk = u32::from(PM_BASE + PM1_CONTROL).into();
    f.pm_tmr_blk = u32::from(PM_BASE + PM_TIMER).into();
    f.pm1_evt_len = 4;
    f.pm1_cnt_len = 2;
    f.pm_tmr_len = 4;
    f.p_lvl2_lat = NO_C_STATE.into();
    f.p_lvl3_lat = NO_C_STATE.into();
    f.century = CENTURY;
    f.iapc_boot_arch = BOOT_ARCHITECTURE.into();
    f.reset_reg = port(RESET_PORT, 8, AccessSize::ByteAccess);
    f.reset_value = RESET_VALUE;
    f.x_pm1a_evt_blk = port(PM_BASE, 32, AccessSize::WordAccess);
    f.x_pm1a_cnt_blk = port(PM_BASE + PM1_CONTROL, 16, AccessSize::WordAccess);
    f.x_pm_tmr_blk = port(PM_BASE + PM_TIMER, 32, AccessSize::DwordAccess);
    f.x_gpe0_blk = port(PM_BASE + GPE0, 8 * GPE_BYTES as u8, AccessSize::ByteAccess);
    f.finalize()
}

/// A table that the crate does not know: header, then what is appended.
pub(super) fn table(signature: [u8; 4], revision: u8) -> Sdt {
    Sdt::new(signature, 36, revision, OEM_ID, OEM_TABLE_ID, OEM_REVISION)
}

/// MPS INTI flags: active high, edge.
const EDGE_HIGH: u8 = 0x05;
/// MPS INTI flags: active high, level.
const LEVEL_HIGH: u8 = 0x0D;

fn madt(vcpus: u32) -> Sdt {
    let mut t = table(*b"APIC", 5);
    t.append_slice(&(LAPIC_BASE as u32).to_le_bytes());
    // PCAT_COMPAT: there are 8259s too.
    t.append_slice(&1u32.to_le_bytes());
    for id in 0..vcpus as u8 {
        t.append_slice(&[0, 8, id, id, 1, 0, 0, 0]);
    }
    t.append_slice(&[1, 12, 0, 0]);
    t.append_slice(&(IOAPIC_BASE as u32).to_le_bytes());
    t.append_slice(&0u32.to_le_bytes());
    for (irq, gsi, flags) in [(TIMER_IRQ, TIMER_GSI as u8, EDGE_HIGH), (SCI_IRQ, SCI_IRQ, LEVEL_HIGH)] {
        t.append_slice(&[2, 10, 0, irq, gsi, 0, 0, 0, flags, 0]);
    }
    // NMI at LINT1 of every processor.
    t.append_slice(&[4, 6, 0xFF, EDGE_HIGH, 0, 1]);
    t
}

fn hpet_table() -> Sdt {
    let mut t = table(*b"HPET", 1);
    t.append_slice(&hpet::BLOCK_ID.to_le_bytes());
    t.append_slice(&bytes_of(&GAS::new(AddressSpace::SystemMemory, 64, 0, AccessSize::Undefined, HPET_BASE)));
    // Number 0, no periodic minimum, no page protection.
    t.append_slice(&[0, 0, 0, 0]);
    t
}

fn mcfg() -> MCFG {
    let mut t = MCFG::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    t.add_ecam(ECAM_BASE, 0, 0, 0xFF);
    t
}
