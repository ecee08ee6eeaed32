//! 8254 interval timer (Intel 8254 datasheet): three counters at 1.193182 MHz.
//!
//! A counter is a function of the ticks since it was loaded; nothing is decremented. A new
//! count is loaded at the tick after the write, and the output follows the mode definitions.

use super::oscillator::Oscillator;
use crate::types::VirtualNs;
use serde::{Deserialize, Serialize};

/// The clock input of all three counters.
pub const CLOCK: Oscillator = Oscillator::new(1_193_182);

/// RW field of the control word: which bytes travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Access {
    Lsb,
    Msb,
    #[default]
    Both,
}

/// One counter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Counter {
    mode: u8,
    bcd: bool,
    access: Access,
    gate: bool,
    /// The count register as written, 1 to 65536 (or 10000).
    reload: u32,
    /// Still no count since the control word: nothing runs, and the output is as it begins.
    null: bool,
    /// The tick at which the counting element held `reload`; `None` while it waits for a
    /// count or a trigger.
    start: Option<u64>,
    /// Ticks already counted when the gate stopped the counter (modes 0 and 4).
    stopped_at: Option<u64>,
    /// A count that takes over at this tick (modes 2 and 3).
    next: Option<(u64, u32)>,
    written_lsb: Option<u8>,
    read_msb: bool,
    latched: Option<u16>,
    latched_status: Option<u8>,
}

impl Counter {
    fn new(gate: bool) -> Self {
        Self {
            mode: 3,
            bcd: false,
            access: Access::Both,
            gate,
            reload: 0x1_0000,
            null: true,
            start: None,
            stopped_at: None,
            next: None,
            written_lsb: None,
            read_msb: false,
            latched: None,
            latched_status: None,
        }
    }

    fn periodic(&self) -> bool {
        matches!(self.mode, 2 | 3)
    }

    /// Ticks counted since the load, if a count is loaded.
    fn elapsed(&self, tick: u64) -> Option<u64> {
        self.start.map(|s| self.stopped_at.unwrap_or_else(|| tick.saturating_sub(s)))
    }

    /// The level of OUT.
    fn out(&self, tick: u64) -> bool {
        let n = u64::from(self.reload);
        let Some(e) = self.elapsed(tick) else { return self.mode != 0 };
        match self.mode {
            0 => e >= n,
            // Armed at `start`, so low from there (mode 1 waits with `start` empty).
            1 => e >= n,
            2 => !self.gate || e % n != n - 1,
            3 => !self.gate || e % n < n.div_ceil(2),
            _ => e != n,
        }
    }

    /// The tick of the next change of OUT after `tick`.
    fn next_change(&self, tick: u64) -> Option<u64> {
        let start = self.start?;
        if self.stopped_at.is_some() || (self.periodic() && !self.gate) {
            return None;
        }
        let n = u64::from(self.reload);
        let e = tick.saturating_sub(start);
        let base = start + e / n * n;
        let candidates = match self.mode {
            0 | 1 => [start + n, start + n],
            2 => [base + n - 1, base + n],
            3 => [base + n.div_ceil(2), base + n],
            _ => [start + n, start + n + 1],
        };
        candidates.into_iter().find(|&t| t > tick)
    }

    /// The counting element, as it would be read.
    fn count(&self, tick: u64) -> u16 {
        let n = u64::from(self.reload);
        let modulus = if self.bcd { 10_000 } else { 0x1_0000 };
        let value = match self.elapsed(tick) {
            None => n % modulus,
            Some(e) if self.mode == 2 => n - e % n,
            Some(e) if self.mode == 3 => {
                // Counts down by two, twice per period (mode 3 of the datasheet).
                let (high, phase) = (n.div_ceil(2), e % n);
                let done = if phase < high { phase } else { phase - high };
                (n & !1) - (2 * done).min(n & !1)
            }
            Some(e) => (n + modulus - e % modulus) % modulus,
        };
        let value = (value % modulus) as u16;
        if self.bcd { to_bcd(value) } else { value }
    }

    fn status(&self, tick: u64) -> u8 {
        let rw = match self.access {
            Access::Lsb => 1,
            Access::Msb => 2,
            Access::Both => 3,
        };
        let null = self.null || self.next.is_some() || self.start.is_some_and(|s| tick < s);
        u8::from(self.out(tick)) << 7 | u8::from(null) << 6 | rw << 4 | self.mode << 1 | u8::from(self.bcd)
    }

    /// Lets a pending reload take over.
    fn sync(&mut self, tick: u64) {
        if let Some((at, reload)) = self.next
            && tick >= at
        {
            self.reload = reload;
            self.start = Some(at);
            self.next = None;
        }
    }

    fn control(&mut self, tick: u64, value: u8) {
        if value & 0x30 == 0 {
            self.latched = self.latched.or(Some(self.count(tick)));
            return;
        }
        self.access = match value >> 4 & 3 {
            1 => Access::Lsb,
            2 => Access::Msb,
            _ => Access::Both,
        };
        let mode = value >> 1 & 7;
        // Modes 6 and 7 are 2 and 3 (the upper bit is "don't care" there).
        self.mode = if mode > 5 { mode - 4 } else { mode };
        self.bcd = value & 1 != 0;
        self.null = true;
        self.start = None;
        self.stopped_at = None;
        self.next = None;
        self.written_lsb = None;
        self.read_msb = false;
        self.latched = None;
        self.latched_status = None;
    }

