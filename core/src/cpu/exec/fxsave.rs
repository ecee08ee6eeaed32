//! FXSAVE, FXRSTOR, XSAVE, XSAVEOPT, XRSTOR, LDMXCSR, STMXCSR (SDM vol. 1, 10.5 and 13; vol. 2).
//!
//! XINUSE is exact: a component is in use if its state differs from the initial one.

use crate::cpu::env::Env;
use crate::cpu::insn::{Exec, Handler, Insn, insn_flags};
use crate::cpu::state::{RAX, RDX, Vcpu, X87, cr0, cr4};
use crate::mem::AccessKind;
use crate::softfloat::F80;
use crate::types::Exception;
use iced_x86::{Code, Instruction};

/// The handler of a form of this family.
pub fn select(i: &Instruction) -> Option<Handler> {
    Some(match i.code() {
        Code::Fxsave_m512byte => fxsave::<false>,
        Code::Fxsave64_m512byte => fxsave::<true>,
        Code::Fxrstor_m512byte => fxrstor::<false>,
        Code::Fxrstor64_m512byte => fxrstor::<true>,
        Code::Xsave_mem => xsave::<false, false>,
        Code::Xsave64_mem => xsave::<true, false>,
        Code::Xsaveopt_mem => xsave::<false, true>,
        Code::Xsaveopt64_mem => xsave::<true, true>,
        Code::Xrstor_mem => xrstor::<false>,
        Code::Xrstor64_mem => xrstor::<true>,
        Code::Ldmxcsr_m32 => ldmxcsr,
        Code::Stmxcsr_m32 => stmxcsr,
        _ => return None,
    })
}

/// MXCSR bits that exist, as FXSAVE reports them.
const MXCSR_MASK: u32 = 0xFFFF;
/// Size of the legacy region up to the part that software may use.
const LEGACY_BYTES: usize = 512;
/// XSTATE_BV, after the legacy region.
const XSTATE_BV: u64 = 512;
const X87_STATE: u64 = 1;
const SSE_STATE: u64 = 2;

/// Where the registers lie in the legacy region.
const ST_OFFSET: u64 = 32;
const XMM_OFFSET: u64 = 160;

fn check_not_switched(cpu: &Vcpu) -> Exec {
    if cpu.cr0 & cr0::TS != 0 { Err(Exception::NM) } else { Ok(()) }
}

/// The operand's address, aligned and long enough in its segment.
fn area(cpu: &Vcpu, insn: &Insn, bytes: usize, align: u64, write: bool) -> Result<u64, Exception> {
    let va = cpu.linear(insn, bytes, write)?;
    if va & (align - 1) != 0 { Err(Exception::GP0) } else { Ok(va) }
}

/// How many XMM registers the mode saves.
fn xmm_count(insn: &Insn) -> usize {
    if insn.has(insn_flags::MODE64) { 16 } else { 8 }
}

fn fxsave<const WIDE: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    check_fx(cpu)?;
    let va = area(cpu, insn, LEGACY_BYTES, 16, true)?;
    cpu.probe(env, va, LEGACY_BYTES, AccessKind::Write)?;
    store_x87::<WIDE>(cpu, env, va)?;
    if cpu.cr4 & cr4::OSFXSR != 0 {
        store_mxcsr(cpu, env, va)?;
        store_xmm(cpu, env, va, xmm_count(insn))?;
    }
    Ok(())
}

fn fxrstor<const WIDE: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    check_fx(cpu)?;
    let va = area(cpu, insn, LEGACY_BYTES, 16, false)?;
    let x87 = load_x87::<WIDE>(cpu, env, va)?;
    if cpu.cr4 & cr4::OSFXSR != 0 {
        let mxcsr = load_mxcsr(cpu, env, va)?;
        let n = xmm_count(insn);
        let xmm = load_xmm(cpu, env, va, n)?;
        cpu.mxcsr = mxcsr;
        cpu.xmm[..n].copy_from_slice(&xmm[..n]);
    }
    cpu.x87 = x87;
    Ok(())
}

