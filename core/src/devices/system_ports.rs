//! The PC's glue registers: port 61h (NMI status and speaker), 92h (system control A), CF9h
//! (reset control), 80h (POST code), E9h (debug console) and F4h (debug exit).
//!
//! 61h and 92h: IBM PS/2 hardware interface reference; CF9h: Intel ICH9 datasheet, 13.7.5.

use serde::{Deserialize, Serialize};

/// The glue registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemPorts {
    /// Port 61h bits 3:1 (speaker, parity and I/O check masks).
    port_b: u8,
    /// Port 61h bit 4: toggles with each read, as DRAM refresh made it do.
    refresh: bool,
    port_92: u8,
    reset_control: u8,
    post_code: u8,
}

impl Default for SystemPorts {
    fn default() -> Self {
        Self { port_b: 0, refresh: false, port_92: A20, reset_control: 0, post_code: 0 }
    }
}

const A20: u8 = 2;
const FAST_RESET: u8 = 1;
const CF9_FULL: u8 = 0x0A;
const CF9_RESET_CPU: u8 = 4;

impl SystemPorts {
    /// Reads port 61h; gate and output of counter 2 come from the 8254.
    pub fn read_61(&mut self, gate2: bool, out2: bool) -> u8 {
        self.refresh = !self.refresh;
        self.port_b | u8::from(gate2) | u8::from(self.refresh) << 4 | u8::from(out2) << 5
    }

    /// Writes port 61h; gives the level of GATE 2 of the 8254.
    pub fn write_61(&mut self, value: u8) -> bool {
        self.port_b = value & 0x0E;
        value & 1 != 0
    }

    /// Reads port 92h.
    pub fn read_92(&self) -> u8 {
        self.port_92
    }

    /// Writes port 92h; true if it resets. A20 is never masked in this machine; the bit is
    /// kept for those who ask.
    pub fn write_92(&mut self, value: u8) -> bool {
        let reset = value & FAST_RESET & !self.port_92 != 0;
        self.port_92 = value & (A20 | FAST_RESET);
        reset
    }

    /// Reads port CF9h.
    pub fn read_cf9(&self) -> u8 {
        self.reset_control
    }

    /// Writes port CF9h; true if it resets: RST_CPU goes from 0 to 1, softly or hard alike.
    pub fn write_cf9(&mut self, value: u8) -> bool {
        let reset = value & CF9_RESET_CPU & !self.reset_control != 0;
        self.reset_control = value & (CF9_FULL | CF9_RESET_CPU);
        reset
    }

    /// Reads port 80h.
    pub fn read_80(&self) -> u8 {
        self.post_code
    }

    /// Writes port 80h.
    pub fn write_80(&mut self, value: u8) {
        self.post_code = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reset_control_wants_an_edge() {
        let mut p = SystemPorts::default();
        assert!(!p.write_cf9(2));
        assert!(p.write_cf9(6));
        assert!(!p.write_cf9(6));
        assert_eq!(p.read_cf9(), 6);
    }

    #[test]
    fn fast_reset_and_a20() {
        let mut p = SystemPorts::default();
        assert_eq!(p.read_92(), 2);
        assert!(!p.write_92(0));
        assert!(p.write_92(3));
    }

    #[test]
    fn port_b_shows_the_counter_and_toggles_refresh() {
        let mut p = SystemPorts::default();
        assert!(p.write_61(0xFF));
        assert_eq!(p.read_61(true, true), 0x3F);
        assert_eq!(p.read_61(false, false), 0x0E);
    }
}
