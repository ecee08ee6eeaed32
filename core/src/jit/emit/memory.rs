//! Memory operands: from an effective address to a host address that was checked.

use super::Emitter;
use super::exits::Cold;
use super::flags::Host;
use super::hooks::Made;
use super::loops::Kept;
use crate::codemem::field;
use crate::cpu::insn::{self, SEG_FLAT};
use crate::cpu::state::seg;
use crate::jit::asm::{Alu, Label, Mem, NONE, Rm, Width, host};
use crate::jit::regs::pinned;
use crate::mem::tlb_layout;
use crate::types::{PAGE_OFFSET_MASK, PAGE_SHIFT, PAGE_SIZE};
use iced_x86::{Mnemonic, OpKind};

/// An access through registers that the host has in registers.
#[derive(Clone, Copy)]
pub(super) struct Access {
    /// Its address.
    address: Mem,
    bytes: usize,
    /// Which tag of an entry must match.
    pub(super) tag: i32,
}

impl Access {
    /// The operand, if one register and a constant make the address: with RCX for what is to be added.
    fn behind_rcx(self) -> Option<Mem> {
        let Mem { base, index, .. } = self.address;
        match (base, index) {
            (h, NONE) => Some(Mem { base: host::RCX, index: h, scale: 0, ..self.address }),
            (NONE, _) => Some(Mem { base: host::RCX, ..self.address }),
            _ => None,
        }
    }
}

/// An effective address.
pub enum Effective {
    /// Known.
    Constant(u64),
    /// What LEA would add up.
    Sum(Mem),
    /// Not in this form.
    Unknown,
}

