//! Oscillators: the exact integer mapping between virtual nanoseconds and a chip's ticks.

use crate::types::VirtualNs;

const NS_PER_S: u128 = 1_000_000_000;

/// A clock input that has been running since virtual time 0, slower than 1 GHz.
#[derive(Clone, Copy, Debug)]
pub struct Oscillator {
    hz: u64,
}

impl Oscillator {
    /// An oscillator of `hz` ticks per second.
    pub const fn new(hz: u64) -> Self {
        Self { hz }
    }

    /// The ticks that have passed at `now`.
    pub fn ticks(self, now: VirtualNs) -> u64 {
        (u128::from(now) * u128::from(self.hz) / NS_PER_S) as u64
    }

    /// The first moment at which `ticks` have passed.
    pub fn moment(self, ticks: u64) -> VirtualNs {
        (u128::from(ticks) * NS_PER_S).div_ceil(u128::from(self.hz)).min(u128::from(VirtualNs::MAX)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::Oscillator;

    #[test]
    fn moment_is_the_first_with_its_tick() {
        for hz in [1_193_182, 3_579_545, 32_768, 100_000_000] {
            let clock = Oscillator::new(hz);
            for tick in [1, 2, 3, 1000, 1_193_182, 123_456_789, 1 << 40] {
                let t = clock.moment(tick);
                assert_eq!(clock.ticks(t), tick, "{hz} Hz");
                assert_eq!(clock.ticks(t - 1), tick - 1, "{hz} Hz");
            }
        }
    }
}
