//! Page walks: 32-bit, PAE and 4-level paging (SDM vol. 3, chapter 4).
//!
//! A walk reads the tables, checks rights, and sets accessed and dirty bits, all or nothing:
//! a walk that faults changes no table.

use super::memory::Memory;
use super::soft_tlb::MmuIndex;
use crate::types::{Gpa, PAGE_OFFSET_MASK, PAGE_SHIFT};

/// The registers that decide how an address is translated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PagingRegs {
    /// CR0.
    pub cr0: u64,
    /// CR3.
    pub cr3: u64,
    /// CR4.
    pub cr4: u64,
    /// IA32_EFER.
    pub efer: u64,
    /// The PDPTE registers of PAE paging, loaded with CR3 (SDM vol. 3, 4.4.1).
    pub pdpte: [u64; 4],
}

impl PagingRegs {
    /// The same with everything cleared that has no part in translation now: equal registers
    /// translate alike.
    pub fn significant(&self) -> Self {
        if self.cr0 & CR0_PG == 0 {
            return Self::default();
        }
        let pae = self.cr4 & CR4_PAE != 0 && self.efer & EFER_LMA == 0;
        Self {
            cr0: self.cr0 & (CR0_PG | CR0_WP),
            cr3: self.cr3 & !PAGE_OFFSET_MASK,
            cr4: self.cr4 & (CR4_PSE | CR4_PAE | CR4_SMEP),
            efer: self.efer & (EFER_LMA | EFER_NXE),
            pdpte: if pae { self.pdpte } else { [0; 4] },
        }
    }
}

/// What an access wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessKind {
    /// A data read.
    Read,
    /// A data write, or a read that a write of the same instruction follows.
    Write,
    /// An instruction fetch.
    Execute,
}

/// An access to be translated.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// What it does.
    pub kind: AccessKind,
    /// Whose rights it has.
    pub index: MmuIndex,
}

/// The result of a walk: a page, and all that this MMU index may do with it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The 4-KiB frame that the address lies in.
    pub frame: Gpa,
    /// Reads are allowed.
    pub readable: bool,
    /// Writes are allowed, and the dirty bit is set.
    pub writable: bool,
    /// Fetches are allowed.
    pub executable: bool,
    /// The last table entry has 8 bytes and maps this page alone.
    pub own_entry: bool,
}

/// A walk that failed: the error code of the #PF (SDM vol. 3, figure 4-12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageFault {
    /// P, W/R, U/S, RSVD and I/D bits.
    pub code: u16,
}

const CR0_WP: u64 = 1 << 16;
const CR0_PG: u64 = 1 << 31;
const CR4_PSE: u64 = 1 << 4;
const CR4_PAE: u64 = 1 << 5;
const CR4_SMEP: u64 = 1 << 20;
const EFER_LMA: u64 = 1 << 10;
const EFER_NXE: u64 = 1 << 11;

const P: u64 = 1;
const RW: u64 = 1 << 1;
const US: u64 = 1 << 2;
const A: u64 = 1 << 5;
const D: u64 = 1 << 6;
const PS: u64 = 1 << 7;
const NX: u64 = 1 << 63;

const PF_P: u16 = 1;
const PF_W: u16 = 2;
const PF_U: u16 = 4;
const PF_RSVD: u16 = 8;
const PF_I: u16 = 16;

/// Width of physical addresses (CPUID 8000_0008h).
pub const PHYSICAL_ADDRESS_BITS: u32 = 40;
const ADDRESS: u64 = ((1 << PHYSICAL_ADDRESS_BITS) - 1) & !PAGE_OFFSET_MASK;

/// Translates `va`. On success, `tables` receives the RAM offset of each table entry used
/// (at most 4), for the caller to watch.
///
/// # Errors
/// The error code of the page fault.
pub fn walk(
    mem: &mut Memory,
    regs: &PagingRegs,
    va: u64,
    access: Access,
    tables: &mut Vec<usize>,
) -> Result<Translation, PageFault> {
    tables.clear();
    if regs.cr0 & CR0_PG == 0 {
        return Ok(Translation {
            frame: Gpa(va & !PAGE_OFFSET_MASK),
            readable: true,
            writable: true,
            executable: true,
            own_entry: false,
        });
    }
    let mut w = Walk { mem, regs, access, tables, rights: Rights { write: true, user: true, execute: true } };
    if regs.cr4 & CR4_PAE == 0 {
        w.legacy(va)
    } else if regs.efer & EFER_LMA == 0 {
        w.pae(va)
    } else {
        w.four_level(va)
    }
}

