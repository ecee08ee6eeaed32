//! Where things are on the board: what the address decoder, the ACPI tables and the memory map
//! for the guest must agree on.

use crate::devices::lapic;

/// ECAM: PCI configuration space, memory-mapped (MCFG).
pub const ECAM_BASE: u64 = 0xE000_0000;
/// The size of the ECAM window, 1 MiB for each of 256 buses.
pub const ECAM_BYTES: u64 = 256 << 20;
/// The I/O APIC's registers.
pub const IOAPIC_BASE: u64 = 0xFEC0_0000;
/// The HPET's registers.
pub const HPET_BASE: u64 = 0xFED0_0000;
/// The local APICs' registers after reset.
pub const LAPIC_BASE: u64 = lapic::DEFAULT_BASE;
/// The size of each chip's register window.
pub const CHIP_BYTES: u64 = 0x1000;

/// The ACPI power management block.
pub const PM_BASE: u16 = 0x600;
/// Reset control register.
pub const RESET_PORT: u16 = 0xCF9;
/// The UARTs, COM1 first.
pub const UART_PORTS: [u16; 2] = [0x3F8, 0x2F8];
/// Their interrupt lines.
pub const UART_IRQS: [u8; 2] = [4, 3];
/// The debug console.
pub const DEBUG_CONSOLE_PORT: u16 = 0xE9;
/// The debug-exit port (four ports wide).
pub const DEBUG_EXIT_PORT: u16 = 0xF4;

/// The firmware configuration device: selector (16 bits), data one port on, DMA address.
pub const FW_CFG_BASE: u16 = 0x510;
/// Where its DMA address is, eight ports wide.
pub const FW_CFG_DMA: u16 = FW_CFG_BASE + 4;
/// How many ports it has.
pub const FW_CFG_PORTS: u8 = 12;

/// The paravirtual panic device.
pub const PVPANIC_PORT: u16 = 0x505;

/// The timer's line at the 8259; at the I/O APIC it is [`TIMER_GSI`].
pub const TIMER_IRQ: u8 = 0;
/// The keyboard's line.
pub const KEYBOARD_IRQ: u8 = 1;
/// The RTC's line.
pub const RTC_IRQ: u8 = 8;
/// The system control interrupt of ACPI, level-triggered.
pub const SCI_IRQ: u8 = 9;
/// Where ISA IRQ 0 arrives at the I/O APIC, as on every PC.
pub const TIMER_GSI: usize = 2;
/// The I/O APIC pin that the 8259's INTR is wired to.
pub const PIC_GSI: usize = 0;
