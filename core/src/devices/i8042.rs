//! i8042 keyboard controller with a PS/2 keyboard (IBM PS/2 hardware interface technical
//! reference, "Keyboard and Auxiliary Device Controller"; Intel 8042 datasheet).
//!
//! There is no auxiliary port: its test fails at once and what is sent to it times out, which
//! is how a guest is told. The keyboard's bytes come one after the other with the pause that
//! its slow line makes, so that each has an edge of IRQ 1 of its own.

use crate::types::VirtualNs;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The pause between two bytes of the keyboard.
const BYTE_NS: VirtualNs = 100_000;
/// The keyboard's own buffer.
const QUEUE_BYTES: usize = 16;

const STATUS_OBF: u8 = 1;
const STATUS_SYSTEM: u8 = 4;
const STATUS_COMMAND: u8 = 8;
const STATUS_UNLOCKED: u8 = 0x10;
const STATUS_TIMEOUT: u8 = 0x40;

const CTR_IRQ1: u8 = 1;
const CTR_SYSTEM: u8 = 4;
const CTR_KEYBOARD_OFF: u8 = 0x10;
const CTR_AUX_OFF: u8 = 0x20;
const CTR_TRANSLATE: u8 = 0x40;

const PORT_RUN: u8 = 1;
const PORT_A20: u8 = 2;

const ACK: u8 = 0xFA;
const RESEND: u8 = 0xFE;
const SELF_TEST_PASSED: u8 = 0xAA;

/// The controller and its keyboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct I8042 {
    /// Internal RAM; byte 0 is the command byte.
    ram: [u8; 32],
    output_port: u8,
    output: Option<u8>,
    last_write_command: bool,
    timeout: bool,
    /// A controller command that waits for its parameter.
    command: Option<u8>,
    /// What the keyboard has to say.
    queue: VecDeque<u8>,
    /// When the keyboard's next byte has come through.
    next_byte: Option<VirtualNs>,
    /// A keyboard command that waits for its parameter.
    keyboard_command: Option<u8>,
    scanning: bool,
    scan_code_set: u8,
    last_sent: u8,
}

impl Default for I8042 {
    /// As firmware leaves it: tested, translating, interrupts on.
    fn default() -> Self {
        let mut ram = [0; 32];
        ram[0] = CTR_TRANSLATE | CTR_AUX_OFF | CTR_SYSTEM | CTR_IRQ1;
        Self {
            ram,
            output_port: PORT_RUN | PORT_A20,
            output: None,
            last_write_command: false,
            timeout: false,
            command: None,
            queue: VecDeque::new(),
            next_byte: None,
            keyboard_command: None,
            scanning: true,
            scan_code_set: 2,
            last_sent: 0,
        }
    }
}

impl I8042 {
    /// Reads port 64h.
    pub fn read_status(&self) -> u8 {
        let bit = |on: bool, bit: u8| if on { bit } else { 0 };
        bit(self.output.is_some(), STATUS_OBF)
            | bit(self.ram[0] & CTR_SYSTEM != 0, STATUS_SYSTEM)
            | bit(self.last_write_command, STATUS_COMMAND)
            | bit(self.timeout, STATUS_TIMEOUT)
            | STATUS_UNLOCKED
    }

    /// Reads port 60h.
    pub fn read_data(&mut self, now: VirtualNs) -> u8 {
        self.timeout = false;
        match self.output.take() {
            Some(byte) => {
                self.last_sent = byte;
                self.schedule(now);
                byte
            }
            None => self.last_sent,
        }
    }

    /// Writes port 64h; true if the reset line is pulled.
    pub fn write_command(&mut self, now: VirtualNs, value: u8) -> bool {
        self.last_write_command = true;
        self.command = None;
        match value {
            0x20..=0x3F => self.reply(self.ram[usize::from(value & 31)]),
            0x60..=0x7F | 0xD1..=0xD4 => self.command = Some(value),
            // No auxiliary port: its clock line is stuck low.
            0xA9 => self.reply(0x01),
            0xAA => {
                self.ram[0] |= CTR_SYSTEM;
                self.reply(0x55);
            }
            0xAB => self.reply(0x00),
            0xAD => self.ram[0] |= CTR_KEYBOARD_OFF,
            0xAE => {
                self.ram[0] &= !CTR_KEYBOARD_OFF;
                self.schedule(now);
            }
            // Input port: keyboard not locked.
            0xC0 => self.reply(0x80),
            0xD0 => self.reply(self.output_port | if self.output.is_some() { 0x10 } else { 0 }),
            0xDD => self.output_port &= !PORT_A20,
            0xDF => self.output_port |= PORT_A20,
            0xE0 => self.reply(0),
            0xF0..=0xFF => return value & PORT_RUN == 0,
            // A7h and A8h switch an auxiliary port that is not there; others do nothing.
            _ => {}
        }
        false
    }

