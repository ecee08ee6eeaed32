//! Model-specific registers (SDM vol. 4; APM vol. 2, appendix A). An MSR that is not here does
//! not exist: #GP(0).

use crate::cpu::access::canonical;
use crate::cpu::env::Env;
use crate::cpu::state::{CpuState, Msrs, Vcpu, cr0, efer, seg};
use crate::mem::PHYSICAL_ADDRESS_BITS;

/// Numbers of MSRs.
mod number {
    pub const TSC: u32 = 0x10;
    pub const APIC_BASE: u32 = 0x1B;
    pub const TSC_ADJUST: u32 = 0x3B;
    pub const PATCH_LEVEL: u32 = 0x8B;
    pub const MTRR_CAP: u32 = 0xFE;
    pub const SYSENTER_CS: u32 = 0x174;
    pub const SYSENTER_ESP: u32 = 0x175;
    pub const SYSENTER_EIP: u32 = 0x176;
    pub const MCG_CAP: u32 = 0x179;
    pub const MCG_STATUS: u32 = 0x17A;
    pub const MISC_ENABLE: u32 = 0x1A0;
    pub const DEBUGCTL: u32 = 0x1D9;
    pub const PAT: u32 = 0x277;
    pub const MTRR_DEF_TYPE: u32 = 0x2FF;
    pub const TSC_DEADLINE: u32 = 0x6E0;
    pub const EFER: u32 = 0xC000_0080;
    pub const STAR: u32 = 0xC000_0081;
    pub const LSTAR: u32 = 0xC000_0082;
    pub const CSTAR: u32 = 0xC000_0083;
    pub const FMASK: u32 = 0xC000_0084;
    pub const FS_BASE: u32 = 0xC000_0100;
    pub const GS_BASE: u32 = 0xC000_0101;
    pub const KERNEL_GS_BASE: u32 = 0xC000_0102;
    pub const TSC_AUX: u32 = 0xC000_0103;
    pub const SYSCFG: u32 = 0xC001_0010;
    pub const HWCR: u32 = 0xC001_0015;
    pub const NB_CFG: u32 = 0xC001_001F;
    pub const INTERRUPT_PENDING: u32 = 0xC001_0055;
    pub const OSVW_ID_LENGTH: u32 = 0xC001_0140;
    pub const OSVW_STATUS: u32 = 0xC001_0141;
}
use number as n;

/// The errata that OSVW (APM vol. 2, 15.33) knows, 400 among them; the CPU has none of them.
const OSVW_KNOWN_ERRATA: u64 = 4;

/// Eight variable ranges, fixed ranges, write-combining.
const MTRR_CAP_VALUE: u64 = 0x508;
/// The fixed MTRRs in the order of [`Msrs::mtrr_fixed`].
const MTRR_FIXED: [u32; 11] = [0x250, 0x258, 0x259, 0x268, 0x269, 0x26A, 0x26B, 0x26C, 0x26D, 0x26E, 0x26F];
const MTRR_VARIABLE: std::ops::RangeInclusive<u32> = 0x200..=0x20F;

const EFER_BITS: u64 = efer::SCE | efer::LME | efer::LMA | efer::NXE;

/// The time-stamp counter.
pub fn tsc(cpu: &Vcpu, env: &Env<'_>) -> u64 {
    env.clock.now_ns().wrapping_add(cpu.msrs.tsc_offset)
}

/// RDMSR; `None` is #GP(0).
pub fn read_msr(cpu: &mut Vcpu, env: &mut Env<'_>, msr: u32) -> Option<u64> {
    if let Some(slot) = plain(&mut cpu.msrs, msr) {
        return Some(*slot);
    }
    Some(match msr {
        n::TSC => tsc(cpu, env),
        n::TSC_ADJUST => cpu.msrs.tsc_adjust,
        n::MTRR_CAP => MTRR_CAP_VALUE,
        // No machine-check banks; no microcode; no chipset registers.
        n::MCG_CAP | n::PATCH_LEVEL | n::SYSCFG | n::NB_CFG | n::INTERRUPT_PENDING => 0,
        n::OSVW_ID_LENGTH => OSVW_KNOWN_ERRATA,
        n::OSVW_STATUS => 0,
        n::EFER => cpu.efer,
        n::FS_BASE => cpu.segs[seg::FS].base,
        n::GS_BASE => cpu.segs[seg::GS].base,
        n::TSC_DEADLINE => read_deadline(cpu, env)?,
        _ if is_apic(msr) => {
            cpu.leave_block();
            cpu.stamp_chips(env);
            env.io.apic_msr_read(cpu.id, env.clock.now_ns(), msr)?
        }
        _ => return None,
    })
}

/// WRMSR; false is #GP(0), and nothing has changed then.
pub fn write_msr(cpu: &mut Vcpu, env: &mut Env<'_>, msr: u32, value: u64) -> bool {
    if !valid(msr, value) {
        return false;
    }
    if let Some(slot) = plain(&mut cpu.msrs, msr) {
        *slot = value;
        return true;
    }
    match msr {
        n::TSC => {
            let change = value.wrapping_sub(tsc(cpu, env));
            cpu.msrs.tsc_offset = cpu.msrs.tsc_offset.wrapping_add(change);
            cpu.msrs.tsc_adjust = cpu.msrs.tsc_adjust.wrapping_add(change);
        }
        n::TSC_ADJUST => {
            let change = value.wrapping_sub(cpu.msrs.tsc_adjust);
            cpu.msrs.tsc_offset = cpu.msrs.tsc_offset.wrapping_add(change);
            cpu.msrs.tsc_adjust = value;
        }
        // Ignored: a microcode loader, settings of a chipset that is not there, errata.
        n::PATCH_LEVEL | n::SYSCFG | n::NB_CFG | n::INTERRUPT_PENDING => {}
        n::OSVW_ID_LENGTH | n::OSVW_STATUS => {}
        n::EFER => return write_efer(cpu, value),
        n::FS_BASE => cpu.segs[seg::FS].base = value,
        n::GS_BASE => cpu.segs[seg::GS].base = value,
        n::TSC_DEADLINE => return write_deadline(cpu, env, value),
        _ if is_apic(msr) => {
            cpu.leave_block();
            cpu.stamp_chips(env);
            return env.io.apic_msr_write(cpu.id, env.clock.now_ns(), msr, value);
        }
        _ => return false,
    }
    true
}

