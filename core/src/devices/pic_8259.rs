//! 8259A interrupt controllers, master and slave cascaded at IRQ2 as in a PC/AT, with the ELCR
//! (Intel 8259A datasheet; ELCR: Intel 82371 PIIX datasheet, section 4.2.5).

use serde::{Deserialize, Serialize};

const ICW1_INIT: u8 = 0x10;
const ICW1_SINGLE: u8 = 0x02;
const ICW1_ICW4: u8 = 0x01;
const ICW4_AEOI: u8 = 0x02;
const ICW4_SFNM: u8 = 0x10;

/// What the next write to the data port means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Expect {
    #[default]
    Ocw1,
    Icw2,
    Icw3,
    Icw4,
}

/// One 8259A.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Pic8259 {
    irr: u8,
    isr: u8,
    imr: u8,
    lines: u8,
    elcr: u8,
    vector_base: u8,
    /// The IRQ of lowest priority is the one before this.
    priority_base: u8,
    expect: Expect,
    needs_icw4: bool,
    single: bool,
    auto_eoi: bool,
    rotate_on_auto_eoi: bool,
    special_fully_nested: bool,
    special_mask: bool,
    read_isr: bool,
    poll: bool,
}

impl Pic8259 {
    fn set_line(&mut self, irq: u8, level: bool) {
        let bit = 1 << irq;
        if self.elcr & bit != 0 {
            self.irr = if level { self.irr | bit } else { self.irr & !bit };
        } else if level && self.lines & bit == 0 {
            self.irr |= bit;
        } else if !level {
            // The request must stay until acknowledged, or it is spurious.
            self.irr &= !bit;
        }
        self.lines = if level { self.lines | bit } else { self.lines & !bit };
    }

    /// The position of the most important bit, counted from the one of highest priority.
    fn rank(&self, bits: u8) -> u8 {
        bits.rotate_right(u32::from(self.priority_base)).trailing_zeros() as u8
    }

    /// The request that may interrupt now: the most important one, if nothing as important is
    /// in service.
    fn pending(&self) -> Option<u8> {
        let request = self.rank(self.irr & !self.imr);
        let mut in_service = self.isr;
        if self.special_mask {
            in_service &= !self.imr;
        }
        let limit = self.rank(in_service);
        let same_allowed = self.special_fully_nested && request == limit;
        (request < 8 && (request < limit || same_allowed)).then(|| (request + self.priority_base) & 7)
    }

    fn acknowledge(&mut self, irq: u8) {
        let bit = 1 << irq;
        if self.elcr & bit == 0 {
            self.irr &= !bit;
        }
        if self.auto_eoi {
            if self.rotate_on_auto_eoi {
                self.priority_base = (irq + 1) & 7;
            }
        } else {
            self.isr |= bit;
        }
    }

    fn write_command(&mut self, value: u8) {
        if value & ICW1_INIT != 0 {
            self.initialise(value);
        } else if value & 0x08 != 0 {
            self.write_ocw3(value);
        } else {
            self.write_ocw2(value);
        }
    }

    /// ICW1 clears everything but the lines and ELCR; edges must come again.
    fn initialise(&mut self, value: u8) {
        *self = Self {
            lines: self.lines,
            elcr: self.elcr,
            irr: self.lines & self.elcr,
            expect: Expect::Icw2,
            needs_icw4: value & ICW1_ICW4 != 0,
            single: value & ICW1_SINGLE != 0,
            ..Self::default()
        };
    }

    fn write_ocw2(&mut self, value: u8) {
        let level = value & 7;
        match value >> 5 {
            0 => self.rotate_on_auto_eoi = false,
            4 => self.rotate_on_auto_eoi = true,
            1 | 5 => {
                let served = if self.special_mask { self.isr & !self.imr } else { self.isr };
                let rank = self.rank(served);
                if rank < 8 {
                    self.end(((rank + self.priority_base) & 7, value >> 5 == 5));
                }
            }
            3 | 7 => self.end((level, value >> 5 == 7)),
            6 => self.priority_base = (level + 1) & 7,
            _ => {}
        }
    }

    fn end(&mut self, (irq, rotate): (u8, bool)) {
        self.isr &= !(1 << irq);
        if rotate {
            self.priority_base = (irq + 1) & 7;
        }
    }

