//! What a dump is made of: RAM, vCPUs, and what the guest said of itself, at one position.

use dejavm_core::cpu::CpuState;
use dejavm_core::machine::Machine;
use dejavm_core::mem::{HIGH_RAM_BASE, Memory};
use dejavm_core::types::{Gpa, PAGE_OFFSET_MASK, PAGE_SIZE};
use std::collections::BTreeMap;
use std::ops::Range;

/// What the guest's driver wrote into the vmcoreinfo device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Where its note lies.
    pub gpa: u64,
    /// The size of the note.
    pub bytes: u32,
}

/// A machine standing at a position.
pub trait Source {
    /// RAM as ranges of physical addresses, ascending, in whole pages.
    fn ram(&self) -> &[Range<u64>];
    /// The page of RAM at `gpa` (a multiple of the page size); `None` if it is zero, or no RAM.
    fn page(&self, gpa: u64) -> Option<&[u8]>;
    /// The vCPUs.
    fn vcpus(&self) -> &[CpuState];
    /// Where the guest says that its vmcoreinfo is.
    fn announced(&self) -> Option<Announced>;
    /// The guest's time of day, in seconds since 1970.
    fn unix_time_s(&self) -> i64;

    /// Reads RAM; false if not all of it is RAM.
    fn read(&self, gpa: u64, bytes: &mut [u8]) -> bool {
        let Some(end) = gpa.checked_add(bytes.len() as u64) else { return false };
        if !self.ram().iter().any(|r| r.start <= gpa && end <= r.end) {
            return false;
        }
        let (mut at, mut rest) = (gpa, bytes);
        while !rest.is_empty() {
            let offset = (at & PAGE_OFFSET_MASK) as usize;
            let count = rest.len().min(PAGE_SIZE as usize - offset);
            let (piece, after) = rest.split_at_mut(count);
            match self.page(at - offset as u64) {
                Some(page) => piece.copy_from_slice(&page[offset..offset + count]),
                None => piece.fill(0),
            }
            at += count as u64;
            rest = after;
        }
        true
    }

    /// Reads a little-endian number.
    fn read_u64(&self, gpa: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(gpa, &mut bytes).then(|| u64::from_le_bytes(bytes))
    }

    /// Reads a little-endian number.
    fn read_u32(&self, gpa: u64) -> Option<u32> {
        let mut bytes = [0; 4];
        self.read(gpa, &mut bytes).then(|| u32::from_le_bytes(bytes))
    }
}

/// A machine that stands still while it is dumped.
pub struct MachineSource<'a> {
    memory: &'a Memory,
    ram: Vec<Range<u64>>,
    vcpus: Vec<CpuState>,
    announced: Option<Announced>,
    unix_time_s: i64,
}

impl<'a> MachineSource<'a> {
    /// The machine where it is now.
    pub fn new(machine: &'a Machine) -> Self {
        let memory = machine.memory();
        let ram = [0..memory.low_bytes(), HIGH_RAM_BASE..HIGH_RAM_BASE + memory.high_bytes()];
        let seconds = (machine.position().now_ns / 1_000_000_000) as i64;
        Self {
            memory,
            ram: ram.into_iter().filter(|r| r.start < r.end).collect(),
            vcpus: machine.vcpus().iter().map(|cpu| cpu.state.clone()).collect(),
            announced: machine.vmcoreinfo().map(|n| Announced { gpa: n.gpa.0, bytes: n.bytes }),
            unix_time_s: machine.config().rtc_start_unix_s.saturating_add(seconds),
        }
    }
}

impl Source for MachineSource<'_> {
    fn ram(&self) -> &[Range<u64>] {
        &self.ram
    }
    fn page(&self, gpa: u64) -> Option<&[u8]> {
        self.memory.page_not_zero(Gpa(gpa))
    }
    fn vcpus(&self) -> &[CpuState] {
        &self.vcpus
    }
    fn announced(&self) -> Option<Announced> {
        self.announced
    }
    fn unix_time_s(&self) -> i64 {
        self.unix_time_s
    }
}