/// FXSAVE and FXRSTOR ask for the x87 unit.
fn check_fx(cpu: &Vcpu) -> Exec {
    if cpu.cr0 & (cr0::EM | cr0::TS) != 0 { Err(Exception::NM) } else { Ok(()) }
}

/// The first 32 bytes but MXCSR, and ST0 to ST7.
fn store_x87<const WIDE: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, va: u64) -> Exec {
    let x = cpu.x87;
    let head = u64::from(x.control)
        | u64::from(x.status) << 16
        | u64::from(x.valid) << 32
        | u64::from(x.opcode & 0x7FF) << 48;
    cpu.store(env, va, head)?;
    cpu.store(env, cpu.further(va, 8), pointer::<WIDE>(x.instruction_pointer, x.instruction_selector))?;
    cpu.store(env, cpu.further(va, 16), pointer::<WIDE>(x.data_pointer, x.data_selector))?;
    for i in 0..8 {
        let r = x.regs[physical(&x, i)];
        let v = u128::from(r.significand) | u128::from(r.sign_exponent) << 64;
        cpu.store(env, cpu.further(va, ST_OFFSET + 16 * i as u64), v)?;
    }
    Ok(())
}

/// The index of ST(i) among R0 to R7.
fn physical(x: &X87, i: usize) -> usize {
    (usize::from(x.status >> 11) + i) & 7
}

fn pointer<const WIDE: bool>(offset: u64, selector: u16) -> u64 {
    if WIDE { offset } else { offset & 0xFFFF_FFFF | u64::from(selector) << 32 }
}

fn load_x87<const WIDE: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, va: u64) -> Result<X87, Exception> {
    let head: u64 = cpu.load(env, va)?;
    let instruction: u64 = cpu.load(env, cpu.further(va, 8))?;
    let data: u64 = cpu.load(env, cpu.further(va, 16))?;
    let offset = |p: u64| if WIDE { p } else { p & 0xFFFF_FFFF };
    let selector = |p: u64| if WIDE { 0 } else { (p >> 32) as u16 };
    let mut x = X87 {
        // Bit 6 of the control word always reads as one.
        control: head as u16 & 0x1F7F | 0x40,
        status: (head >> 16) as u16,
        valid: (head >> 32) as u8,
        opcode: (head >> 48) as u16 & 0x7FF,
        instruction_pointer: offset(instruction),
        instruction_selector: selector(instruction),
        data_pointer: offset(data),
        data_selector: selector(data),
        ..X87::default()
    };
    for i in 0..8 {
        let v: u128 = cpu.load(env, cpu.further(va, ST_OFFSET + 16 * i as u64))?;
        let p = physical(&x, i);
        x.regs[p] = F80 { significand: v as u64, sign_exponent: (v >> 64) as u16 };
    }
    // ES and B follow from the flags and masks, whatever the image says.
    x.update_summary();
    Ok(x)
}

fn store_mxcsr(cpu: &mut Vcpu, env: &mut Env<'_>, va: u64) -> Exec {
    let v = u64::from(cpu.mxcsr) | u64::from(MXCSR_MASK) << 32;
    cpu.store(env, cpu.further(va, 24), v)
}

fn load_mxcsr(cpu: &mut Vcpu, env: &mut Env<'_>, va: u64) -> Result<u32, Exception> {
    check_mxcsr(cpu.load(env, cpu.further(va, 24))?)
}

fn check_mxcsr(v: u32) -> Result<u32, Exception> {
    if v & !MXCSR_MASK != 0 { Err(Exception::GP0) } else { Ok(v) }
}

fn store_xmm(cpu: &mut Vcpu, env: &mut Env<'_>, va: u64, n: usize) -> Exec {
    for k in 0..n {
        cpu.store(env, cpu.further(va, XMM_OFFSET + 16 * k as u64), cpu.xmm[k])?;
    }
    Ok(())
}

