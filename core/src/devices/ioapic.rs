//! I/O APIC (Intel 82093AA datasheet, section 3), with the EOI register of version 20h.
//!
//! Pins carry "asserted"; the polarity bit is kept but changes nothing, as both ends of every
//! line are on the same board. An edge at a masked pin is lost, as in the datasheet.

use super::apic_message::{ApicMessage, DeliveryMode, Destination};
use serde::{Deserialize, Serialize};

/// The number of pins.
pub const PINS: usize = 24;
const VERSION: u32 = 0x0017_0020;

const REMOTE_IRR: u64 = 1 << 14;
const LEVEL: u64 = 1 << 15;
const MASKED: u64 = 1 << 16;
const LOGICAL: u64 = 1 << 11;
/// Delivery status (12) and remote IRR (14) are read-only; 55:17 are reserved.
const WRITABLE: u64 = 0xFF00_0000_0001_AFFF;

/// The I/O APIC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoApic {
    id: u8,
    index: u8,
    entries: [u64; PINS],
    lines: u32,
}

impl Default for IoApic {
    fn default() -> Self {
        Self { id: 0, index: 0, entries: [MASKED; PINS], lines: 0 }
    }
}

impl IoApic {
    /// Reads the 32-bit register at `offset` of its page.
    pub fn read(&self, offset: u64) -> u32 {
        match offset {
            0x00 => u32::from(self.index),
            0x10 => self.read_indexed(),
            _ => 0,
        }
    }

    fn read_indexed(&self) -> u32 {
        match self.index {
            0 | 2 => u32::from(self.id) << 24,
            1 => VERSION,
            0x10..=0x3F => {
                let entry = self.entries[usize::from(self.index - 0x10) / 2];
                (entry >> (32 * (self.index & 1))) as u32
            }
            _ => 0,
        }
    }

    /// Writes the 32-bit register at `offset` of its page; gives the messages that follow.
    pub fn write(&mut self, offset: u64, value: u32) -> Vec<ApicMessage> {
        match offset {
            0x00 => self.index = value as u8,
            0x10 => return self.write_indexed(value),
            0x40 => return self.eoi(value as u8),
            _ => {}
        }
        Vec::new()
    }

    fn write_indexed(&mut self, value: u32) -> Vec<ApicMessage> {
        match self.index {
            0 => self.id = (value >> 24) as u8 & 0x0F,
            0x10..=0x3F => return self.write_entry(value),
            _ => {}
        }
        Vec::new()
    }

    fn write_entry(&mut self, value: u32) -> Vec<ApicMessage> {
        let pin = usize::from(self.index - 0x10) / 2;
        let shift = 32 * (self.index & 1);
        let mask = WRITABLE & 0xFFFF_FFFF << shift;
        let entry = &mut self.entries[pin];
        *entry = *entry & !mask | u64::from(value) << shift & mask;
        if *entry & LEVEL == 0 {
            *entry &= !REMOTE_IRR;
        }
        self.service_level(pin).into_iter().collect()
    }

    /// Sets the line at a pin; gives the message that follows.
    pub fn set_line(&mut self, pin: usize, asserted: bool) -> Option<ApicMessage> {
        let bit = 1 << pin;
        let rising = asserted && self.lines & bit == 0;
        self.lines = if asserted { self.lines | bit } else { self.lines & !bit };
        if self.entries[pin] & LEVEL != 0 {
            return self.service_level(pin);
        }
        (rising && self.entries[pin] & MASKED == 0).then(|| self.message(pin))
    }

    /// The levels of its lines, bit n for pin n.
    pub fn lines(&self) -> u32 {
        self.lines
    }

    /// An EOI for a level-triggered vector; gives the messages of lines that still want.
    pub fn eoi(&mut self, vector: u8) -> Vec<ApicMessage> {
        let mut messages = Vec::new();
        for pin in 0..PINS {
            let entry = &mut self.entries[pin];
            if *entry as u8 == vector && *entry & LEVEL != 0 {
                *entry &= !REMOTE_IRR;
                messages.extend(self.service_level(pin));
            }
        }
        messages
    }

    /// Whether the 8259 reaches a processor through this pin, and which.
    pub fn extint(&self, pin: usize) -> Option<Destination> {
        let message = self.message(pin);
        let open = self.entries[pin] & MASKED == 0 && message.mode == DeliveryMode::ExtInt;
        open.then_some(message.destination)
    }

    fn service_level(&mut self, pin: usize) -> Option<ApicMessage> {
        let entry = self.entries[pin];
        let wants = entry & (LEVEL | MASKED | REMOTE_IRR) == LEVEL && self.lines & 1 << pin != 0;
        if !wants {
            return None;
        }
        let message = self.message(pin);
        if matches!(message.mode, DeliveryMode::Fixed | DeliveryMode::LowestPriority) {
            self.entries[pin] |= REMOTE_IRR;
        }
        Some(message)
    }

    fn message(&self, pin: usize) -> ApicMessage {
        let entry = self.entries[pin];
        let destination = (entry >> 56) as u32;
        ApicMessage {
            vector: entry as u8,
            mode: DeliveryMode::from_bits((entry >> 8) as u32),
            destination: if entry & LOGICAL != 0 {
                Destination::Logical(destination)
            } else {
                Destination::Physical(destination)
            },
            level: entry & LEVEL != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(io: &mut IoApic, register: u8, value: u32) -> Vec<ApicMessage> {
        io.write(0, register.into());
        io.write(0x10, value)
    }

    fn get(io: &mut IoApic, register: u8) -> u32 {
        io.write(0, register.into());
        io.read(0x10)
    }

    #[test]
    fn registers_at_reset() {
        let mut io = IoApic::default();
        assert_eq!(get(&mut io, 1), 0x0017_0020);
        assert_eq!(get(&mut io, 0x10), 0x0001_0000);
        set(&mut io, 0, 0xFF00_0000);
        assert_eq!(get(&mut io, 0), 0x0F00_0000);
    }

    #[test]
    fn an_edge_sends_one_message_and_is_lost_when_masked() {
        let mut io = IoApic::default();
        assert_eq!(io.set_line(4, true), None);
        set(&mut io, 0x19, 0x0300_0000);
        assert_eq!(set(&mut io, 0x18, 0x0000_0034), vec![], "the edge was masked");
        io.set_line(4, false);
        let m = io.set_line(4, true).unwrap();
        assert_eq!((m.vector, m.mode, m.level), (0x34, DeliveryMode::Fixed, false));
        assert_eq!(m.destination, Destination::Physical(3));
        assert_eq!(io.set_line(4, true), None);
    }

    #[test]
    fn a_level_waits_for_the_eoi() {
        let mut io = IoApic::default();
        set(&mut io, 0x22, 0x0000_8849);
        let m = io.set_line(9, true).unwrap();
        assert!(m.level);
        assert_eq!(m.destination, Destination::Logical(0));
        assert_eq!(get(&mut io, 0x22), 0x0000_C849);
        assert_eq!(io.set_line(9, true), None);
        assert_eq!(io.eoi(0x50), vec![]);
        assert_eq!(io.eoi(0x49).len(), 1, "still asserted");
        io.set_line(9, false);
        assert_eq!(io.write(0x40, 0x49), vec![]);
        assert_eq!(get(&mut io, 0x22), 0x0000_8849);
    }

    #[test]
    fn unmasking_an_asserted_level_delivers() {
        let mut io = IoApic::default();
        set(&mut io, 0x22, 0x0001_8049);
        assert_eq!(io.set_line(9, true), None);
        assert_eq!(set(&mut io, 0x22, 0x0000_8049).len(), 1);
    }
}