    fn write_ocw3(&mut self, value: u8) {
        if value & 0x40 != 0 {
            self.special_mask = value & 0x20 != 0;
        }
        self.poll = value & 0x04 != 0;
        if value & 0x02 != 0 {
            self.read_isr = value & 0x01 != 0;
        }
    }

    fn write_data(&mut self, value: u8) {
        match self.expect {
            Expect::Ocw1 => self.imr = value,
            Expect::Icw2 => {
                self.vector_base = value & 0xF8;
                self.expect = match (self.single, self.needs_icw4) {
                    (false, _) => Expect::Icw3,
                    (true, true) => Expect::Icw4,
                    (true, false) => Expect::Ocw1,
                };
            }
            Expect::Icw3 => {
                // The cascade is wired to IRQ2 and cannot be elsewhere.
                self.expect = if self.needs_icw4 { Expect::Icw4 } else { Expect::Ocw1 };
            }
            Expect::Icw4 => {
                self.auto_eoi = value & ICW4_AEOI != 0;
                self.special_fully_nested = value & ICW4_SFNM != 0;
                self.expect = Expect::Ocw1;
            }
        }
    }

    fn read(&mut self, data: bool) -> u8 {
        if std::mem::take(&mut self.poll) {
            return match self.pending() {
                Some(irq) => {
                    self.acknowledge(irq);
                    0x80 | irq
                }
                None => 0,
            };
        }
        match (data, self.read_isr) {
            (true, _) => self.imr,
            (false, true) => self.isr,
            (false, false) => self.irr,
        }
    }
}

/// The registers of an 8259A, to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PicRegisters {
    /// Requests.
    pub irr: u8,
    /// In service.
    pub isr: u8,
    /// Masked.
    pub imr: u8,
    /// Level-triggered.
    pub elcr: u8,
    /// The vector of IRQ 0.
    pub vector_base: u8,
    /// The IRQ of highest priority.
    pub priority_base: u8,
    /// The next read gives ISR, not IRR.
    pub read_isr: bool,
    /// Special fully nested mode.
    pub special_fully_nested: bool,
}

impl From<&Pic8259> for PicRegisters {
    fn from(chip: &Pic8259) -> Self {
        Self {
            irr: chip.irr,
            isr: chip.isr,
            imr: chip.imr,
            elcr: chip.elcr,
            vector_base: chip.vector_base,
            priority_base: chip.priority_base,
            read_isr: chip.read_isr,
            special_fully_nested: chip.special_fully_nested,
        }
    }
}

/// The IRQ of the master at which the slave hangs.
const CASCADE: u8 = 2;
/// ELCR bits of IRQs 0, 1, 2, 8 and 13 are fixed at edge.
const ELCR_MASK: [u8; 2] = [0xF8, 0xDE];

/// The two 8259As of a PC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PicPair {
    master: Pic8259,
    slave: Pic8259,
}

impl PicPair {
    /// The registers, to be looked at; the master first.
    pub fn registers(&self) -> [PicRegisters; 2] {
        [(&self.master).into(), (&self.slave).into()]
    }

    /// Sets the level of ISA line `irq` (0 to 15, not 2).
    pub fn set_line(&mut self, irq: u8, level: bool) {
        if irq < 8 {
            self.master.set_line(irq, level);
        } else {
            self.slave.set_line(irq - 8, level);
        }
        self.cascade();
    }

    fn cascade(&mut self) {
        let level = self.slave.pending().is_some();
        self.master.set_line(CASCADE, level);
    }

    /// The level of INTR.
    pub fn intr(&self) -> bool {
        self.master.pending().is_some()
    }

    /// The INTA cycle: gives the vector, IRQ7 (or IRQ15) if the request went away.
    pub fn acknowledge(&mut self) -> u8 {
        let Some(irq) = self.master.pending() else { return self.master.vector_base + 7 };
        self.master.acknowledge(irq);
        if irq != CASCADE {
            return self.master.vector_base + irq;
        }
        let vector = match self.slave.pending() {
            Some(irq) => {
                self.slave.acknowledge(irq);
                self.slave.vector_base + irq
            }
            None => self.slave.vector_base + 7,
        };
        self.pulse_cascade();
        vector
    }

    /// The slave's INT falls with each INTA, so that a further request makes a new edge.
    fn pulse_cascade(&mut self) {
        self.master.set_line(CASCADE, false);
        self.cascade();
    }

    /// Reads one of ports 20h, 21h, A0h, A1h.
    pub fn read(&mut self, port: u16) -> u8 {
        let chip = if port & 0x80 == 0 { &mut self.master } else { &mut self.slave };
        let value = chip.read(port & 1 != 0);
        self.pulse_cascade();
        value
    }