/// MSRs of the local APIC: its base, and x2APIC's.
fn is_apic(msr: u32) -> bool {
    msr == n::APIC_BASE || (0x800..0x900).contains(&msr)
}

/// The MSRs that are storage and nothing else.
fn plain(m: &mut Msrs, msr: u32) -> Option<&mut u64> {
    if MTRR_VARIABLE.contains(&msr) {
        let k = (msr - MTRR_VARIABLE.start()) as usize;
        return Some(&mut m.mtrr_variable[k / 2][k % 2]);
    }
    if let Some(k) = MTRR_FIXED.iter().position(|f| *f == msr) {
        return Some(&mut m.mtrr_fixed[k]);
    }
    Some(match msr {
        n::SYSENTER_CS => &mut m.sysenter_cs,
        n::SYSENTER_ESP => &mut m.sysenter_esp,
        n::SYSENTER_EIP => &mut m.sysenter_eip,
        n::MCG_STATUS => &mut m.mcg_status,
        n::MISC_ENABLE => &mut m.misc_enable,
        n::DEBUGCTL => &mut m.debugctl,
        n::PAT => &mut m.pat,
        n::MTRR_DEF_TYPE => &mut m.mtrr_def_type,
        n::STAR => &mut m.star,
        n::LSTAR => &mut m.lstar,
        n::CSTAR => &mut m.cstar,
        n::FMASK => &mut m.fmask,
        n::KERNEL_GS_BASE => &mut m.kernel_gs_base,
        n::TSC_AUX => &mut m.tsc_aux,
        n::HWCR => &mut m.hwcr,
        _ => return None,
    })
}

/// Whether an MSR takes a value, as far as the value alone decides.
fn valid(msr: u32, value: u64) -> bool {
    let physical = (1u64 << PHYSICAL_ADDRESS_BITS) - 1;
    match msr {
        n::LSTAR | n::CSTAR | n::FS_BASE | n::GS_BASE | n::KERNEL_GS_BASE => canonical(value),
        n::SYSENTER_ESP | n::SYSENTER_EIP => canonical(value),
        n::SYSENTER_CS | n::FMASK | n::TSC_AUX => value >> 32 == 0,
        n::PAT => value.to_le_bytes().iter().all(|t| matches!(t, 0 | 1 | 4..=7)),
        n::MTRR_DEF_TYPE => is_memory_type(value as u8) && value & !0xCFF == 0,
        n::MCG_STATUS => value & !7 == 0,
        n::DEBUGCTL => value & !0x3F == 0,
        _ if MTRR_FIXED.contains(&msr) => value.to_le_bytes().iter().all(|t| is_memory_type(*t)),
        _ if MTRR_VARIABLE.contains(&msr) && msr & 1 == 0 => {
            is_memory_type(value as u8) && value & !(physical & !0xF00) == 0
        }
        _ if MTRR_VARIABLE.contains(&msr) => value & !(physical & !0x7FF) == 0,
        _ => true,
    }
}

/// The memory types of MTRRs: UC, WC, WT, WP, WB.
fn is_memory_type(t: u8) -> bool {
    matches!(t, 0 | 1 | 4..=6)
}

/// What a write of EFER does to the state, if it is allowed: LMA cannot be written; LME not while
/// paging is on.
pub fn set_efer(cpu: &mut CpuState, value: u64) -> bool {
    let changed = value ^ cpu.efer;
    let allowed = value & !EFER_BITS == 0 && (changed & efer::LME == 0 || cpu.cr0 & cr0::PG == 0);
    if allowed {
        cpu.efer = value & !efer::LMA | cpu.efer & efer::LMA;
    }
    allowed
}

/// A write of EFER.
fn write_efer(cpu: &mut Vcpu, value: u64) -> bool {
    let changed = value ^ cpu.efer;
    if !set_efer(&mut cpu.state, value) {
        return false;
    }
    if changed & efer::NXE != 0 {
        cpu.switch_tlb();
    }
    cpu.refresh();
    cpu.leave_block();
    true
}

/// The local APIC keeps the deadline in virtual time, 0 for none.
fn read_deadline(cpu: &mut Vcpu, env: &mut Env<'_>) -> Option<u64> {
    cpu.leave_block();
    cpu.stamp_chips(env);
    let ns = env.io.apic_msr_read(cpu.id, env.clock.now_ns(), n::TSC_DEADLINE)?;
    Some(if ns == 0 { 0 } else { ns.wrapping_add(cpu.msrs.tsc_offset) })
}

fn write_deadline(cpu: &mut Vcpu, env: &mut Env<'_>, value: u64) -> bool {
    cpu.leave_block();
    let now = env.clock.now_ns();
    let remaining = value.saturating_sub(tsc(cpu, env));
    let ns = if value == 0 { 0 } else { now.saturating_add(remaining).max(1) };
    cpu.stamp_chips(env);
    env.io.apic_msr_write(cpu.id, now, n::TSC_DEADLINE, ns)
}
