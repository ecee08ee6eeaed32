//! Loads and stores of a vCPU: segment checks, translation, RAM or MMIO.
//!
//! The fast path is a hit in the soft TLB within one page. Everything else (a miss, a page
//! boundary, MMIO, a page whose stores are watched, data breakpoints, alignment checks) takes
//! the slow one, which translates every page that is touched before the first byte is written.

use super::env::Env;
use super::flags;
use super::insn::{Insn, insn_flags};
use super::state::{BlockEnd, CodeSize, Vcpu, attr, efer, seg};
use super::stops::DataAccess;
use crate::boundary::{IoAccess, ProbeEvent, ProbeKind};
use crate::mem::{Access, AccessKind, Memory, MmuIndex, Observed, PagingRegs, TableUse, walk};
use crate::types::{Exception, Gpa, PAGE_OFFSET_MASK, PAGE_SHIFT, PAGE_SIZE, Scalar};

/// The bits of CR3 that are the address of the topmost table.
const TOP_TABLE: u64 = 0x000F_FFFF_FFFF_F000;
/// An entry of the topmost of four tables maps so many bytes, as a power of 2.
const TOP_SHIFT: u32 = 39;
/// Present, and accessed.
const TABLE_USED: u64 = 0x21;

impl Vcpu {
    /// The effective address of the memory operand, before segmentation.
    #[inline(always)]
    pub fn effective_address(&self, insn: &Insn) -> u64 {
        let regs = &self.state.regs;
        let index = regs[insn.index as usize] << insn.scale;
        regs[insn.base as usize].wrapping_add(index).wrapping_add(insn.disp) & insn.addr_mask
    }

    /// The linear address of the memory operand, checked for an access of `size` bytes.
    ///
    /// # Errors
    /// #GP or #SS if the segment does not allow it.
    #[inline(always)]
    pub fn linear(&self, insn: &Insn, size: usize, write: bool) -> Result<u64, Exception> {
        let ea = self.effective_address(insn);
        self.linear_at(insn, insn.seg as usize, ea, size, write)
    }

    /// The linear address of offset `ea` in segment `segment` (0..=6) for `insn`'s mode.
    ///
    /// # Errors
    /// #GP or #SS if the segment does not allow it.
    #[inline(always)]
    pub fn linear_at(
        &self,
        insn: &Insn,
        segment: usize,
        ea: u64,
        size: usize,
        write: bool,
    ) -> Result<u64, Exception> {
        if insn.has(insn_flags::SEG_CHECK) {
            self.segment_check(segment, ea, size, write)
        } else {
            Ok(ea.wrapping_add(self.state.segs[segment].base))
        }
    }

    /// Segment limit and type checks outside 64-bit mode (SDM vol. 3, 5.3 and 5.4).
    ///
    /// # Errors
    /// #SS(0) for the stack segment, #GP(0) for the others.
    #[cold]
    pub fn segment_check(&self, segment: usize, ea: u64, size: usize, write: bool) -> Result<u64, Exception> {
        let fault = if segment == seg::SS { Exception::SS0 } else { Exception::GP0 };
        let s = &self.state.segs[segment];
        let linear = s.base.wrapping_add(ea) & 0xFFFF_FFFF;
        if segment == seg::FLAT {
            return Ok(linear);
        }
        let code = s.attributes & attr::CODE != 0;
        if !self.real_mode() {
            let readable = !code || s.attributes & attr::RW != 0;
            let writable = !code && s.attributes & attr::RW != 0;
            if s.attributes & attr::P == 0 || (write && !writable) || !readable {
                return Err(fault);
            }
        }
        let last = ea + size as u64 - 1;
        let expand_down = !code && s.attributes & attr::DC != 0;
        let ok = if expand_down {
            let top = if s.attributes & attr::DB != 0 { 0xFFFF_FFFF } else { 0xFFFF };
            ea > u64::from(s.limit) && last <= top
        } else {
            last <= u64::from(s.limit)
        };
        if ok { Ok(linear) } else { Err(fault) }
    }

    /// Reads linear memory with the rights of the current privilege level.
    ///
    /// # Errors
    /// #PF, or #GP for a non-canonical address, or #AC.
    #[inline(always)]
    pub fn load<T: Scalar>(&mut self, env: &mut Env<'_>, va: u64) -> Exec<T> {
        let e = self.tlb.entry(self.mmu, va);
        let offset = va ^ e.read_tag;
        if offset <= PAGE_SIZE - T::SIZE as u64 {
            return Ok(env.mem.ram.read(env.mem.ram.offset_of(e.host) + offset as usize));
        }
        self.load_slow(env, va, AccessKind::Read, self.mmu)
    }

