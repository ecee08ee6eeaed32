//! The register stack, the status word, and how an x87 instruction begins and ends: #NM, #MF,
//! masked and unmasked responses (SDM vol. 1, 8.1 and 8.5; AMD APM vol. 1, 6.8).

use crate::cpu::env::Env;
use crate::cpu::insn::{Exec, Insn, insn_flags};
use crate::cpu::state::{CodeSize, Vcpu, X87, cr0, seg};
use crate::mem::AccessKind;
use crate::softfloat::F80;
use crate::softfloat::f80_context::{C1, Context, IE, SF};
use crate::types::Exception;

/// Status word: error summary, an unmasked exception is pending.
pub const ES: u16 = 1 << 7;
/// Status word: busy, the same as ES since the 80387.
pub const BUSY: u16 = 1 << 15;
/// The exception flags of the status word and the masks of the control word.
pub const EXCEPTIONS: u16 = 0x3F;
const TOP_SHIFT: u16 = 11;

impl X87 {
    /// The physical number of ST(0).
    #[inline]
    pub fn top(&self) -> usize {
        usize::from(self.status >> TOP_SHIFT & 7)
    }

    /// Sets which physical register is ST(0).
    #[inline]
    pub fn set_top(&mut self, top: usize) {
        self.status = self.status & !(7 << TOP_SHIFT) | ((top & 7) as u16) << TOP_SHIFT;
    }

    #[inline]
    fn physical(&self, i: usize) -> usize {
        (self.top() + i) & 7
    }

    /// Whether ST(i) is empty.
    #[inline]
    pub fn is_empty(&self, i: usize) -> bool {
        self.valid >> self.physical(i) & 1 == 0
    }

    /// ST(i).
    #[inline]
    pub fn st(&self, i: usize) -> F80 {
        self.regs[self.physical(i)]
    }

    /// Writes ST(i), which is not empty afterwards.
    #[inline]
    pub fn set_st(&mut self, i: usize, v: F80) {
        let p = self.physical(i);
        self.regs[p] = v;
        self.valid |= 1 << p;
    }

    /// Makes ST(i) empty.
    #[inline]
    pub fn free(&mut self, i: usize) {
        self.valid &= !(1 << self.physical(i));
    }

    /// Pops the stack.
    #[inline]
    pub fn pop(&mut self) {
        self.free(0);
        self.set_top(self.top() + 1);
    }

    /// Pushes without a look at what was there.
    #[inline]
    pub fn push(&mut self, v: F80) {
        self.set_top(self.top() + 7);
        self.set_st(0, v);
    }

    /// Makes ES and B agree with the flags and masks.
    pub fn update_summary(&mut self) {
        self.status &= !(ES | BUSY);
        if self.status & !self.control & EXCEPTIONS != 0 {
            self.status |= ES | BUSY;
        }
    }

    /// The full tag word: 0 valid, 1 zero, 2 special, 3 empty, two bits for each of R0 to R7.
    pub fn tag_word(&self) -> u16 {
        (0..8).fold(0, |word, p| word | self.tag(p) << (2 * p))
    }

    fn tag(&self, p: usize) -> u16 {
        let v = self.regs[p];
        match v.exponent() {
            _ if self.valid >> p & 1 == 0 => 3,
            0 if v.significand == 0 => 1,
            0 | 0x7FFF => 2,
            _ if v.significand >> 63 == 0 => 2,
            _ => 0,
        }
    }

    /// Loads a full tag word: only which registers are empty is kept.
    pub fn set_tag_word(&mut self, word: u16) {
        self.valid = (0..8).fold(0, |valid, p| valid | u8::from(word >> (2 * p) & 3 != 3) << p);
    }
}

impl Vcpu {
    /// Whether x87 instructions can raise nothing: they are enabled, no exception is pending,
    /// and all are masked.
    pub fn x87_runs_quietly(&self) -> bool {
        available(self).is_ok() && self.x87.status & ES == 0 && self.x87.control & EXCEPTIONS == EXCEPTIONS
    }
}

