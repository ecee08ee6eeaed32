//! Stop points: what an observer wants a run to stop at, or to count.
//!
//! Like probes they lie outside the machine's state: no hash and no saved state knows of them,
//! and a run goes the same way with them and without. A machine has them by
//! [`crate::machine::Machine::set_stop_points`].
//!
//! An access, to a watchpoint, is a load or store that a vCPU makes while it executes an
//! instruction or delivers an interrupt or exception: operands, stack, descriptor tables, TSS.
//! What a device reads or writes by itself (DMA) counts as one of the instruction that told it to, and
//! what a debugger writes as a delivery before the next one; both only for stop points of all vCPUs.
//! No access are fetches of code, what page walks read and set in page tables, and what is loaded at a
//! reset. An instruction that faults made no access (what the delivery of its exception touches counts);
//! a REP string counts by iteration.

use crate::types::{Icount, VcpuId};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Which addresses a watchpoint names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Space {
    /// Linear ones, in every address space.
    Linear,
    /// Guest physical ones, whatever linear address leads there.
    Physical,
}

/// Which accesses a watchpoint means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WatchKind {
    /// Loads.
    Read,
    /// Stores.
    Write,
    /// Both.
    Access,
}

/// A range of addresses that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Watch {
    /// What `start` is.
    pub space: Space,
    /// The first byte.
    pub start: u64,
    /// The number of bytes, at least 1; the range does not wrap.
    pub len: u64,
    /// What counts.
    pub kind: WatchKind,
}

impl Watch {
    /// Its last byte.
    pub fn last(&self) -> u64 {
        self.start.saturating_add(self.len.max(1) - 1)
    }

    /// Whether `[start, last]` and the watched range have a byte in common.
    pub fn overlaps(&self, start: u64, last: u64) -> bool {
        start <= self.last() && last >= self.start
    }

    /// Whether a load, or a store, counts.
    pub fn wants(&self, write: bool) -> bool {
        match self.kind {
            WatchKind::Read => !write,
            WatchKind::Write => write,
            WatchKind::Access => true,
        }
    }
}

/// What to stop at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StopCondition {
    /// Before the instruction at a linear address is fetched; before each iteration of a REP
    /// string there.
    Breakpoint {
        /// The address.
        address: u64,
    },
    /// Before any instruction: single steps.
    EveryInstruction,
    /// After an access to a range.
    Watch(Watch),
    /// After the delivery of an exception, before its handler's first instruction.
    Exception {
        /// Its vector; `None`: any.
        vector: Option<u8>,
    },
    /// After the delivery of an external interrupt or NMI (vector 2), before its handler's
    /// first instruction.
    Interrupt {
        /// Its vector; `None`: any.
        vector: Option<u8>,
    },
}

/// A stop point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StopPoint {
    /// Whatever the one who sets it wants to know it by.
    pub id: u32,
    /// On which vCPU; `None`: on all.
    pub vcpu: Option<VcpuId>,
    /// At what.
    pub condition: StopCondition,
}

/// What happens at a hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnHit {
    /// The run ends with [`crate::machine::StopReason::StopPoint`].
    #[default]
    Stop,
    /// The run goes on; hits are counted, and the last so many are kept.
    Scan {
        /// How many.
        keep: usize,
    },
}

/// All stop points of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct StopPoints {
    /// They.
    pub points: Vec<StopPoint>,
    /// [`StopCondition::Breakpoint`] and [`StopCondition::EveryInstruction`] hit from this icount
    /// on. See also [`crate::machine::Machine::pass_breakpoints_here`].
    pub from: Icount,
    /// What happens at a hit.
    pub on_hit: OnHit,
}

/// What was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HitCause {
    /// The instruction at this linear address is next.
    Instruction {
        /// The address.
        address: u64,
    },
    /// An access to a watched range: the first that the instruction made, or a device for it.
    Access {
        /// The linear address of the access (of a device's, to a physical range: the physical one).
        address: u64,
        /// Its size in bytes; of a device's, the part that is watched, and at most 255.
        size: u8,
        /// A store, or a load.
        write: bool,
    },
    /// An exception was delivered.
    Exception {
        /// Its vector.
        vector: u8,
    },
    /// An external interrupt or NMI was delivered.
    Interrupt {
        /// Its vector.
        vector: u8,
    },
}

/// A stop point was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StopHit {
    /// [`StopPoint::id`].
    pub id: u32,
    /// On which vCPU.
    pub vcpu: VcpuId,
    /// The instructions retired before the one that is next, that made the access, or that
    /// raised the exception: the position with this icount lies before the hit, the one with
    /// the next icount behind it.
    pub icount: Icount,
    /// It was not the instruction that hit, but the delivery of an interrupt before it, or what a
    /// debugger wrote before it.
    pub in_delivery: bool,
    /// What.
    pub cause: HitCause,
}

/// What stop points saw.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct StopHits {
    /// How many hits there were.
    pub count: u64,
    /// The last ones, in the order of the run. One that stopped the run is among them.
    pub last: VecDeque<StopHit>,
}
