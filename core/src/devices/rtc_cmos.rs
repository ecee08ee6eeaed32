//! MC146818A real-time clock and CMOS RAM (Motorola datasheet ADI856R2), with the century at
//! 32h as ACPI describes it.
//!
//! The clock is a number of seconds and a phase; registers are computed when they are read.
//! Flags of register C are brought up to date at each access, so nothing happens between
//! accesses unless an interrupt is enabled.

use super::oscillator::Oscillator;
use crate::types::VirtualNs;
use serde::{Deserialize, Serialize};

/// The crystal.
const CLOCK: Oscillator = Oscillator::new(32_768);
const NS_PER_S: i64 = 1_000_000_000;
/// UIP is up for this long before the registers change: 244 µs of warning, 1984 µs of update
/// (table 3).
const UIP_NS: i64 = 2_228_000;
/// After the divider is released, the first update comes half a second later (register A).
const DIVIDER_RELEASE_NS: i64 = NS_PER_S / 2;

const SECONDS: usize = 0;
const MINUTES: usize = 2;
const HOURS: usize = 4;
const WEEKDAY: usize = 6;
const DAY: usize = 7;
const MONTH: usize = 8;
const YEAR: usize = 9;
const REG_A: usize = 0x0A;
const REG_B: usize = 0x0B;
const REG_C: usize = 0x0C;
const REG_D: usize = 0x0D;
const CENTURY: usize = 0x32;
const BYTES: usize = 128;

const A_UIP: u8 = 0x80;
const A_RUNNING: u8 = 0x20;
/// Register A, bits 6:5: the divider is held in reset.
const DIVIDER_HELD: u8 = 0x60;
const B_SET: u8 = 0x80;
const B_BINARY: u8 = 4;
const B_24H: u8 = 2;
/// Interrupt flags and their enable bits: periodic, alarm, update.
const PERIODIC: u8 = 0x40;
const ALARM: u8 = 0x20;
const UPDATE: u8 = 0x10;
const INTERRUPTS: u8 = PERIODIC | ALARM | UPDATE;
const C_IRQF: u8 = 0x80;
const D_VALID: u8 = 0x80;
const HOUR_PM: u8 = 0x80;
const ALARM_ANY: u8 = 0xC0;

/// A date and time of day, as its registers hold it (binary, 24 hours).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Calendar {
    year: i64,
    month: i64,
    day: i64,
    second_of_day: i64,
}

impl Calendar {
    /// From seconds since 1970-01-01 (proleptic Gregorian; era arithmetic of 400 years).
    fn from_unix(s: i64) -> Self {
        let days = s.div_euclid(86_400) + 719_468;
        let era = days.div_euclid(146_097);
        let doe = days.rem_euclid(146_097);
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        Self {
            year: era * 400 + yoe + i64::from(month <= 2),
            month,
            day: doy - (153 * mp + 2) / 5 + 1,
            second_of_day: s.rem_euclid(86_400),
        }
    }

    fn to_unix(self) -> i64 {
        let y = self.year - i64::from(self.month <= 2);
        let era = y.div_euclid(400);
        let yoe = y.rem_euclid(400);
        let doy = (153 * ((self.month + 9) % 12) + 2) / 5 + self.day - 1;
        let days = era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468;
        days * 86_400 + self.second_of_day
    }
}

/// Day of the week, 1 = Sunday.
fn weekday(unix_s: i64) -> u8 {
    ((unix_s.div_euclid(86_400) + 4).rem_euclid(7) + 1) as u8
}

/// The clock with its RAM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtcCmos {
    index: u8,
    /// Alarm registers, registers A to D but for what is computed, and the user RAM.
    ram: Vec<u8>,
    /// The time shown at `phase`.
    seconds: i64,
    /// A moment at which a second began (it may lie before power-on).
    phase: i64,
    /// The time registers while they do not run (SET, or the divider held).
    stopped: bool,
    /// What the guest set the day of the week apart from the date.
    weekday_offset: u8,
    /// Up to when the flags are right.
    seen: VirtualNs,
}

impl RtcCmos {
    /// A clock that shows `unix_s` (UTC) at virtual time 0, set up as firmware does.
    pub fn new(unix_s: i64) -> Self {
        let mut ram = vec![0; BYTES];
        ram[REG_A] = 0x26;
        ram[REG_B] = B_24H;
        Self { index: 0, ram, seconds: unix_s, phase: 0, stopped: false, weekday_offset: 0, seen: 0 }
    }

