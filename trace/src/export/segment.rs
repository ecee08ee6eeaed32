//! A run in segments of fixed length: what is exported of it is a file per segment, whoever
//! exports it.

use dejavm_core::types::Icount;
use std::ops::Range;

/// How long a segment is: whole pieces of an extraction, long enough to be worth a file.
pub const SEGMENT_ICOUNT: Icount = 1 << 22;

/// The segments that a stretch of a run touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segments {
    window: Range<Icount>,
}

impl Segments {
    /// Those of the instructions from `from` up to, not including, `to`.
    pub fn of(window: Range<Icount>) -> Self {
        Self { window }
    }

    /// Their numbers.
    pub fn numbers(&self) -> Range<u64> {
        if self.window.is_empty() {
            return 0..0;
        }
        self.window.start / SEGMENT_ICOUNT..(self.window.end - 1) / SEGMENT_ICOUNT + 1
    }

    /// What of the stretch is in some segments that follow each other.
    pub fn window_of(&self, numbers: Range<u64>) -> Range<Icount> {
        let start = numbers.start.saturating_mul(SEGMENT_ICOUNT).max(self.window.start);
        let end = numbers.end.saturating_mul(SEGMENT_ICOUNT).min(self.window.end);
        start..end
    }

    /// The share of the `k`th of `n` workers, counted from 1: whole segments.
    pub fn share(&self, k: u64, n: u64) -> Range<u64> {
        let all = self.numbers();
        let count = u128::from(all.end - all.start);
        let until = |k: u64| all.start + (count * u128::from(k) / u128::from(n)) as u64;
        until(k - 1)..until(k)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Icount = SEGMENT_ICOUNT;

    #[test]
    fn a_stretch_is_cut_at_multiples() {
        let segments = Segments::of(S / 2..3 * S + 1);
        assert_eq!(segments.numbers(), 0..4);
        assert_eq!(segments.window_of(0..1), S / 2..S);
        assert_eq!(segments.window_of(1..3), S..3 * S);
        assert_eq!(segments.window_of(3..4), 3 * S..3 * S + 1);
        assert_eq!(Segments::of(S..2 * S).numbers(), 1..2);
        assert_eq!(Segments::of(5..5).numbers(), 0..0);
    }

    #[test]
    fn shares_are_all_of_it_once() {
        let segments = Segments::of(2 * S + 7..10 * S);
        for n in 1..20 {
            let mut next = 2;
            for k in 1..=n {
                let share = segments.share(k, n);
                assert_eq!(share.start, next, "share {k} of {n}");
                next = share.end;
            }
            assert_eq!(next, 10);
        }
    }
}
