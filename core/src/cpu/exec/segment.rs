//! Segment registers and descriptor tables: MOV, PUSH, POP of segment registers, LDS and its
//! kin, LGDT, LIDT, LLDT, LTR and the stores, RDFSBASE and its kin, SWAPGS (SDM vol. 2).
//! LAR, LSL, VERR, VERW and ARPL are in [`super::segment_probe`].

use super::Operand;
use crate::cpu::access::canonical;
use crate::cpu::env::Env;
use crate::cpu::insn::{Exec, Handler, Insn, NO_REG};
use crate::cpu::state::{RSP, Shadow, TableRegister, Vcpu, cr4, seg};
use crate::cpu::system::load_segment::{check_load, load_ldtr, load_tr};
use crate::cpu::system::stack_frame::Stack;
use crate::types::Exception;
use iced_x86::{Code, Instruction, Register};

/// The handler of a form of this family.
pub fn select(i: &Instruction) -> Option<Handler> {
    select_moves(i).or_else(|| select_tables(i)).or_else(|| super::segment_probe::select(i))
}

fn select_moves(i: &Instruction) -> Option<Handler> {
    Some(match i.code() {
        Code::Mov_rm16_Sreg => store_selector::<u16>,
        Code::Mov_r32m16_Sreg => store_selector::<u32>,
        Code::Mov_r64m16_Sreg => store_selector::<u64>,
        Code::Mov_Sreg_rm16 | Code::Mov_Sreg_r32m16 | Code::Mov_Sreg_r64m16 => {
            if i.op0_register() == Register::CS { super::invalid } else { load_selector }
        }
        Code::Pushw_ES
        | Code::Pushw_CS
        | Code::Pushw_SS
        | Code::Pushw_DS
        | Code::Pushw_FS
        | Code::Pushw_GS => push::<2>,
        Code::Pushd_ES
        | Code::Pushd_CS
        | Code::Pushd_SS
        | Code::Pushd_DS
        | Code::Pushd_FS
        | Code::Pushd_GS => push::<4>,
        Code::Pushq_FS | Code::Pushq_GS => push::<8>,
        Code::Popw_ES | Code::Popw_SS | Code::Popw_DS | Code::Popw_FS | Code::Popw_GS => pop::<2>,
        Code::Popd_ES | Code::Popd_SS | Code::Popd_DS | Code::Popd_FS | Code::Popd_GS => pop::<4>,
        Code::Popq_FS | Code::Popq_GS => pop::<8>,
        Code::Les_r16_m1616 => far_pointer::<u16, { seg::ES }>,
        Code::Les_r32_m1632 => far_pointer::<u32, { seg::ES }>,
        Code::Lds_r16_m1616 => far_pointer::<u16, { seg::DS }>,
        Code::Lds_r32_m1632 => far_pointer::<u32, { seg::DS }>,
        Code::Lss_r16_m1616 => far_pointer::<u16, { seg::SS }>,
        Code::Lss_r32_m1632 => far_pointer::<u32, { seg::SS }>,
        Code::Lss_r64_m1664 => far_pointer::<u64, { seg::SS }>,
        Code::Lfs_r16_m1616 => far_pointer::<u16, { seg::FS }>,
        Code::Lfs_r32_m1632 => far_pointer::<u32, { seg::FS }>,
        Code::Lfs_r64_m1664 => far_pointer::<u64, { seg::FS }>,
        Code::Lgs_r16_m1616 => far_pointer::<u16, { seg::GS }>,
        Code::Lgs_r32_m1632 => far_pointer::<u32, { seg::GS }>,
        Code::Lgs_r64_m1664 => far_pointer::<u64, { seg::GS }>,
        Code::Rdfsbase_r32 => read_base::<u32, { seg::FS }>,
        Code::Rdfsbase_r64 => read_base::<u64, { seg::FS }>,
        Code::Rdgsbase_r32 => read_base::<u32, { seg::GS }>,
        Code::Rdgsbase_r64 => read_base::<u64, { seg::GS }>,
        Code::Wrfsbase_r32 => write_base::<u32, { seg::FS }>,
        Code::Wrfsbase_r64 => write_base::<u64, { seg::FS }>,
        Code::Wrgsbase_r32 => write_base::<u32, { seg::GS }>,
        Code::Wrgsbase_r64 => write_base::<u64, { seg::GS }>,
        Code::Swapgs => swapgs,
        _ => return None,
    })
}

