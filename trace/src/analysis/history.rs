//! Who accessed some bytes: what is asked, and which accesses answer it.

use dejavm_core::boundary::{
    MemoryAccess, ProbeEvent, ProbeFilter, ProbeKind, ProbeRecord, ProbeRule, ProbeSettings,
};

/// Bytes whose accesses are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The first address.
    pub address: u64,
    /// How many bytes from there.
    pub bytes: u64,
    /// It is a physical address, not a linear one.
    pub physical: bool,
    /// Only accesses in the address space with this CR3.
    pub cr3: Option<u64>,
}

impl Place {
    /// The last address.
    pub fn last(&self) -> u64 {
        self.address.saturating_add(self.bytes.max(1) - 1)
    }

    /// Whether a record is an access to it.
    pub fn is_touched_by(&self, record: &ProbeRecord) -> bool {
        let (ProbeEvent::Load(access) | ProbeEvent::Store(access)) = &record.event else { return false };
        let start = self.start_of(access);
        let end = start.saturating_add(u64::from(access.size).max(1) - 1);
        start <= self.last() && end >= self.address && self.cr3.is_none_or(|cr3| cr3 == record.cr3)
    }

    fn start_of(&self, access: &MemoryAccess) -> u64 {
        if self.physical { access.physical } else { access.address }
    }

    /// The events that show accesses to it, loads only if they are wanted.
    pub fn probes(&self, loads: bool) -> ProbeSettings {
        // An access that begins before the place may reach into it.
        let filter = ProbeFilter { address: Some((self.address, self.last())), ..ProbeFilter::default() };
        let rule = ProbeRule { filter: ProbeFilter { cr3: self.cr3, ..filter }, ..ProbeRule::default() };
        let kinds = [Some(ProbeKind::Store), loads.then_some(ProbeKind::Load)];
        ProbeSettings { on: kinds.into_iter().flatten().map(|kind| (kind, rule)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dejavm_core::boundary::Position;

    #[test]
    fn an_access_that_reaches_in_counts() {
        let store = |address, size| ProbeRecord {
            position: Position::default(),
            vcpu: Some(0),
            cpl: 0,
            cr3: 0x1000,
            event: ProbeEvent::Store(MemoryAccess {
                address,
                physical: address + 0x1000,
                size,
                value: 0,
                high: 0,
            }),
        };
        let place = Place { address: 0x104, bytes: 4, physical: false, cr3: None };
        for (address, size, touches) in
            [(0x100, 4, false), (0x100, 8, true), (0x107, 1, true), (0x108, 8, false), (0x101, 2, false)]
        {
            assert_eq!(place.is_touched_by(&store(address, size)), touches, "{address:#x} {size}");
        }
        let physical = Place { address: 0x1104, physical: true, ..place };
        assert!(physical.is_touched_by(&store(0x104, 1)) && !physical.is_touched_by(&store(0x1104, 1)));
        assert!(!Place { cr3: Some(0x2000), ..place }.is_touched_by(&store(0x104, 1)));
    }
}
