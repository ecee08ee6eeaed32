//! Which probes are on, and what of what they see is wanted.

use super::{ProbeEvent, ProbeKind};
use crate::types::VcpuId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Ranges are of the first and the last that is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeFilter {
    /// Addresses: linear or physical ones of accesses, ports, those of code, numbers of MSRs.
    pub address: Option<(u64, u64)>,
    /// Values: see [`ProbeEvent::value`].
    pub value: Option<(u64, u64)>,
    /// The privilege level.
    pub privilege: Option<u8>,
    /// CR3.
    pub cr3: Option<u64>,
}

impl ProbeFilter {
    /// Whether an event is wanted; `origin` are the privilege level and CR3 of the vCPU that it
    /// is of. What an event does not have is not what is wanted.
    pub fn admits(&self, event: &ProbeEvent, origin: Option<(u8, u64)>) -> bool {
        let address = self.address.is_none_or(|(first, last)| {
            event.addresses().is_some_and(|(starts, size)| {
                starts.iter().any(|&start| start <= last && start.saturating_add(size.max(1) - 1) >= first)
            })
        });
        let value = self
            .value
            .is_none_or(|(first, last)| event.value().is_some_and(|value| (first..=last).contains(&value)));
        let privilege = self.privilege.is_none_or(|cpl| origin.is_some_and(|(at, _)| at == cpl));
        let cr3 = self.cr3.is_none_or(|cr3| origin.is_some_and(|(_, at)| at == cr3));
        address && value && privilege && cr3
    }
}

/// How a probe is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRule {
    /// On which vCPUs, a bit for each; [`Self::EVERYWHERE`]: also where there is none.
    pub vcpus: u64,
    /// What is wanted.
    pub filter: ProbeFilter,
}

impl ProbeRule {
    /// On all vCPUs, and what happens on none.
    pub const EVERYWHERE: u64 = u64::MAX;

    /// Whether it is meant for a vCPU.
    pub fn has_vcpu(&self, id: VcpuId) -> bool {
        self.vcpus & (1 << id) != 0
    }

    /// Whether an event is meant, which came from a vCPU, at a privilege level, with a CR3; or from none.
    #[inline]
    pub fn admits(&self, event: &ProbeEvent, origin: Option<(VcpuId, u8, u64)>) -> bool {
        let here = match origin {
            Some((vcpu, ..)) => self.has_vcpu(vcpu),
            None => self.vcpus == Self::EVERYWHERE,
        };
        here && self.filter.admits(event, origin.map(|(_, cpl, cr3)| (cpl, cr3)))
    }
}

impl Default for ProbeRule {
    fn default() -> Self {
        Self { vcpus: Self::EVERYWHERE, filter: ProbeFilter::default() }
    }
}

/// Which probes are on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeSettings {
    /// Those that are on.
    pub on: BTreeMap<ProbeKind, ProbeRule>,
}

impl ProbeSettings {
    /// These kinds, all of what they see.
    pub fn of(kinds: impl IntoIterator<Item = ProbeKind>) -> Self {
        Self { on: kinds.into_iter().map(|kind| (kind, ProbeRule::default())).collect() }
    }

    /// The set of kinds that are on, for a vCPU, or anywhere.
    pub fn kinds(&self, vcpu: Option<VcpuId>) -> u128 {
        let meant = |rule: &ProbeRule| vcpu.is_none_or(|id| rule.has_vcpu(id));
        self.on.iter().filter(|(_, rule)| meant(rule)).fold(0, |bits, (kind, _)| bits | kind.bit())
    }
}
