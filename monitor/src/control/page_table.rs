//! All pages that a vCPU has mapped, in ascending order. SDM vol. 3, chapter 4.

use dejavm_core::cpu::CpuState;
use dejavm_core::cpu::state::{cr0, cr4, efer};
use dejavm_core::mem::Memory;
use dejavm_core::types::Gpa;

const PRESENT: u64 = 1;
const LARGE: u64 = 1 << 7;
/// Write and user: what every level must grant.
const RIGHTS: u64 = 6;
/// Bits 51:12 of an 8-byte entry.
const FRAME: u64 = 0x000F_FFFF_FFFF_F000;

/// A mapped page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its first address, canonical.
    pub address: u64,
    /// Where it is in physical memory.
    pub physical: u64,
    /// Its size.
    pub bytes: u64,
    /// The entry that maps it.
    pub entry: u64,
    /// Write (2) and user (4), as far as all levels grant them.
    pub rights: u64,
}

/// Whether addresses are translated at all.
pub fn paging(cpu: &CpuState) -> bool {
    cpu.cr0 & cr0::PG != 0
}

/// How tables are made up.
struct Format {
    /// The levels, the root's first: the lowest address bit that an entry's number has.
    shifts: &'static [u32],
    entry_bytes: u64,
    index_bits: u32,
    /// Addresses are sign-extended from here.
    address_bits: u32,
    /// From which level on (as the shift) entries may map large pages.
    large_below: u32,
}

const LEVELS_4: Format =
    Format { shifts: &[39, 30, 21, 12], entry_bytes: 8, index_bits: 9, address_bits: 48, large_below: 31 };
const PAE: Format =
    Format { shifts: &[21, 12], entry_bytes: 8, index_bits: 9, address_bits: 64, large_below: 22 };
const LEGACY: Format =
    Format { shifts: &[22, 12], entry_bytes: 4, index_bits: 10, address_bits: 64, large_below: 23 };

/// Calls `see` for each page.
pub fn each(memory: &Memory, cpu: &CpuState, see: &mut dyn FnMut(Page)) {
    if !paging(cpu) {
        return;
    }
    if cpu.cr4 & cr4::PAE == 0 {
        let large = cpu.cr4 & cr4::PSE != 0;
        Walk { memory, format: &LEGACY, large }.table(cpu.cr3 & 0xFFFF_F000, 0, 0, RIGHTS, see);
    } else if cpu.efer & efer::LMA != 0 {
        Walk { memory, format: &LEVELS_4, large: true }.table(cpu.cr3 & FRAME, 0, 0, RIGHTS, see);
    } else {
        for (n, entry) in cpu.pdpte.iter().enumerate().filter(|(_, entry)| **entry & PRESENT != 0) {
            let walk = Walk { memory, format: &PAE, large: true };
            walk.table(entry & FRAME, 0, (n as u64) << 30, RIGHTS, see);
        }
    }
}

struct Walk<'a> {
    memory: &'a Memory,
    format: &'static Format,
    large: bool,
}

impl Walk<'_> {
    fn table(&self, table: u64, level: usize, base: u64, rights: u64, see: &mut dyn FnMut(Page)) {
        let Format { shifts, entry_bytes, index_bits, .. } = *self.format;
        let shift = shifts[level];
        for index in 0..1u64 << index_bits {
            let gpa = Gpa(table + index * entry_bytes);
            let entry = match entry_bytes {
                8 => self.memory.read_phys::<u64>(gpa),
                _ => self.memory.read_phys::<u32>(gpa).map(u64::from),
            };
            let Some(entry) = entry.filter(|entry| entry & PRESENT != 0) else { continue };
            let address = base + (index << shift);
            let rights = rights & entry;
            let is_large = self.large && shift < self.format.large_below && entry & LARGE != 0;
            if shift == 12 || is_large {
                see(self.page(address, shift, entry, rights));
            } else {
                let frame = if entry_bytes == 8 { entry & FRAME } else { entry & 0xFFFF_F000 };
                self.table(frame, level + 1, address, rights, see);
            }
        }
    }

    fn page(&self, address: u64, shift: u32, entry: u64, rights: u64) -> Page {
        let bytes = 1u64 << shift;
        let unused = 64 - self.format.address_bits;
        let physical = match (self.format.entry_bytes, shift) {
            (4, 22) => entry & 0xFFC0_0000 | (entry >> 13 & 0xFF) << 32,
            (4, _) => entry & 0xFFFF_F000,
            _ => entry & FRAME & !(bytes - 1),
        };
        let address = ((address << unused) as i64 >> unused) as u64;
        Page { address, physical, bytes, entry, rights }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_levels() {
        let mut memory = Memory::new(1 << 20).unwrap();
        let entries = [
            (0x1000, 0x2007),
            (0x1FF8, 0x2003),
            (0x2000, 0x3007u64),
            (0x3010, 0x4007),
            (0x3018, 0x40_0083),
            (0x4008, 0x8000_0000_0000_5007),
        ];
        for (gpa, entry) in entries {
            memory.write_bytes(Gpa(gpa), &u64::to_le_bytes(entry));
        }
        let mut cpu = CpuState::reset(0);
        let mut pages = Vec::new();
        each(&memory, &cpu, &mut |page| pages.push(page));
        assert_eq!(pages, [], "there is no paging yet");
        (cpu.cr0, cpu.cr3, cpu.cr4, cpu.efer) = (cr0::PG | cr0::PE, 0x1000, cr4::PAE, efer::LMA);
        each(&memory, &cpu, &mut |page| pages.push(page));
        let seen: Vec<_> = pages.iter().map(|p| (p.address, p.physical, p.bytes, p.rights)).collect();
        assert_eq!(
            seen,
            [
                (0x40_1000, 0x5000, 0x1000, 6),
                (0x60_0000, 0x40_0000, 0x20_0000, 2),
                (0xFFFF_FF80_0040_1000, 0x5000, 0x1000, 2),
                (0xFFFF_FF80_0060_0000, 0x40_0000, 0x20_0000, 2),
            ]
        );
    }

    #[test]
    fn two_levels() {
        let mut memory = Memory::new(1 << 20).unwrap();
        for (gpa, entry) in [(0x1000, 0x2007u32), (0x1004, 0x80_0087), (0x2004, 0x5005)] {
            memory.write_bytes(Gpa(gpa), &entry.to_le_bytes());
        }
        let mut cpu = CpuState::reset(0);
        (cpu.cr0, cpu.cr3, cpu.cr4) = (cr0::PG | cr0::PE, 0x1000, cr4::PSE);
        let mut pages = Vec::new();
        each(&memory, &cpu, &mut |page| pages.push((page.address, page.physical, page.bytes, page.rights)));
        assert_eq!(pages, [(0x1000, 0x5000, 0x1000, 4), (0x40_0000, 0x80_0000, 0x40_0000, 6)]);
    }
}