    /// RESET: interrupts are off; time and RAM stay.
    pub fn reset(&mut self, now: VirtualNs) {
        self.advance(now);
        self.ram[REG_B] &= !(INTERRUPTS | 8);
        self.ram[REG_C] = 0;
    }

    /// Reads port 71h; port 70h cannot be read.
    pub fn read(&mut self, now: VirtualNs) -> u8 {
        self.advance(now);
        match usize::from(self.index) {
            SECONDS | MINUTES | HOURS | WEEKDAY | DAY | MONTH | YEAR | CENTURY => {
                self.time_register(now, self.index.into())
            }
            REG_A => self.ram[REG_A] | if self.updating(now) { A_UIP } else { 0 },
            REG_C => {
                let irqf = if self.irq() { C_IRQF } else { 0 };
                std::mem::take(&mut self.ram[REG_C]) | irqf
            }
            REG_D => D_VALID,
            n => self.ram[n],
        }
    }

    /// Writes port 70h: the index; bit 7 would mask NMI.
    pub fn write_index(&mut self, value: u8) {
        self.index = value & 0x7F;
    }

    /// Writes port 71h.
    pub fn write(&mut self, now: VirtualNs, value: u8) {
        self.advance(now);
        match usize::from(self.index) {
            n @ (SECONDS | MINUTES | HOURS | WEEKDAY | DAY | MONTH | YEAR | CENTURY) => {
                self.set_time_register(now, n, value);
            }
            REG_A => {
                let held = |a: u8| a & DIVIDER_HELD == DIVIDER_HELD;
                if held(self.ram[REG_A]) && !held(value) {
                    self.phase = now as i64 - DIVIDER_RELEASE_NS;
                }
                self.ram[REG_A] = value & !A_UIP;
                self.run_or_stop(now);
            }
            REG_B => {
                self.ram[REG_B] = value;
                if value & B_SET != 0 {
                    // SET clears UIE (register B, bit 7).
                    self.ram[REG_B] &= !UPDATE;
                }
                self.run_or_stop(now);
            }
            REG_C | REG_D => {}
            n => self.ram[n] = value,
        }
    }

    fn should_run(&self) -> bool {
        self.ram[REG_B] & B_SET == 0 && self.ram[REG_A] & 0x70 == A_RUNNING
    }

    fn stop(&mut self, now: VirtualNs) {
        let shown = self.now_seconds(now);
        self.phase += (shown - self.seconds) * NS_PER_S;
        self.seconds = shown;
        self.stopped = true;
    }

    /// Follows SET and the divider; the phase of the seconds goes on while they are stopped.
    fn run_or_stop(&mut self, now: VirtualNs) {
        if !self.should_run() {
            if !self.stopped {
                self.stop(now);
            }
        } else if self.stopped {
            let t = now as i64;
            self.phase = t - (t - self.phase).rem_euclid(NS_PER_S);
            self.stopped = false;
        }
    }

    fn now_seconds(&self, now: VirtualNs) -> i64 {
        if self.stopped {
            self.seconds
        } else {
            self.seconds + (now as i64 - self.phase).div_euclid(NS_PER_S)
        }
    }

    fn next_second(&self, now: VirtualNs) -> i64 {
        let t = now as i64;
        t + NS_PER_S - (t - self.phase).rem_euclid(NS_PER_S)
    }

    fn updating(&self, now: VirtualNs) -> bool {
        !self.stopped && self.next_second(now) - now as i64 <= UIP_NS
    }

    fn encode(&self, v: i64) -> u8 {
        let v = v as u8;
        if self.ram[REG_B] & B_BINARY != 0 { v } else { v / 10 << 4 | v % 10 }
    }

    fn decode(&self, v: u8) -> i64 {
        i64::from(if self.ram[REG_B] & B_BINARY != 0 { v } else { (v >> 4) * 10 + (v & 15) })
    }

    fn encode_hour(&self, hour: i64) -> u8 {
        if self.ram[REG_B] & B_24H != 0 {
            return self.encode(hour);
        }
        self.encode((hour + 11) % 12 + 1) | if hour >= 12 { HOUR_PM } else { 0 }
    }

    fn decode_hour(&self, v: u8) -> i64 {
        if self.ram[REG_B] & B_24H != 0 {
            return self.decode(v);
        }
        self.decode(v & !HOUR_PM) % 12 + if v & HOUR_PM != 0 { 12 } else { 0 }
    }

