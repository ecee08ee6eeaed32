//! Positions as differences (FORMAT.md, "Steps").

use crate::journal::error::Damage;
use crate::journal::frame::in_order;
use dejavm_core::boundary::Position;
use serde::{Deserialize, Serialize};

/// From one position to a later one.
///
/// While instructions run, virtual time advances as icount does; what idle time adds to that is
/// the second number, 0 in most steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::journal) struct Step {
    icount: u64,
    idle_ns: i64,
}

impl Step {
    /// The step between two positions in order.
    pub fn between(from: Position, to: Position) -> Self {
        assert!(in_order(from, to), "a run only goes forward");
        let icount = to.icount - from.icount;
        Self { icount, idle_ns: (to.now_ns - from.now_ns).wrapping_sub(icount) as i64 }
    }

    /// Where the step leads from `from`; an error if that runs backwards.
    pub fn after(self, from: Position) -> Result<Position, Damage> {
        let ns = self.icount.wrapping_add(self.idle_ns as u64);
        let to =
            Position { icount: from.icount.wrapping_add(self.icount), now_ns: from.now_ns.wrapping_add(ns) };
        if in_order(from, to) { Ok(to) } else { Err(Damage::Order(to)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let places = [0, 1, 5, 1 << 26, u64::MAX - 1, u64::MAX];
        for (a, b) in places.iter().flat_map(|a| places.map(|b| (*a, b))).filter(|(a, b)| a <= b) {
            for (from_ns, to_ns) in [(a, b), (0, b), (a, a), (7, u64::MAX)] {
                let from = Position { icount: a, now_ns: from_ns };
                let to = Position { icount: b, now_ns: to_ns };
                if in_order(from, to) {
                    assert_eq!(Step::between(from, to).after(from), Ok(to));
                }
            }
        }
    }

    #[test]
    fn a_step_that_wraps_is_refused() {
        let from = Position { icount: 2, now_ns: 2 };
        assert!(Step { icount: u64::MAX, idle_ns: 0 }.after(from).is_err());
        assert!(Step { icount: 0, idle_ns: -1 }.after(from).is_err());
    }
}