    /// Reads linear memory that the same instruction is about to write: checked for writing.
    ///
    /// # Errors
    /// As [`Self::load`], with the write bit in the error code.
    #[inline(always)]
    pub fn load_for_write<T: Scalar>(&mut self, env: &mut Env<'_>, va: u64) -> Exec<T> {
        let e = self.tlb.entry(self.mmu, va);
        let offset = va ^ e.write_tag;
        if offset <= PAGE_SIZE - T::SIZE as u64 {
            return Ok(env.mem.ram.read(env.mem.ram.offset_of(e.host) + offset as usize));
        }
        self.load_slow(env, va, AccessKind::Write, self.mmu)
    }

    /// Writes linear memory with the rights of the current privilege level.
    ///
    /// # Errors
    /// #PF, or #GP for a non-canonical address, or #AC. Nothing was written then.
    #[inline(always)]
    pub fn store<T: Scalar>(&mut self, env: &mut Env<'_>, va: u64, v: T) -> Exec<()> {
        let e = self.tlb.entry(self.mmu, va);
        let offset = va ^ e.write_tag;
        if offset <= PAGE_SIZE - T::SIZE as u64 {
            env.mem.ram.write(env.mem.ram.offset_of(e.host) + offset as usize, v);
            return Ok(());
        }
        self.store_slow(env, va, v, self.mmu)
    }

    /// Reads linear memory as the processor itself (descriptor tables, TSS): supervisor rights
    /// at any CPL.
    ///
    /// # Errors
    /// #PF or #GP.
    pub fn load_system<T: Scalar>(&mut self, env: &mut Env<'_>, va: u64) -> Exec<T> {
        self.load_as(env, va, self.system_index())
    }

    /// Writes linear memory as the processor itself.
    ///
    /// # Errors
    /// #PF or #GP. Nothing was written then.
    pub fn store_system<T: Scalar>(&mut self, env: &mut Env<'_>, va: u64, v: T) -> Exec<()> {
        self.store_as(env, va, v, self.system_index())
    }

    /// Reads linear memory with the rights of `index`.
    ///
    /// # Errors
    /// #PF, #GP or #AC.
    pub fn load_as<T: Scalar>(&mut self, env: &mut Env<'_>, va: u64, index: MmuIndex) -> Exec<T> {
        let e = self.tlb.entry(index, va);
        let offset = va ^ e.read_tag;
        if offset <= PAGE_SIZE - T::SIZE as u64 {
            return Ok(env.mem.ram.read(env.mem.ram.offset_of(e.host) + offset as usize));
        }
        self.load_slow(env, va, AccessKind::Read, index)
    }

    /// Writes linear memory with the rights of `index`.
    ///
    /// # Errors
    /// #PF, #GP or #AC. Nothing was written then.
    pub fn store_as<T: Scalar>(&mut self, env: &mut Env<'_>, va: u64, v: T, index: MmuIndex) -> Exec<()> {
        let e = self.tlb.entry(index, va);
        let offset = va ^ e.write_tag;
        if offset <= PAGE_SIZE - T::SIZE as u64 {
            env.mem.ram.write(env.mem.ram.offset_of(e.host) + offset as usize, v);
            return Ok(());
        }
        self.store_slow(env, va, v, index)
    }

    /// The rights of pushes onto the stack of privilege level `cpl`, while it may not be the
    /// current one yet: EFLAGS.AC of user code does not lift SMAP for them.
    pub fn stack_index(&self, cpl: u8) -> MmuIndex {
        match cpl {
            _ if cpl == self.cpl => self.mmu,
            3 => MmuIndex::User,
            _ if self.cpl == 3 => self.system_index(),
            _ => self.mmu,
        }
    }

    /// Implicit supervisor accesses never reach user pages under SMAP, whatever EFLAGS.AC
    /// (SDM vol. 3, 4.6.1).
    pub fn system_index(&self) -> MmuIndex {
        if self.cr4 & super::state::cr4::SMAP != 0 { MmuIndex::KernelSmap } else { MmuIndex::Kernel }
    }

    /// Checks that `[va, va + size)` could be written (or read), without doing it: for
    /// instructions that must not fault half-way.
    ///
    /// # Errors
    /// The exception that the access would raise.
    pub fn probe(&mut self, env: &mut Env<'_>, va: u64, size: usize, kind: AccessKind) -> Exec<()> {
        self.probe_as(env, va, size, kind, self.mmu)
    }