    fn time_register(&self, now: VirtualNs, n: usize) -> u8 {
        let unix = self.now_seconds(now);
        let c = Calendar::from_unix(unix);
        match n {
            SECONDS => self.encode(c.second_of_day % 60),
            MINUTES => self.encode(c.second_of_day / 60 % 60),
            HOURS => self.encode_hour(c.second_of_day / 3600),
            WEEKDAY => (weekday(unix) - 1 + self.weekday_offset) % 7 + 1,
            DAY => self.encode(c.day),
            MONTH => self.encode(c.month),
            YEAR => self.encode(c.year.rem_euclid(100)),
            _ => self.encode(c.year.div_euclid(100).rem_euclid(100)),
        }
    }

    /// Writes one register of the running or stopped time; what does not exist in a calendar
    /// is brought into range.
    fn set_time_register(&mut self, now: VirtualNs, n: usize, value: u8) {
        let shown = self.now_seconds(now);
        let mut c = Calendar::from_unix(shown);
        let v = self.decode(value);
        let s = c.second_of_day;
        match n {
            SECONDS => c.second_of_day = s - s % 60 + v.min(59),
            MINUTES => c.second_of_day = s / 3600 * 3600 + v.min(59) * 60 + s % 60,
            HOURS => c.second_of_day = self.decode_hour(value).min(23) * 3600 + s % 3600,
            WEEKDAY => {
                self.weekday_offset = (value.saturating_sub(1) % 7 + 8 - weekday(shown)) % 7;
                return;
            }
            DAY => c.day = v.clamp(1, 31),
            MONTH => c.month = v.clamp(1, 12),
            YEAR => c.year = c.year.div_euclid(100) * 100 + v.min(99),
            _ => c.year = v.min(99) * 100 + c.year.rem_euclid(100),
        }
        self.seconds += c.to_unix() - shown;
    }

    /// The level of the interrupt line.
    pub fn irq(&self) -> bool {
        self.ram[REG_B] & self.ram[REG_C] & INTERRUPTS != 0
    }

    /// log2 of the periodic interrupt's ticks (table 5), if it runs.
    fn periodic_shift(&self) -> Option<u32> {
        let running = self.ram[REG_A] & 0x70 == A_RUNNING;
        match u32::from(self.ram[REG_A] & 15) {
            0 => None,
            rate @ 1..=2 => Some(rate + 6),
            rate => Some(rate - 1),
        }
        .filter(|_| running)
    }

    /// The next moment at which an enabled interrupt may be raised.
    pub fn next_deadline(&self) -> Option<VirtualNs> {
        if self.irq() {
            return None;
        }
        let wanted = self.ram[REG_B] & !self.ram[REG_C];
        let periodic = self
            .periodic_shift()
            .filter(|_| wanted & PERIODIC != 0)
            .map(|shift| CLOCK.moment(((CLOCK.ticks(self.seen) >> shift) + 1) << shift));
        let second = (!self.stopped && wanted & (ALARM | UPDATE) != 0)
            .then(|| self.next_second(self.seen) as VirtualNs);
        periodic.into_iter().chain(second).min()
    }

    /// Brings the flags to `now`.
    pub fn advance(&mut self, now: VirtualNs) {
        if let Some(shift) = self.periodic_shift()
            && CLOCK.ticks(now) >> shift != CLOCK.ticks(self.seen) >> shift
        {
            self.ram[REG_C] |= PERIODIC;
        }
        let (before, after) = (self.now_seconds(self.seen), self.now_seconds(now));
        if after != before {
            self.ram[REG_C] |= UPDATE;
            // An alarm comes once a day at least, if ever.
            let first = (after - 86_399).max(before + 1);
            if (first..=after).any(|s| self.alarm_matches(s)) {
                self.ram[REG_C] |= ALARM;
            }
        }
        self.seen = now;
    }