fn load_xmm(cpu: &mut Vcpu, env: &mut Env<'_>, va: u64, n: usize) -> Result<[u128; 16], Exception> {
    let mut xmm = [0; 16];
    for (k, x) in xmm[..n].iter_mut().enumerate() {
        *x = cpu.load(env, cpu.further(va, XMM_OFFSET + 16 * k as u64))?;
    }
    Ok(xmm)
}

/// The components that an XSAVE instruction works on: those asked for and enabled.
fn requested(cpu: &Vcpu) -> u64 {
    (cpu.regs[RAX] & 0xFFFF_FFFF | cpu.regs[RDX] << 32) & cpu.xcr0
}

fn check_xsave(cpu: &Vcpu) -> Exec {
    if cpu.cr4 & cr4::OSXSAVE == 0 {
        return Err(Exception::UD);
    }
    check_not_switched(cpu)
}

/// The components whose state is not the initial one.
fn in_use(cpu: &Vcpu) -> u64 {
    let x87 = if cpu.x87 == X87::default() { 0 } else { X87_STATE };
    let sse = if cpu.xmm == [0; 16] { 0 } else { SSE_STATE };
    x87 | sse
}

/// `ONLY_IN_USE`: XSAVEOPT, which leaves out components in their initial state.
fn xsave<const WIDE: bool, const ONLY_IN_USE: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    check_xsave(cpu)?;
    let bytes = LEGACY_BYTES + 64;
    let va = area(cpu, insn, bytes, 64, true)?;
    cpu.probe(env, va, bytes, AccessKind::Write)?;
    let requested = requested(cpu);
    let in_use = in_use(cpu);
    let written = if ONLY_IN_USE { requested & in_use } else { requested };
    let old: u64 = cpu.load(env, cpu.further(va, XSTATE_BV))?;
    if written & X87_STATE != 0 {
        store_x87::<WIDE>(cpu, env, va)?;
    }
    if requested & SSE_STATE != 0 {
        store_mxcsr(cpu, env, va)?;
    }
    if written & SSE_STATE != 0 {
        store_xmm(cpu, env, va, xmm_count(insn))?;
    }
    cpu.store(env, cpu.further(va, XSTATE_BV), old & !requested | in_use & requested)
}

fn xrstor<const WIDE: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    check_xsave(cpu)?;
    let va = area(cpu, insn, LEGACY_BYTES + 64, 64, false)?;
    let requested = requested(cpu);
    let present: u64 = cpu.load(env, cpu.further(va, XSTATE_BV))?;
    let reserved: u128 = cpu.load(env, cpu.further(va, XSTATE_BV + 8))?;
    if present & !cpu.xcr0 != 0 || reserved != 0 {
        return Err(Exception::GP0);
    }
    let loaded = requested & present;
    let x87 = if loaded & X87_STATE != 0 { load_x87::<WIDE>(cpu, env, va)? } else { X87::default() };
    let n = xmm_count(insn);
    let xmm = if loaded & SSE_STATE != 0 { load_xmm(cpu, env, va, n)? } else { [0; 16] };
    // MXCSR comes from memory whenever SSE is asked for, present or not.
    let sse = requested & SSE_STATE != 0;
    let mxcsr = if sse { load_mxcsr(cpu, env, va)? } else { cpu.mxcsr };
    if requested & X87_STATE != 0 {
        cpu.x87 = x87;
    }
    if sse {
        cpu.mxcsr = mxcsr;
        cpu.xmm[..n].copy_from_slice(&xmm[..n]);
    }
    Ok(())
}

fn check_sse(cpu: &Vcpu) -> Exec {
    if cpu.cr0 & cr0::EM != 0 || cpu.cr4 & cr4::OSFXSR == 0 {
        return Err(Exception::UD);
    }
    check_not_switched(cpu)
}

fn ldmxcsr(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    check_sse(cpu)?;
    cpu.mxcsr = check_mxcsr(cpu.load_operand(env, insn)?)?;
    Ok(())
}

fn stmxcsr(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    check_sse(cpu)?;
    cpu.store_operand(env, insn, cpu.mxcsr)
}
