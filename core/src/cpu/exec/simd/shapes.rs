//! The common shapes of MMX and SSE instructions: `op reg, reg/mem` with and without an
//! immediate, over operations that are types.

use super::ready::{mmx_enter, mmx_ready, sse_ready};
use crate::cpu::access::Exec;
use crate::cpu::env::Env;
use crate::cpu::insn::Insn;
use crate::cpu::state::Vcpu;
use crate::types::{Exception, Scalar};
use iced_x86::{Code, Instruction, OpKind};

/// An operation of a destination vector and a source, `BYTES` (8 or 16) wide. For 8 only the
/// low half of the result counts.
pub trait BinaryOp {
    /// The result.
    fn apply<const BYTES: usize>(a: u128, b: u128) -> u128;
}

/// A [`BinaryOp`] with an immediate.
pub trait BinaryImmOp {
    /// The result.
    fn apply<const BYTES: usize>(a: u128, b: u128, imm: u8) -> u128;
}

/// Defines types that are a [`BinaryOp`]: `Name = |a, b| expression;`, where the expression may
/// name the width as `BYTES`.
macro_rules! binary_ops {
    ($($name:ident = |$a:pat_param, $b:pat_param| $body:expr;)*) => {$(
        pub struct $name;
        impl $crate::cpu::exec::simd::BinaryOp for $name {
            #[inline(always)]
            fn apply<const BYTES: usize>($a: u128, $b: u128) -> u128 {
                $body
            }
        }
    )*};
}

/// Defines types that are a [`BinaryImmOp`].
macro_rules! binary_imm_ops {
    ($($name:ident = |$a:pat_param, $b:pat_param, $imm:pat_param| $body:expr;)*) => {$(
        pub struct $name;
        impl $crate::cpu::exec::simd::BinaryImmOp for $name {
            #[inline(always)]
            fn apply<const BYTES: usize>($a: u128, $b: u128, $imm: u8) -> u128 {
                $body
            }
        }
    )*};
}

macro_rules! table {
    ($shape:ident, $wide:ty, $i:expr, $($($code:ident)|+ => $op:ty $(, $t:ty)?;)*) => {{
        use $crate::cpu::exec::simd::from_memory;
        macro_rules! handler {
            ($o:ty) => { handler!($o, $wide) };
            ($o:ty, $m:ty) => {
                if from_memory($i) { $shape::<$o, $m, true> } else { $shape::<$o, $m, false> }
            };
        }
        Some(match $i.code() {
            $($(iced_x86::Code::$code)|+ => handler!($op $(, $t)?),)*
            _ => return None,
        })
    }};
}

/// The handlers of `op xmm, xmm/mem` forms: `Code => Operation[, memory operand's type];`. A
/// u128 in memory must be aligned.
macro_rules! xmm_table {
    ($i:expr; $($rows:tt)*) => {{
        use $crate::cpu::exec::simd::xmm_binary;
        $crate::cpu::exec::simd::table!(xmm_binary, u128, $i, $($rows)*)
    }};
}

/// The handlers of `op xmm, xmm/mem, imm8` forms.
macro_rules! xmm_imm_table {
    ($i:expr; $($rows:tt)*) => {{
        use $crate::cpu::exec::simd::xmm_binary_imm;
        $crate::cpu::exec::simd::table!(xmm_binary_imm, u128, $i, $($rows)*)
    }};
}

/// The handlers of `op mm, mm/mem` forms.
macro_rules! mmx_table {
    ($i:expr; $($rows:tt)*) => {{
        use $crate::cpu::exec::simd::mmx_binary;
        $crate::cpu::exec::simd::table!(mmx_binary, u64, $i, $($rows)*)
    }};
}

/// The handlers of `op mm, mm/mem, imm8` forms.
macro_rules! mmx_imm_table {
    ($i:expr; $($rows:tt)*) => {{
        use $crate::cpu::exec::simd::mmx_binary_imm;
        $crate::cpu::exec::simd::table!(mmx_binary_imm, u64, $i, $($rows)*)
    }};
}

pub(in crate::cpu::exec) use {
    binary_imm_ops, binary_ops, mmx_imm_table, mmx_table, table, xmm_imm_table, xmm_table,
};