    fn alarm_matches(&self, unix_s: i64) -> bool {
        let s = unix_s.rem_euclid(86_400);
        let fields =
            [(1, self.encode(s % 60)), (3, self.encode(s / 60 % 60)), (5, self.encode_hour(s / 3600))];
        fields.into_iter().all(|(n, v)| self.ram[n] & ALARM_ANY == ALARM_ANY || self.ram[n] == v)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn get(r: &mut RtcCmos, now: VirtualNs, n: usize) -> u8 {
        r.write_index(n as u8);
        r.read(now)
    }

    fn set(r: &mut RtcCmos, now: VirtualNs, n: usize, v: u8) {
        r.write_index(n as u8);
        r.write(now, v);
    }

    fn date(r: &mut RtcCmos, now: VirtualNs) -> [u8; 8] {
        [CENTURY, YEAR, MONTH, DAY, HOURS, MINUTES, SECONDS, WEEKDAY].map(|n| get(r, now, n))
    }

    #[test]
    fn shows_the_time_in_bcd_and_binary_and_12_hours() {
        // 2023-11-14 22:13:20 UTC, a Tuesday.
        let mut r = RtcCmos::new(1_700_000_000);
        assert_eq!(date(&mut r, 5 * S), [0x20, 0x23, 0x11, 0x14, 0x22, 0x13, 0x25, 3]);
        set(&mut r, 5 * S, REG_B, B_24H | B_BINARY);
        assert_eq!(date(&mut r, 45 * S), [20, 23, 11, 14, 22, 14, 5, 3]);
        set(&mut r, 5 * S, REG_B, 0);
        assert_eq!(get(&mut r, 5 * S, HOURS), 0x90);
    }

    #[test]
    fn calendar_is_its_own_inverse() {
        for s in (-4_000_000_000..8_000_000_000).step_by(86_413 * 7) {
            assert_eq!(Calendar::from_unix(s).to_unix(), s);
        }
        let leap = Calendar { year: 2024, month: 2, day: 29, second_of_day: 0 };
        assert_eq!(leap.to_unix(), 1_709_164_800);
    }

    #[test]
    fn set_stops_and_the_divider_restarts_half_a_second_later() {
        let mut r = RtcCmos::new(0);
        set(&mut r, S, REG_B, B_SET | B_24H);
        set(&mut r, S, REG_A, 0x76);
        for (n, v) in [(YEAR, 0x99), (CENTURY, 0x19), (MONTH, 0x12), (DAY, 0x31)] {
            set(&mut r, 2 * S, n, v);
        }
        for (n, v) in [(HOURS, 0x23), (MINUTES, 0x59), (SECONDS, 0x59)] {
            set(&mut r, 2 * S, n, v);
        }
        assert_eq!(get(&mut r, 9 * S, SECONDS), 0x59);
        set(&mut r, 9 * S, REG_B, B_24H);
        set(&mut r, 9 * S, REG_A, 0x26);
        assert_eq!(get(&mut r, 9 * S + S / 2 - 1, SECONDS), 0x59);
        let next = date(&mut r, 9 * S + S / 2);
        assert_eq!(next, [0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00, 7]);
    }

    #[test]
    fn uip_comes_before_the_update() {
        let mut r = RtcCmos::new(0);
        assert_eq!(get(&mut r, S - 2_300_000, REG_A), 0x26);
        assert_eq!(get(&mut r, S - 2_000_000, REG_A), 0xA6);
        assert_eq!(get(&mut r, S, REG_A), 0x26);
    }

    #[test]
    fn periodic_interrupt_and_clearing() {
        let mut r = RtcCmos::new(0);
        set(&mut r, 0, REG_B, B_24H | PERIODIC);
        let t = r.next_deadline().unwrap();
        assert_eq!(t, CLOCK.moment(32), "1024 Hz");
        r.advance(t);
        assert!(r.irq());
        assert_eq!(get(&mut r, t, REG_C), C_IRQF | PERIODIC);
        assert!(!r.irq());
        assert_eq!(r.next_deadline(), Some(CLOCK.moment(64)));
    }

    #[test]
    fn alarm_and_update_flags() {
        let mut r = RtcCmos::new(0);
        for (n, v) in [(1, 0x05), (3, 0x00), (5, 0xFF)] {
            set(&mut r, 0, n, v);
        }
        set(&mut r, 0, REG_A, 0x20);
        set(&mut r, 0, REG_B, B_24H | ALARM);
        for s in 1..=5 {
            assert!(!r.irq());
            assert_eq!(r.next_deadline(), Some(s * S));
            r.advance(s * S);
        }
        assert_eq!(get(&mut r, 5 * S, REG_C), C_IRQF | ALARM | UPDATE);
        r.reset(6 * S);
        assert_eq!((r.next_deadline(), get(&mut r, 6 * S, 5)), (None, 0xFF));
    }
}
