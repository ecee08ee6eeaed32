//! What happens to RAM and vCPUs that no vCPU does: a device's own accesses, and a debugger's changes.

use super::pc::Machine;
use crate::boundary::{Change, DebuggerWrite, Space, Watch};
use crate::cpu::stops::DataAccess;
use crate::cpu::{Activity, Vcpu, quiet_walk};
use crate::mem::DmaAccess;
use crate::types::{Gpa, PAGE_OFFSET_MASK, PAGE_SIZE};

/// A linear watchpoint is looked for in what a device accesses by its pages, so many at most.
const MOST_PAGES: u64 = 1 << 12;

impl Machine {
    /// A debugger changes RAM or registers here and now.
    pub(super) fn apply_debugger_write(&mut self, write: &DebuggerWrite) {
        if write.begun {
            self.begin_instruction();
        }
        match &write.change {
            Change::Memory { gpa, bytes } => self.write_ram(Gpa(*gpa), bytes),
            Change::Registers { vcpu, values } => self.change_registers(*vcpu as usize, values),
        }
    }

    fn write_ram(&mut self, gpa: Gpa, bytes: &[u8]) {
        let Some(last) = (bytes.len() as u64).checked_sub(1).and_then(|len| gpa.0.checked_add(len)) else {
            return;
        };
        let (first, end) = (self.mem.ram_offset(gpa), self.mem.ram_offset(Gpa(last)));
        let in_one_piece = first.zip(end).is_some_and(|(a, b)| b.checked_sub(a) == Some(bytes.len() - 1));
        if !in_one_piece {
            return;
        }
        self.mem.write_bytes(gpa, bytes);
        self.note_outside_access(DmaAccess { gpa, len: bytes.len() as u64, write: true }, true);
    }

    /// A device has accessed RAM, as the last instruction told it to.
    #[cold]
    pub(super) fn note_dma(&mut self, access: DmaAccess) {
        self.note_outside_access(access, false);
    }

    fn note_outside_access(&mut self, access: DmaAccess, before_next: bool) {
        if access.write {
            // What linear addresses lead there is not known.
            self.vcpus[self.ran].tlb.note_store_anywhere();
        }
        for n in 0..self.vcpus[self.ran].stops.common_watches().len() {
            let (watch, id) = self.vcpus[self.ran].stops.common_watches()[n];
            if !watch.wants(access.write) {
                continue;
            }
            let Some(data) = self.touched(&watch, access) else { continue };
            let icount = self.clock.icount;
            self.stop_point |= self.vcpus[self.ran].stops.at_outside_access(id, data, icount, before_next);
        }
    }

    /// The part of a watched range that an access touches.
    fn touched(&self, watch: &Watch, access: DmaAccess) -> Option<DataAccess> {
        let last = access.gpa.0.saturating_add(access.len - 1);
        let data = |va: u64, gpa: u64, end: u64| DataAccess {
            va,
            size: (end - gpa).saturating_add(1).min(u64::from(u8::MAX)) as usize,
            write: access.write,
            gpa: Gpa(gpa),
            second: None,
        };
        if watch.space == Space::Physical {
            let (start, end) = (watch.start.max(access.gpa.0), watch.last().min(last));
            return (start <= end).then(|| data(start, start, end));
        }
        // A device knows no linear addresses: those count that a vCPU has for the place now.
        let first_page = watch.start & !PAGE_OFFSET_MASK;
        let pages = ((watch.last() - first_page) / PAGE_SIZE + 1).min(MOST_PAGES);
        for page in (0..pages).map(|k| first_page + k * PAGE_SIZE) {
            let (from, to) = (watch.start.max(page), watch.last().min(page | PAGE_OFFSET_MASK));
            let awake = |cpu: &&Vcpu| matches!(cpu.activity, Activity::Running | Activity::Halted);
            for cpu in self.vcpus.iter().filter(awake) {
                let Some(gpa) = quiet_walk::translate(&self.mem, &cpu.state, from) else { continue };
                let (start, end) = (gpa.0.max(access.gpa.0), (gpa.0 + (to - from)).min(last));
                if start <= end {
                    return Some(data(from + (start - gpa.0), start, end));
                }
            }
        }
        None
    }
}
