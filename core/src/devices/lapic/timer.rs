//! The local APIC timer (SDM vol. 3, 11.5.4): one-shot, periodic, TSC deadline.
//!
//! Its input runs at 1 GHz, one tick per virtual nanosecond.

use super::Lvt;
use crate::types::VirtualNs;
use serde::{Deserialize, Serialize};

/// Timer mode field of the LVT entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    OneShot,
    Periodic,
    TscDeadline,
}

impl Mode {
    pub(super) fn of(lvt: u32) -> Self {
        match lvt >> 17 & 3 {
            1 => Self::Periodic,
            2 => Self::TscDeadline,
            _ => Self::OneShot,
        }
    }
}

/// The timer's registers and phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Timer {
    pub(super) initial: u32,
    divide: u8,
    /// The count at `start`; 0 when a one-shot has ended.
    count_at_start: u32,
    start: VirtualNs,
    /// IA32_TSC_DEADLINE in virtual ns, 0 when disarmed.
    pub(super) deadline: VirtualNs,
}

impl Timer {
    /// Nanoseconds per tick: the divide configuration, bits 3, 1 and 0.
    fn tick_ns(&self) -> u64 {
        1 << ((u32::from(self.divide >> 1 & 4 | self.divide & 3) + 1) & 7)
    }

    pub(super) fn divide(&self) -> u32 {
        self.divide.into()
    }

    pub(super) fn set_divide(&mut self, now: VirtualNs, lvt: u32, value: u32) {
        self.count_at_start = self.current(now, lvt);
        self.start = now;
        self.divide = value as u8 & 0x0B;
    }

    pub(super) fn set_initial(&mut self, now: VirtualNs, lvt: u32, value: u32) {
        // Ignored in TSC-deadline mode (SDM 11.5.4.1).
        if Mode::of(lvt) != Mode::TscDeadline {
            self.initial = value;
            self.count_at_start = value;
            self.start = now;
        }
    }

    /// The LVT entry changes: TSC-deadline mode and the others disarm each other.
    pub(super) fn change_mode(&mut self, old: u32, new: u32) {
        if (Mode::of(old) == Mode::TscDeadline) != (Mode::of(new) == Mode::TscDeadline) {
            self.deadline = 0;
            self.initial = 0;
            self.count_at_start = 0;
        }
    }

    /// The current count register.
    pub(super) fn current(&self, now: VirtualNs, lvt: u32) -> u32 {
        let elapsed = (now - self.start) / self.tick_ns();
        let count = u64::from(self.count_at_start);
        if elapsed < count {
            (count - elapsed) as u32
        } else if Mode::of(lvt) == Mode::Periodic && self.initial != 0 && count != 0 {
            self.initial - ((elapsed - count) % u64::from(self.initial)) as u32
        } else {
            0
        }
    }

    fn expiry(&self) -> Option<VirtualNs> {
        let ns = u64::from(self.count_at_start) * self.tick_ns();
        (ns != 0).then(|| self.start.saturating_add(ns))
    }

    pub(super) fn next_deadline(&self, lvt: u32) -> Option<VirtualNs> {
        match Mode::of(lvt) {
            Mode::TscDeadline => (self.deadline != 0).then_some(self.deadline),
            // Nobody hears a masked periodic timer; its count follows from the time.
            Mode::Periodic if lvt & Lvt::MASKED != 0 => None,
            Mode::OneShot | Mode::Periodic => self.expiry(),
        }
    }

    /// Brings the timer to `now`; true if it struck.
    pub(super) fn advance(&mut self, now: VirtualNs, lvt: u32) -> bool {
        let mode = Mode::of(lvt);
        if mode == Mode::TscDeadline {
            let struck = self.deadline != 0 && self.deadline <= now;
            if struck {
                self.deadline = 0;
            }
            return struck;
        }
        let Some(expiry) = self.expiry().filter(|&t| t <= now) else { return false };
        self.start = expiry;
        self.count_at_start = 0;
        if mode == Mode::Periodic && self.initial != 0 {
            let period = u64::from(self.initial) * self.tick_ns();
            self.start += (now - expiry) / period * period;
            self.count_at_start = self.initial;
        }
        true
    }
}
