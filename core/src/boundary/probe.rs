//! Probes: what an observer may see of a run, without any way to change it.
//!
//! A probe that is off costs one test of a bit at a place that is rare anyway; one that is on
//! appends a record, which never reaches the guest or the state hash.

use super::Position;
use crate::types::VcpuId;
use serde::{Deserialize, Serialize};

/// A kind of event that can be switched on: a bit of [`Probes::enabled`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum ProbeKind {
    /// An exception is about to be delivered.
    Exception = 0,
    /// An external interrupt is about to be delivered.
    Interrupt = 1,
    /// A non-maskable interrupt is about to be delivered.
    Nmi = 2,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeEvent {
    /// An exception is about to be delivered.
    Exception {
        /// Its vector.
        vector: u8,
        /// Its error code, if it has one.
        error_code: Option<u16>,
        /// The address of the instruction.
        rip: u64,
        /// Of a page fault: the faulting linear address.
        address: u64,
    },
    /// An external interrupt is about to be delivered.
    Interrupt {
        /// Its vector.
        vector: u8,
        /// The address of the instruction that it comes before.
        rip: u64,
    },
    /// A non-maskable interrupt is about to be delivered.
    Nmi {
        /// The address of the instruction that it comes before.
        rip: u64,
    },
}

impl ProbeEvent {
    /// Its kind.
    pub fn kind(&self) -> ProbeKind {
        match self {
            Self::Exception { .. } => ProbeKind::Exception,
            Self::Interrupt { .. } => ProbeKind::Interrupt,
            Self::Nmi { .. } => ProbeKind::Nmi,
        }
    }
}

/// An event with its place in the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRecord {
    /// Where.
    pub position: Position,
    /// On which vCPU.
    pub vcpu: VcpuId,
    /// What.
    pub event: ProbeEvent,
}

/// The probes of one vCPU: which are on, and what they saw.
#[derive(Clone, Debug, Default)]
pub struct Probes {
    enabled: u64,
    records: Vec<ProbeRecord>,
}

impl Probes {
    /// Switches a kind on or off.
    pub fn set(&mut self, kind: ProbeKind, on: bool) {
        let bit = 1 << kind as u8;
        if on { self.enabled |= bit } else { self.enabled &= !bit }
    }

    /// Whether a kind is on.
    #[inline(always)]
    pub fn wants(&self, kind: ProbeKind) -> bool {
        self.enabled & (1 << kind as u8) != 0
    }

    /// Appends a record if its kind is on.
    #[inline]
    pub fn record(&mut self, position: Position, vcpu: VcpuId, event: ProbeEvent) {
        if self.wants(event.kind()) {
            self.records.push(ProbeRecord { position, vcpu, event });
        }
    }

    /// What was seen since the last call, in order.
    pub fn take(&mut self) -> Vec<ProbeRecord> {
        std::mem::take(&mut self.records)
    }
}