/// The rights that the levels grant together.
#[derive(Clone, Copy)]
struct Rights {
    write: bool,
    user: bool,
    execute: bool,
}

struct Walk<'a> {
    mem: &'a mut Memory,
    regs: &'a PagingRegs,
    access: Access,
    tables: &'a mut Vec<usize>,
    rights: Rights,
}

impl Walk<'_> {
    fn four_level(&mut self, va: u64) -> Result<Translation, PageFault> {
        let mut table = self.regs.cr3 & ADDRESS;
        for level in (0..4).rev() {
            let shift = 12 + 9 * level;
            let (offset, entry) = self.entry64(table + ((va >> shift) & 511) * 8)?;
            // PS is reserved in PML4 entries; bits below the frame are reserved in large leaves.
            let leaf = level == 0 || (level < 3 && entry & PS != 0);
            let reserved = if level == 3 {
                PS
            } else if leaf && level > 0 {
                ((1 << shift) - 1) & !0x1FFF
            } else {
                0
            };
            self.descend64(offset, entry, reserved)?;
            if leaf {
                return self.finish64(offset, entry, shift, va);
            }
            table = entry & ADDRESS;
        }
        unreachable!("level 0 is always a leaf")
    }

    fn pae(&mut self, va: u64) -> Result<Translation, PageFault> {
        let pdpte = self.regs.pdpte[(va >> 30) as usize & 3];
        if pdpte & P == 0 {
            return Err(self.fault(0));
        }
        let (offset, pde) = self.entry64((pdpte & ADDRESS) + ((va >> 21) & 511) * 8)?;
        let large = pde & PS != 0;
        let reserved = PAE_RESERVED | if large { 0x1F_E000 } else { 0 };
        self.descend64(offset, pde, reserved)?;
        if large {
            return self.finish64(offset, pde, 21, va);
        }
        let (offset, pte) = self.entry64((pde & ADDRESS) + ((va >> 12) & 511) * 8)?;
        self.descend64(offset, pte, PAE_RESERVED)?;
        self.finish64(offset, pte, 12, va)
    }

    fn legacy(&mut self, va: u64) -> Result<Translation, PageFault> {
        let (pde_offset, pde) = self.entry32((self.regs.cr3 & 0xFFFF_F000) + ((va >> 22) & 1023) * 4)?;
        if pde & PS != 0 && self.regs.cr4 & CR4_PSE != 0 {
            // PSE-36 (CPUID): bits 20:13 hold address bits 39:32, bit 21 is reserved.
            self.descend(pde_offset, pde, pde & (1 << 21) != 0)?;
            let base = (pde & 0xFFC0_0000) | ((pde >> 13) & 0xFF) << 32;
            return self.finish32(pde_offset, pde, base | (va & 0x3F_F000));
        }
        self.descend(pde_offset, pde, false)?;
        let (pte_offset, pte) = self.entry32((pde & 0xFFFF_F000) + ((va >> 12) & 1023) * 4)?;
        self.descend(pte_offset, pte, false)?;
        self.finish32(pte_offset, pte, pte & 0xFFFF_F000)
    }

    fn entry64(&mut self, gpa: u64) -> Result<(usize, u64), PageFault> {
        let offset = self.mem.ram_offset(Gpa(gpa)).ok_or_else(|| self.fault(0))?;
        Ok((offset, self.mem.ram.read::<u64>(offset)))
    }

    fn entry32(&mut self, gpa: u64) -> Result<(usize, u64), PageFault> {
        let offset = self.mem.ram_offset(Gpa(gpa)).ok_or_else(|| self.fault(0))?;
        Ok((offset, u64::from(self.mem.ram.read::<u32>(offset))))
    }

    fn descend64(&mut self, offset: usize, entry: u64, reserved: u64) -> Result<(), PageFault> {
        let nxe = self.regs.efer & EFER_NXE != 0;
        let high = ((1u64 << 52) - 1) & !((1 << PHYSICAL_ADDRESS_BITS) - 1);
        let reserved = reserved | high | if nxe { 0 } else { NX };
        self.descend(offset, entry, entry & reserved != 0)?;
        if entry & NX != 0 {
            self.rights.execute = false;
        }
        Ok(())
    }

    /// Takes one entry into account: present, reserved bits, rights.
    fn descend(&mut self, offset: usize, entry: u64, reserved: bool) -> Result<(), PageFault> {
        if entry & P == 0 {
            return Err(self.fault(0));
        }
        if reserved {
            return Err(self.fault(PF_P | PF_RSVD));
        }
        self.tables.push(offset);
        self.rights.write &= entry & RW != 0;
        self.rights.user &= entry & US != 0;
        Ok(())
    }

    fn finish64(&mut self, leaf: usize, entry: u64, shift: u32, va: u64) -> Result<Translation, PageFault> {
        let span = (1u64 << shift) - 1;
        let frame = (entry & ADDRESS & !span) | (va & span & !PAGE_OFFSET_MASK);
        self.check()?;
        for i in 0..self.tables.len() {
            let offset = self.tables[i];
            let old = self.mem.ram.read::<u64>(offset);
            let new = old | self.bits_to_set(offset == leaf);
            if new != old {
                self.mem.write_table_bits(offset, new);
            }
        }
        let dirty = self.mem.ram.read::<u64>(leaf) & D != 0;
        Ok(self.translation(frame, dirty, shift == PAGE_SHIFT))
    }

    fn finish32(&mut self, leaf: usize, _entry: u64, frame: u64) -> Result<Translation, PageFault> {
        self.check()?;
        for i in 0..self.tables.len() {
            let offset = self.tables[i];
            let old = self.mem.ram.read::<u32>(offset);
            let new = old | self.bits_to_set(offset == leaf) as u32;
            if new != old {
                self.mem.write_table_bits(offset, new);
            }
        }
        let dirty = u64::from(self.mem.ram.read::<u32>(leaf)) & D != 0;
        Ok(self.translation(frame & !PAGE_OFFSET_MASK, dirty, false))
    }

    fn bits_to_set(&self, leaf: bool) -> u64 {
        if leaf && self.access.kind == AccessKind::Write { A | D } else { A }
    }

    fn translation(&self, frame: u64, dirty: bool, own_entry: bool) -> Translation {
        Translation {
            frame: Gpa(frame),
            readable: self.may(AccessKind::Read),
            writable: dirty && self.may(AccessKind::Write),
            executable: self.may(AccessKind::Execute),
            own_entry,
        }
    }

    fn check(&self) -> Result<(), PageFault> {
        if self.may(self.access.kind) { Ok(()) } else { Err(self.fault(PF_P)) }
    }

    /// The rights of SDM vol. 3, 4.6.1.
    fn may(&self, kind: AccessKind) -> bool {
        let r = self.rights;
        match (self.access.index, kind) {
            (MmuIndex::User | MmuIndex::UserAligned, AccessKind::Read) => r.user,
            (MmuIndex::User | MmuIndex::UserAligned, AccessKind::Write) => r.user && r.write,
            (MmuIndex::User | MmuIndex::UserAligned, AccessKind::Execute) => r.user && r.execute,
            (_, AccessKind::Execute) => r.execute && !(r.user && self.regs.cr4 & CR4_SMEP != 0),
            (index, kind) => {
                let reach = !(r.user && index == MmuIndex::KernelSmap);
                let write = kind == AccessKind::Read || r.write || self.regs.cr0 & CR0_WP == 0;
                reach && write
            }
        }
    }

    fn fault(&self, cause: u16) -> PageFault {
        let user = matches!(self.access.index, MmuIndex::User | MmuIndex::UserAligned);
        let mut code = cause | if user { PF_U } else { 0 };
        match self.access.kind {
            AccessKind::Read => {}
            AccessKind::Write => code |= PF_W,
            // I/D is reported only where fetches can be refused (SDM vol. 3, 4.7).
            AccessKind::Execute => {
                let nxe = self.regs.efer & EFER_NXE != 0 && self.regs.cr4 & CR4_PAE != 0;
                if nxe || self.regs.cr4 & CR4_SMEP != 0 {
                    code |= PF_I;
                }
            }
        }
        PageFault { code }
    }
}