fn select_tables(i: &Instruction) -> Option<Handler> {
    Some(match i.code() {
        Code::Lgdt_m1632_16 => load_table::<GDT, 3>,
        Code::Lgdt_m1632 => load_table::<GDT, 4>,
        Code::Lgdt_m1664 => load_table::<GDT, 8>,
        Code::Lidt_m1632_16 => load_table::<IDT, 3>,
        Code::Lidt_m1632 => load_table::<IDT, 4>,
        Code::Lidt_m1664 => load_table::<IDT, 8>,
        Code::Sgdt_m1632_16 | Code::Sgdt_m1632 => store_table::<GDT, u32>,
        Code::Sgdt_m1664 => store_table::<GDT, u64>,
        Code::Sidt_m1632_16 | Code::Sidt_m1632 => store_table::<IDT, u32>,
        Code::Sidt_m1664 => store_table::<IDT, u64>,
        Code::Sldt_rm16 => store_system::<u16, LDT>,
        Code::Sldt_r32m16 => store_system::<u32, LDT>,
        Code::Sldt_r64m16 => store_system::<u64, LDT>,
        Code::Str_rm16 => store_system::<u16, TASK>,
        Code::Str_r32m16 => store_system::<u32, TASK>,
        Code::Str_r64m16 => store_system::<u64, TASK>,
        Code::Lldt_rm16 | Code::Lldt_r32m16 | Code::Lldt_r64m16 => lldt,
        Code::Ltr_rm16 | Code::Ltr_r32m16 | Code::Ltr_r64m16 => ltr,
        _ => return None,
    })
}

const GDT: bool = false;
const IDT: bool = true;
const LDT: bool = false;
const TASK: bool = true;

/// Loads segment register `r` and what follows from it.
fn load(cpu: &mut Vcpu, env: &mut Env<'_>, r: usize, selector: u16) -> Exec {
    let segment = check_load(cpu, env, r, selector)?;
    cpu.segs[r] = segment;
    Ok(())
}

fn shadow_after_ss(cpu: &mut Vcpu) {
    cpu.shadow = Shadow::MovSs;
    cpu.leave_block();
}

fn store_selector<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let selector = cpu.segs[insn.r[1] as usize].selector;
    store_16::<T>(cpu, env, insn, selector)
}

/// A selector to a register of the operand size, or 16 bits to memory.
fn store_16<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn, v: u16) -> Exec {
    if insn.r[0] == NO_REG {
        return cpu.store_operand::<u16>(env, insn, v);
    }
    T::set(cpu, insn.r[0], v.into());
    Ok(())
}

fn load_selector(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let selector = cpu.operand::<u16>(env, insn, 1)? as u16;
    let r = insn.r[0] as usize;
    load(cpu, env, r, selector)?;
    if r == seg::SS {
        shadow_after_ss(cpu);
    }
    Ok(())
}

fn push<const WIDTH: usize>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let selector = cpu.segs[insn.r[0] as usize].selector;
    let stack = Stack::current(cpu);
    let sp = stack.push(cpu, env, WIDTH, &[selector.into()])?;
    cpu.regs[RSP] = stack.pointer(cpu.regs[RSP], sp);
    Ok(())
}

fn pop<const WIDTH: usize>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let r = insn.r[0] as usize;
    let stack = Stack::current(cpu);
    let selector = stack.peek(cpu, env, WIDTH, 0)? as u16;
    load(cpu, env, r, selector)?;
    cpu.regs[RSP] = stack.after(WIDTH);
    if r == seg::SS {
        shadow_after_ss(cpu);
    }
    Ok(())
}