    /// Writes one of ports 20h, 21h, A0h, A1h.
    pub fn write(&mut self, port: u16, value: u8) {
        let chip = if port & 0x80 == 0 { &mut self.master } else { &mut self.slave };
        if port & 1 == 0 {
            chip.write_command(value)
        } else {
            chip.write_data(value)
        }
        self.pulse_cascade();
    }

    /// Reads ELCR1 (0) or ELCR2 (1).
    pub fn read_elcr(&self, n: usize) -> u8 {
        if n == 0 { self.master.elcr } else { self.slave.elcr }
    }

    /// Writes ELCR1 (0) or ELCR2 (1).
    pub fn write_elcr(&mut self, n: usize, value: u8) {
        let chip = if n == 0 { &mut self.master } else { &mut self.slave };
        chip.elcr = value & ELCR_MASK[n];
        chip.irr = chip.irr & !chip.elcr | chip.lines & chip.elcr;
        self.pulse_cascade();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pc() -> PicPair {
        let mut p = PicPair::default();
        for (port, value) in [
            (0x20, 0x11),
            (0x21, 0x20),
            (0x21, 0x04),
            (0x21, 0x01),
            (0xA0, 0x11),
            (0xA1, 0x28),
            (0xA1, 0x02),
            (0xA1, 0x01),
        ] {
            p.write(port, value);
        }
        p
    }

    #[test]
    fn priorities_nest() {
        let mut p = pc();
        p.set_line(4, true);
        assert_eq!(p.acknowledge(), 0x24);
        p.set_line(5, true);
        assert!(!p.intr(), "IRQ5 waits for IRQ4");
        p.set_line(1, true);
        assert_eq!(p.acknowledge(), 0x21);
        p.write(0x20, 0x20);
        assert!(!p.intr(), "IRQ4 is still in service");
        p.write(0x20, 0x20);
        assert_eq!(p.acknowledge(), 0x25);
    }

    #[test]
    fn cascade_and_specific_eoi() {
        let mut p = pc();
        p.set_line(8, true);
        assert_eq!(p.acknowledge(), 0x28);
        assert!(!p.intr());
        p.set_line(12, true);
        p.write(0xA0, 0x60);
        assert!(!p.intr(), "the master still serves IRQ2");
        p.write(0x20, 0x62);
        assert_eq!(p.acknowledge(), 0x2C);
    }

    #[test]
    fn an_edge_fires_once_a_level_again() {
        let mut p = pc();
        p.set_line(3, true);
        p.acknowledge();
        p.write(0x20, 0x20);
        assert!(!p.intr());
        p.set_line(3, false);
        p.write_elcr(0, 0xFF);
        assert_eq!(p.read_elcr(0), 0xF8);
        p.set_line(3, true);
        p.acknowledge();
        p.write(0x20, 0x20);
        assert!(p.intr());
    }

    #[test]
    fn a_request_that_goes_away_is_spurious() {
        let mut p = pc();
        p.set_line(6, true);
        p.set_line(6, false);
        assert_eq!(p.acknowledge(), 0x27);
        p.write(0x20, 0x0B);
        assert_eq!(p.read(0x20), 0, "no in-service bit");
    }

    #[test]
    fn mask_read_back_and_poll() {
        let mut p = pc();
        p.write(0x21, 0xFB);
        assert_eq!(p.read(0x21), 0xFB);
        p.set_line(1, true);
        assert!(!p.intr());
        p.write(0x20, 0x0A);
        assert_eq!(p.read(0x20), 0x02);
        p.write(0x21, 0);
        p.write(0x20, 0x0C);
        assert_eq!(p.read(0x20), 0x81);
        p.write(0x20, 0x0B);
        assert_eq!(p.read(0x20), 0x02);
    }

    #[test]
    fn auto_eoi_and_rotation() {
        let mut p = pc();
        for (port, value) in [(0x20, 0x13), (0x21, 0x40), (0x21, 0x03), (0x20, 0x80)] {
            p.write(port, value);
        }
        p.set_line(0, true);
        p.set_line(1, true);
        assert_eq!(p.acknowledge(), 0x40);
        p.set_line(0, false);
        p.set_line(0, true);
        assert_eq!(p.acknowledge(), 0x41, "IRQ0 is now the least important");
    }
}
