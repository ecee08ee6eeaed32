//! SHL, SHR, SAR, ROL, ROR, RCL, RCR, SHLD, SHRD (SDM vol. 2; undefined flags as on Zen 4).
//!
//! The count is taken modulo 32, or 64 for 64-bit operands. A count of zero leaves the flags,
//! but the destination is written (a 32-bit register loses its upper half, memory must be
//! writable).

use super::form::{Shape, by_wide_width, by_width, shape, width};
use super::operand::Operand;
use crate::cpu::env::Env;
use crate::cpu::flags::{Flags, sign_extend};
use crate::cpu::insn::{Exec, Handler, Insn, NO_REG};
use crate::cpu::state::{RCX, Vcpu};
use iced_x86::{Instruction, Mnemonic, OpKind};

/// A shift of a value of width T by a count from 1 to 31 (63).
trait Shift {
    fn apply<T: Operand>(flags: &mut Flags, a: u64, n: u32) -> u64;
}

struct Shl;
struct Shr;
struct Sar;
struct Rol;
struct Ror;
struct Rcl;
struct Rcr;

/// Whether the top bit of width T is set.
#[inline(always)]
fn msb<T: Operand>(v: u64) -> bool {
    v & T::SIGN != 0
}

/// Whether the two top bits of width T differ: OF of a rotation to the right.
#[inline(always)]
fn top_bits_differ<T: Operand>(v: u64) -> bool {
    msb::<T>(v ^ (v << 1))
}

impl Shift for Shl {
    #[inline(always)]
    fn apply<T: Operand>(flags: &mut Flags, a: u64, n: u32) -> u64 {
        // One bit less at first, so that the last one out is still there to be seen.
        let almost = a << (n - 1);
        let cf = msb::<T>(almost);
        let r = almost << 1;
        flags.set_result::<T>(r, cf, msb::<T>(r) != cf, true);
        r
    }
}

impl Shift for Shr {
    #[inline(always)]
    fn apply<T: Operand>(flags: &mut Flags, a: u64, n: u32) -> u64 {
        let almost = a >> (n - 1);
        let r = almost >> 1;
        flags.set_result::<T>(r, almost & 1 != 0, n == 1 && msb::<T>(a), true);
        r
    }
}

impl Shift for Sar {
    #[inline(always)]
    fn apply<T: Operand>(flags: &mut Flags, a: u64, n: u32) -> u64 {
        let almost = (sign_extend::<T>(a) as i64) >> (n - 1);
        let r = (almost >> 1) as u64;
        flags.set_result::<T>(r, almost & 1 != 0, false, true);
        r
    }
}

impl Shift for Rol {
    #[inline(always)]
    fn apply<T: Operand>(flags: &mut Flags, a: u64, n: u32) -> u64 {
        let n = n % T::BITS;
        let r = (a << n) | (a >> ((T::BITS - n) % T::BITS));
        let cf = r & 1 != 0;
        flags.set_cf_of(cf, msb::<T>(r) != cf);
        r
    }
}

impl Shift for Ror {
    #[inline(always)]
    fn apply<T: Operand>(flags: &mut Flags, a: u64, n: u32) -> u64 {
        let n = n % T::BITS;
        let r = (a >> n) | (a << ((T::BITS - n) % T::BITS));
        flags.set_cf_of(msb::<T>(r), top_bits_differ::<T>(r));
        r
    }
}

impl Shift for Rcl {
    #[inline(always)]
    fn apply<T: Operand>(flags: &mut Flags, a: u64, n: u32) -> u64 {
        let (r, cf) = rotate_through_carry::<T>(a, flags.cf(), n);
        flags.set_cf_of(cf, msb::<T>(r) != cf);
        r
    }
}

impl Shift for Rcr {
    #[inline(always)]
    fn apply<T: Operand>(flags: &mut Flags, a: u64, n: u32) -> u64 {
        let cycle = T::BITS + 1;
        let (r, cf) = rotate_through_carry::<T>(a, flags.cf(), cycle - n % cycle);
        flags.set_cf_of(cf, top_bits_differ::<T>(r));
        r
    }
}

/// Rotates carry and value, one bit more than T has, to the left.
#[inline(always)]
fn rotate_through_carry<T: Operand>(a: u64, cf: bool, n: u32) -> (u64, bool) {
    let cycle = T::BITS + 1;
    let n = n % cycle;
    let whole = u128::from(a) | u128::from(cf) << T::BITS;
    let r = (whole << n) | (whole >> (cycle - n));
    (r as u64 & T::MASK, r >> T::BITS & 1 != 0)
}

/// The count that the instruction asks for, modulo 32 or 64.
#[inline(always)]
fn count<const BY_CL: bool, T: Operand>(cpu: &Vcpu, insn: &Insn) -> u32 {
    let n = if BY_CL { cpu.state.regs[RCX] } else { insn.imm };
    n as u32 & if T::SIZE == 8 { 63 } else { 31 }
}

