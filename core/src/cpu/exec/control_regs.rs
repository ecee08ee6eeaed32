//! MOV to and from control and debug registers, LMSW, SMSW, CLTS, CLAC, STAC, INVLPG,
//! INVPCID, XGETBV, XSETBV, INVD, WBINVD (SDM vol. 2). The checks of values are in
//! [`crate::cpu::system::control`].

use super::Operand;
use crate::boundary::{ProbeEvent, ProbeKind};
use crate::cpu::access::canonical;
use crate::cpu::env::Env;
use crate::cpu::flags;
use crate::cpu::insn::{Exec, Handler, Insn, NO_REG};
use crate::cpu::state::{RAX, RCX, RDX, Vcpu, cr0, cr4};
use crate::cpu::system::control::{write_cr0, write_cr3, write_cr4};
use crate::types::Exception;
use iced_x86::{Code, Instruction};

/// The handler of a form of this family.
pub fn select(i: &Instruction) -> Option<Handler> {
    Some(match i.code() {
        Code::Mov_r32_cr => from_control::<u32>,
        Code::Mov_r64_cr => from_control::<u64>,
        Code::Mov_cr_r32 => to_control::<u32>,
        Code::Mov_cr_r64 => to_control::<u64>,
        Code::Mov_r32_dr => from_debug::<u32>,
        Code::Mov_r64_dr => from_debug::<u64>,
        Code::Mov_dr_r32 => to_debug::<u32>,
        Code::Mov_dr_r64 => to_debug::<u64>,
        Code::Smsw_rm16 => smsw::<u16>,
        Code::Smsw_r32m16 => smsw::<u32>,
        Code::Smsw_r64m16 => smsw::<u64>,
        Code::Lmsw_rm16 | Code::Lmsw_r32m16 | Code::Lmsw_r64m16 => lmsw,
        Code::Clts => clts,
        Code::Clac => set_ac::<false>,
        Code::Stac => set_ac::<true>,
        // The soft TLB never differs from the tables: nothing to invalidate.
        Code::Invlpg_m | Code::Invd | Code::Wbinvd => privileged_nop,
        Code::Invpcid_r32_m128 => invpcid::<u32>,
        Code::Invpcid_r64_m128 => invpcid::<u64>,
        Code::Xgetbv => xgetbv,
        Code::Xsetbv => xsetbv,
        _ => return None,
    })
}

/// #GP(0) unless at privilege level 0.
fn check_cpl0(cpu: &Vcpu) -> Exec {
    if cpu.cpl == 0 { Ok(()) } else { Err(Exception::GP0) }
}

fn from_control<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let value = match insn.r[1] {
        0 => cpu.cr0,
        2 => cpu.cr2,
        3 => cpu.cr3,
        4 => cpu.cr4,
        8 => env.io.cr8(cpu.id),
        _ => return Err(Exception::UD),
    };
    check_cpl0(cpu)?;
    T::set(cpu, insn.r[0], value);
    Ok(())
}

fn to_control<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let value = T::get(cpu, insn.r[1]);
    if !matches!(insn.r[0], 0 | 2 | 3 | 4 | 8) {
        return Err(Exception::UD);
    }
    check_cpl0(cpu)?;
    let old = match insn.r[0] {
        0 => cpu.cr0,
        2 => cpu.cr2,
        3 => cpu.cr3,
        4 => cpu.cr4,
        _ => env.io.cr8(cpu.id),
    };
    match insn.r[0] {
        0 => write_cr0(cpu, env, value)?,
        2 => cpu.cr2 = value,
        3 => write_cr3(cpu, env, value)?,
        4 => write_cr4(cpu, env, value)?,
        _ if value > 15 => return Err(Exception::GP0),
        _ => {
            cpu.stamp_chips(env);
            env.io.set_cr8(cpu.id, env.clock.now_ns(), value);
            cpu.leave_block();
        }
    }
    let register = insn.r[0];
    cpu.note(env, ProbeKind::ControlWrite, || ProbeEvent::ControlWrite { register, old, value });
    Ok(())
}

/// DR7.GD: any access to a debug register raises #DB.
const DR7_GD: u64 = 1 << 13;
/// DR6.BD: it was this.
const DR6_BD: u64 = 1 << 13;

