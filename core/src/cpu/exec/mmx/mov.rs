//! Moves between MMX registers, memory and general registers; EMMS.

use crate::cpu::access::Exec;
use crate::cpu::env::Env;
use crate::cpu::exec::operand::Operand;
use crate::cpu::exec::simd::{from_memory, mmx_enter, mmx_ready};
use crate::cpu::exec::sse_int::compare::byte_signs;
use crate::cpu::exec::sse_int::mov::store_masked;
use crate::cpu::insn::{Handler, Insn, NO_REG};
use crate::cpu::state::Vcpu;
use iced_x86::{Code, Instruction, OpKind};

/// The handler of a move.
pub fn select(i: &Instruction) -> Option<Handler> {
    Some(match i.code() {
        Code::Movd_mm_rm32 => from_general::<u32>,
        Code::Movq_mm_rm64 => from_general::<u64>,
        Code::Movd_rm32_mm => to_general::<u32>,
        Code::Movq_rm64_mm => to_general::<u64>,
        Code::Movq_mm_mmm64 if from_memory(i) => load,
        Code::Movq_mmm64_mm if i.op0_kind() != OpKind::Register => store,
        Code::Movq_mm_mmm64 | Code::Movq_mmm64_mm => copy,
        Code::Movntq_m64_mm => store,
        Code::Maskmovq_rDI_mm_mm => maskmovq,
        Code::Pmovmskb_r32_mm | Code::Pmovmskb_r64_mm => pmovmskb,
        Code::Pinsrw_mm_r32m16_imm8 | Code::Pinsrw_mm_r64m16_imm8 => pinsrw,
        Code::Pextrw_r32_mm_imm8 | Code::Pextrw_r64_mm_imm8 => pextrw,
        Code::Emms => emms,
        _ => return None,
    })
}

fn from_general<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    mmx_ready(cpu)?;
    let v = cpu.operand::<T>(env, insn, 1)?;
    mmx_enter(cpu);
    cpu.set_mm(insn.r[0], v);
    Ok(())
}

fn to_general<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    mmx_ready(cpu)?;
    let v = cpu.mm(insn.r[1]);
    cpu.set_operand::<T>(env, insn, 0, v)?;
    mmx_enter(cpu);
    Ok(())
}

fn load(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    mmx_ready(cpu)?;
    let v = cpu.load_operand(env, insn)?;
    mmx_enter(cpu);
    cpu.set_mm(insn.r[0], v);
    Ok(())
}

fn store(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    mmx_ready(cpu)?;
    let v = cpu.mm(insn.r[1]);
    cpu.store_operand(env, insn, v)?;
    mmx_enter(cpu);
    Ok(())
}

fn copy(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    mmx_ready(cpu)?;
    mmx_enter(cpu);
    let v = cpu.mm(insn.r[1]);
    cpu.set_mm(insn.r[0], v);
    Ok(())
}

fn maskmovq(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    mmx_ready(cpu)?;
    // Before the store and its faults, as Zen 4 has it.
    mmx_enter(cpu);
    let (v, mask) = (cpu.mm(insn.r[1]), cpu.mm(insn.r[2]));
    store_masked::<8>(cpu, env, insn, v.into(), mask.into())
}

fn pmovmskb(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    mmx_ready(cpu)?;
    mmx_enter(cpu);
    let mask = byte_signs(cpu.mm(insn.r[1]));
    u64::set(cpu, insn.r[0], mask);
    Ok(())
}

/// The bit position of the word that the immediate selects.
fn word(insn: &Insn) -> u64 {
    16 * (insn.imm & 3)
}

fn pinsrw(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    mmx_ready(cpu)?;
    let r = insn.r[1];
    let v = if r == NO_REG { cpu.load_operand::<u16>(env, insn)? } else { u64::get(cpu, r) as u16 };
    mmx_enter(cpu);
    let old = cpu.mm(insn.r[0]) & !(0xFFFF << word(insn));
    cpu.set_mm(insn.r[0], old | u64::from(v) << word(insn));
    Ok(())
}

fn pextrw(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    mmx_ready(cpu)?;
    mmx_enter(cpu);
    let v = cpu.mm(insn.r[1]) >> word(insn) & 0xFFFF;
    u64::set(cpu, insn.r[0], v);
    Ok(())
}

/// EMMS: leaves MMX operation, every register empty.
fn emms(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec<()> {
    mmx_ready(cpu)?;
    mmx_enter(cpu);
    cpu.x87.valid = 0;
    Ok(())
}
