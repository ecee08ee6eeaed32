//! High precision event timers (IA-PC HPET specification 1.0a, section 2.3): three comparators
//! on a 64-bit counter at 100 MHz, periodic and one-shot, with legacy replacement.
//!
//! An edge-triggered output rises at the match and stays up until the next one, when it falls
//! and rises again; so it is an edge for the I/O APIC and a request that lasts for the 8259.

use super::oscillator::Oscillator;
use crate::types::VirtualNs;
use serde::{Deserialize, Serialize};

/// The counter's clock.
const CLOCK: Oscillator = Oscillator::new(100_000_000);
/// Its period in femtoseconds.
const PERIOD_FS: u64 = 10_000_000;
/// The low half of the capabilities: the block ID of the ACPI table.
pub const BLOCK_ID: u32 = 0x8086_A201;
/// The number of comparators.
pub const TIMERS: usize = 3;
/// I/O APIC pins 20 to 23.
pub const ROUTES: u64 = 0x00F0_0000;

const ENABLE: u64 = 1;
const LEGACY: u64 = 2;

const LEVEL: u64 = 1 << 1;
const INTERRUPT: u64 = 1 << 2;
const PERIODIC: u64 = 1 << 3;
/// Periodic and 64 bits are possible.
const CAPABLE: u64 = 1 << 4 | 1 << 5;
const SET_VALUE: u64 = 1 << 6;
const MODE_32: u64 = 1 << 8;
const ROUTE: u64 = 0x1F << 9;
const TIMER_WRITABLE: u64 = LEVEL | INTERRUPT | PERIODIC | SET_VALUE | MODE_32 | ROUTE;

/// One comparator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Comparator {
    config: u64,
    value: u64,
    period: u64,
    /// An edge-triggered output is up.
    edge: bool,
}

impl Comparator {
    fn mask(&self) -> u64 {
        if self.config & MODE_32 != 0 { u64::from(u32::MAX) } else { u64::MAX }
    }

    /// How far the counter must go beyond `seen` until it matches: 1 to 2^width; `None` for
    /// 2^64.
    fn distance(&self, seen: u64) -> Option<u64> {
        (self.value.wrapping_sub(seen).wrapping_sub(1) & self.mask()).checked_add(1)
    }

    /// After a match at counter `now`: the next value of a periodic one, beyond `now`.
    fn reload(&mut self, now: u64) {
        if self.config & PERIODIC == 0 || self.period == 0 {
            return;
        }
        let behind = now.wrapping_sub(self.value) & self.mask();
        let periods = behind / self.period + 1;
        self.value = self.value.wrapping_add(periods.wrapping_mul(self.period)) & self.mask();
    }
}

/// Where a comparator's output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// An ISA line in place of the 8254 or the RTC.
    Isa(u8),
    /// An I/O APIC pin.
    Gsi(u8),
}

/// The HPET block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hpet {
    config: u64,
    status: u64,
    /// The counter at `since`; it stands still unless enabled.
    counter: u64,
    since: VirtualNs,
    /// The counter up to which matches were looked for.
    seen: u64,
    timers: [Comparator; TIMERS],
    /// Edges since the last [`Hpet::take_edges`], bit n for comparator n.
    edges: u8,
}

impl Default for Hpet {
    fn default() -> Self {
        let timer = Comparator { config: 0, value: u64::MAX, period: 0, edge: false };
        Self {
            config: 0,
            status: 0,
            counter: 0,
            since: 0,
            seen: 0,
            timers: [timer.clone(), timer.clone(), timer],
            edges: 0,
        }
    }
}

impl Hpet {
    fn counter_at(&self, now: VirtualNs) -> u64 {
        if self.config & ENABLE == 0 {
            return self.counter;
        }
        self.counter.wrapping_add(CLOCK.ticks(now) - CLOCK.ticks(self.since))
    }

    /// The comparator and the register within its block at a register's offset.
    fn timer_at(offset: u64) -> Option<(usize, u64)> {
        let n = offset.checked_sub(0x100)? as usize / 0x20;
        (n < TIMERS).then_some((n, offset & 0x18))
    }

    fn read64(&self, now: VirtualNs, offset: u64) -> u64 {
        match offset {
            0x000 => PERIOD_FS << 32 | u64::from(BLOCK_ID),
            0x010 => self.config,
            0x020 => self.status,
            0x0F0 => self.counter_at(now),
            _ => match Self::timer_at(offset) {
                Some((n, 0x00)) => self.timers[n].config | CAPABLE | ROUTES << 32,
                Some((n, 0x08)) => self.timers[n].value,
                _ => 0,
            },
        }
    }