/// A copy of all that a dump needs, so that the machine can go on meanwhile.
pub struct Snapshot {
    ram: Vec<Range<u64>>,
    pages: BTreeMap<u64, Box<[u8]>>,
    vcpus: Vec<CpuState>,
    announced: Option<Announced>,
    unix_time_s: i64,
}

impl Snapshot {
    /// Copies what is not zero.
    pub fn of(source: &dyn Source) -> Self {
        let starts = source.ram().iter().flat_map(|r| r.clone().step_by(PAGE_SIZE as usize));
        let pages = starts.filter_map(|gpa| Some((gpa, source.page(gpa)?.into()))).collect();
        Self {
            ram: source.ram().to_vec(),
            pages,
            vcpus: source.vcpus().to_vec(),
            announced: source.announced(),
            unix_time_s: source.unix_time_s(),
        }
    }
}

impl Source for Snapshot {
    fn ram(&self) -> &[Range<u64>] {
        &self.ram
    }
    fn page(&self, gpa: u64) -> Option<&[u8]> {
        self.pages.get(&gpa).map(|page| &**page)
    }
    fn vcpus(&self) -> &[CpuState] {
        &self.vcpus
    }
    fn announced(&self) -> Option<Announced> {
        self.announced
    }
    fn unix_time_s(&self) -> i64 {
        self.unix_time_s
    }
}

#[cfg(test)]
pub(super) mod fake {
    //! A source made by hand.

    use super::*;

    /// Some RAM from address 0 on, and some from 4 GiB.
    pub struct Fake {
        pub ram: Vec<Range<u64>>,
        pub pages: BTreeMap<u64, Box<[u8]>>,
        pub vcpus: Vec<CpuState>,
        pub announced: Option<Announced>,
    }

    impl Fake {
        pub fn new(low_bytes: u64, high_bytes: u64) -> Self {
            let ram = [0..low_bytes, HIGH_RAM_BASE..HIGH_RAM_BASE + high_bytes];
            Self {
                ram: ram.into_iter().filter(|r| r.start < r.end).collect(),
                pages: BTreeMap::new(),
                vcpus: vec![CpuState::reset(0)],
                announced: None,
            }
        }

        pub fn put(&mut self, gpa: u64, bytes: &[u8]) {
            for (at, &byte) in (gpa..).zip(bytes) {
                let start = at & !PAGE_OFFSET_MASK;
                let page = self.pages.entry(start).or_insert_with(|| vec![0; PAGE_SIZE as usize].into());
                page[(at - start) as usize] = byte;
            }
        }
    }

    impl Source for Fake {
        fn ram(&self) -> &[Range<u64>] {
            &self.ram
        }
        fn page(&self, gpa: u64) -> Option<&[u8]> {
            self.pages.get(&gpa).map(|page| &**page)
        }
        fn vcpus(&self) -> &[CpuState] {
            &self.vcpus
        }
        fn announced(&self) -> Option<Announced> {
            self.announced
        }
        fn unix_time_s(&self) -> i64 {
            1_000_000_000
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fake::Fake;
    use super::*;

    #[test]
    fn reads_cross_pages_and_stop_where_ram_ends() {
        let mut fake = Fake::new(0x3000, 0);
        fake.put(0xFFE, &[1, 2, 3, 4]);
        let mut bytes = [9; 6];
        assert!(fake.read(0xFFD, &mut bytes));
        assert_eq!(bytes, [0, 1, 2, 3, 4, 0]);
        assert_eq!(fake.read_u64(0x2FF8), Some(0));
        assert_eq!(fake.read_u64(0x2FF9), None);
        assert_eq!(fake.read_u64(u64::MAX), None);
    }

    #[test]
    fn a_snapshot_keeps_what_was_there() {
        let mut fake = Fake::new(0x3000, 0x1000);
        fake.put(HIGH_RAM_BASE, &[7]);
        let snapshot = Snapshot::of(&fake);
        fake.put(HIGH_RAM_BASE, &[8]);
        assert_eq!(snapshot.page(HIGH_RAM_BASE).map(|page| page[0]), Some(7));
        assert_eq!(snapshot.page(0), None);
        assert_eq!(snapshot.ram(), fake.ram());
    }
}
