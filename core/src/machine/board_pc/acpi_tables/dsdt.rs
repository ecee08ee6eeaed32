//! The DSDT: what cannot be found by looking, as AML (ACPI 6.5, chapter 20).

use super::table;
use crate::devices::acpi_pm::{BLOCK_BYTES, SLP_TYP_S5};
use crate::machine::board_pc::layout::{
    DEBUG_EXIT_PORT, ECAM_BASE, ECAM_BYTES, FW_CFG_BASE, FW_CFG_PORTS, HPET_BASE, IOAPIC_BASE, KEYBOARD_IRQ,
    PM_BASE, PVPANIC_PORT, RTC_IRQ, UART_IRQS, UART_PORTS,
};
use acpi_tables::Aml;
use acpi_tables::aml::{
    AddressSpace, AddressSpaceCacheable, Device, EISAName, IO, Interrupt, Memory32Fixed, Name, Package,
    ResourceTemplate, Scope,
};
use acpi_tables::sdt::Sdt;

pub(super) fn build() -> Sdt {
    let mut aml = Vec::new();
    let s5 = Package::new(vec![&SLP_TYP_S5, &SLP_TYP_S5, &0u8, &0u8]);
    Name::new("\\_S5_".into(), &s5).to_aml_bytes(&mut aml);
    system_bus(&mut aml);
    let mut dsdt = table(*b"DSDT", 2);
    dsdt.append_slice(&aml);
    dsdt
}

fn system_bus(aml: &mut Vec<u8>) {
    let mut devices = Vec::new();
    pci_root(&mut devices);
    motherboard(&mut devices);
    for (n, name) in ["COM1", "COM2"].into_iter().enumerate() {
        let io = IO::new(UART_PORTS[n], UART_PORTS[n], 1, 8);
        device(&mut devices, name, "PNP0501", n as u8, &[&io, &irq(UART_IRQS[n])]);
    }
    let (data, command) = (IO::new(0x60, 0x60, 1, 1), IO::new(0x64, 0x64, 1, 1));
    device(&mut devices, "KBD_", "PNP0303", 0, &[&data, &command, &irq(KEYBOARD_IRQ)]);
    device(&mut devices, "RTC_", "PNP0B00", 0, &[&IO::new(0x70, 0x70, 1, 2), &irq(RTC_IRQ)]);
    device(&mut devices, "HPET", "PNP0103", 0, &[&Memory32Fixed::new(false, HPET_BASE as u32, 0x400)]);
    firmware_configuration(&mut devices);
    pvpanic(&mut devices);
    aml.extend_from_slice(&Scope::raw("\\_SB_".into(), devices));
}

/// The ID is the one that drivers know the device by; it has no EISA form.
fn firmware_configuration(aml: &mut Vec<u8>) {
    let hid = Name::new("_HID".into(), &"QEMU0002");
    // Present and working, nothing for a user to see.
    let status = Name::new("_STA".into(), &0x0Bu8);
    let io = IO::new(FW_CFG_BASE, FW_CFG_BASE, 1, FW_CFG_PORTS);
    let crs = Name::new("_CRS".into(), &ResourceTemplate::new(vec![&io]));
    Device::new("FWCF".into(), vec![&hid, &status, &crs]).to_aml_bytes(aml);
}

/// Again by the ID that drivers know.
fn pvpanic(aml: &mut Vec<u8>) {
    let hid = Name::new("_HID".into(), &"QEMU0001");
    let status = Name::new("_STA".into(), &0x0Fu8);
    let io = IO::new(PVPANIC_PORT, PVPANIC_PORT, 1, 1);
    let crs = Name::new("_CRS".into(), &ResourceTemplate::new(vec![&io]));
    Device::new("PEVT".into(), vec![&hid, &status, &crs]).to_aml_bytes(aml);
}

fn irq(n: u8) -> Interrupt {
    Interrupt::new(true, true, false, false, n.into())
}

/// A device with a PNP ID, a number and fixed resources.
fn device(aml: &mut Vec<u8>, name: &str, hid: &str, uid: u8, resources: &[&dyn Aml]) {
    let hid = Name::new("_HID".into(), &EISAName::new(hid));
    let uid = Name::new("_UID".into(), &uid);
    let crs = Name::new("_CRS".into(), &ResourceTemplate::new(resources.to_vec()));
    Device::new(name.into(), vec![&hid, &uid, &crs]).to_aml_bytes(aml);
}

/// What the board itself occupies, so that nobody puts something there; Linux uses ECAM only
/// where it finds it reserved in this way. (The reset register lies among the ports of the PCI root.)
fn motherboard(aml: &mut Vec<u8>) {
    let ecam = Memory32Fixed::new(true, ECAM_BASE as u32, ECAM_BYTES as u32);
    let ioapic = Memory32Fixed::new(true, IOAPIC_BASE as u32, 0x1000);
    let pm = IO::new(PM_BASE, PM_BASE, 1, BLOCK_BYTES as u8);
    let exit = IO::new(DEBUG_EXIT_PORT, DEBUG_EXIT_PORT, 1, 4);
    device(aml, "MBRD", "PNP0C02", 0, &[&ecam, &ioapic, &pm, &exit]);
}

fn pci_root(aml: &mut Vec<u8>) {
    let window = |first, last| {
        AddressSpace::new_memory(AddressSpaceCacheable::NotCacheable, true, first, last, None::<u32>)
    };
    let below = window(0xC000_0000, 0xDFFF_FFFF);
    let above = window(0xF000_0000, 0xFEBF_FFFF);
    let buses = AddressSpace::new_bus_number(0u16, 0xFF);
    let config = IO::new(0xCF8, 0xCF8, 1, 8);
    let low_io = AddressSpace::new_io(0u16, 0xCF7, None);
    let high_io = AddressSpace::new_io(0xD00u16, 0xFFFF, None);
    let crs = ResourceTemplate::new(vec![&buses, &config, &low_io, &high_io, &below, &above]);
    let names = [
        Name::new("_HID".into(), &EISAName::new("PNP0A08")),
        Name::new("_CID".into(), &EISAName::new("PNP0A03")),
        Name::new("_UID".into(), &0u8),
        Name::new("_SEG".into(), &0u8),
        Name::new("_BBN".into(), &0u8),
        Name::new("_CRS".into(), &crs),
    ];
    let children = names.iter().map(|n| n as &dyn Aml).collect();
    Device::new("PCI0".into(), children).to_aml_bytes(aml);
}