/// #NM if the unit is not available.
///
/// # Errors
/// #NM.
#[inline]
pub fn available(cpu: &Vcpu) -> Exec {
    if cpu.cr0 & (cr0::EM | cr0::TS) != 0 { Err(Exception::NM) } else { Ok(()) }
}

/// The beginning of an instruction that waits: #NM, then #MF of an earlier one.
///
/// # Errors
/// #NM, #MF.
#[inline]
pub fn wait(cpu: &Vcpu) -> Exec {
    available(cpu)?;
    pending(cpu)
}

/// #MF if an unmasked exception is pending, whatever CR0.NE.
///
/// # Errors
/// #MF.
#[inline]
pub fn pending(cpu: &Vcpu) -> Exec {
    if cpu.x87.status & ES != 0 { Err(Exception::MF) } else { Ok(()) }
}

/// The environment of an operation under the control word.
#[inline]
pub fn context(cpu: &Vcpu) -> Context {
    Context::new(cpu.x87.control)
}

/// The end of an instruction that may raise exceptions: `flags` join the status word, C1 is
/// what they say.
#[inline]
pub fn complete(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn, flags: u16) {
    let x87 = &mut cpu.x87;
    x87.status = x87.status & !C1 | flags;
    if flags & !x87.control & EXCEPTIONS != 0 {
        x87.status |= ES | BUSY;
        note_pointers(cpu, env, insn);
    }
}

/// Whether IE is masked.
#[inline]
pub fn invalid_masked(cpu: &Vcpu) -> bool {
    cpu.x87.control & IE != 0
}

/// The end of an instruction that found a register empty: IE, SF, C1 = 0. Masked, ST(`dest`)
/// becomes the default NaN and `pops` registers are popped.
#[cold]
pub fn underflow(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn, dest: usize, pops: usize) -> Exec {
    if invalid_masked(cpu) {
        cpu.x87.set_st(dest, F80::INDEFINITE);
        for _ in 0..pops {
            cpu.x87.pop();
        }
    }
    complete(cpu, env, insn, IE | SF);
    Ok(())
}

/// The end of an instruction that has no room to push: IE, SF, C1 = 1. Masked, it pushes the
/// default NaN.
#[cold]
pub fn overflow(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    if invalid_masked(cpu) {
        cpu.x87.push(F80::INDEFINITE);
    }
    complete(cpu, env, insn, IE | SF | C1);
    Ok(())
}

/// FOP, FIP and FDP: of the instruction that left an unmasked exception, as AMD saves them
/// only then.
#[cold]
fn note_pointers(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) {
    let start = cpu.rip().wrapping_sub(u64::from(insn.len));
    let opcode = read_opcode(cpu, env, start, insn.len).unwrap_or(0);
    let data = insn.has(insn_flags::MEM).then(|| {
        let selector = cpu.segs[insn.seg as usize % 7].selector;
        (cpu.effective_address(insn), selector)
    });
    let code_selector = cpu.segs[seg::CS].selector;
    let x87 = &mut cpu.x87;
    x87.opcode = opcode;
    x87.instruction_pointer = start;
    x87.instruction_selector = code_selector;
    (x87.data_pointer, x87.data_selector) = data.unwrap_or_default();
}

/// The low three bits of the opcode and the ModRM byte, read from the code again.
fn read_opcode(cpu: &mut Vcpu, env: &mut Env<'_>, start: u64, len: u8) -> Option<u16> {
    let base = if cpu.code_size == CodeSize::Bits64 { 0 } else { cpu.segs[seg::CS].base };
    let first = cpu.further(base, start);
    let mmu = cpu.mmu;
    let mut opcode = None;
    for k in 0..u64::from(len) {
        let gpa = cpu.translate(env, cpu.further(first, k), AccessKind::Execute, mmu).ok()?;
        let byte: u8 = env.mem.read_phys(gpa)?;
        match opcode {
            Some(first) => return Some(u16::from(first & 7) << 8 | u16::from(byte)),
            None if byte & 0xF8 == 0xD8 => opcode = Some(byte),
            None => {}
        }
    }
    None
}
