//! ACPI fixed hardware: PM1a event and control blocks, the PM timer, a GPE block (ACPI 6.5,
//! section 4.8).
//!
//! The machine is always in ACPI mode: SCI_EN reads 1, and there is no SMI command port.

use super::oscillator::Oscillator;
use crate::types::VirtualNs;
use serde::{Deserialize, Serialize};

/// The clock of the PM timer (section 4.8.2.1).
pub const CLOCK: Oscillator = Oscillator::new(3_579_545);
/// SLP_TYP of soft off, as the `\_S5` package says.
pub const SLP_TYP_S5: u8 = 5;
/// Offset of the PM1a control register in the block.
pub const PM1_CONTROL: u16 = 4;
/// Offset of the PM timer in the block.
pub const PM_TIMER: u16 = 8;
/// Offset of GPE0 in the block: status, then enable, [`GPE_BYTES`] in all.
pub const GPE0: u16 = 0x20;
/// The size of GPE0, in bytes.
pub const GPE_BYTES: u16 = 4;
/// The size of the whole block, in bytes.
pub const BLOCK_BYTES: u16 = 0x40;

const TMR_STS: u16 = 1;
const PWRBTN_STS: u16 = 1 << 8;
/// Status bits that this hardware can raise, or that firmware leaves to software: timer, global
/// lock, power button, RTC.
const PM1_EVENTS: u16 = 1 | 1 << 5 | 1 << 8 | 1 << 10;

const SCI_EN: u16 = 1;
const SLP_EN: u16 = 1 << 13;
/// BM_RLD and SLP_TYP are plain storage.
const CONTROL_STORED: u16 = 2 | 7 << 10;

/// The ACPI power management block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcpiPm {
    status: u16,
    enable: u16,
    control: u16,
    gpe_status: u16,
    gpe_enable: u16,
    /// Ticks of the PM timer at the last `advance`.
    tick: u64,
}

impl AcpiPm {
    /// The block after a reset at `now`; the timer has been running all along.
    pub fn new(now: VirtualNs) -> Self {
        Self { tick: CLOCK.ticks(now), ..Self::default() }
    }

    /// Reads the byte at `offset` of the block, as it is at `now`.
    pub fn read(&mut self, now: VirtualNs, offset: u16) -> u8 {
        self.advance(now);
        let word = match offset & !1 {
            0 => self.status,
            2 => self.enable,
            PM1_CONTROL => self.control | SCI_EN,
            8 => self.tick as u16,
            10 => (self.tick >> 16) as u16,
            GPE0 => self.gpe_status,
            0x22 => self.gpe_enable,
            _ => 0,
        };
        word.to_le_bytes()[usize::from(offset & 1)]
    }

    /// Writes the byte at `offset` of the block; true if it asks for soft off.
    pub fn write(&mut self, now: VirtualNs, offset: u16, value: u8) -> bool {
        self.advance(now);
        let shift = 8 * (offset & 1);
        let bits = u16::from(value) << shift;
        let keep = !(0xFF << shift);
        match offset & !1 {
            0 => self.status &= !bits,
            2 => self.enable = (self.enable & keep | bits) & PM1_EVENTS,
            PM1_CONTROL => {
                self.control = (self.control & keep | bits) & CONTROL_STORED;
                return bits & SLP_EN != 0 && self.control >> 10 & 7 == u16::from(SLP_TYP_S5);
            }
            GPE0 => self.gpe_status &= !bits,
            0x22 => self.gpe_enable = self.gpe_enable & keep | bits,
            _ => {}
        }
        false
    }

    /// The power button is pressed.
    pub fn press_power_button(&mut self) {
        self.status |= PWRBTN_STS;
    }

    /// The level of the SCI.
    pub fn sci(&self) -> bool {
        self.status & self.enable != 0 || self.gpe_status & self.gpe_enable != 0
    }

    /// When the timer's most significant bit toggles, if somebody wants to know.
    pub fn next_deadline(&self) -> Option<VirtualNs> {
        let wanted = self.enable & TMR_STS != 0 && self.status & TMR_STS == 0;
        wanted.then(|| CLOCK.moment(((self.tick >> 31) + 1) << 31))
    }

    /// Brings the chip to `now`.
    pub fn advance(&mut self, now: VirtualNs) {
        let tick = CLOCK.ticks(now);
        if tick >> 31 != self.tick >> 31 {
            self.status |= TMR_STS;
        }
        self.tick = tick;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read16(pm: &mut AcpiPm, now: VirtualNs, offset: u16) -> u16 {
        u16::from_le_bytes([pm.read(now, offset), pm.read(now, offset + 1)])
    }

    #[test]
    fn timer_counts_at_3_579545_mhz() {
        let mut pm = AcpiPm::default();
        assert_eq!(read16(&mut pm, 1_000_000, PM_TIMER), 3579);
        assert_eq!(read16(&mut pm, 1_000_000_000, PM_TIMER + 2), (3_579_545u32 >> 16) as u16);
    }

    #[test]
    fn timer_overflow_raises_sci_until_cleared() {
        let mut pm = AcpiPm::default();
        pm.write(0, 2, 1);
        let t = pm.next_deadline().unwrap();
        assert_eq!(CLOCK.ticks(t), 1 << 31);
        pm.advance(t);
        assert!(pm.sci());
        pm.write(t, 0, 1);
        assert!(!pm.sci());
        assert_eq!(pm.next_deadline(), Some(CLOCK.moment(1 << 32)));
    }

    #[test]
    fn power_button() {
        let mut pm = AcpiPm::default();
        pm.press_power_button();
        assert!(!pm.sci());
        pm.write(0, 3, 1);
        assert!(pm.sci());
        assert_eq!(read16(&mut pm, 0, 0), PWRBTN_STS);
        pm.write(0, 1, 1);
        assert!(!pm.sci());
    }

    #[test]
    fn only_s5_switches_off() {
        let mut pm = AcpiPm::default();
        assert_eq!(read16(&mut pm, 0, PM1_CONTROL), SCI_EN);
        assert!(!pm.write(0, 5, 0x14), "SLP_EN is missing");
        assert!(!pm.write(0, 5, 0x20), "S0");
        assert!(pm.write(0, 5, 0x34));
    }
}