    /// Reads `size` bytes at `offset` of the block.
    pub fn read(&mut self, now: VirtualNs, offset: u64, size: u8) -> u64 {
        self.advance(now);
        let value = self.read64(now, offset & !7) >> (8 * (offset & 7));
        value & u64::MAX >> (64 - 8 * u32::from(size))
    }

    /// Writes `size` bytes (4 or 8, aligned; others are not allowed) at `offset` of the block.
    pub fn write(&mut self, now: VirtualNs, offset: u64, size: u8, value: u64) {
        self.advance(now);
        if !matches!(size, 4 | 8) || offset % u64::from(size) != 0 {
            return;
        }
        let shift = 8 * (offset & 7);
        let mask = (u64::MAX >> (64 - 8 * u32::from(size))) << shift;
        let bits = value << shift & mask;
        let offset = offset & !7;
        match offset {
            0x010 => self.write_config(now, self.config & !mask | bits),
            0x020 => self.status &= !bits,
            // The counter may be written only while it stands (2.3.7).
            0x0F0 if self.config & ENABLE == 0 => {
                self.counter = self.counter & !mask | bits;
                self.seen = self.counter;
            }
            _ => match Self::timer_at(offset) {
                Some((n, 0x00)) => self.write_timer_config(n, mask, bits),
                Some((n, 0x08)) => self.write_comparator(n, mask, bits),
                _ => {}
            },
        }
    }

    fn write_config(&mut self, now: VirtualNs, value: u64) {
        self.counter = self.counter_at(now);
        self.since = now;
        self.config = value & (ENABLE | LEGACY);
        if self.config & ENABLE == 0 {
            self.status = 0;
            for t in &mut self.timers {
                t.edge = false;
            }
        }
    }

    fn write_timer_config(&mut self, n: usize, mask: u64, bits: u64) {
        let t = &mut self.timers[n];
        t.config = (t.config & !mask | bits) & TIMER_WRITABLE;
        let route = t.config >> 9 & 0x1F;
        if ROUTES & 1 << route == 0 {
            // A route that is not possible does not stick (2.3.8, Tn_INT_ROUTE_CNF).
            t.config &= !ROUTE;
        }
        t.value &= t.mask();
        t.period &= t.mask();
        if t.config & INTERRUPT == 0 || t.config & LEVEL != 0 {
            t.edge = false;
        }
        if t.config & (INTERRUPT | LEVEL) != INTERRUPT | LEVEL {
            self.status &= !(1 << n);
        }
    }

    /// In periodic mode a write sets the period, and the comparator too if VAL_SET asks for it.
    fn write_comparator(&mut self, n: usize, mask: u64, bits: u64) {
        let t = &mut self.timers[n];
        let width = t.mask();
        if t.config & PERIODIC == 0 || t.config & SET_VALUE != 0 {
            t.value = (t.value & !mask | bits) & width;
            // VAL_SET clears itself with the write of the low half at the latest.
            t.config &= !SET_VALUE;
            if t.config & PERIODIC == 0 {
                t.period = t.value;
            }
            return;
        }
        t.period = (t.period & !mask | bits) & width;
    }

    /// Whether ISA lines 0 and 8 belong to comparators 0 and 1.
    pub fn legacy(&self) -> bool {
        self.config & (ENABLE | LEGACY) == ENABLE | LEGACY
    }

    /// Where comparator `n` is wired to now.
    pub fn output(&self, n: usize) -> Output {
        match n {
            0 if self.legacy() => Output::Isa(0),
            1 if self.legacy() => Output::Isa(8),
            _ => Output::Gsi((self.timers[n].config >> 9 & 0x1F) as u8),
        }
    }

    /// The level of comparator `n`'s output.
    pub fn level(&self, n: usize) -> bool {
        let t = &self.timers[n];
        if t.config & INTERRUPT == 0 || (!self.legacy() || n == 2) && t.config & ROUTE == 0 {
            return false;
        }
        if t.config & LEVEL != 0 { self.status & 1 << n != 0 } else { t.edge }
    }

    /// The comparators whose edge-triggered output fell and rose since the last call.
    pub fn take_edges(&mut self) -> u8 {
        std::mem::take(&mut self.edges)
    }

    /// When a comparator with its interrupt enabled matches next.
    pub fn next_deadline(&self) -> Option<VirtualNs> {
        if self.config & ENABLE == 0 {
            return None;
        }
        let origin = CLOCK.ticks(self.since);
        self.timers
            .iter()
            .filter(|t| t.config & INTERRUPT != 0)
            .filter_map(|t| {
                let counted = self.seen.wrapping_sub(self.counter);
                let tick = t.distance(self.seen)?.checked_add(counted)?.checked_add(origin)?;
                Some(CLOCK.moment(tick)).filter(|&m| m != VirtualNs::MAX)
            })
            .min()
    }

