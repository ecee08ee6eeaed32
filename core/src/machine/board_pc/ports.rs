//! The port side of the address decoder. Chips are a byte wide: a wider access reaches
//! successive ports. A port that nobody answers reads as all ones.

use super::layout::{
    DEBUG_CONSOLE_PORT, DEBUG_EXIT_PORT, FW_CFG_BASE, FW_CFG_DMA, PM_BASE, PVPANIC_PORT, RESET_PORT,
    UART_PORTS,
};
use super::{Board, MachineRequest};
use crate::boundary::{Chip, Outbound, ProbeEvent, ResetCause};
use crate::devices::{acpi_pm, pvpanic};
use crate::types::VirtualNs;

/// What the debug console reads as, so that a guest can tell that it is there.
const CONSOLE_ID: u8 = 0xE9;
/// CONFIG_ADDRESS of PCI, accessible as 32 bits only; a byte at CF9h is reset control.
const CONFIG_ADDRESS: u16 = 0xCF8;
const CONFIG_DATA: u16 = 0xCFC;
const CONFIG_DATA_LAST: u16 = 0xCFF;
const FW_CFG_DATA: u16 = FW_CFG_BASE + 1;
const FW_CFG_DMA_LAST: u16 = FW_CFG_DMA + 7;
const PM_LAST: u16 = PM_BASE + acpi_pm::BLOCK_BYTES - 1;

/// The UART that answers at a port, and the register.
fn uart_at(port: u16) -> Option<(usize, u16)> {
    let n = UART_PORTS.iter().position(|&base| (base..base + 8).contains(&port))?;
    Some((n, port - UART_PORTS[n]))
}

/// The chip that a port belongs to.
pub(super) fn chip_at(port: u16) -> Option<Chip> {
    Some(match port {
        0x20 | 0x21 | 0xA0 | 0xA1 | 0x4D0 | 0x4D1 => Chip::Pic,
        0x40..=0x43 => Chip::Pit,
        0x60 | 0x64 => Chip::I8042,
        0x70 | 0x71 => Chip::Rtc,
        0x61 | 0x80 | 0x92 | RESET_PORT => Chip::System,
        FW_CFG_BASE | FW_CFG_DATA | FW_CFG_DMA..=FW_CFG_DMA_LAST => Chip::FwCfg,
        PM_BASE..=PM_LAST => Chip::AcpiPm,
        CONFIG_ADDRESS..=0xCFB | CONFIG_DATA..=CONFIG_DATA_LAST => Chip::Pci,
        _ => return uart_at(port).map(|_| Chip::Uart),
    })
}

impl Board {
    pub(super) fn read_ports(&mut self, now: VirtualNs, port: u16, size: u8) -> u32 {
        if (port, size) == (CONFIG_ADDRESS, 4) {
            return self.state.pci.address();
        }
        let mut bytes = [0; 4];
        for (k, byte) in bytes[..usize::from(size)].iter_mut().enumerate() {
            *byte = self.read_port(now, port.wrapping_add(k as u16));
        }
        u32::from_le_bytes(bytes)
    }

    pub(super) fn write_ports(&mut self, now: VirtualNs, port: u16, size: u8, value: u32) {
        if (port, size) == (CONFIG_ADDRESS, 4) {
            self.state.pci.set_address(value);
            return;
        }
        if (port, size) == (FW_CFG_BASE, 2) {
            self.state.fw_cfg.select(value as u16);
            return;
        }
        if port == DEBUG_EXIT_PORT {
            self.request(MachineRequest::DebugExit(value));
            return;
        }
        for (k, &byte) in value.to_le_bytes()[..usize::from(size)].iter().enumerate() {
            self.write_port(now, port.wrapping_add(k as u16), byte);
        }
    }