    /// Writes port 60h; true if the reset line is pulled.
    pub fn write_data(&mut self, now: VirtualNs, value: u8) -> bool {
        self.last_write_command = false;
        match self.command.take() {
            Some(command @ 0x60..=0x7F) => {
                self.ram[usize::from(command & 31)] = value;
                // Without the port its switch stays off.
                self.ram[0] |= CTR_AUX_OFF;
                self.schedule(now);
            }
            Some(0xD1) => {
                self.output_port = value & 3 | PORT_RUN;
                return value & PORT_RUN == 0;
            }
            // D3h: the byte comes back, but not as the auxiliary port's.
            Some(0xD2 | 0xD3) => self.reply(value),
            Some(0xD4) => {
                self.timeout = true;
                self.reply(RESEND);
            }
            _ => self.to_keyboard(now, value),
        }
        false
    }

    /// The level of IRQ 1.
    pub fn irq(&self) -> bool {
        self.ram[0] & CTR_IRQ1 != 0 && self.output.is_some()
    }

    /// Keys are pressed or released: scan codes of set 1. What does not fit is lost, as the
    /// keyboard's buffer overruns.
    pub fn press(&mut self, now: VirtualNs, scan_codes: &[u8]) {
        if self.scanning {
            let room = QUEUE_BYTES.saturating_sub(self.queue.len());
            self.queue.extend(scan_codes.iter().take(room));
            self.schedule(now);
        }
    }

    /// When the next byte of the keyboard arrives.
    pub fn next_deadline(&self) -> Option<VirtualNs> {
        self.next_byte
    }

    /// Brings the chip to `now`.
    pub fn advance(&mut self, now: VirtualNs) {
        if self.next_byte.is_none_or(|t| t > now) {
            return;
        }
        self.next_byte = None;
        if self.output.is_none() && self.ram[0] & CTR_KEYBOARD_OFF == 0 {
            self.output = self.queue.pop_front();
        }
    }

    /// The controller's own answers come at once, over whatever was there.
    fn reply(&mut self, byte: u8) {
        self.output = Some(byte);
    }

    /// If the keyboard may send and has something, its next byte is on its way.
    fn schedule(&mut self, now: VirtualNs) {
        let may = self.output.is_none() && self.ram[0] & CTR_KEYBOARD_OFF == 0;
        if may && !self.queue.is_empty() && self.next_byte.is_none() {
            self.next_byte = Some(now + BYTE_NS);
        }
    }

    fn to_keyboard(&mut self, now: VirtualNs, value: u8) {
        // Talking to the keyboard switches it on (command byte, bit 4).
        self.ram[0] &= !CTR_KEYBOARD_OFF;
        match self.keyboard_command.take() {
            Some(0xF0) => self.select_scan_codes(value),
            Some(_) => self.queue.push_back(ACK),
            None => self.keyboard(value),
        }
        self.schedule(now);
    }

    fn select_scan_codes(&mut self, set: u8) {
        self.queue.push_back(ACK);
        match set {
            0 => {
                // The answer passes the translation like any other byte.
                let translated = [0x43, 0x41, 0x3F][usize::from(self.scan_code_set - 1)];
                let plain = self.ram[0] & CTR_TRANSLATE == 0;
                self.queue.push_back(if plain { self.scan_code_set } else { translated });
            }
            1..=3 => self.scan_code_set = set,
            _ => {}
        }
    }

