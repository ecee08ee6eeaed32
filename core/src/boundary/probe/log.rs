//! What the probes of a machine saw, in the order of the run.

use super::{ProbeEvent, ProbeKind, ProbeRecord, ProbeRule, ProbeSettings};
use crate::boundary::Position;
use crate::types::VcpuId;

/// The vCPU that an event is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its number.
    pub vcpu: VcpuId,
    /// Its privilege level.
    pub cpl: u8,
    /// Its CR3.
    pub cr3: u64,
}

/// The log of a machine: vCPUs and chips write to it.
#[derive(Clone, Debug, Default)]
pub struct ProbeLog {
    on: u128,
    rules: Vec<Option<ProbeRule>>,
    /// The kinds of which all is wanted, on every vCPU.
    unfiltered: u128,
    /// Where what the chips do happens, as far as they know.
    at: Position,
    origin: Option<Origin>,
    records: Vec<ProbeRecord>,
    /// So many of them are of deliveries before the slice's first instruction, or older.
    delivered: usize,
    /// The vCPU that ran the last instruction.
    last_vcpu: Option<VcpuId>,
}

impl ProbeLog {
    /// Switches probes; what was seen so far stays.
    pub fn set(&mut self, settings: &ProbeSettings) {
        self.on = settings.kinds(None);
        self.rules = vec![None; ProbeKind::COUNT_WITH_ENGINE];
        self.unfiltered = 0;
        for (kind, rule) in &settings.on {
            self.rules[kind.index()] = Some(*rule);
            if *rule == ProbeRule::default() {
                self.unfiltered |= kind.bit();
            }
        }
        self.last_vcpu = None;
    }

    /// Whether any probe is on.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.on != 0
    }

    /// Whether a kind is on anywhere.
    #[inline]
    pub fn wants(&self, kind: ProbeKind) -> bool {
        self.on & kind.bit() != 0
    }

    /// Tells where the machine is, for what the chips do from now on.
    pub fn stamp(&mut self, at: Position, origin: Option<Origin>) {
        self.at = at;
        self.origin = origin;
    }

    /// Something happened where the log was told that the machine is.
    #[inline]
    pub fn push(&mut self, event: ProbeEvent) {
        self.push_at(self.at, self.origin, event);
    }

    /// Something happened.
    #[inline(always)]
    pub fn push_at(&mut self, position: Position, origin: Option<Origin>, event: ProbeEvent) {
        if self.unfiltered & event.kind().bit() != 0 {
            self.keep(position, origin, event);
        } else if self.on & event.kind().bit() != 0 {
            self.push_filtered(position, origin, event);
        }
    }

    #[cold]
    #[inline(never)]
    fn push_filtered(&mut self, position: Position, origin: Option<Origin>, event: ProbeEvent) {
        if self.admits(origin, &event) {
            self.keep(position, origin, event);
        }
    }

    #[inline(always)]
    fn keep(&mut self, position: Position, origin: Option<Origin>, event: ProbeEvent) {
        let (cpl, cr3) = origin.map_or((0, 0), |o| (o.cpl, o.cr3));
        self.records.push(ProbeRecord { position, vcpu: origin.map(|o| o.vcpu as u8), cpl, cr3, event });
    }

    /// Whether its rule wants an event.
    fn admits(&self, origin: Option<Origin>, event: &ProbeEvent) -> bool {
        let Some(Some(rule)) = self.rules.get(event.kind().index()) else { return false };
        rule.admits(event, origin.map(|o| (o.vcpu, o.cpl, o.cr3)))
    }

    /// The instruction after `icount` others faulted: it made no access.
    pub fn forget_accesses(&mut self, icount: u64, vcpu: VcpuId) {
        let before = self.records.iter().rposition(|record| record.position.icount != icount);
        let first = before.map_or(0, |n| n + 1).max(self.delivered);
        let mut tail = self.records.split_off(first);
        let access = |event: &ProbeEvent| matches!(event, ProbeEvent::Load(_) | ProbeEvent::Store(_));
        tail.retain(|record| !(access(&record.event) && record.vcpu() == Some(vcpu)));
        self.records.append(&mut tail);
    }

    /// Deliveries are done: what comes is of instructions.
    #[inline]
    pub fn deliveries_end(&mut self) {
        self.delivered = self.records.len();
    }

    /// Notes who runs; true if somebody else did before.
    pub fn turns_to(&mut self, vcpu: VcpuId) -> bool {
        self.last_vcpu.replace(vcpu) != Some(vcpu)
    }

    /// What was seen since the last call.
    pub fn take(&mut self) -> Vec<ProbeRecord> {
        self.delivered = 0;
        std::mem::take(&mut self.records)
    }

    /// Appends what was seen since the last call; the room of `records` is used again.
    pub fn take_into(&mut self, records: &mut Vec<ProbeRecord>) {
        self.delivered = 0;
        if records.is_empty() {
            std::mem::swap(&mut self.records, records);
        } else {
            records.append(&mut self.records);
        }
    }

    /// The machine is put elsewhere: what was seen is of the past.
    pub fn forget(&mut self) {
        self.take();
        self.last_vcpu = None;
    }
}
