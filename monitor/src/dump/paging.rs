//! Which virtual addresses a guest maps to which RAM: what `-p` puts into a dump (SDM vol. 3,
//! chapter 4).

use super::DumpError;
use super::source::Source;
use dejavm_core::cpu::CpuState;
use dejavm_core::cpu::state::{cr0, cr4, efer};
use dejavm_core::mem::PHYSICAL_ADDRESS_BITS;
use dejavm_core::types::PAGE_SIZE;
use std::collections::BTreeSet;
use std::ops::Range;

const PRESENT: u64 = 1;
const LARGE: u64 = 1 << 7;
/// So many tables more than RAM has pages: a table may be used more than once.
const MORE_TABLES: u64 = 1 << 16;
const FRAME: u64 = ((1 << PHYSICAL_ADDRESS_BITS) - 1) & !0xFFF;

/// A run of virtual addresses that is mapped to a run of physical ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mapping {
    /// The first virtual address.
    pub virt: u64,
    /// The first physical address.
    pub phys: u64,
    /// The length.
    pub bytes: u64,
}

/// All mappings of all vCPUs to `ram`, by virtual address; each set of tables counts once.
///
/// # Errors
/// If there is no end of tables, since they refer to each other.
pub fn mappings(source: &dyn Source, ram: &[Range<u64>]) -> Result<Vec<Mapping>, DumpError> {
    let mut walked = BTreeSet::new();
    let mut all = Vec::new();
    for cpu in source.vcpus() {
        let pages = super::total(source.ram()) / PAGE_SIZE;
        let mut walk = Walk { source, found: Vec::new(), tables_left: pages + MORE_TABLES };
        if !walked.insert((cpu.cr3 & !0xFFF, mode(cpu))) {
            continue;
        }
        walk.run(cpu);
        if walk.tables_left == 0 {
            return Err(DumpError::PageTables);
        }
        all.append(&mut walk.found);
    }
    let mut cut: Vec<_> = all.iter().flat_map(|m| clip(m, ram)).collect();
    cut.sort_unstable();
    Ok(merge(cut))
}

/// Where the tables of four levels at `directory` map an address to, if they do.
pub fn translate(source: &dyn Source, directory: u64, virt: u64) -> Option<u64> {
    let mut table = directory & FRAME;
    for level in (0..4).rev() {
        let shift = 12 + 9 * level;
        let entry = source.read_u64(table + ((virt >> shift) & 511) * 8)?;
        if entry & PRESENT == 0 {
            return None;
        }
        if level == 0 || (level < 3 && entry & LARGE != 0) {
            let span = (1u64 << shift) - 1;
            return Some((entry & FRAME & !span) | (virt & span));
        }
        table = entry & FRAME;
    }
    None
}

/// How a vCPU translates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    None,
    Legacy,
    Pae,
    FourLevel,
}

fn mode(cpu: &CpuState) -> Mode {
    if cpu.cr0 & cr0::PG == 0 {
        Mode::None
    } else if cpu.cr4 & cr4::PAE == 0 {
        Mode::Legacy
    } else if cpu.efer & efer::LMA == 0 {
        Mode::Pae
    } else {
        Mode::FourLevel
    }
}

struct Walk<'a> {
    source: &'a dyn Source,
    found: Vec<Mapping>,
    /// So many tables may still be looked at.
    tables_left: u64,
}