    fn keyboard(&mut self, command: u8) {
        match command {
            0xED | 0xF0 | 0xF3 | 0xFB..=0xFD => {
                self.queue.push_back(ACK);
                self.keyboard_command = Some(command);
            }
            0xEE => self.queue.push_back(0xEE),
            0xF2 => {
                let second = if self.ram[0] & CTR_TRANSLATE != 0 { 0x41 } else { 0x83 };
                self.queue.extend([ACK, 0xAB, second]);
            }
            0xF4 => {
                self.scanning = true;
                self.queue.push_back(ACK);
            }
            0xF5 | 0xF6 => {
                self.scanning = command == 0xF6;
                self.scan_code_set = 2;
                self.queue.push_back(ACK);
            }
            0xF7..=0xFA => self.queue.push_back(ACK),
            0xFE => self.queue.push_back(self.last_sent),
            0xFF => {
                self.scanning = true;
                self.scan_code_set = 2;
                self.queue.clear();
                self.queue.extend([ACK, SELF_TEST_PASSED]);
            }
            _ => self.queue.push_back(RESEND),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads what comes, waiting for the keyboard where needed.
    fn read(c: &mut I8042, now: &mut VirtualNs) -> Option<u8> {
        if c.read_status() & STATUS_OBF == 0 {
            *now = c.next_deadline()?;
            c.advance(*now);
        }
        (c.read_status() & STATUS_OBF != 0).then(|| c.read_data(*now))
    }

    fn all(c: &mut I8042) -> Vec<u8> {
        let mut now = 0;
        std::iter::from_fn(|| read(c, &mut now)).collect()
    }

    #[test]
    fn self_tests_and_command_byte() {
        let mut c = I8042::default();
        for (command, answer) in [(0xAA, 0x55), (0xAB, 0x00), (0x20, 0x65), (0xC0, 0x80), (0xD0, 0x03)] {
            c.write_command(0, command);
            assert_eq!(all(&mut c), [answer], "{command:#x}");
        }
        c.write_command(0, 0x60);
        c.write_data(0, 0x45);
        c.write_command(0, 0x20);
        assert_eq!(all(&mut c), [0x65], "the auxiliary port stays off");
    }

    #[test]
    fn the_auxiliary_port_is_absent() {
        let mut c = I8042::default();
        c.write_command(0, 0xA9);
        assert_eq!(all(&mut c), [1]);
        c.write_command(0, 0xD4);
        c.write_data(0, 0xFF);
        assert_eq!(c.read_status() & (STATUS_TIMEOUT | 0x20), STATUS_TIMEOUT);
        assert_eq!(all(&mut c), [RESEND]);
        c.write_command(0, 0xD3);
        c.write_data(0, 0x5A);
        assert_eq!(c.read_status() & 0x20, 0);
        assert_eq!(all(&mut c), [0x5A]);
    }

    #[test]
    fn keyboard_commands() {
        let cases: [(&[u8], &[u8]); 7] = [
            (&[0xFF], &[ACK, 0xAA]),
            (&[0xF2], &[ACK, 0xAB, 0x41]),
            (&[0xED, 0x02], &[ACK, ACK]),
            (&[0xF0, 0x00], &[ACK, ACK, 0x41]),
            (&[0xEE], &[0xEE]),
            (&[0xF3, 0x20, 0xF4], &[ACK, ACK, ACK]),
            (&[0x01], &[RESEND]),
        ];
        for (bytes, answer) in cases {
            let mut c = I8042::default();
            for &b in bytes {
                c.write_data(0, b);
            }
            assert_eq!(all(&mut c), answer, "{bytes:x?}");
        }
    }

    #[test]
    fn each_scan_code_has_its_interrupt() {
        let mut c = I8042::default();
        c.press(0, &[0x1E, 0x9E]);
        assert!(!c.irq());
        c.advance(BYTE_NS);
        assert!(c.irq());
        assert_eq!(c.read_data(BYTE_NS), 0x1E);
        assert!(!c.irq());
        assert_eq!(c.next_deadline(), Some(2 * BYTE_NS));
        c.advance(2 * BYTE_NS);
        assert_eq!((c.irq(), c.read_data(0)), (true, 0x9E));
    }

    #[test]
    fn a_disabled_interface_holds_the_keyboard_back() {
        let mut c = I8042::default();
        c.write_command(0, 0xAD);
        c.press(0, &[0x1E]);
        assert_eq!(c.next_deadline(), None);
        c.write_command(50, 0xAE);
        assert_eq!(c.next_deadline(), Some(50 + BYTE_NS));
        c.write_data(50, 0xF5);
        assert_eq!(all(&mut c), [0x1E, ACK]);
        c.press(0, &[0x1E]);
        assert_eq!(all(&mut c), [], "scanning is off");
    }

    #[test]
    fn reset_line() {
        let mut c = I8042::default();
        assert!(c.write_command(0, 0xFE));
        assert!(!c.write_command(0, 0xFF));
        c.write_command(0, 0xD1);
        assert!(c.write_data(0, 0x02));
    }
}
