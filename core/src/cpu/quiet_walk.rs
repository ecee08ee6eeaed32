//! Page walks for those who only look: no accessed bit is set, no right is asked for.
//!
//! The machine's own walks ([`crate::mem::walk`]) change tables as the guest's CPU would; monitors and
//! stop points must not. SDM vol. 3, chapter 4.

use crate::cpu::CpuState;
use crate::cpu::state::{cr0, cr4};
use crate::mem::Memory;
use crate::types::{Gpa, PAGE_OFFSET_MASK, PAGE_SIZE};

const PRESENT: u64 = 1;
const LARGE: u64 = 1 << 7;
/// Bits 51:12 of an 8-byte entry.
const FRAME: u64 = 0x000F_FFFF_FFFF_F000;

/// Where `address` is mapped to, if it is.
pub fn translate(memory: &Memory, cpu: &CpuState, address: u64) -> Option<Gpa> {
    if cpu.cr0 & cr0::PG == 0 {
        return Some(Gpa(address & 0xFFFF_FFFF));
    }
    let entry64 = |table: u64, index: u64| memory.read_phys::<u64>(Gpa(table + index * 8));
    if cpu.cr4 & cr4::PAE == 0 {
        return legacy(memory, cpu, address);
    }
    let (mut table, levels) = if cpu.long_mode() {
        (cpu.cr3 & FRAME, 4)
    } else {
        let pdpte = cpu.pdpte[(address >> 30) as usize & 3];
        (present(pdpte)? & FRAME, 2)
    };
    for level in (0..levels).rev() {
        let shift = 12 + 9 * level;
        let entry = present(entry64(table, (address >> shift) & 511)?)?;
        if level == 0 || (level < 3 && entry & LARGE != 0) {
            let span = (1u64 << shift) - 1;
            return Some(Gpa((entry & FRAME & !span) | (address & span)));
        }
        table = entry & FRAME;
    }
    None
}

fn legacy(memory: &Memory, cpu: &CpuState, address: u64) -> Option<Gpa> {
    let entry32 = |table: u64, index: u64| memory.read_phys::<u32>(Gpa(table + index * 4)).map(u64::from);
    let directory = present(entry32(cpu.cr3 & 0xFFFF_F000, (address >> 22) & 1023)?)?;
    if directory & LARGE != 0 && cpu.cr4 & cr4::PSE != 0 {
        let high = ((directory >> 13) & 0xFF) << 32;
        return Some(Gpa(high | (directory & 0xFFC0_0000) | (address & 0x3F_FFFF)));
    }
    let page = present(entry32(directory & 0xFFFF_F000, (address >> 12) & 1023)?)?;
    Some(Gpa((page & 0xFFFF_F000) | (address & PAGE_OFFSET_MASK)))
}

fn present(entry: u64) -> Option<u64> {
    (entry & PRESENT != 0).then_some(entry)
}

/// Reads RAM; false if not all of it is RAM.
pub fn read_physical(memory: &Memory, gpa: Gpa, bytes: &mut [u8]) -> bool {
    pieces(gpa.0, bytes).all(|(address, piece)| {
        let Some(offset) = memory.ram_offset(Gpa(address)) else { return false };
        piece.copy_from_slice(memory.ram.slice(offset, piece.len()));
        true
    })
}

/// Reads through page tables; false if not all of it is mapped to RAM.
pub fn read_virtual(memory: &Memory, cpu: &CpuState, address: u64, bytes: &mut [u8]) -> bool {
    pieces(address, bytes).all(|(address, piece)| {
        translate(memory, cpu, address).is_some_and(|gpa| read_physical(memory, gpa, piece))
    })
}

/// `bytes` cut where pages end, each piece with its address.
pub fn pieces(address: u64, mut rest: &mut [u8]) -> impl Iterator<Item = (u64, &mut [u8])> {
    let mut at = address;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let length = rest.len().min((PAGE_SIZE - (at & PAGE_OFFSET_MASK)) as usize);
        let (piece, after) = std::mem::take(&mut rest).split_at_mut(length);
        rest = after;
        let here = at;
        at = at.wrapping_add(length as u64);
        Some((here, piece))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::state::efer;

    fn long_mode() -> (Memory, CpuState) {
        let mut memory = Memory::new(1 << 20).unwrap();
        let entries =
            [(0x1000, 0x2003), (0x2000, 0x3003), (0x3010, 0x4003u64), (0x3018, 0x40_0083), (0x4008, 0x5003)];
        for (gpa, entry) in entries {
            memory.write_bytes(Gpa(gpa), &u64::to_le_bytes(entry));
        }
        let mut cpu = CpuState::reset(0);
        (cpu.cr0, cpu.cr3, cpu.cr4, cpu.efer) = (cr0::PG | cr0::PE, 0x1000, cr4::PAE, efer::LMA);
        (memory, cpu)
    }

    #[test]
    fn four_levels_and_large_pages() {
        let (memory, cpu) = long_mode();
        assert_eq!(translate(&memory, &cpu, 0x40_1123), Some(Gpa(0x5123)));
        assert_eq!(translate(&memory, &cpu, 0x40_0000), None);
        assert_eq!(translate(&memory, &cpu, 0x61_2345), Some(Gpa(0x41_2345)));
    }

    #[test]
    fn looking_sets_no_accessed_bit() {
        let (memory, cpu) = long_mode();
        let mut bytes = [0; 8];
        assert!(read_virtual(&memory, &cpu, 0x40_1000, &mut bytes));
        assert_eq!(memory.read_phys::<u64>(Gpa(0x4008)), Some(0x5003));
    }

    #[test]
    fn a_read_across_a_page_that_is_not_mapped_fails() {
        let (mut memory, cpu) = long_mode();
        memory.write_bytes(Gpa(0x5FFC), &[1, 2, 3, 4]);
        let mut bytes = [0; 4];
        assert!(read_virtual(&memory, &cpu, 0x40_1FFC, &mut bytes));
        assert_eq!(bytes, [1, 2, 3, 4]);
        assert!(!read_virtual(&memory, &cpu, 0x40_1FFE, &mut bytes));
    }

    #[test]
    fn without_paging_addresses_are_physical() {
        let memory = Memory::new(1 << 20).unwrap();
        assert_eq!(translate(&memory, &CpuState::reset(0), 0x1234), Some(Gpa(0x1234)));
    }
}
