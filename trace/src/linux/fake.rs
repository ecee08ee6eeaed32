//! A guest for tests: RAM with page tables, and a vCPU in long mode.

use super::guest::Guest;
use dejavm_core::cpu::CpuState;
use dejavm_core::cpu::state::{cr0, cr4, efer};
use dejavm_core::types::VcpuId;

/// Where its top table is.
const TABLES: u64 = 0x1000;

/// It.
pub struct Fake {
    pub ram: Vec<u8>,
    pub cpus: Vec<CpuState>,
    next_table: u64,
}

impl Fake {
    /// With a vCPU and nothing mapped. Tables take their pages from 4 KiB on.
    pub fn new(ram_bytes: usize) -> Self {
        let mut cpu = CpuState::reset(0);
        (cpu.cr0, cpu.cr3, cpu.cr4, cpu.efer) = (cr0::PG | cr0::PE, TABLES, cr4::PAE, efer::LMA);
        Self { ram: vec![0; ram_bytes], cpus: vec![cpu], next_table: TABLES + 0x1000 }
    }

    /// Maps pages.
    pub fn map(&mut self, address: u64, physical: u64, bytes: u64) {
        for offset in (0..bytes).step_by(4096) {
            let mut table = TABLES;
            for level in (0..4).rev() {
                let at = (table + 8 * ((address + offset) >> (12 + 9 * level) & 511)) as usize;
                let entry = u64::from_le_bytes(self.ram[at..at + 8].try_into().unwrap());
                if level == 0 {
                    self.put(at as u64, &(physical + offset | 3).to_le_bytes());
                } else if entry == 0 {
                    self.put(at as u64, &(self.next_table | 3).to_le_bytes());
                    table = self.next_table;
                    self.next_table += 0x1000;
                } else {
                    table = entry & !0xFFF;
                }
            }
        }
    }

    /// Writes RAM.
    pub fn put(&mut self, physical: u64, bytes: &[u8]) {
        self.ram[physical as usize..][..bytes.len()].copy_from_slice(bytes);
    }
}

impl Guest for Fake {
    fn vcpus(&self) -> usize {
        self.cpus.len()
    }
    fn cpu(&self, vcpu: VcpuId) -> Option<&CpuState> {
        self.cpus.get(vcpu)
    }
    fn ram_bytes(&self) -> u64 {
        self.ram.len() as u64
    }
    fn read_physical(&self, gpa: u64, bytes: &mut [u8]) -> bool {
        let there = usize::try_from(gpa).ok().and_then(|at| self.ram.get(at..at.checked_add(bytes.len())?));
        there.map(|from| bytes.copy_from_slice(from)).is_some()
    }
}