    /// [`Self::probe`] with the rights of `index`.
    ///
    /// # Errors
    /// The exception that the access would raise.
    pub fn probe_as(
        &mut self,
        env: &mut Env<'_>,
        va: u64,
        size: usize,
        kind: AccessKind,
        index: MmuIndex,
    ) -> Exec<()> {
        self.check_address(va, size, index)?;
        let last = self.further(va, size as u64 - 1);
        self.translate(env, va, kind, index)?;
        if (last ^ va) & !PAGE_OFFSET_MASK != 0 {
            self.translate(env, last & !PAGE_OFFSET_MASK, kind, index)?;
        }
        Ok(())
    }

    /// Translates one linear address to a physical one, filling the TLB.
    ///
    /// # Errors
    /// #PF; CR2's value is in `fault_address`.
    pub fn translate(
        &mut self,
        env: &mut Env<'_>,
        va: u64,
        kind: AccessKind,
        index: MmuIndex,
    ) -> Result<Gpa, Exception> {
        if let Some(offset) = self.tlb.find_observed(index, va, kind) {
            return Ok(env.mem.gpa_of(offset as usize));
        }
        if kind == AccessKind::Execute {
            self.tlb.note_fetch(va);
        }
        let regs = self.paging_regs();
        let mut tables = std::mem::take(&mut self.scratch_tables);
        let walked = walk(env.mem, &regs, va, Access { kind, index }, &mut tables);
        let result = match walked {
            Err(fault) => {
                self.fault_address = va;
                Err(Exception::pf(fault.code))
            }
            Ok(t) => {
                // Accessed and dirty bits may have been set within code.
                if env.mem.has_overwritten_code() {
                    self.end_block(BlockEnd::Elsewhere);
                }
                self.tlb.select(&regs);
                self.watch_tables(env.mem, va, &tables, t.own_entry);
                self.inherit_translations(env.mem, &regs);
                if let Some(offset) = env.mem.ram_offset(t.frame)
                    && !self.watching
                    && index != MmuIndex::UserAligned
                {
                    let (stops, probes) = (self.stops.watched(va, t.frame), self.probes.watched(va, t.frame));
                    let observed = Observed {
                        loads: stops.reads || probes.reads,
                        stores: stops.writes || probes.writes,
                        hidden: stops.reads || stops.writes,
                    };
                    let fast = env.mem.fast_write_allowed(offset);
                    self.tlb.bind(env.mem.ram.host_address());
                    if kind == AccessKind::Execute {
                        self.tlb.insert_fetch(index, va, offset as u64);
                    } else if observed == Observed::default() {
                        self.tlb.insert(index, va, &t, offset as u64, fast);
                    } else {
                        self.tlb.insert_observed(index, va, &t, offset as u64, fast, observed);
                    }
                    self.note(env, ProbeKind::TlbFill, || ProbeEvent::TlbFill {
                        address: va & !PAGE_OFFSET_MASK,
                        physical: t.frame.0,
                    });
                }
                Ok(Gpa(t.frame.0 | (va & PAGE_OFFSET_MASK)))
            }
        };
        self.scratch_tables = tables;
        result
    }

    /// Sees to it that stores to the tables of a walk are followed; the last table has
    /// `own_entry` of the page if that says so.
    fn watch_tables(&mut self, mem: &mut Memory, va: u64, tables: &[usize], own_entry: bool) {
        for (n, &table) in tables.iter().enumerate() {
            let last = n + 1 == tables.len();
            mem.watch_table(table, if last && own_entry { TableUse::PageEntry } else { TableUse::Other });
        }
        self.tlb.came_through(va, tables.iter().map(|&table| (table >> PAGE_SHIFT) as u32));
        self.sync_tlb(mem);
    }

