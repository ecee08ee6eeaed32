//! Frames pushed and popped by far transfers and deliveries: checked as a whole before the
//! first byte is written.

use crate::cpu::access::canonical;
use crate::cpu::env::Env;
use crate::cpu::state::{CodeSize, RSP, Segment, Vcpu, attr, seg};
use crate::mem::{AccessKind, MmuIndex};
use crate::types::Exception;

/// A stack: where pushes go to and pops come from.
#[derive(Clone, Copy, Debug)]
pub struct Stack {
    /// SS as it is or will be.
    pub ss: Segment,
    /// The stack pointer.
    pub sp: u64,
    /// How many bits of it count.
    pub mask: u64,
    /// With whose rights it is reached.
    pub index: MmuIndex,
    /// Without segmentation (64-bit mode).
    pub flat: bool,
    /// The error code of #SS if it does not hold a frame.
    pub error_code: u16,
}

/// The bits of a stack pointer that count for a stack segment outside 64-bit mode.
pub fn pointer_mask(ss: &Segment) -> u64 {
    if ss.attributes & attr::DB != 0 { 0xFFFF_FFFF } else { 0xFFFF }
}

impl Stack {
    /// The stack in use now.
    pub fn current(cpu: &Vcpu) -> Self {
        let ss = cpu.segs[seg::SS];
        let flat = cpu.code_size == CodeSize::Bits64;
        let mask = if flat { u64::MAX } else { pointer_mask(&ss) };
        Self { ss, sp: cpu.regs[RSP], mask, index: cpu.mmu, flat, error_code: 0 }
    }

    /// The stack of 64-bit code at `cpl`, at `sp`.
    pub fn flat(cpu: &Vcpu, cpl: u8, sp: u64, error_code: u16) -> Self {
        Self {
            ss: Segment::default(),
            sp,
            mask: u64::MAX,
            index: cpu.stack_index(cpl),
            flat: true,
            error_code,
        }
    }

    /// The stack in segment `ss` at `cpl`, at `sp`.
    pub fn segmented(cpu: &Vcpu, cpl: u8, ss: Segment, sp: u64, error_code: u16) -> Self {
        Self { ss, sp, mask: pointer_mask(&ss), index: cpu.stack_index(cpl), flat: false, error_code }
    }

    /// The stack pointer register's new value when its low bits become `sp`.
    pub fn pointer(&self, old: u64, sp: u64) -> u64 {
        match self.mask {
            0xFFFF => (old & !0xFFFF) | (sp & 0xFFFF),
            mask => sp & mask,
        }
    }

    fn fault(&self) -> Exception {
        Exception::ss(self.error_code)
    }

    /// The linear address of `size` bytes at stack offset `sp`.
    fn linear(&self, cpu: &Vcpu, sp: u64, size: usize) -> Result<u64, Exception> {
        if self.flat {
            let last = sp.wrapping_add(size as u64 - 1);
            return if canonical(sp) && canonical(last) { Ok(sp) } else { Err(self.fault()) };
        }
        let ss = &self.ss;
        let last = sp + size as u64 - 1;
        let expand_down = ss.attributes & (attr::CODE | attr::DC) == attr::DC;
        let within = if expand_down {
            sp > u64::from(ss.limit) && last <= pointer_mask(ss)
        } else {
            last <= u64::from(ss.limit)
        };
        if !within || (ss.attributes & attr::P == 0 && !cpu.real_mode()) {
            return Err(self.fault());
        }
        Ok(ss.base.wrapping_add(sp) & 0xFFFF_FFFF)
    }

    /// Pushes `values` (the first one first), each of `width` bytes, all or none. Gives the
    /// stack pointer after them.
    ///
    /// # Errors
    /// #SS or #PF; nothing was written then.
    pub fn push(
        &self,
        cpu: &mut Vcpu,
        env: &mut Env<'_>,
        width: usize,
        values: &[u64],
    ) -> Result<u64, Exception> {
        let at = |k: usize| self.sp.wrapping_sub((width * (k + 1)) as u64) & self.mask;
        let mut page = None;
        for k in 0..values.len() {
            let va = self.linear(cpu, at(k), width)?;
            if page != Some(va >> 12) || va & 0xFFF > 0x1000 - width as u64 {
                cpu.probe_as(env, va, width, AccessKind::Write, self.index)?;
                page = Some(va >> 12);
            }
        }
        for (k, &v) in values.iter().enumerate() {
            let va = self.linear(cpu, at(k), width)?;
            match width {
                2 => cpu.store_as(env, va, v as u16, self.index)?,
                4 => cpu.store_as(env, va, v as u32, self.index)?,
                _ => cpu.store_as(env, va, v, self.index)?,
            }
        }
        Ok(self.pointer(self.sp, at(values.len() - 1)))
    }

    /// Reads the value of `width` bytes at `offset` above the stack pointer.
    ///
    /// # Errors
    /// #SS or #PF.
    pub fn peek(
        &self,
        cpu: &mut Vcpu,
        env: &mut Env<'_>,
        width: usize,
        offset: usize,
    ) -> Result<u64, Exception> {
        let va = self.linear(cpu, self.sp.wrapping_add(offset as u64) & self.mask, width)?;
        Ok(match width {
            2 => cpu.load_as::<u16>(env, va, self.index)?.into(),
            4 => cpu.load_as::<u32>(env, va, self.index)?.into(),
            _ => cpu.load_as(env, va, self.index)?,
        })
    }

    /// The stack pointer register after popping `bytes`.
    pub fn after(&self, bytes: usize) -> u64 {
        self.pointer(self.sp, self.sp.wrapping_add(bytes as u64) & self.mask)
    }
}