impl Walk<'_> {
    fn run(&mut self, cpu: &CpuState) {
        match mode(cpu) {
            Mode::None => {}
            Mode::Legacy => self.directory32(cpu.cr3 & 0xFFFF_F000, cpu.cr4 & cr4::PSE != 0),
            Mode::Pae => {
                for (n, &entry) in cpu.pdpte.iter().enumerate() {
                    if entry & PRESENT != 0 {
                        self.table64(entry & FRAME, 1, (n as u64) << 30);
                    }
                }
            }
            Mode::FourLevel => self.table64(cpu.cr3 & FRAME, 3, 0),
        }
    }

    /// A table of 8-byte entries; level 0 maps pages.
    fn table64(&mut self, table: u64, level: u32, base: u64) {
        self.tables_left = self.tables_left.saturating_sub(1);
        let mut page = [0; PAGE_SIZE as usize];
        if self.tables_left == 0 || !self.source.read(table, &mut page) {
            return;
        }
        let shift = 12 + 9 * level;
        for (n, entry) in page.chunks_exact(8).enumerate() {
            let entry = u64::from_le_bytes(entry.try_into().expect("eight bytes"));
            if entry & PRESENT == 0 {
                continue;
            }
            let virt = canonical(base | (n as u64) << shift);
            if level == 0 || (level < 3 && entry & LARGE != 0) {
                let bytes = 1 << shift;
                self.add(Mapping { virt, phys: entry & FRAME & !(bytes - 1), bytes });
            } else {
                self.table64(entry & FRAME, level - 1, virt);
            }
        }
    }

    fn directory32(&mut self, directory: u64, large_pages: bool) {
        for n in 0..1024 {
            let virt = n << 22;
            match self.source.read_u32(directory + 4 * n).map(u64::from) {
                Some(entry) if entry & PRESENT == 0 => {}
                Some(entry) if entry & LARGE != 0 && large_pages => {
                    let phys = (entry & 0xFFC0_0000) | ((entry >> 13) & 0xFF) << 32;
                    self.add(Mapping { virt, phys, bytes: 1 << 22 });
                }
                Some(entry) => self.table32(entry & 0xFFFF_F000, virt),
                None => {}
            }
        }
    }

    fn table32(&mut self, table: u64, base: u64) {
        for n in 0..1024 {
            let Some(entry) = self.source.read_u32(table + 4 * n).map(u64::from) else { return };
            if entry & PRESENT != 0 {
                self.add(Mapping { virt: base | n << 12, phys: entry & 0xFFFF_F000, bytes: 1 << 12 });
            }
        }
    }

    /// Appends, to the last one if it goes on.
    fn add(&mut self, m: Mapping) {
        match self.found.last_mut() {
            Some(last) if goes_on(last, &m) => last.bytes += m.bytes,
            _ => self.found.push(m),
        }
    }
}

fn canonical(address: u64) -> u64 {
    ((address << 16) as i64 >> 16) as u64
}

fn goes_on(last: &Mapping, next: &Mapping) -> bool {
    last.virt.checked_add(last.bytes) == Some(next.virt) && last.phys + last.bytes == next.phys
}

/// What of a mapping lies in RAM.
fn clip(m: &Mapping, ram: &[Range<u64>]) -> impl Iterator<Item = Mapping> {
    ram.iter().filter_map(move |r| {
        let (start, end) = (m.phys.max(r.start), (m.phys + m.bytes).min(r.end));
        let virt = m.virt + start.saturating_sub(m.phys);
        (start < end).then(|| Mapping { virt, phys: start, bytes: end - start })
    })
}

/// Joins what goes on, and drops what is there already: vCPUs share most of their tables. Two
/// vCPUs may map one address differently; then both stay.
fn merge(sorted: Vec<Mapping>) -> Vec<Mapping> {
    let mut merged: Vec<Mapping> = Vec::new();
    for m in sorted {
        match merged.last_mut() {
            Some(last) if goes_on(last, &m) => last.bytes += m.bytes,
            Some(last) if covers(last, &m) => {}
            _ => merged.push(m),
        }
    }
    merged
}

fn covers(last: &Mapping, m: &Mapping) -> bool {
    let offset = m.virt.wrapping_sub(last.virt);
    offset < last.bytes && last.phys + offset == m.phys && offset + m.bytes <= last.bytes
}

#[cfg(test)]
mod tests {
    use super::super::source::fake::Fake;
    use super::*;

    fn put_entries(fake: &mut Fake, entries: &[(u64, u64)]) {
        for (gpa, entry) in entries {
            fake.put(*gpa, &entry.to_le_bytes());
        }
    }