    /// If nothing is known of this address space yet, of which a walk has just come through the topmost
    /// table: what the last one knows of the upper half, where their topmost tables have the same entries.
    ///
    /// All other registers that decide translation being the same, such an entry leads to the same
    /// tables, and it was used: so a walk finds the same, and has no accessed bit to set. Those tables are
    /// watched already.
    fn inherit_translations(&mut self, mem: &Memory, regs: &PagingRegs) {
        let Some(other) = self.tlb.ancestor() else { return };
        let (own, four_levels) = (regs.significant(), regs.efer & efer::LMA != 0);
        let top_of = |regs: &PagingRegs| mem.ram_offset(Gpa(regs.cr3 & TOP_TABLE));
        if !four_levels || (PagingRegs { cr3: own.cr3, ..other }) != own {
            return;
        }
        let (Some(here), Some(there)) = (top_of(&own), top_of(&other)) else { return };
        self.tlb.inherit(|va| {
            let at = (va >> TOP_SHIFT) as usize % 512 * 8;
            let entry = mem.ram.read::<u64>(here + at);
            entry & TABLE_USED == TABLE_USED && entry == mem.ram.read::<u64>(there + at)
        });
    }

    /// Brings the TLB in step with stores to page tables, by whomever, and with pages whose
    /// stores must be seen now.
    #[inline]
    pub fn sync_tlb(&mut self, mem: &Memory) {
        let next = mem.changes.next();
        if self.tlb.next_change == next {
            return;
        }
        match mem.changes.since(self.tlb.next_change) {
            Some(changes) => changes.iter().for_each(|&c| self.tlb.follow(c)),
            None => self.tlb.flush(),
        }
        self.tlb.next_change = next;
    }