    fn write(&mut self, tick: u64, value: u8) {
        match (self.access, self.written_lsb) {
            (Access::Lsb, _) => self.load(tick, u16::from(value)),
            (Access::Msb, _) => self.load(tick, u16::from(value) << 8),
            (Access::Both, None) => {
                self.written_lsb = Some(value);
                if self.mode == 0 {
                    // The first byte stops the counting (mode 0 of the datasheet).
                    self.start = None;
                }
            }
            (Access::Both, Some(lsb)) => {
                self.written_lsb = None;
                self.load(tick, u16::from_le_bytes([lsb, value]));
            }
        }
    }

    fn load(&mut self, tick: u64, value: u16) {
        let n = if self.bcd { from_bcd(value) } else { u32::from(value) };
        let n = match n {
            0 if self.bcd => 10_000,
            0 => 0x1_0000,
            // A count of 1 is illegal in modes 2 and 3; it acts as 2.
            1 if self.periodic() => 2,
            n => n,
        };
        self.null = false;
        match self.mode {
            2 | 3 => {
                if let Some(start) = self.start
                    && self.gate
                {
                    let old = u64::from(self.reload);
                    let end = start + (tick.saturating_sub(start) / old + 1) * old;
                    self.next = Some((end, n));
                    return;
                }
                self.reload = n;
                self.start = Some(tick + 1);
            }
            0 | 4 => {
                self.reload = n;
                self.start = Some(tick + 1);
                self.stopped_at = if self.gate { None } else { Some(0) };
            }
            _ => self.reload = n,
        }
    }

    fn set_gate(&mut self, tick: u64, gate: bool) {
        let rising = gate && !self.gate;
        match self.mode {
            0 | 4 if gate != self.gate => {
                if rising {
                    let done = self.stopped_at.take().unwrap_or(0);
                    self.start = self.start.map(|_| tick.saturating_sub(done));
                } else {
                    self.stopped_at = self.elapsed(tick);
                }
            }
            1..=3 | 5 if rising && !self.null => self.start = Some(tick + 1),
            _ => {}
        }
        if rising && let Some((_, reload)) = self.next.take() {
            self.reload = reload;
        }
        self.gate = gate;
    }

    fn read(&mut self, tick: u64) -> u8 {
        if let Some(status) = self.latched_status.take() {
            return status;
        }
        let value = self.latched.unwrap_or_else(|| self.count(tick));
        let [lsb, msb] = value.to_le_bytes();
        let last = self.access != Access::Both || self.read_msb;
        let byte = match self.access {
            Access::Lsb => lsb,
            Access::Msb => msb,
            Access::Both if self.read_msb => msb,
            Access::Both => lsb,
        };
        self.read_msb = self.access == Access::Both && !self.read_msb;
        if last {
            self.latched = None;
        }
        byte
    }
}

fn to_bcd(v: u16) -> u16 {
    v % 10 | (v / 10 % 10) << 4 | (v / 100 % 10) << 8 | (v / 1000 % 10) << 12
}

fn from_bcd(v: u16) -> u32 {
    let digit = |k: u32| u32::from(v >> (4 * k) & 15);
    digit(0) + 10 * digit(1) + 100 * digit(2) + 1000 * digit(3)
}

/// The 8254 of a PC: counter 0 makes IRQ0, counter 2 the speaker's tone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pit8254 {
    counters: [Counter; 3],
    /// How far [`Pit8254::advance`] came: the next change of OUT 0 is looked for from here.
    tick: u64,
}

impl Default for Pit8254 {
    fn default() -> Self {
        Self { counters: [Counter::new(true), Counter::new(true), Counter::new(false)], tick: 0 }
    }
}

impl Pit8254 {
    /// Reads port 40h + `offset`.
    pub fn read(&mut self, now: VirtualNs, offset: u16) -> u8 {
        self.advance(now);
        match self.counters.get_mut(usize::from(offset)) {
            Some(c) => c.read(self.tick),
            // The control word cannot be read: the bus floats.
            None => 0xFF,
        }
    }

    /// Writes port 40h + `offset`.
    pub fn write(&mut self, now: VirtualNs, offset: u16, value: u8) {
        self.advance(now);
        let tick = self.tick;
        match (self.counters.get_mut(usize::from(offset)), value >> 6) {
            (Some(c), _) => c.write(tick, value),
            (None, 3) => self.read_back(value),
            (None, n) => self.counters[usize::from(n)].control(tick, value),
        }
    }

    fn read_back(&mut self, value: u8) {
        for (n, c) in self.counters.iter_mut().enumerate() {
            if value & 2 << n == 0 {
                continue;
            }
            if value & 0x20 == 0 {
                c.latched = c.latched.or(Some(c.count(self.tick)));
            }
            if value & 0x10 == 0 {
                c.latched_status = c.latched_status.or(Some(c.status(self.tick)));
            }
        }
    }