fn shift_reg<const BY_CL: bool, O: Shift, T: Operand>(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec {
    let n = count::<BY_CL, T>(cpu, insn);
    let mut v = T::get(cpu, insn.r[0]);
    if n != 0 {
        v = O::apply::<T>(&mut cpu.state.flags, v, n);
    }
    T::set(cpu, insn.r[0], v);
    Ok(())
}

fn shift_mem<const BY_CL: bool, O: Shift, T: Operand>(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    insn: &Insn,
) -> Exec {
    let n = count::<BY_CL, T>(cpu, insn);
    let va = cpu.linear(insn, T::SIZE, true)?;
    let mut v = cpu.load_for_write::<T>(env, va)?.widen();
    if n != 0 {
        v = O::apply::<T>(&mut cpu.state.flags, v, n);
    }
    cpu.store(env, va, T::narrow(v))
}

/// Shifts `a` by `n` (1 to 31 or 63) with bits of `b` following.
#[inline(always)]
fn double_shift<const LEFT: bool, T: Operand>(flags: &mut Flags, a: u64, b: u64, n: u32) -> u64 {
    let bits = T::BITS;
    if n > bits {
        // 16-bit operands and counts of 17 to 31, undefined by the manuals: Zen 4 goes on with
        // the source, rotated.
        let m = n - bits;
        let narrow = b as u16;
        let r = u64::from(if LEFT { narrow.rotate_left(m) } else { narrow.rotate_right(m) });
        flags.set_result::<T>(r, false, !LEFT && top_bits_differ::<T>(r), true);
        return r;
    }
    let (r, cf) = if LEFT {
        let whole = u128::from(a) << bits | u128::from(b);
        ((whole >> (bits - n)) as u64 & T::MASK, a >> (bits - n) & 1 != 0)
    } else {
        let whole = u128::from(b) << bits | u128::from(a);
        ((whole >> n) as u64 & T::MASK, a >> (n - 1) & 1 != 0)
    };
    // A 16-bit count of 16 replaces the destination, and OF is CF then (Zen 4).
    let of = match (LEFT, n == bits) {
        (true, true) => cf,
        (true, false) => msb::<T>(r) != cf,
        (false, _) => top_bits_differ::<T>(r),
    };
    flags.set_result::<T>(r, cf, of, true);
    r
}

fn double<const LEFT: bool, const BY_CL: bool, T: Operand>(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    insn: &Insn,
) -> Exec {
    let n = count::<BY_CL, T>(cpu, insn);
    let b = T::get(cpu, insn.r[1]);
    if insn.r[0] != NO_REG {
        let mut v = T::get(cpu, insn.r[0]);
        if n != 0 {
            v = double_shift::<LEFT, T>(&mut cpu.state.flags, v, b, n);
        }
        T::set(cpu, insn.r[0], v);
        return Ok(());
    }
    let va = cpu.linear(insn, T::SIZE, true)?;
    let mut v = cpu.load_for_write::<T>(env, va)?.widen();
    if n != 0 {
        v = double_shift::<LEFT, T>(&mut cpu.state.flags, v, b, n);
    }
    cpu.store(env, va, T::narrow(v))
}

fn select_shift<O: Shift>(i: &Instruction) -> Option<Handler> {
    let bytes = width(i);
    let by_cl = i.op1_kind() == OpKind::Register;
    let register = matches!(shape(i)?, Shape::RegReg | Shape::RegImm);
    Some(match (register, by_cl) {
        (true, false) => by_width!(bytes, shift_reg, false, O),
        (true, true) => by_width!(bytes, shift_reg, true, O),
        (false, false) => by_width!(bytes, shift_mem, false, O),
        (false, true) => by_width!(bytes, shift_mem, true, O),
    })
}

fn select_double<const LEFT: bool>(i: &Instruction) -> Option<Handler> {
    let bytes = width(i);
    Some(if i.op2_kind() == OpKind::Register {
        by_wide_width!(bytes, double, LEFT, true)
    } else {
        by_wide_width!(bytes, double, LEFT, false)
    })
}

/// The handler of a form of this family.
pub fn select(i: &Instruction) -> Option<Handler> {
    match i.mnemonic() {
        Mnemonic::Shl | Mnemonic::Sal => select_shift::<Shl>(i),
        Mnemonic::Shr => select_shift::<Shr>(i),
        Mnemonic::Sar => select_shift::<Sar>(i),
        Mnemonic::Rol => select_shift::<Rol>(i),
        Mnemonic::Ror => select_shift::<Ror>(i),
        Mnemonic::Rcl => select_shift::<Rcl>(i),
        Mnemonic::Rcr => select_shift::<Rcr>(i),
        Mnemonic::Shld => select_double::<true>(i),
        Mnemonic::Shrd => select_double::<false>(i),
        _ => None,
    }
}
