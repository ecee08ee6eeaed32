//! What is asked of a guest at a place: the state of its vCPUs and its physical memory.
//!
//! A machine that runs, one that replays, and a dump of memory can all answer that. All reads
//! look only: no accessed bit is set, and nothing here can change the run.

use dejavm_core::cpu::CpuState;
use dejavm_core::machine::Machine;
use dejavm_core::types::{Gpa, PAGE_OFFSET_MASK, PAGE_SIZE, VcpuId};

/// Registers and memory of a guest at a place.
pub trait Guest {
    /// How many vCPUs it has.
    fn vcpus(&self) -> usize;
    /// The state of one.
    fn cpu(&self, vcpu: VcpuId) -> Option<&CpuState>;
    /// How many bytes of RAM there are, to know what cannot be true.
    fn ram_bytes(&self) -> u64;
    /// Reads RAM; false if not all of it is RAM.
    fn read_physical(&self, gpa: u64, bytes: &mut [u8]) -> bool;
}

impl Guest for Machine {
    fn vcpus(&self) -> usize {
        Machine::vcpus(self).len()
    }

    fn cpu(&self, vcpu: VcpuId) -> Option<&CpuState> {
        Machine::vcpus(self).get(vcpu).map(|cpu| &cpu.state)
    }

    fn ram_bytes(&self) -> u64 {
        self.memory().bytes()
    }

    fn read_physical(&self, gpa: u64, bytes: &mut [u8]) -> bool {
        let memory = self.memory();
        pieces(gpa, bytes).all(|(address, piece)| {
            let Some(offset) = memory.ram_offset(Gpa(address)) else { return false };
            piece.copy_from_slice(memory.ram.slice(offset, piece.len()));
            true
        })
    }
}

/// `bytes` cut where pages end, each piece with its address.
pub(super) fn pieces(address: u64, mut rest: &mut [u8]) -> impl Iterator<Item = (u64, &mut [u8])> {
    let mut at = address;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let length = rest.len().min((PAGE_SIZE - (at & PAGE_OFFSET_MASK)) as usize);
        let (piece, after) = std::mem::take(&mut rest).split_at_mut(length);
        rest = after;
        let here = at;
        at = at.wrapping_add(length as u64);
        Some((here, piece))
    })
}