    /// Sets GATE 2 (port 61h bit 0).
    pub fn set_gate2(&mut self, now: VirtualNs, level: bool) {
        self.advance(now);
        self.counters[2].set_gate(self.tick, level);
    }

    /// GATE 2.
    pub fn gate2(&self) -> bool {
        self.counters[2].gate
    }

    /// The level of OUT of counter `n` as of the last `advance`.
    pub fn out(&self, n: usize) -> bool {
        self.counters[n].out(self.tick)
    }

    /// When OUT 0 changes next.
    pub fn next_deadline(&self) -> Option<VirtualNs> {
        self.counters[0].next_change(self.tick).map(|t| CLOCK.moment(t))
    }

    /// Brings the chip to `now`.
    pub fn advance(&mut self, now: VirtualNs) {
        self.tick = CLOCK.ticks(now);
        for c in &mut self.counters {
            c.sync(self.tick);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(tick: u64) -> VirtualNs {
        CLOCK.moment(tick)
    }

    /// A counter 2 in a mode, loaded at tick 10, so that the count is there at 11.
    fn counter2(mode: u8, count: u16, gate: bool) -> Pit8254 {
        let mut p = Pit8254::default();
        p.set_gate2(0, gate);
        p.write(at(10), 3, 0xB0 | mode << 1);
        p.write(at(10), 2, count as u8);
        p.write(at(10), 2, (count >> 8) as u8);
        p
    }

    fn levels(p: &mut Pit8254, from: u64, n: u64) -> String {
        (from..from + n)
            .map(|t| {
                p.advance(at(t));
                if p.out(2) { '1' } else { '0' }
            })
            .collect()
    }

    fn read16(p: &mut Pit8254, tick: u64) -> u16 {
        let lsb = p.read(at(tick), 2);
        u16::from_le_bytes([lsb, p.read(at(tick), 2)])
    }

    #[test]
    fn waveforms_of_the_modes() {
        assert_eq!(levels(&mut counter2(0, 4, true), 10, 8), "00000111");
        assert_eq!(levels(&mut counter2(2, 3, true), 11, 9), "110110110");
        assert_eq!(levels(&mut counter2(3, 4, true), 11, 8), "11001100");
        assert_eq!(levels(&mut counter2(3, 5, true), 11, 10), "1110011100");
        assert_eq!(levels(&mut counter2(4, 3, true), 10, 8), "11110111");
        let mut one_shot = counter2(1, 3, false);
        assert_eq!(levels(&mut one_shot, 11, 4), "1111");
        one_shot.set_gate2(at(20), true);
        assert_eq!(levels(&mut one_shot, 21, 5), "00011");
        let mut strobe = counter2(5, 2, false);
        strobe.set_gate2(at(20), true);
        assert_eq!(levels(&mut strobe, 21, 5), "11011");
    }

    #[test]
    fn gate_stops_mode_0_and_restarts_mode_2() {
        let mut p = counter2(0, 10, true);
        p.set_gate2(at(14), false);
        assert_eq!(read16(&mut p, 100), 7);
        p.set_gate2(at(100), true);
        assert_eq!(read16(&mut p, 103), 4);
        let mut p = counter2(2, 10, true);
        p.set_gate2(at(20), false);
        assert!(levels(&mut p, 20, 30).chars().all(|c| c == '1'));
        p.set_gate2(at(50), true);
        assert_eq!(read16(&mut p, 53), 8);
    }

    #[test]
    fn latch_and_read_back() {
        let mut p = counter2(2, 1000, true);
        p.write(at(111), 3, 0x80);
        assert_eq!(read16(&mut p, 500), 900, "the latched count");
        assert_eq!(read16(&mut p, 511), 500);
        p.write(at(611), 3, 0xC8);
        assert_eq!(p.read(at(700), 2), 0xB4, "OUT, both bytes, mode 2");
        assert_eq!(read16(&mut p, 700), 400);
    }

    #[test]
    fn bcd_counts_in_decimal() {
        let mut p = Pit8254::default();
        p.set_gate2(0, true);
        p.write(at(10), 3, 0xB1);
        p.write(at(10), 2, 0x00);
        p.write(at(10), 2, 0x10);
        assert_eq!(read16(&mut p, 12), 0x0999);
    }

    #[test]
    fn a_new_count_waits_for_the_end_of_the_period() {
        let mut p = counter2(2, 10, true);
        p.write(at(14), 2, 4);
        p.write(at(14), 2, 0);
        assert_eq!(levels(&mut p, 15, 14), "11111011101110");
    }

    #[test]
    fn channel_0_deadlines_are_its_edges() {
        let mut p = Pit8254::default();
        p.write(0, 3, 0x34);
        p.write(0, 0, 0xA9);
        p.write(0, 0, 0x04);
        assert_eq!(p.next_deadline(), Some(at(1193)));
        p.advance(at(1193));
        assert!(!p.out(0));
        assert_eq!(p.next_deadline(), Some(at(1194)));
        p.advance(at(1194));
        assert!(p.out(0));
        assert_eq!(p.next_deadline(), Some(at(1194 + 1192)));
    }
}
