//! The port side of the address decoder. Chips are a byte wide: a wider access reaches
//! successive ports. A port that nobody answers reads as all ones.

use super::layout::{DEBUG_CONSOLE_PORT, DEBUG_EXIT_PORT, PM_BASE, RESET_PORT, UART_PORTS};
use super::{Board, MachineRequest};
use crate::boundary::{Outbound, ResetCause};
use crate::devices::acpi_pm;
use crate::devices::system_ports::{CONSOLE_ID, SystemAction};
use crate::types::VirtualNs;

const PM_LAST: u16 = PM_BASE + acpi_pm::BLOCK_BYTES - 1;

/// The UART that answers at a port, and the register.
fn uart_at(port: u16) -> Option<(usize, u16)> {
    let n = UART_PORTS.iter().position(|&base| (base..base + 8).contains(&port))?;
    Some((n, port - UART_PORTS[n]))
}

impl Board {
    pub(super) fn read_ports(&mut self, now: VirtualNs, port: u16, size: u8) -> u32 {
        let mut bytes = [0; 4];
        for (k, byte) in bytes[..usize::from(size)].iter_mut().enumerate() {
            *byte = self.read_port(now, port.wrapping_add(k as u16));
        }
        u32::from_le_bytes(bytes)
    }

    pub(super) fn write_ports(&mut self, now: VirtualNs, port: u16, size: u8, value: u32) {
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
            0x61 => {
                s.pit.advance(now);
                s.system.read_61(s.pit.gate2(), s.pit.out(2))
            }
            0x80 => s.system.read_80(),
            0x92 => s.system.read_92(),
            DEBUG_CONSOLE_PORT => CONSOLE_ID,
            0x4D0 | 0x4D1 => s.pic.read_elcr(usize::from(port & 1)),
            PM_BASE..=PM_LAST => s.acpi_pm.read(now, port - PM_BASE),
            RESET_PORT => s.system.read_cf9(),
            _ => match uart_at(port) {
                Some((n, register)) => s.uarts[n].read(now, register),
                None => 0xFF,
            },
        }
    }

    fn write_port(&mut self, now: VirtualNs, port: u16, value: u8) {
        let s = &mut self.state;
        let action = match port {
            0x20 | 0x21 | 0xA0 | 0xA1 => {
                s.pic.write(port, value);
                SystemAction::None
            }
            0x40..=0x43 => {
                s.pit.write(now, port - 0x40, value);
                SystemAction::None
            }
            0x61 => s.system.write_61(value),
            0x80 => {
                s.system.write_80(value);
                SystemAction::None
            }
            0x92 => s.system.write_92(value),
            DEBUG_CONSOLE_PORT => SystemAction::Console(value),
            0x4D0 | 0x4D1 => {
                s.pic.write_elcr(usize::from(port & 1), value);
                SystemAction::None
            }
            PM_BASE..=PM_LAST => {
                if s.acpi_pm.write(now, port - PM_BASE, value) {
                    SystemAction::PowerOff
                } else {
                    SystemAction::None
                }
            }
            RESET_PORT => s.system.write_cf9(value),
            _ => {
                self.write_uart(now, port, value);
                SystemAction::None
            }
        };
        self.perform(now, action);
    }

    fn write_uart(&mut self, now: VirtualNs, port: u16, value: u8) {
        let Some((n, register)) = uart_at(port) else { return };
        if let Some(byte) = self.state.uarts[n].write(now, register, value) {
            self.outbound.push(Outbound::Serial { port: n as u8, byte });
        }
    }

    fn perform(&mut self, now: VirtualNs, action: SystemAction) {
        match action {
            SystemAction::None => {}
            SystemAction::Reset => self.request(MachineRequest::Reset(ResetCause::ResetControl)),
            SystemAction::PowerOff => self.request(MachineRequest::PowerOff),
            SystemAction::Gate2(level) => self.state.pit.set_gate2(now, level),
            SystemAction::Console(byte) => self.outbound.push(Outbound::DebugConsole(byte)),
        }
    }
}