    fn check_address(&self, va: u64, size: usize, index: MmuIndex) -> Exec<()> {
        // In compatibility mode only descriptor tables and the TSS can lie beyond 4 GiB.
        if self.long_mode() {
            let last = va.wrapping_add(size as u64 - 1);
            if !canonical(va) || !canonical(last) {
                return Err(Exception::GP0);
            }
        }
        if index == MmuIndex::UserAligned && size.is_power_of_two() && va & (size.min(8) as u64 - 1) != 0 {
            return Err(Exception::AC0);
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn load_slow<T: Scalar>(
        &mut self,
        env: &mut Env<'_>,
        va: u64,
        kind: AccessKind,
        index: MmuIndex,
    ) -> Exec<T> {
        self.check_address(va, T::SIZE, index)?;
        let gpa = self.translate(env, va, kind, index)?;
        self.note_data_access(va, T::SIZE, kind);
        let in_page = (PAGE_SIZE - (va & PAGE_OFFSET_MASK)) as usize;
        if in_page >= T::SIZE {
            let access = DataAccess { va, size: T::SIZE, write: false, gpa, second: None };
            self.note_stop(env, access);
            let value: T = self.read_gpa(env, gpa);
            self.note_access(env, access, value.to_u128());
            return Ok(value);
        }
        let second = self.further(va, in_page as u64);
        let gpa2 = self.translate(env, second, kind, index)?;
        let access = DataAccess { va, size: T::SIZE, write: false, gpa, second: Some(gpa2) };
        self.note_stop(env, access);
        let mut bytes = [0u8; 16];
        for (k, b) in bytes[..T::SIZE].iter_mut().enumerate() {
            let at = if k < in_page { Gpa(gpa.0 + k as u64) } else { Gpa(gpa2.0 + (k - in_page) as u64) };
            *b = self.read_gpa(env, at);
        }
        let value = T::from_le_slice(&bytes);
        self.note_access(env, access, value.to_u128());
        Ok(value)
    }

    #[cold]
    #[inline(never)]
    fn store_slow<T: Scalar>(&mut self, env: &mut Env<'_>, va: u64, v: T, index: MmuIndex) -> Exec<()> {
        self.tlb.note_store(va, T::SIZE);
        if let Some(offset) = self.tlb.find(index, va, AccessKind::Write)
            && va & PAGE_OFFSET_MASK <= PAGE_SIZE - T::SIZE as u64
        {
            self.write_ram(env, offset as usize, v);
            if env.mem.fast_write_allowed(offset as usize) {
                self.tlb.allow_fast_writes(index, va);
            }
            return Ok(());
        }
        self.check_address(va, T::SIZE, index)?;
        let gpa = self.translate(env, va, AccessKind::Write, index)?;
        let in_page = (PAGE_SIZE - (va & PAGE_OFFSET_MASK)) as usize;
        if in_page >= T::SIZE {
            self.note_data_access(va, T::SIZE, AccessKind::Write);
            let access = DataAccess { va, size: T::SIZE, write: true, gpa, second: None };
            self.note_stop(env, access);
            self.note_access(env, access, v.to_u128());
            self.write_gpa(env, gpa, v);
            if self.probes.memory
                && let Some(offset) = env.mem.ram_offset(gpa)
                && env.mem.fast_write_allowed(offset)
            {
                self.tlb.allow_fast_writes(index, va);
            }
            return Ok(());
        }
        let second = self.further(va, in_page as u64);
        self.tlb.note_store(second, 1);
        let gpa2 = self.translate(env, second, AccessKind::Write, index)?;
        self.note_data_access(va, T::SIZE, AccessKind::Write);
        let access = DataAccess { va, size: T::SIZE, write: true, gpa, second: Some(gpa2) };
        self.note_stop(env, access);
        self.note_access(env, access, v.to_u128());
        let mut bytes = [0u8; 16];
        v.to_le_slice(&mut bytes);
        for (k, b) in bytes[..T::SIZE].iter().enumerate() {
            let at = if k < in_page { Gpa(gpa.0 + k as u64) } else { Gpa(gpa2.0 + (k - in_page) as u64) };
            self.write_gpa(env, at, *b);
        }
        Ok(())
    }

    /// An observer's watchpoints.
    #[inline]
    fn note_stop(&mut self, env: &Env<'_>, access: DataAccess) {
        if self.stops.at_access(access, env.clock.icount) {
            self.leave_block();
        }
    }

    /// The linear address `bytes` further than `va`, within one operand. Outside 64-bit mode
    /// linear addresses wrap at 4 GiB, as on Zen 4; only tables of the system may lie beyond.
    #[inline]
    pub fn further(&self, va: u64, bytes: u64) -> u64 {
        let sum = va.wrapping_add(bytes);
        if self.code_size == CodeSize::Bits64 || va >> 32 != 0 { sum } else { sum & 0xFFFF_FFFF }
    }

    /// A physical read within one page.
    fn read_gpa<T: Scalar>(&mut self, env: &mut Env<'_>, gpa: Gpa) -> T {
        if let Some(v) = env.mem.read_phys(gpa) {
            return v;
        }
        self.end_block(BlockEnd::Devices);
        if T::SIZE <= 8 {
            return T::from_u128(self.read_mmio(env, gpa, T::SIZE as u8).into());
        }
        let low = self.read_mmio(env, gpa, 8);
        let high = self.read_mmio(env, Gpa(gpa.0 + 8), 8);
        T::from_u128(u128::from(low) | u128::from(high) << 64)
    }

    fn read_mmio(&self, env: &mut Env<'_>, gpa: Gpa, size: u8) -> u64 {
        self.stamp_chips(env);
        let value = env.io.mmio_read(self.id, env.clock.now_ns(), gpa, size);
        let access = IoAccess { address: gpa.0, size, value };
        self.note(env, ProbeKind::MmioRead, || ProbeEvent::MmioRead(access));
        value
    }

    fn write_mmio(&self, env: &mut Env<'_>, gpa: Gpa, size: u8, value: u64) {
        let access = IoAccess { address: gpa.0, size, value };
        self.note(env, ProbeKind::MmioWrite, || ProbeEvent::MmioWrite(access));
        self.stamp_chips(env);
        env.io.mmio_write(self.id, env.clock.now_ns(), gpa, size, value);
    }

    /// A write to RAM within one page; code and translations derived from it are dropped.
    fn write_ram<T: Scalar>(&mut self, env: &mut Env<'_>, offset: usize, v: T) {
        let effect = env.mem.write_watched(offset, v);
        if effect.translations {
            self.sync_tlb(env.mem);
        }
        if effect.code || effect.fetches {
            self.end_block(BlockEnd::Elsewhere);
        }
    }

    /// A physical write within one page.
    fn write_gpa<T: Scalar>(&mut self, env: &mut Env<'_>, gpa: Gpa, v: T) {
        if let Some(offset) = env.mem.ram_offset(gpa) {
            self.write_ram(env, offset, v);
            return;
        }
        self.end_block(BlockEnd::Devices);
        let v = v.to_u128();
        if T::SIZE <= 8 {
            self.write_mmio(env, gpa, T::SIZE as u8, v as u64);
        } else {
            self.write_mmio(env, gpa, 8, v as u64);
            self.write_mmio(env, Gpa(gpa.0 + 8), 8, (v >> 64) as u64);
        }
    }

    /// Whether EFLAGS.AC overrides SMAP now.
    pub fn smap_overridden(&self) -> bool {
        self.flags.system(flags::AC)
    }
}

/// Result of an access.
pub type Exec<T> = Result<T, Exception>;

/// Whether bits 63:47 of an address are all equal.
#[inline]
pub fn canonical(va: u64) -> bool {
    ((va as i64) << 16) >> 16 == va as i64
}