    #[test]
    fn four_levels_with_large_pages_and_both_halves() {
        let mut fake = Fake::new(16 << 20, 0);
        put_entries(
            &mut fake,
            &[
                (0x1000, 0x2003),
                (0x1FF8, 0x2003),
                (0x2000, 0x3003),
                (0x3000, 0x4003),
                (0x3008, 0x80_0083),
                (0x4008, 0x5003),
                (0x4010, 0x6003),
                // An address without RAM.
                (0x4018, 0xFEE0_0003),
            ],
        );
        let cpu = &mut fake.vcpus[0];
        (cpu.cr0, cpu.cr3, cpu.cr4, cpu.efer) = (cr0::PG | cr0::PE, 0x1000, cr4::PAE, efer::LMA);
        let ram = fake.ram.clone();
        let high = 0xFFFF_FF80_0000_0000;
        let expected: Vec<_> = [0, high]
            .into_iter()
            .flat_map(|base| {
                [
                    Mapping { virt: base + 0x1000, phys: 0x5000, bytes: 0x2000 },
                    Mapping { virt: base + 0x20_0000, phys: 0x80_0000, bytes: 0x20_0000 },
                ]
            })
            .collect();
        assert_eq!(mappings(&fake, &ram).unwrap(), expected);
        let found = [0x1123, high + 0x20_0001, 0x3000, 0x40_0000].map(|virt| translate(&fake, 0x1000, virt));
        assert_eq!(found, [Some(0x5123), Some(0x80_0001), Some(0xFEE0_0000), None]);
        // The same tables once more, by another vCPU.
        let mut other = fake.vcpus[0].clone();
        other.cr3 = 0x7000;
        fake.put(0x7FF8, &0x2003u64.to_le_bytes());
        fake.vcpus.push(other);
        assert_eq!(mappings(&fake, &ram).unwrap(), expected);
        assert_eq!(
            mappings(&fake, &[0x6000..0x7000]).unwrap().iter().map(|m| (m.virt, m.bytes)).collect::<Vec<_>>(),
            [(0x2000, 0x1000), (high + 0x2000, 0x1000)]
        );
    }

    #[test]
    fn tables_that_point_into_themselves_end() {
        let mut fake = Fake::new(1 << 20, 0);
        put_entries(&mut fake, &[(0x1000, 0x1003)]);
        let cpu = &mut fake.vcpus[0];
        (cpu.cr0, cpu.cr3, cpu.cr4, cpu.efer) = (cr0::PG | cr0::PE, 0x1000, cr4::PAE, efer::LMA);
        let ram = fake.ram.clone();
        assert_eq!(mappings(&fake, &ram).unwrap(), [Mapping { virt: 0, phys: 0x1000, bytes: 0x1000 }]);
        put_entries(&mut fake, &(0..512).map(|n| (0x1000 + 8 * n, 0x1003)).collect::<Vec<_>>());
        assert!(matches!(mappings(&fake, &ram), Err(DumpError::PageTables)));
    }

    #[test]
    fn two_levels() {
        let mut fake = Fake::new(16 << 20, 0);
        for (gpa, entry) in [(0x1000u64, 0x2003u32), (0x1004, 0x80_0083), (0x2004, 0x5003), (0x2008, 0x9003)]
        {
            fake.put(gpa, &entry.to_le_bytes());
        }
        let cpu = &mut fake.vcpus[0];
        (cpu.cr0, cpu.cr3, cpu.cr4) = (cr0::PG | cr0::PE, 0x1000, cr4::PSE);
        let ram = fake.ram.clone();
        let expected = [
            Mapping { virt: 0x1000, phys: 0x5000, bytes: 0x1000 },
            Mapping { virt: 0x2000, phys: 0x9000, bytes: 0x1000 },
            Mapping { virt: 0x40_0000, phys: 0x80_0000, bytes: 0x40_0000 },
        ];
        assert_eq!(mappings(&fake, &ram).unwrap(), expected);
    }

    #[test]
    fn without_paging_nothing_is_mapped() {
        let fake = Fake::new(1 << 20, 0);
        assert_eq!(mappings(&fake, &fake.ram.clone()).unwrap(), []);
    }
}
