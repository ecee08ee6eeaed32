//! MUL, IMUL, DIV, IDIV, and the sign extensions of the accumulator CBW to CQO (SDM vol. 2;
//! undefined flags as on Zen 4: MUL and IMUL leave SF ZF AF PF, DIV and IDIV leave OF and CF,
//! clear SF ZF PF and set AF).

use super::form::{Shape, by_wide_width, by_width, shape, width};
use super::operand::Operand;
use crate::cpu::env::Env;
use crate::cpu::flags::{AF, PF, SF, ZF, sign_extend};
use crate::cpu::insn::{Exec, Handler, Insn};
use crate::cpu::state::{RAX, RDX, Vcpu};
use crate::types::Exception;
use iced_x86::{Code, Instruction, Mnemonic};

/// The double-width value in AX, DX:AX, EDX:EAX or RDX:RAX.
#[inline(always)]
fn wide_accumulator<T: Operand>(cpu: &Vcpu) -> u128 {
    if T::SIZE == 1 {
        return u128::from(cpu.state.regs[RAX] as u16);
    }
    u128::from(T::get(cpu, RDX as u8)) << T::BITS | u128::from(T::get(cpu, RAX as u8))
}

/// Sets AX, or the D and A registers of width T.
#[inline(always)]
fn set_halves<T: Operand>(cpu: &mut Vcpu, high: u64, low: u64) {
    if T::SIZE == 1 {
        u16::set(cpu, RAX as u8, (high & 0xFF) << 8 | low & 0xFF);
    } else {
        T::set(cpu, RDX as u8, high);
        T::set(cpu, RAX as u8, low);
    }
}

fn mul<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let b = cpu.operand::<T>(env, insn, 0)?;
    let product = u128::from(T::get(cpu, RAX as u8)) * u128::from(b);
    let high = (product >> T::BITS) as u64;
    set_halves::<T>(cpu, high, product as u64);
    cpu.state.flags.set_cf_of(high != 0, high != 0);
    Ok(())
}

/// The signed product of two values of width T, and whether it needs more than that.
#[inline(always)]
fn signed_product<T: Operand>(a: u64, b: u64) -> (i128, bool) {
    let product = i128::from(sign_extend::<T>(a) as i64) * i128::from(sign_extend::<T>(b) as i64);
    (product, i128::from(sign_extend::<T>(product as u64) as i64) != product)
}

fn imul_wide<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let b = cpu.operand::<T>(env, insn, 0)?;
    let (product, overflow) = signed_product::<T>(T::get(cpu, RAX as u8), b);
    set_halves::<T>(cpu, (product >> T::BITS) as u64, product as u64);
    cpu.state.flags.set_cf_of(overflow, overflow);
    Ok(())
}

/// Register times register or memory.
fn imul_two<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let b = cpu.operand::<T>(env, insn, 1)?;
    let (product, overflow) = signed_product::<T>(T::get(cpu, insn.r[0]), b);
    T::set(cpu, insn.r[0], product as u64);
    cpu.state.flags.set_cf_of(overflow, overflow);
    Ok(())
}

/// Register or memory times immediate.
fn imul_three<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let a = cpu.operand::<T>(env, insn, 1)?;
    let (product, overflow) = signed_product::<T>(a, insn.imm);
    T::set(cpu, insn.r[0], product as u64);
    cpu.state.flags.set_cf_of(overflow, overflow);
    Ok(())
}

fn set_division_flags(cpu: &mut Vcpu) {
    cpu.state.flags.update_arithmetic(SF | ZF | PF | AF, AF);
}

fn div<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let divisor = cpu.operand::<T>(env, insn, 0)?;
    let dividend = wide_accumulator::<T>(cpu);
    // The quotient fits if and only if the upper half is below the divisor (0 never is).
    if (dividend >> T::BITS) as u64 >= divisor {
        return Err(Exception::DE);
    }
    let (quotient, remainder) = if T::SIZE < 8 || dividend >> 64 == 0 {
        (dividend as u64 / divisor, dividend as u64 % divisor)
    } else {
        let divisor = u128::from(divisor);
        ((dividend / divisor) as u64, (dividend % divisor) as u64)
    };
    set_halves::<T>(cpu, remainder, quotient);
    set_division_flags(cpu);
    Ok(())
}

fn idiv<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let divisor = i128::from(sign_extend::<T>(cpu.operand::<T>(env, insn, 0)?) as i64);
    let unused = 128 - 2 * T::BITS;
    let dividend = (wide_accumulator::<T>(cpu) << unused) as i128 >> unused;
    let (quotient, remainder) = signed_division(dividend, divisor).ok_or(Exception::DE)?;
    if i128::from(sign_extend::<T>(quotient as u64) as i64) != quotient {
        return Err(Exception::DE);
    }
    set_halves::<T>(cpu, remainder as u64, quotient as u64);
    set_division_flags(cpu);
    Ok(())
}

/// Division of 64-bit values in 64 bits where that is possible, since 128 bits are slow.
#[inline(always)]
fn signed_division(dividend: i128, divisor: i128) -> Option<(i128, i128)> {
    if let (Ok(a), Ok(b)) = (i64::try_from(dividend), i64::try_from(divisor))
        && let (Some(q), Some(r)) = (a.checked_div(b), a.checked_rem(b))
    {
        return Some((q.into(), r.into()));
    }
    Some((dividend.checked_div(divisor)?, dividend.checked_rem(divisor)?))
}

/// CBW, CWDE, CDQE: the lower half of the accumulator of width T, S wide, sign-extended.
fn extend_accumulator<S: Operand, T: Operand>(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    let v = sign_extend::<S>(S::get(cpu, RAX as u8));
    T::set(cpu, RAX as u8, v);
    Ok(())
}

/// CWD, CDQ, CQO: the sign of the accumulator fills the D register.
fn sign_to_dx<T: Operand>(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    let sign = T::get(cpu, RAX as u8) & T::SIGN != 0;
    T::set(cpu, RDX as u8, if sign { u64::MAX } else { 0 });
    Ok(())
}

fn select_imul(i: &Instruction) -> Handler {
    let bytes = width(i);
    match i.op_count() {
        1 => by_width!(bytes, imul_wide),
        2 => by_wide_width!(bytes, imul_two),
        _ => by_wide_width!(bytes, imul_three),
    }
}

/// The handler of a form of this family.
pub fn select(i: &Instruction) -> Option<Handler> {
    match i.mnemonic() {
        Mnemonic::Imul => return Some(select_imul(i)),
        Mnemonic::Mul | Mnemonic::Div | Mnemonic::Idiv
            if matches!(shape(i), Some(Shape::Reg | Shape::Mem)) => {}
        _ => {
            return Some(match i.code() {
                Code::Cbw => extend_accumulator::<u8, u16>,
                Code::Cwde => extend_accumulator::<u16, u32>,
                Code::Cdqe => extend_accumulator::<u32, u64>,
                Code::Cwd => sign_to_dx::<u16>,
                Code::Cdq => sign_to_dx::<u32>,
                Code::Cqo => sign_to_dx::<u64>,
                _ => return None,
            });
        }
    }
    let bytes = width(i);
    Some(match i.mnemonic() {
        Mnemonic::Mul => by_width!(bytes, mul),
        Mnemonic::Div => by_width!(bytes, div),
        _ => by_width!(bytes, idiv),
    })
}
