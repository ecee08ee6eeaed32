//! The local vector table and the LINT pins (SDM vol. 3, 11.5.1).

use super::Lapic;

/// The local vectors, in the order of their registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lvt {
    /// Timer.
    Timer,
    /// Thermal sensor.
    Thermal,
    /// Performance counters.
    Performance,
    /// LINT0: INTR.
    Lint0,
    /// LINT1: NMI.
    Lint1,
    /// Errors.
    Error,
}

impl Lvt {
    /// How many there are.
    pub const COUNT: usize = 6;
    /// The mask bit.
    pub const MASKED: u32 = 1 << 16;
    /// Remote IRR (LINT pins).
    const REMOTE_IRR: u32 = 1 << 14;
    /// Level-triggered (LINT pins).
    const LEVEL: u32 = 1 << 15;
    /// The bits that can be written, by entry.
    const WRITABLE: [u32; Self::COUNT] = [0x7_00FF, 0x1_07FF, 0x1_07FF, 0x1_A7FF, 0x1_A7FF, 0x1_00FF];
}

impl Lapic {
    /// Writes LVT entry `n` but for the timer's side effects.
    pub(super) fn write_lvt(&mut self, n: usize, value: u32) {
        let forced = if self.software_enabled() { 0 } else { Lvt::MASKED };
        let kept = self.lvt[n] & Lvt::REMOTE_IRR;
        self.lvt[n] = value & Lvt::WRITABLE[n] | kept | forced;
        for pin in 0..2 {
            self.service_lint(pin);
        }
    }

    /// Software disable masks every entry (SDM 11.4.7.2).
    pub(super) fn mask_all_lvt(&mut self) {
        for entry in &mut self.lvt {
            *entry |= Lvt::MASKED;
        }
    }

    /// Sets the level at LINT0 or LINT1.
    pub fn set_lint(&mut self, pin: usize, level: bool) {
        let rising = level && !self.lint[pin];
        self.lint[pin] = level;
        let entry = self.lvt[Lvt::Lint0 as usize + pin];
        if entry & Lvt::MASKED != 0 || !self.hardware_enabled() {
            return;
        }
        match entry >> 8 & 7 {
            0 if entry & Lvt::LEVEL == 0 && rising => self.accept_vector(entry as u8, false),
            4 if rising => self.signals.nmi = true,
            _ => self.service_lint(pin),
        }
    }

    /// Delivers a fixed, level-triggered pin that is asserted and not yet served.
    fn service_lint(&mut self, pin: usize) {
        let n = Lvt::Lint0 as usize + pin;
        let entry = self.lvt[n];
        let wanted = Lvt::MASKED | Lvt::REMOTE_IRR | Lvt::LEVEL | 0x700;
        if self.lint[pin] && entry & wanted == Lvt::LEVEL {
            self.lvt[n] |= Lvt::REMOTE_IRR;
            self.accept_vector(entry as u8, false);
        }
    }

    /// An EOI opens level-triggered pins with its vector again.
    pub(super) fn local_eoi(&mut self, vector: u8) {
        for pin in 0..2 {
            let n = Lvt::Lint0 as usize + pin;
            if self.lvt[n] & Lvt::REMOTE_IRR != 0 && self.lvt[n] as u8 == vector {
                self.lvt[n] &= !Lvt::REMOTE_IRR;
                self.service_lint(pin);
            }
        }
    }
}