/// The number of the debug register that is meant, once access to it is allowed.
fn debug_register(cpu: &mut Vcpu, n: u8) -> Result<usize, Exception> {
    let n = match n {
        4 | 5 if cpu.cr4 & cr4::DE != 0 => return Err(Exception::UD),
        4 | 5 => n + 2,
        0..=7 => n,
        _ => return Err(Exception::UD),
    };
    check_cpl0(cpu)?;
    if cpu.dr[7] & DR7_GD != 0 {
        cpu.dr[6] |= DR6_BD;
        return Err(Exception::DB);
    }
    Ok(n.into())
}

fn from_debug<T: Operand>(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec {
    let n = debug_register(cpu, insn.r[1])?;
    T::set(cpu, insn.r[0], cpu.dr[n]);
    Ok(())
}

fn to_debug<T: Operand>(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec {
    let n = debug_register(cpu, insn.r[0])?;
    let value = T::get(cpu, insn.r[1]);
    if n >= 6 && value >> 32 != 0 {
        return Err(Exception::GP0);
    }
    cpu.dr[n] = match n {
        6 => 0xFFFF_0FF0 | value & 0xE00F,
        7 => 0x400 | value & !0xD800,
        _ => value,
    };
    // What the TLB holds bypasses data breakpoints.
    cpu.flush_tlb();
    cpu.refresh();
    cpu.leave_block();
    Ok(())
}

fn smsw<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    if cpu.cpl > 0 && cpu.cr4 & cr4::UMIP != 0 {
        return Err(Exception::GP0);
    }
    if insn.r[0] == NO_REG {
        return cpu.store_operand(env, insn, cpu.cr0 as u16);
    }
    T::set(cpu, insn.r[0], cpu.cr0);
    Ok(())
}

/// LMSW writes the low four bits, and cannot clear PE.
fn lmsw(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    check_cpl0(cpu)?;
    let value = cpu.operand::<u16>(env, insn, 0)? & 0xF;
    let new = cpu.cr0 & !(cr0::MP | cr0::EM | cr0::TS) | value;
    write_cr0(cpu, env, new)
}

fn clts(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    check_cpl0(cpu)?;
    cpu.cr0 &= !cr0::TS;
    cpu.refresh();
    cpu.leave_block();
    Ok(())
}

/// CLAC, STAC: outside privilege level 0 they do not exist.
fn set_ac<const ON: bool>(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    if cpu.cpl != 0 {
        return Err(Exception::UD);
    }
    cpu.flags.set_system(flags::AC, ON);
    cpu.refresh();
    Ok(())
}

fn privileged_nop(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    check_cpl0(cpu)
}

/// Nothing to invalidate either, but the operands are checked.
fn invpcid<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    if cpu.paragraph_selectors() && !cpu.real_mode() {
        return Err(Exception::GP0);
    }
    check_cpl0(cpu)?;
    let kind = T::get(cpu, insn.r[0]);
    let d: u128 = cpu.load_operand(env, insn)?;
    let (pcid, address) = (d as u64, (d >> 64) as u64);
    let uses_pcid = kind < 2;
    let bad_pcid = uses_pcid && cpu.cr4 & cr4::PCIDE == 0 && pcid != 0;
    if kind > 3 || pcid >> 12 != 0 || bad_pcid || (kind == 0 && !canonical(address)) {
        return Err(Exception::GP0);
    }
    Ok(())
}

fn check_osxsave(cpu: &Vcpu) -> Exec {
    if cpu.cr4 & cr4::OSXSAVE == 0 { Err(Exception::UD) } else { Ok(()) }
}

fn xgetbv(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    check_osxsave(cpu)?;
    if cpu.regs[RCX] as u32 != 0 {
        return Err(Exception::GP0);
    }
    cpu.regs[RAX] = cpu.xcr0 & 0xFFFF_FFFF;
    cpu.regs[RDX] = cpu.xcr0 >> 32;
    Ok(())
}

/// XCR0: x87 always, SSE if wanted.
fn xsetbv(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    check_osxsave(cpu)?;
    check_cpl0(cpu)?;
    let value = cpu.regs[RAX] & 0xFFFF_FFFF | cpu.regs[RDX] << 32;
    if cpu.regs[RCX] as u32 != 0 || value & 1 == 0 || value & !3 != 0 {
        return Err(Exception::GP0);
    }
    cpu.xcr0 = value;
    Ok(())
}