/// Whether a memory operand of this form must be aligned to 16 bytes (SDM vol. 1, 10.4.1.1).
#[cold]
pub fn wants_alignment(code: Code) -> bool {
    let any = matches!(
        code,
        Code::Movups_xmm_xmmm128
            | Code::Movups_xmmm128_xmm
            | Code::Movupd_xmm_xmmm128
            | Code::Movupd_xmmm128_xmm
            | Code::Movdqu_xmm_xmmm128
            | Code::Movdqu_xmmm128_xmm
            | Code::Lddqu_xmm_m128
            | Code::Pcmpestri_xmm_xmmm128_imm8
            | Code::Pcmpestri64_xmm_xmmm128_imm8
            | Code::Pcmpestrm_xmm_xmmm128_imm8
            | Code::Pcmpestrm64_xmm_xmmm128_imm8
            | Code::Pcmpistri_xmm_xmmm128_imm8
            | Code::Pcmpistrm_xmm_xmmm128_imm8
    );
    code.op_code().memory_size().size() == 16 && !any
}

/// Whether the second operand is in memory.
pub fn from_memory(i: &Instruction) -> bool {
    i.op1_kind() != OpKind::Register
}

/// Loads the memory operand; 16 bytes must be aligned.
///
/// # Errors
/// #GP(0) if it is not aligned; what the access raises.
#[inline(always)]
pub fn load_vector<T: Scalar>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<T> {
    let va = cpu.linear(insn, T::SIZE, false)?;
    check_aligned::<T>(va)?;
    cpu.load(env, va)
}

/// Stores to the memory operand; 16 bytes must be aligned.
///
/// # Errors
/// #GP(0) if it is not aligned; what the access raises.
#[inline(always)]
pub fn store_vector<T: Scalar>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn, v: T) -> Exec<()> {
    let va = cpu.linear(insn, T::SIZE, true)?;
    check_aligned::<T>(va)?;
    cpu.store(env, va, v)
}

#[inline(always)]
fn check_aligned<T: Scalar>(va: u64) -> Exec<()> {
    if T::SIZE == 16 && va & 15 != 0 { Err(Exception::GP0) } else { Ok(()) }
}

#[inline(always)]
fn xmm_source<T: Scalar, const MEM: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<u128> {
    sse_ready(cpu)?;
    if MEM { Ok(load_vector::<T>(cpu, env, insn)?.to_u128()) } else { Ok(cpu.xmm(insn.r[1])) }
}

#[inline(always)]
fn mmx_source<T: Scalar, const MEM: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec<u128> {
    mmx_ready(cpu)?;
    let b = if MEM { load_vector::<T>(cpu, env, insn)?.to_u128() } else { cpu.mm(insn.r[1]).into() };
    mmx_enter(cpu);
    Ok(b)
}

/// `op xmm, xmm/mem`.
///
/// # Errors
/// If SSE is off; what the load raises.
pub fn xmm_binary<O: BinaryOp, T: Scalar, const MEM: bool>(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    insn: &Insn,
) -> Exec<()> {
    let b = xmm_source::<T, MEM>(cpu, env, insn)?;
    let a = cpu.xmm(insn.r[0]);
    cpu.set_xmm(insn.r[0], O::apply::<16>(a, b));
    Ok(())
}

/// `op xmm, xmm/mem, imm8`.
///
/// # Errors
/// If SSE is off; what the load raises.
pub fn xmm_binary_imm<O: BinaryImmOp, T: Scalar, const MEM: bool>(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    insn: &Insn,
) -> Exec<()> {
    let b = xmm_source::<T, MEM>(cpu, env, insn)?;
    let a = cpu.xmm(insn.r[0]);
    cpu.set_xmm(insn.r[0], O::apply::<16>(a, b, insn.imm as u8));
    Ok(())
}

/// `op mm, mm/mem`.
///
/// # Errors
/// If MMX is off or an x87 exception is pending; what the load raises.
pub fn mmx_binary<O: BinaryOp, T: Scalar, const MEM: bool>(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    insn: &Insn,
) -> Exec<()> {
    let b = mmx_source::<T, MEM>(cpu, env, insn)?;
    let a = cpu.mm(insn.r[0]).into();
    cpu.set_mm(insn.r[0], O::apply::<8>(a, b) as u64);
    Ok(())
}

/// `op mm, mm/mem, imm8`.
///
/// # Errors
/// If MMX is off or an x87 exception is pending; what the load raises.
pub fn mmx_binary_imm<O: BinaryImmOp, T: Scalar, const MEM: bool>(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    insn: &Insn,
) -> Exec<()> {
    let b = mmx_source::<T, MEM>(cpu, env, insn)?;
    let a = cpu.mm(insn.r[0]).into();
    cpu.set_mm(insn.r[0], O::apply::<8>(a, b, insn.imm as u8) as u64);
    Ok(())
}