impl Emitter<'_> {
    /// The effective address of the memory operand, or parts of one that the host can add up.
    /// Cold registers are loaded into RCX and RDX.
    pub fn effective(&mut self) -> Effective {
        let insn = self.insn;
        if insn.base == insn::RIP {
            let ea = self.next_rip().wrapping_add(insn.disp);
            // No index with RIP.
            return Effective::Constant(ea & insn.addr_mask);
        }
        let base = (insn.base < 16).then(|| self.read(insn.base, host::RCX)).unwrap_or(NONE);
        let index = (insn.index < 16).then(|| self.read(insn.index, host::RDX)).unwrap_or(NONE);
        if base == NONE && index == NONE {
            return Effective::Constant(insn.disp & insn.addr_mask);
        }
        let disp = insn.disp as i64 as i32;
        if i64::from(disp) != insn.disp as i64 && insn.addr_mask == u64::MAX {
            // No such encoding in 64-bit mode.
            return Effective::Unknown;
        }
        Effective::Sum(Mem { base, index, scale: insn.scale, disp })
    }

    /// The linear address of the memory operand in RCX. False if it is beyond this function.
    pub(super) fn linear(&mut self) -> bool {
        let width = if self.insn.addr_mask == u64::MAX { Width::Q } else { Width::D };
        match self.effective() {
            Effective::Unknown => return false,
            Effective::Constant(ea) => self.asm.mov_imm(host::RCX, ea),
            // Cold registers are in RCX already.
            Effective::Sum(Mem { base: host::RCX, index: NONE, disp: 0, .. }) if width == Width::Q => {}
            Effective::Sum(m) if m.index == NONE && m.disp == 0 => {
                self.asm.load(width, host::RCX, Rm::R(m.base));
            }
            Effective::Sum(m) => self.asm.lea(width, host::RCX, m),
        }
        self.add_segment_base();
        true
    }

    pub(super) fn add_segment_base(&mut self) {
        let at = match usize::from(self.insn.seg) {
            seg::FS => field::FS_BASE,
            seg::GS => field::GS_BASE,
            _ => return,
        };
        self.asm.alu(Alu::Add, Width::Q, host::RCX, Rm::M(Mem::at(host::RSP, at)));
    }

    /// Whether [`Self::memory`] can do this instruction's operand.
    pub(super) fn addressable(&self) -> bool {
        let flat = self.insn.seg == SEG_FLAT || usize::from(self.insn.seg) >= seg::FS;
        let size = matches!(self.insn.addr_mask, u64::MAX | 0xFFFF_FFFF);
        let near = self.insn.disp as i64 == i64::from(self.insn.disp as i32)
            || self.insn.base == insn::RIP
            || (self.insn.base == insn::ZERO && self.insn.index == insn::ZERO)
            || self.insn.addr_mask == 0xFFFF_FFFF;
        flat && size && near
    }

    /// The memory operand as a host operand, checked for an access of `bytes` bytes; `None` if
    /// that cannot be done here (nothing was appended then).
    pub fn memory(&mut self, bytes: usize, write: bool) -> Option<Mem> {
        if !self.addressable() {
            return None;
        }
        self.spoil_flags();
        let m = self.memory_lazily(bytes, write, false)?;
        if m.disp != 0 {
            self.asm.lea(Width::Q, host::RCX, m);
        }
        Some(Mem::at(host::RCX, 0))
    }

    /// [`Self::memory`], but flags need not be in AX; and a multiple of `bytes`, which is 16 then, if
    /// it is to be `aligned`.
    pub(super) fn memory_lazily(&mut self, bytes: usize, write: bool, aligned: bool) -> Option<Mem> {
        if !self.addressable() {
            return None;
        }
        self.spoil_flags_lazily();
        if let Some(address) = self.constant(bytes, aligned) {
            return Some(self.translate_constant(address, write));
        }
        let found = self.linear();
        debug_assert!(found);
        Some(self.translate(bytes, write, aligned))
    }

    /// The linear address of the memory operand, if it is known and the access lies within a page.
    fn constant(&mut self, bytes: usize, aligned: bool) -> Option<u64> {
        let insn = self.insn;
        let known = insn.base == insn::RIP || (insn.base == insn::ZERO && insn.index == insn::ZERO);
        if !known || insn.seg != SEG_FLAT || self.notes_accesses() {
            return None;
        }
        let Effective::Constant(address) = self.effective() else { return None };
        let within = (address & PAGE_OFFSET_MASK) + bytes as u64 <= PAGE_SIZE;
        (within && (!aligned || address % 16 == 0)).then_some(address)
    }

    /// [`Self::translate`] for an access within the page of a known linear address: its entry is known,
    /// too.
    fn translate_constant(&mut self, address: u64, write: bool) -> Mem {
        debug_assert!(self.flags.host == Host::None);
        let slow = self.slow_label();
        let (page, offset) = (address & !PAGE_OFFSET_MASK, address & PAGE_OFFSET_MASK);
        let slot = (address >> PAGE_SHIFT) as usize % tlb_layout::ENTRIES;
        let at = |field| {
            let disp = (slot << tlb_layout::ENTRY_SHIFT) as i32 + field;
            Rm::Gs(Mem { base: NONE, index: NONE, scale: 0, disp })
        };
        let tag = at(if write { tlb_layout::WRITE_TAG } else { tlb_layout::READ_TAG });
        if i32::try_from(page as i64).is_ok() {
            self.asm.alu_imm(Alu::Cmp, Width::Q, tag, page);
        } else {
            self.asm.mov_imm(host::RCX, page);
            self.asm.alu(Alu::Cmp, Width::Q, host::RCX, tag);
        }
        // JNE
        self.asm.jcc(5, slow);
        self.asm.load(Width::Q, host::RCX, at(tlb_layout::HOST));
        Mem::at(host::RCX, offset as i32)
    }

    /// [`Self::memory_lazily`] for whoever can use any operand with RCX in it: the address that a register
    /// is used for need not wait for its own check.
    pub(super) fn memory_indexed(&mut self, bytes: usize, write: bool) -> Option<Mem> {
        if self.notes_accesses() {
            return self.memory_lazily(bytes, write, false);
        }
        let tag = if write { tlb_layout::WRITE_TAG } else { tlb_layout::READ_TAG };
        let Some(access) = self.in_registers().map(|address| Access { address, bytes, tag }) else {
            return self.memory_lazily(bytes, write, false);
        };
        let direct = access.behind_rcx();
        let kept = if self.only_stores() { None } else { self.kept_page(tag) };
        if kept.is_none() && direct.is_none() {
            return self.memory_lazily(bytes, write, false);
        }
        self.spoil_flags_lazily();
        let slow = self.slow_label();
        match kept {
            None => {
                self.find_page(access, slow);
                self.asm.load(Width::Q, host::RCX, Rm::Gs(Mem::at(host::RDX, tlb_layout::DELTA)));
            }
            Some(kept) if !kept.found => self.find_and_keep(access, kept, slow),
            Some(kept) => {
                let (label, again) = (self.asm.label(), self.asm.label());
                let (vectors, x87) = (self.vectors, self.x87);
                self.cold.push(Cold::OtherPage { label, again, slow, access, kept, vectors, x87 });
                self.asm.bind(again);
                self.address_in(host::RCX, access);
                let offset = if direct.is_some() { host::RCX } else { host::RDX };
                if direct.is_none() {
                    self.asm.mov(offset, host::RCX);
                }
                self.asm.alu(Alu::Sub, Width::Q, offset, kept.low());
                self.asm.alu(Alu::Cmp, Width::Q, offset, kept.limit());
                // JA
                self.asm.jcc(7, label);
                match direct {
                    Some(_) => self.asm.load(Width::Q, host::RCX, kept.delta()),
                    None => self.asm.alu(Alu::Add, Width::Q, host::RCX, kept.delta()),
                }
            }
        }
        Some(direct.unwrap_or(Mem::at(host::RCX, 0)))
    }

    /// Whether nobody waits for the memory operand: a page that is kept for it would save nothing.
    fn only_stores(&self) -> bool {
        use Mnemonic::*;
        let i = &self.decoded[self.number as usize];
        let moves = matches!(
            i.mnemonic(),
            Mov | Movnti | Movss | Movsd | Movaps | Movapd | Movups | Movupd | Movdqa | Movdqu | Movd | Movq
        );
        moves && i.op0_kind() == OpKind::Memory
    }

    /// The address of the memory operand, if it is in registers that the host has in registers.
    fn in_registers(&self) -> Option<Mem> {
        let insn = self.insn;
        let disp = insn.disp as i64 as i32;
        let near = i64::from(disp) == insn.disp as i64;
        if insn.seg != SEG_FLAT || insn.addr_mask != u64::MAX || !near {
            return None;
        }
        let host_of = |g: u8| if g == insn::ZERO { Some(NONE) } else { pinned(g) };
        let known = |g: u8| g < 16 || g == insn::ZERO;
        if !known(insn.base) || !known(insn.index) || insn.base == insn.index && insn.base == insn::ZERO {
            return None;
        }
        let (base, index) = (host_of(insn.base)?, host_of(insn.index)?);
        Some(Mem { base, index, scale: insn.scale, disp })
    }

    /// The linear address of an access in a register.
    fn address_in(&mut self, to: u8, access: Access) {
        match access.address {
            Mem { base, index: NONE, disp: 0, .. } => self.asm.mov(to, base),
            address => self.asm.lea(Width::Q, to, address),
        }
    }

    /// Finds the page of an access, keeps it, and leaves in RCX what [`Self::memory_indexed`] does.
    pub(super) fn find_and_keep(&mut self, access: Access, kept: Kept, slow: Label) {
        self.find_page(access, slow);
        self.keep_page(kept, access.tag, access.bytes);
        if access.behind_rcx().is_none() {
            self.address_in(host::RDX, access);
            self.asm.alu(Alu::Add, Width::Q, host::RCX, Rm::R(host::RDX));
        }
    }

    /// Keeps another page for an access that goes there, or makes what is kept larger if that happens
    /// often. Then it is looked at again.
    pub(super) fn keep_another(&mut self, access: Access, kept: Kept, slow: Label, again: Label) {
        self.find_page(access, slow);
        self.keep_page(kept, access.tag, access.bytes);
        self.asm.alu_imm(Alu::Sub, Width::D, Rm::M(Mem::at(host::RSP, field::MISSES)), 1);
        // JNS
        self.asm.jcc(9, again);
        let write = access.tag == tlb_layout::WRITE_TAG;
        self.asm.mov_imm(host::RCX, u64::from(kept.widen(write)));
        self.asm.call_to(self.thunks.slow);
    }

    /// Finds the entry of an access, at RDX: it allows the access, all of which lies in its page.
    /// RCX is lost.
    fn find_page(&mut self, access: Access, slow: Label) {
        self.address_in(host::RCX, access);
        self.find_entry();
        self.asm.alu(Alu::Xor, Width::Q, host::RCX, Rm::Gs(Mem::at(host::RDX, access.tag)));
        self.asm.alu_imm(Alu::Cmp, Width::Q, Rm::R(host::RCX), 0x1000 - access.bytes as u64);
        // JA
        self.asm.jcc(7, slow);
    }

    /// From a linear address in RCX to a host address there; RDX is lost. The flags must have
    /// been spoiled, lazily at least.
    ///
    /// This is what keeps generated code within guest RAM: the address that comes out is the
    /// page of an entry whose tag equals the page of the linear address, plus an offset that
    /// leaves `bytes` bytes up to the end of the page.
    pub(super) fn translate(&mut self, bytes: usize, write: bool, aligned: bool) -> Mem {
        let made = self.made_by_operand(write);
        self.translate_noting(made, bytes, write, aligned)
    }

    fn translate_noting(&mut self, made: Made, bytes: usize, write: bool, aligned: bool) -> Mem {
        debug_assert!(self.flags.host == Host::None && (bytes == 16 || !aligned));
        let tag = if write { tlb_layout::WRITE_TAG } else { tlb_layout::READ_TAG };
        let slow = self.slow_label();
        self.note_address();
        self.find_entry();
        self.asm.alu(Alu::Xor, Width::Q, host::RCX, Rm::Gs(Mem::at(host::RDX, tag)));
        if self.notes_accesses() {
            self.asm.alu_imm(Alu::And, Width::Q, Rm::R(host::RCX), !tlb_layout::OBSERVED);
        }
        if aligned {
            // TEST RCX: all bits but those of a multiple of 16 in the page. JNE
            self.asm.sized_ext(Width::Q, 0xF6, 0, Rm::R(host::RCX));
            self.asm.imm(Width::Q, !0xFF0);
            self.asm.jcc(5, slow);
        } else {
            self.asm.alu_imm(Alu::Cmp, Width::Q, Rm::R(host::RCX), 0x1000 - bytes as u64);
            // JA
            self.asm.jcc(7, slow);
        }
        self.asm.alu(Alu::Add, Width::Q, host::RCX, Rm::Gs(Mem::at(host::RDX, tlb_layout::HOST)));
        self.note_access(made, bytes);
        Mem::at(host::RCX, 0)
    }

    /// The offset of the soft TLB's entry for linear address RCX in RDX. Flags are lost.
    pub(super) fn find_entry(&mut self) {
        let shift = 12 - tlb_layout::ENTRY_SHIFT;
        let mask = ((tlb_layout::ENTRIES - 1) << tlb_layout::ENTRY_SHIFT) as u64;
        self.asm.rorx(Width::D, host::RDX, host::RCX, shift);
        self.asm.alu_imm(Alu::And, Width::D, Rm::R(host::RDX), mask);
    }

    /// [`Self::translate`] for `[reg + disp]` of a host register that holds a linear address.
    pub(super) fn translate_at(&mut self, reg: u8, disp: i32, bytes: usize, write: bool) -> Mem {
        self.spoil_flags_lazily();
        if disp == 0 {
            self.asm.mov(host::RCX, reg);
        } else {
            self.asm.lea(Width::Q, host::RCX, Mem::at(reg, disp));
        }
        self.translate_noting(if write { Made::Store } else { Made::Load }, bytes, write, false)
    }
}