    fn read_port(&mut self, now: VirtualNs, port: u16) -> u8 {
        let s = &mut self.state;
        match port {
            0x20 | 0x21 | 0xA0 | 0xA1 => s.pic.read(port),
            0x40..=0x43 => s.pit.read(now, port - 0x40),
            0x60 => s.i8042.read_data(now),
            0x64 => s.i8042.read_status(),
            0x71 => s.rtc.read(now),
            0x61 => {
                s.pit.advance(now);
                s.system.read_61(s.pit.gate2(), s.pit.out(2))
            }
            0x80 => s.system.read_80(),
            PVPANIC_PORT => pvpanic::read(),
            0x92 => s.system.read_92(),
            DEBUG_CONSOLE_PORT => CONSOLE_ID,
            0x4D0 | 0x4D1 => s.pic.read_elcr(usize::from(port & 1)),
            FW_CFG_DATA => s.fw_cfg.read_data(),
            FW_CFG_DMA..=FW_CFG_DMA_LAST => s.fw_cfg.read_dma_address(port - FW_CFG_DMA),
            PM_BASE..=PM_LAST => s.acpi_pm.read(now, port - PM_BASE),
            RESET_PORT => s.system.read_cf9(),
            CONFIG_DATA..=CONFIG_DATA_LAST => s.pci.read_data(port - CONFIG_DATA),
            _ => match uart_at(port) {
                Some((n, register)) => s.uarts[n].read(now, register),
                None => 0xFF,
            },
        }
    }

    fn write_port(&mut self, now: VirtualNs, port: u16, value: u8) {
        let s = &mut self.state;
        match port {
            0x20 | 0x21 | 0xA0 | 0xA1 => s.pic.write(port, value),
            0x40..=0x43 => s.pit.write(now, port - 0x40, value),
            0x60 => {
                let reset = s.i8042.write_data(now, value);
                self.keyboard_reset(reset);
            }
            0x64 => {
                let reset = s.i8042.write_command(now, value);
                self.keyboard_reset(reset);
            }
            0x61 => {
                let gate2 = s.system.write_61(value);
                s.pit.set_gate2(now, gate2);
            }
            0x70 => s.rtc.write_index(value),
            0x71 => s.rtc.write(now, value),
            0x80 => s.system.write_80(value),
            PVPANIC_PORT => {
                if let Some(events) = pvpanic::write(value) {
                    self.probes.push(ProbeEvent::GuestPanic { events });
                    self.outbound.push(Outbound::GuestPanic(events));
                }
            }
            0x92 => {
                let reset = s.system.write_92(value);
                self.control_reset(reset);
            }
            DEBUG_CONSOLE_PORT => {
                self.probes.push(ProbeEvent::DebugConsole { byte: value });
                self.outbound.push(Outbound::DebugConsole(value));
            }
            0x4D0 | 0x4D1 => s.pic.write_elcr(usize::from(port & 1), value),
            FW_CFG_DMA..=FW_CFG_DMA_LAST => s.fw_cfg.write_dma_address(port - FW_CFG_DMA, value),
            PM_BASE..=PM_LAST => {
                if s.acpi_pm.write(now, port - PM_BASE, value) {
                    self.request(MachineRequest::PowerOff);
                }
            }
            RESET_PORT => {
                let reset = s.system.write_cf9(value);
                self.control_reset(reset);
            }
            // The host bridge's configuration space is read-only, so CONFIG_DATA takes nothing.
            _ => self.write_uart(now, port, value),
        }
    }

    fn keyboard_reset(&mut self, reset: bool) {
        if reset {
            self.request(MachineRequest::Reset(ResetCause::KeyboardController));
        }
    }

    fn control_reset(&mut self, reset: bool) {
        if reset {
            self.request(MachineRequest::Reset(ResetCause::ResetControl));
        }
    }

    fn write_uart(&mut self, now: VirtualNs, port: u16, value: u8) {
        let Some((n, register)) = uart_at(port) else { return };
        if let Some(byte) = self.state.uarts[n].write(now, register, value) {
            self.probes.push(ProbeEvent::SerialOut { port: n as u8, byte });
            self.outbound.push(Outbound::Serial { port: n as u8, byte });
        }
    }
}
