//! One instruction, fetched and decoded on the spot: the careful way, for instructions that
//! cross pages, single-stepping, and tests of instructions.

use super::access::canonical;
use super::decode_cache::decode_one;
use super::env::Env;
use super::exec;
use super::insn::{Exec, Insn, SEG_FLAT, insn_flags};
use super::state::{CodeSize, RBP, RSP, Vcpu, seg};
use crate::mem::AccessKind;
use crate::types::{Exception, PAGE_OFFSET_MASK, PAGE_SIZE};

/// The longest instruction, in bytes.
pub const MAX_INSN_BYTES: usize = 15;
/// The longest memory operand that has no alignment of its own, in bytes.
const LONGEST_SCALAR: u64 = 16;

impl Vcpu {
    /// The linear address of the next instruction.
    ///
    /// # Errors
    /// #GP if it lies beyond the code segment's limit.
    pub fn fetch_address(&self) -> Result<u64, Exception> {
        if self.code_size == CodeSize::Bits64 {
            return Ok(self.rip());
        }
        let cs = &self.segs[seg::CS];
        if self.rip() > u64::from(cs.limit) {
            return Err(Exception::GP0);
        }
        Ok(cs.base.wrapping_add(self.rip()) & 0xFFFF_FFFF)
    }

    /// Fetches and decodes the instruction at RIP.
    ///
    /// # Errors
    /// #PF or #GP of the fetch.
    pub fn fetch(&mut self, env: &mut Env<'_>) -> Result<Insn, Exception> {
        let va = self.fetch_address()?;
        if self.code_size == CodeSize::Bits64 && !canonical(va) {
            return Err(Exception::GP0);
        }
        let first = self.translate(env, va, AccessKind::Execute, self.mmu)?;
        let allowed = self.code_bytes_allowed();
        let in_page = ((PAGE_SIZE - (va & PAGE_OFFSET_MASK)) as usize).min(allowed);
        let mut bytes = [0u8; MAX_INSN_BYTES];
        copy_code(env, first, &mut bytes[..in_page]);
        if let Some(insn) = decode_one(&bytes[..in_page], self.code_size) {
            return Ok(insn);
        }
        if in_page < allowed {
            let mut second_va = va.wrapping_add(in_page as u64);
            if self.code_size != CodeSize::Bits64 {
                second_va &= 0xFFFF_FFFF;
            }
            let second = self.translate(env, second_va, AccessKind::Execute, self.mmu)?;
            copy_code(env, second, &mut bytes[in_page..allowed]);
        }
        // Without an end within 15 bytes, or the segment, it is too long: #GP (SDM vol. 3, 6.15).
        decode_one(&bytes[..allowed], self.code_size).ok_or(Exception::GP0)
    }

    /// How many bytes an instruction at RIP, which is within the segment, may have.
    fn code_bytes_allowed(&self) -> usize {
        if self.code_size == CodeSize::Bits64 {
            return MAX_INSN_BYTES;
        }
        let room = u64::from(self.segs[seg::CS].limit) - self.rip();
        room.saturating_add(1).min(MAX_INSN_BYTES as u64) as usize
    }

    /// Executes the instruction at RIP. On `Err`, RIP is at the instruction again, and the
    /// exception has not been delivered.
    ///
    /// # Errors
    /// The exception that the instruction raises.
    pub fn step(&mut self, env: &mut Env<'_>) -> Exec {
        self.step_through(env).map(|_| ())
    }

    /// [`Self::step`]; gives the instruction that was executed.
    ///
    /// # Errors
    /// The exception that the instruction raises.
    pub fn step_through(&mut self, env: &mut Env<'_>) -> Result<Insn, Exception> {
        env.clock.icount += 1;
        let insn = self.fetch(env)?;
        self.execute(env, &insn)?;
        if self.code_size != CodeSize::Bits64 {
            self.set_rip(self.rip() & 0xFFFF_FFFF);
        }
        Ok(insn)
    }

    /// Executes one decoded instruction at RIP.
    ///
    /// # Errors
    /// The exception that the instruction raises.
    #[inline(always)]
    pub fn execute(&mut self, env: &mut Env<'_>, insn: &Insn) -> Exec {
        let start = self.rip();
        self.set_rip(start.wrapping_add(u64::from(insn.len)));
        let result = (insn.exec)(self, env, insn);
        if let Err(e) = result {
            self.set_rip(start);
            return Err(self.fault_of_segment(insn, self.effective_address(insn), e));
        }
        Ok(())
    }

    /// In 64-bit mode the stack segment shows in one place only: a non-canonical address with
    /// RSP or RBP as its base raises #SS(0) where any other raises #GP(0) (APM vol. 2, 8.2.13).
    /// `ea` is the effective address that `e` came of.
    #[cold]
    pub(super) fn fault_of_segment(&self, insn: &Insn, ea: u64, e: Exception) -> Exception {
        let on_stack = insn.has(insn_flags::MODE64)
            && insn.seg == SEG_FLAT
            && matches!(usize::from(insn.base), RSP | RBP);
        if e != Exception::GP0 || !on_stack {
            return e;
        }
        if exec::wants_alignment(insn.code) && ea % LONGEST_SCALAR != 0 {
            return e;
        }
        let reaches_out = !canonical(ea) || !canonical(ea.wrapping_add(LONGEST_SCALAR - 1));
        if reaches_out { Exception::SS0 } else { e }
    }
}

/// Code bytes from RAM; where there is none, the bus floats high.
fn copy_code(env: &Env<'_>, gpa: crate::types::Gpa, bytes: &mut [u8]) {
    match env.mem.ram_offset(gpa) {
        Some(offset) => bytes.copy_from_slice(env.mem.ram.slice(offset, bytes.len())),
        None => bytes.fill(0xFF),
    }
}
