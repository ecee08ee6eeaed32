//! Which vCPU runs: turns of a quantum of instructions, a function of icounts alone.

use crate::types::VcpuId;
use serde::{Deserialize, Serialize};

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The vCPU that is looked at first.
    pub current: VcpuId,
    /// What is left of its quantum, in instructions.
    pub quantum_left: u64,
}

impl Schedule {
    /// vCPU 0 first, with a whole quantum.
    pub fn new(quantum: u64) -> Self {
        Self { current: 0, quantum_left: quantum }
    }

    /// Chooses the vCPU that runs next: the current one if it can, else the next in the ring
    /// that can, with a whole quantum. `None` if none can.
    pub fn pick(&mut self, vcpus: usize, quantum: u64, runnable: impl Fn(VcpuId) -> bool) -> Option<VcpuId> {
        let chosen = (0..vcpus).map(|k| (self.current + k) % vcpus).find(|&id| runnable(id))?;
        if chosen != self.current {
            self.current = chosen;
            self.quantum_left = quantum;
        }
        Some(chosen)
    }

    /// Charges a slice. The turn passes on when the quantum is used up or given away.
    pub fn charge(&mut self, vcpus: usize, quantum: u64, icount: u64, gives_way: bool) {
        // Alone, a vCPU is not cut off at its quantum: what is left of it would tell where the
        // host happened to stop.
        if vcpus == 1 {
            return;
        }
        self.quantum_left = self.quantum_left.saturating_sub(icount);
        if self.quantum_left == 0 || gives_way {
            self.current = (self.current + 1) % vcpus;
            self.quantum_left = quantum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_round_and_skip_who_cannot_run() {
        let mut s = Schedule::new(10);
        assert_eq!(s.pick(3, 10, |id| id != 0), Some(1));
        s.charge(3, 10, 4, false);
        assert_eq!((s.current, s.quantum_left), (1, 6));
        s.charge(3, 10, 6, false);
        assert_eq!((s.current, s.quantum_left), (2, 10));
        s.charge(3, 10, 1, true);
        assert_eq!((s.current, s.quantum_left), (0, 10));
        assert_eq!(s.pick(3, 10, |_| false), None);
    }

    #[test]
    fn alone_it_does_not_matter_where_slices_end() {
        let (mut whole, mut cut) = (Schedule::new(10), Schedule::new(10));
        whole.charge(1, 10, 25, false);
        cut.charge(1, 10, 7, false);
        cut.charge(1, 10, 18, true);
        assert_eq!(whole, cut);
    }
}