fn far_pointer<T: Operand, const SEGMENT: usize>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let va = cpu.linear(insn, T::SIZE + 2, false)?;
    let offset = cpu.load::<T>(env, va)?.widen();
    let selector: u16 = cpu.load(env, cpu.further(va, T::SIZE as u64))?;
    load(cpu, env, SEGMENT, selector)?;
    T::set(cpu, insn.r[0], offset);
    Ok(())
}

fn check_cpl0(cpu: &Vcpu) -> Exec {
    if cpu.cpl == 0 { Ok(()) } else { Err(Exception::GP0) }
}

fn check_umip(cpu: &Vcpu) -> Exec {
    if cpu.cpl > 0 && cpu.cr4 & cr4::UMIP != 0 { Err(Exception::GP0) } else { Ok(()) }
}

/// LGDT, LIDT: `BASE_BYTES` of the base count.
fn load_table<const IS_IDT: bool, const BASE_BYTES: usize>(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    insn: &Insn,
) -> Exec {
    check_cpl0(cpu)?;
    let va = cpu.linear(insn, if BASE_BYTES == 8 { 10 } else { 6 }, false)?;
    let limit = cpu.load(env, va)?;
    let at = cpu.further(va, 2);
    let base = match BASE_BYTES {
        8 => cpu.load(env, at)?,
        4 => cpu.load::<u32>(env, at)?.into(),
        _ => u64::from(cpu.load::<u32>(env, at)? & 0xFF_FFFF),
    };
    if !canonical(base) {
        return Err(Exception::GP0);
    }
    let table = TableRegister { base, limit };
    if IS_IDT {
        cpu.idtr = table
    } else {
        cpu.gdtr = table
    }
    Ok(())
}

fn store_table<const IS_IDT: bool, T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    check_umip(cpu)?;
    let table = if IS_IDT { cpu.idtr } else { cpu.gdtr };
    let va = cpu.linear(insn, 2 + T::SIZE, true)?;
    cpu.probe(env, va, 2 + T::SIZE, crate::mem::AccessKind::Write)?;
    cpu.store(env, va, table.limit)?;
    cpu.store(env, cpu.further(va, 2), T::narrow(table.base))
}

/// SLDT, STR, LLDT, LTR and the like do not exist in real or virtual-8086 mode.
fn check_protected(cpu: &Vcpu) -> Exec {
    if cpu.paragraph_selectors() { Err(Exception::UD) } else { Ok(()) }
}

fn store_system<T: Operand, const IS_TASK: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    check_protected(cpu)?;
    check_umip(cpu)?;
    let selector = if IS_TASK { cpu.tr.selector } else { cpu.ldtr.selector };
    store_16::<T>(cpu, env, insn, selector)
}

fn lldt(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    check_protected(cpu)?;
    check_cpl0(cpu)?;
    let selector = cpu.operand::<u16>(env, insn, 0)? as u16;
    load_ldtr(cpu, env, selector)
}

fn ltr(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    check_protected(cpu)?;
    check_cpl0(cpu)?;
    let selector = cpu.operand::<u16>(env, insn, 0)? as u16;
    load_tr(cpu, env, selector)
}

fn check_fsgsbase(cpu: &Vcpu) -> Exec {
    if cpu.cr4 & cr4::FSGSBASE == 0 { Err(Exception::UD) } else { Ok(()) }
}

fn read_base<T: Operand, const SEGMENT: usize>(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec {
    check_fsgsbase(cpu)?;
    T::set(cpu, insn.r[0], cpu.segs[SEGMENT].base);
    Ok(())
}

fn write_base<T: Operand, const SEGMENT: usize>(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec {
    check_fsgsbase(cpu)?;
    let base = T::get(cpu, insn.r[0]);
    if !canonical(base) {
        return Err(Exception::GP0);
    }
    cpu.segs[SEGMENT].base = base;
    Ok(())
}

fn swapgs(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    check_cpl0(cpu)?;
    let kernel = cpu.msrs.kernel_gs_base;
    cpu.msrs.kernel_gs_base = std::mem::replace(&mut cpu.segs[seg::GS].base, kernel);
    Ok(())
}
