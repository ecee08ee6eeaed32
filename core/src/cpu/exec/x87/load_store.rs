//! FLD FST FSTP FILD FIST FISTP FISTTP FBLD FBSTP FXCH FCMOVcc (SDM vol. 1, 8.3.3).

use super::source::{Source, load_ten, probe_ten, store_ten};
use super::state::{complete, context, invalid_masked, overflow, underflow, wait};
use crate::cpu::env::Env;
use crate::cpu::insn::{Exec, Insn};
use crate::cpu::state::Vcpu;
use crate::mem::AccessKind;
use crate::softfloat::f80_context::{Context, IE, SF};
use crate::softfloat::{Class, F80, Num, f80_bcd, f80_convert};
use crate::types::Scalar;

/// FLD m32fp, m64fp; FILD.
pub fn load<S: Source>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    let v = S::load(cpu, env, insn)?;
    if !cpu.x87.is_empty(7) {
        return overflow(cpu, env, insn);
    }
    let mut ctx = context(cpu);
    let result = if v.class == Class::SignallingNan { ctx.quiet(&v) } else { v.pack_exact() };
    // Unlike elsewhere an unmasked DE does not hold back the result.
    if !ctx.stopped() {
        cpu.x87.push(result);
    }
    ctx.denormal(v.denormal);
    complete(cpu, env, insn, ctx.flags);
    Ok(())
}

/// FLD m80fp: no exception but those of the stack.
pub fn load_m80(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    let v = F80::from_bits(load_ten(cpu, env, insn)?);
    push_plain(cpu, env, insn, v)
}

/// FBLD.
pub fn load_bcd(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    let v = f80_bcd::unpack(load_ten(cpu, env, insn)?).pack_exact();
    push_plain(cpu, env, insn, v)
}

/// Pushes a value that raises nothing by itself.
pub fn push_plain(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn, v: F80) -> Exec {
    if !cpu.x87.is_empty(7) {
        return overflow(cpu, env, insn);
    }
    cpu.x87.push(v);
    complete(cpu, env, insn, 0);
    Ok(())
}

/// FLD ST(i).
pub fn load_sti(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    let i = usize::from(insn.r[0]);
    if cpu.x87.is_empty(i) {
        if invalid_masked(cpu) {
            cpu.x87.push(F80::INDEFINITE);
        }
        complete(cpu, env, insn, IE | SF);
        return Ok(());
    }
    let v = cpu.x87.st(i);
    push_plain(cpu, env, insn, v)
}

/// A memory operand that ST(0) is stored to.
pub trait Target {
    /// The type of the image in memory.
    type Image: Scalar;
    /// The image; `None` if an unmasked overflow or underflow forbids the store.
    fn convert(ctx: &mut Context, v: Num) -> Option<Self::Image>;
    /// What is stored for an empty register.
    const INDEFINITE: Self::Image;
}

/// FST m32fp.
pub struct ToM32;
/// FST m64fp.
pub struct ToM64;
/// FIST and FISTTP of the width of T.
pub struct ToInt<T, const TRUNCATE: bool>(std::marker::PhantomData<T>);

impl Target for ToM32 {
    type Image = u32;
    const INDEFINITE: u32 = 0xFFC0_0000;
    fn convert(ctx: &mut Context, v: Num) -> Option<u32> {
        f80_convert::to_f32(ctx, v)
    }
}
impl Target for ToM64 {
    type Image = u64;
    const INDEFINITE: u64 = 0xFFF8_0000_0000_0000;
    fn convert(ctx: &mut Context, v: Num) -> Option<u64> {
        f80_convert::to_f64(ctx, v)
    }
}

macro_rules! to_int {
    ($($t:ty),*) => {$(
        impl<const TRUNCATE: bool> Target for ToInt<$t, TRUNCATE> {
            type Image = $t;
            const INDEFINITE: $t = 1 << (<$t>::BITS - 1);
            fn convert(ctx: &mut Context, v: Num) -> Option<$t> {
                let convert = if TRUNCATE { f80_convert::to_int_truncated } else { f80_convert::to_int };
                Some(convert(ctx, v, <$t>::BITS) as $t)
            }
        }
    )*};
}
to_int!(u16, u32, u64);

