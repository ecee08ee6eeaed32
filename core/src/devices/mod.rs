//! The chips of the PC, one per file, under their datasheets' names.
//!
//! A chip is plain state: everything it is can be compared and saved, and it holds no handle.
//! It knows registers, lines and virtual time, and nothing of addresses on the board, of other
//! chips or of the host. Every timer is a function of the `now` that is handed in:
//! `next_deadline` says when something happens by itself, `advance` makes it happen.

pub mod acpi_pm;
pub mod apic_message;
#[cfg(test)]
mod conformance;
pub mod fw_cfg;
pub mod hpet;
pub mod i8042;
pub mod ioapic;
pub mod lapic;
pub mod oscillator;
pub mod pci_host;
pub mod pic_8259;
pub mod pit_8254;
pub mod pvpanic;
pub mod rtc_cmos;
pub mod system_ports;
pub mod uart_16550;
