//! AAA, AAS, AAM, AAD, DAA, DAS (SDM vol. 2): decimal adjustment, outside 64-bit mode.
//!
//! Flags that the manuals leave undefined are as on Zen 4: those of AAA and AAS come of the
//! 16-bit result before AL loses its upper digit, OF of DAA and DAS of the byte addition, all
//! of AAD of its addition.

use super::operand::Operand;
use crate::cpu::env::Env;
use crate::cpu::insn::{Exec, Handler, Insn};
use crate::cpu::state::{RAX, Vcpu};
use crate::types::Exception;
use iced_x86::{Instruction, Mnemonic};

/// AAA, or AAS if `SUBTRACT`: one unpacked digit in AL, its carry in AH.
fn adjust_unpacked<const SUBTRACT: bool>(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    let ax = cpu.regs[RAX] as i16;
    let carry = ax & 0xF > 9 || cpu.flags.af();
    let by = if carry { 0x106 } else { 0 };
    let (adjusted, of) = if SUBTRACT { ax.overflowing_sub(by) } else { ax.overflowing_add(by) };
    let adjusted = adjusted as u16;
    u16::set(cpu, RAX as u8, u64::from(adjusted & 0xFF0F));
    cpu.state.flags.set_result::<u16>(adjusted.into(), carry, of, carry);
    Ok(())
}

/// DAA, or DAS if `SUBTRACT`: two packed digits in AL.
fn adjust_packed<const SUBTRACT: bool>(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    let al = cpu.regs[RAX] as u8;
    let (old_cf, old_af) = (cpu.flags.cf(), cpu.flags.af());
    let low = al & 0xF > 9 || old_af;
    let high = al > 0x99 || old_cf;
    let by = if low { 6 } else { 0 } + if high { 0x60 } else { 0 };
    let r = if SUBTRACT { al.wrapping_sub(by) } else { al.wrapping_add(by) };
    // DAS also reports the borrow of its first step.
    let cf = high || (SUBTRACT && low && al < 6);
    u8::set(cpu, RAX as u8, r.into());
    let of = overflows::<SUBTRACT>(al, by);
    cpu.state.flags.set_result::<u8>(r.into(), cf, of, low);
    Ok(())
}

/// OF of `al` plus or minus `by`.
fn overflows<const SUBTRACT: bool>(al: u8, by: u8) -> bool {
    let (a, b) = (al as i8, by as i8);
    if SUBTRACT { a.overflowing_sub(b).1 } else { a.overflowing_add(b).1 }
}

fn aam(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec {
    let base = insn.imm as u8;
    let al = cpu.regs[RAX] as u8;
    let quotient = al.checked_div(base).ok_or(Exception::DE)?;
    let remainder = al % base;
    u16::set(cpu, RAX as u8, u64::from(quotient) << 8 | u64::from(remainder));
    cpu.state.flags.set_result::<u8>(remainder.into(), false, false, false);
    Ok(())
}

fn aad(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec {
    let (al, ah) = (cpu.regs[RAX] as u8, (cpu.regs[RAX] >> 8) as u8);
    let product = ah.wrapping_mul(insn.imm as u8);
    let r = al.wrapping_add(product);
    u16::set(cpu, RAX as u8, r.into());
    cpu.state.flags.set_add::<u8>(al.into(), product.into(), r.into());
    Ok(())
}

/// The handler of a form of this family.
pub fn select(i: &Instruction) -> Option<Handler> {
    Some(match i.mnemonic() {
        Mnemonic::Aaa => adjust_unpacked::<false>,
        Mnemonic::Aas => adjust_unpacked::<true>,
        Mnemonic::Daa => adjust_packed::<false>,
        Mnemonic::Das => adjust_packed::<true>,
        Mnemonic::Aam => aam,
        Mnemonic::Aad => aad,
        _ => return None,
    })
}