/// FST, FIST and their popping forms, to memory. Nothing is stored or popped if an unmasked
/// exception other than PE is raised.
pub fn store<T: Target, const POP: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    if cpu.x87.is_empty(0) {
        let image = invalid_masked(cpu).then_some(T::INDEFINITE);
        return finish_store::<_, POP>(cpu, env, insn, image, IE | SF);
    }
    let mut ctx = context(cpu);
    let image = T::convert(&mut ctx, cpu.x87.st(0).unpack()).filter(|_| !ctx.stopped());
    finish_store::<_, POP>(cpu, env, insn, image, ctx.flags)
}

fn finish_store<T: Scalar, const POP: bool>(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    insn: &Insn,
    image: Option<T>,
    flags: u16,
) -> Exec {
    if let Some(image) = image {
        cpu.store_operand(env, insn, image)?;
        if POP {
            cpu.x87.pop();
        }
    } else {
        // Held back, but the operand must be writable.
        let va = cpu.linear(insn, T::SIZE, true)?;
        cpu.probe(env, va, T::SIZE, AccessKind::Write)?;
    }
    complete(cpu, env, insn, flags);
    Ok(())
}

/// FSTP m80fp: the encoding as it is.
pub fn store_m80(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    let empty = cpu.x87.is_empty(0);
    let v = if empty { F80::INDEFINITE } else { cpu.x87.st(0) };
    let flags = if empty { IE | SF } else { 0 };
    finish_store_ten(cpu, env, insn, Some(v.bits()).filter(|_| !empty || invalid_masked(cpu)), flags)
}

/// FBSTP.
pub fn store_bcd(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    if cpu.x87.is_empty(0) {
        let image = invalid_masked(cpu).then_some(f80_bcd::INDEFINITE);
        return finish_store_ten(cpu, env, insn, image, IE | SF);
    }
    let mut ctx = context(cpu);
    let v = cpu.x87.st(0).unpack();
    let image = match f80_convert::to_bcd_integer(&mut ctx, v) {
        Some(magnitude) => f80_bcd::pack(v.sign, magnitude),
        None => f80_bcd::INDEFINITE,
    };
    let image = Some(image).filter(|_| !ctx.stopped());
    finish_store_ten(cpu, env, insn, image, ctx.flags)
}

fn finish_store_ten(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn, image: Option<u128>, flags: u16) -> Exec {
    if let Some(image) = image {
        store_ten(cpu, env, insn, image)?;
        cpu.x87.pop();
    } else {
        probe_ten(cpu, env, insn, true)?;
    }
    complete(cpu, env, insn, flags);
    Ok(())
}

/// FST ST(i), FSTP ST(i).
pub fn store_sti<const POPS: usize>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    let i = usize::from(insn.r[0]);
    if cpu.x87.is_empty(0) {
        return underflow(cpu, env, insn, i, POPS);
    }
    let v = cpu.x87.st(0);
    cpu.x87.set_st(i, v);
    if POPS == 1 {
        cpu.x87.pop();
    }
    complete(cpu, env, insn, 0);
    Ok(())
}

/// FSTPNCE ST(i): as FSTP, but an empty ST(0) is no fault; nothing is written then.
pub fn store_sti_unchecked(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    if !cpu.x87.is_empty(0) {
        let v = cpu.x87.st(0);
        cpu.x87.set_st(usize::from(insn.r[0]), v);
    }
    cpu.x87.pop();
    complete(cpu, env, insn, 0);
    Ok(())
}

/// FXCH. Masked, an empty register takes part as the default NaN.
pub fn exchange(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    let i = usize::from(insn.r[1]);
    let x87 = &mut cpu.x87;
    let fault = x87.is_empty(0) || x87.is_empty(i);
    let value = |k| if x87.is_empty(k) { F80::INDEFINITE } else { x87.st(k) };
    let (a, b) = (value(0), value(i));
    if !fault || invalid_masked(cpu) {
        cpu.x87.set_st(0, b);
        cpu.x87.set_st(i, a);
    }
    complete(cpu, env, insn, if fault { IE | SF } else { 0 });
    Ok(())
}

/// FCMOVcc: `CC` is the condition as in Jcc.
pub fn move_if<const CC: u8>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    let i = usize::from(insn.r[1]);
    if cpu.x87.is_empty(0) || cpu.x87.is_empty(i) {
        return underflow(cpu, env, insn, 0, 0);
    }
    if cpu.flags.condition(CC) {
        let v = cpu.x87.st(i);
        cpu.x87.set_st(0, v);
    }
    Ok(())
}