    /// Brings the chip to `now`.
    pub fn advance(&mut self, now: VirtualNs) {
        let counter = self.counter_at(now);
        let passed = counter.wrapping_sub(self.seen);
        for (n, t) in self.timers.iter_mut().enumerate() {
            if t.distance(self.seen).is_none_or(|d| d > passed) {
                continue;
            }
            t.reload(counter);
            if t.config & INTERRUPT == 0 {
                continue;
            }
            if t.config & LEVEL != 0 {
                self.status |= 1 << n;
            } else {
                t.edge = true;
                self.edges |= 1 << n;
            }
        }
        self.seen = counter;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities() {
        let mut h = Hpet::default();
        assert_eq!(h.read(0, 0, 8), 0x0098_9680_8086_A201);
        assert_eq!(h.read(0, 4, 4), 10_000_000);
        assert_eq!(h.read(0, 0x100, 8), 0x00F0_0000_0000_0030);
    }

    #[test]
    fn counter_runs_only_when_enabled() {
        let mut h = Hpet::default();
        assert_eq!(h.read(1000, 0xF0, 8), 0);
        h.write(1000, 0x10, 8, 1);
        assert_eq!(h.read(3000, 0xF0, 8), 200);
        h.write(3000, 0xF0, 8, 7);
        assert_eq!(h.read(3000, 0xF0, 8), 200, "not while it runs");
        h.write(3000, 0x10, 4, 0);
        h.write(3000, 0xF0, 8, 0x1_0000_0000);
        assert_eq!(h.read(9000, 0xF4, 4), 1);
    }

    #[test]
    fn one_shot_matches_once() {
        let mut h = Hpet::default();
        h.write(0, 0x10, 8, 3);
        h.write(0, 0x100, 8, INTERRUPT);
        h.write(0, 0x108, 8, 500);
        assert_eq!(h.next_deadline(), Some(5000));
        h.advance(4999);
        assert!(!h.level(0));
        h.advance(5000);
        assert!(h.level(0));
        assert_eq!((h.output(0), h.take_edges(), h.take_edges()), (Output::Isa(0), 1, 0));
        assert_eq!(h.next_deadline(), None);
    }

    #[test]
    fn periodic_repeats_from_the_value_set() {
        let mut h = Hpet::default();
        h.write(0, 0x10, 8, 3);
        h.write(0, 0x100, 8, INTERRUPT | PERIODIC | SET_VALUE | MODE_32);
        h.write(0, 0x108, 4, 1000);
        h.write(0, 0x108, 4, 300);
        for t in [10_000, 13_000, 16_000] {
            assert_eq!(h.next_deadline(), Some(t));
            h.advance(t);
            assert_eq!(h.take_edges(), 1);
        }
        h.advance(30_000);
        assert_eq!(h.next_deadline(), Some(31_000), "those in between are lost");
    }

    #[test]
    fn level_stays_until_the_status_is_cleared() {
        let mut h = Hpet::default();
        h.write(0, 0x10, 8, 1);
        h.write(0, 0x140, 8, 21 << 9 | LEVEL | INTERRUPT);
        h.write(0, 0x148, 8, 10);
        h.advance(100);
        assert_eq!((h.output(2), h.level(2), h.read(100, 0x20, 8)), (Output::Gsi(21), true, 4));
        h.write(100, 0x20, 8, 4);
        assert!(!h.level(2));
    }

    #[test]
    fn impossible_routes_do_not_stick() {
        let mut h = Hpet::default();
        h.write(0, 0x120, 8, 3 << 9 | INTERRUPT);
        assert_eq!(h.read(0, 0x120, 4), 0x30 | INTERRUPT);
        h.write(0, 0x120, 8, 20 << 9);
        assert_eq!(h.read(0, 0x120, 4), 0x30 | 20 << 9);
    }

    #[test]
    fn a_32_bit_comparator_matches_after_the_wrap() {
        let mut h = Hpet::default();
        h.write(0, 0xF0, 8, 0xFFFF_FF00);
        h.write(0, 0x10, 8, 3);
        h.write(0, 0x100, 8, INTERRUPT | MODE_32);
        h.write(0, 0x108, 4, 0x10);
        assert_eq!(h.next_deadline(), Some(10 * 0x110));
    }
}