/// Bits 62:52 are reserved in PAE paging.
const PAE_RESERVED: u64 = 0x7FF0_0000_0000_0000;

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: PagingRegs =
        PagingRegs { cr0: CR0_PG | 1, cr3: 0x1000, cr4: CR4_PAE, efer: EFER_LMA | EFER_NXE, pdpte: [0; 4] };

    fn put(mem: &mut Memory, gpa: u64, entry: u64) {
        mem.write_bytes(Gpa(gpa), &entry.to_le_bytes());
    }

    /// Maps linear 0x40_0000 to frame 0x5000 with the given leaf bits.
    fn tables(leaf: u64) -> Memory {
        let mut mem = Memory::new(1 << 20).unwrap();
        put(&mut mem, 0x1000, 0x2000 | P | RW | US);
        put(&mut mem, 0x2000, 0x3000 | P | RW | US);
        put(&mut mem, 0x3010, 0x4000 | P | RW | US);
        put(&mut mem, 0x4000, 0x5000 | leaf);
        mem
    }

    fn go(
        mem: &mut Memory,
        regs: &PagingRegs,
        kind: AccessKind,
        index: MmuIndex,
    ) -> Result<Translation, u16> {
        walk(mem, regs, 0x40_0123, Access { kind, index }, &mut Vec::new()).map_err(|f| f.code)
    }

    #[test]
    fn accessed_and_dirty_bits() {
        let mut mem = tables(P | RW | US);
        let t = go(&mut mem, &LONG, AccessKind::Read, MmuIndex::User).unwrap();
        assert_eq!((t.frame, t.readable, t.writable, t.executable), (Gpa(0x5000), true, false, true));
        assert_eq!(mem.read_phys::<u64>(Gpa(0x4000)), Some(0x5000 | P | RW | US | A));
        assert_eq!(mem.read_phys::<u64>(Gpa(0x1000)), Some(0x2000 | P | RW | US | A));
        assert!(go(&mut mem, &LONG, AccessKind::Write, MmuIndex::User).unwrap().writable);
        assert_eq!(mem.read_phys::<u64>(Gpa(0x4000)), Some(0x5000 | P | RW | US | A | D));
    }

    #[test]
    fn error_codes() {
        let wp = PagingRegs { cr0: LONG.cr0 | CR0_WP, ..LONG };
        let smep = PagingRegs { cr4: LONG.cr4 | CR4_SMEP, ..LONG };
        let no_nx = PagingRegs { efer: EFER_LMA, ..LONG };
        let rows = [
            (0, LONG, AccessKind::Read, MmuIndex::Kernel, Err(0)),
            (0, LONG, AccessKind::Write, MmuIndex::User, Err(PF_W | PF_U)),
            (P, LONG, AccessKind::Read, MmuIndex::User, Err(PF_P | PF_U)),
            (P | US, LONG, AccessKind::Write, MmuIndex::User, Err(PF_P | PF_W | PF_U)),
            (P | US, LONG, AccessKind::Write, MmuIndex::Kernel, Ok(())),
            (P | US, wp, AccessKind::Write, MmuIndex::Kernel, Err(PF_P | PF_W)),
            (P | US | NX, LONG, AccessKind::Execute, MmuIndex::User, Err(PF_P | PF_U | PF_I)),
            (P | US | NX, no_nx, AccessKind::Read, MmuIndex::User, Err(PF_P | PF_U | PF_RSVD)),
            (P | US, LONG, AccessKind::Execute, MmuIndex::Kernel, Ok(())),
            (P | US, smep, AccessKind::Execute, MmuIndex::Kernel, Err(PF_P | PF_I)),
            (P | US, LONG, AccessKind::Read, MmuIndex::KernelSmap, Err(PF_P)),
            (P | US, LONG, AccessKind::Read, MmuIndex::Kernel, Ok(())),
            (P | US | 1 << 45, LONG, AccessKind::Read, MmuIndex::User, Err(PF_P | PF_U | PF_RSVD)),
        ];
        for (n, (leaf, regs, kind, index, want)) in rows.into_iter().enumerate() {
            let mut mem = tables(leaf);
            let before = mem.read_phys::<u64>(Gpa(0x4000));
            let got = go(&mut mem, &regs, kind, index);
            assert_eq!(got.map(|_| ()), want, "row {n}");
            if want.is_err() {
                assert_eq!(mem.read_phys::<u64>(Gpa(0x4000)), before, "row {n}: a fault changes nothing");
            }
        }
    }
}
