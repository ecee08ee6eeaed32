//! Single and double precision arithmetic against the host's SSE unit: results and MXCSR flags,
//! in every rounding mode, with and without FTZ and DAZ, special operands crossed with each other
//! and random ones.
//!
//! `DEJAVM_SSE_CASES` sets the number of random cases per operation, `DEJAVM_SEED` the seed.
#![cfg(target_arch = "x86_64")]
#![allow(unsafe_code)]

use dejavm_core::softfloat::ieee::{self, Context, Double, Format, Ordering, Single, mxcsr};
use dejavm_tests::rng::Rng;
use std::arch::asm;

/// The masks of all exceptions.
const MASKED: u32 = mxcsr::FLAGS << mxcsr::MASK_SHIFT;

/// An operation of `op xmm, xmm`, operands and MXCSR to result and MXCSR.
type Operation = fn(u64, u64, u32) -> (u64, u32);

/// Runs an instruction of the host with `xmm0` = a and `xmm1` = b, under an MXCSR with all
/// exceptions masked; the result is the low quadword of xmm0, or rax.
macro_rules! host {
    ($text:literal, xmm) => {
        host!($text, "movq rax, xmm0")
    };
    ($text:literal, rax) => {
        host!($text, "")
    };
    ($text:literal, $after:literal) => {
        |a, b, control| {
            let mut control = control;
            let default: u32 = 0x1F80;
            let result: u64;
            // SAFETY: changes only what it declares; MXCSR is the default again at the end.
            unsafe {
                asm!(
                    "movq xmm0, {a}",
                    "movq xmm1, {b}",
                    "xor eax, eax",
                    "ldmxcsr [{control}]",
                    $text,
                    $after,
                    "stmxcsr [{control}]",
                    "ldmxcsr [{default}]",
                    a = in(reg) a,
                    b = in(reg) b,
                    control = in(reg) &raw mut control,
                    default = in(reg) &raw const default,
                    out("rax") result,
                    out("xmm0") _,
                    out("xmm1") _,
                );
            }
            (result, control)
        }
    };
}

/// One of our operations in the same shape.
macro_rules! ours {
    (|$a:pat_param, $b:pat_param, $cx:ident| $body:expr) => {
        |$a, $b, control| {
            let $cx = &mut Context::new(control);
            let result: u64 = $body;
            (result, control | $cx.flags())
        }
    };
}

/// Operands that are special in a format, or neighbours of such.
fn special<F: Format>() -> Vec<u64> {
    let one = (F::BIAS as u64) << F::FRACTION_BITS;
    let smallest_normal = 1 << F::FRACTION_BITS;
    let exponents = [-64, -32, 31, 32, 63, 64, 23, 24, 52, 53];
    let powers = exponents.map(|e: i64| ((i64::from(F::BIAS) + e) as u64) << F::FRACTION_BITS);
    let halves = [one - smallest_normal, one + F::QUIET, one + smallest_normal];
    let edges = [0, 1, F::FRACTION, smallest_normal, one, F::INFINITY - 1];
    let nans = [F::INFINITY, F::INFINITY | 1, F::INFINITY | F::QUIET, F::INFINITY | F::FRACTION];
    let positive = edges.iter().chain(&nans).chain(&halves).chain(&powers);
    let near = positive.flat_map(|v| [*v, v.wrapping_add(1), v.saturating_sub(1)]);
    let mut all: Vec<u64> = near.flat_map(|v| [v & !F::SIGN, v | F::SIGN]).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// A random operand: any bits, or a number with few significant bits near 1.
fn operand<F: Format>(rng: &mut Rng) -> u64 {
    let bits = rng.u64() & (F::SIGN | (F::SIGN - 1));
    let near_one = (bits & F::SIGN) | ((F::BIAS as u64 - 8 + rng.u64() % 16) << F::FRACTION_BITS);
    match rng.u64() % 4 {
        0 => bits,
        1 => near_one | bits & F::FRACTION & !(F::FRACTION >> (rng.u64() % 12)),
        2 => near_one | bits & F::FRACTION,
        _ => bits & (F::SIGN | F::FRACTION) | (rng.u64() % 4) << F::FRACTION_BITS,
    }
}

fn environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

fn check<F: Format>(name: &str, ours: Operation, host: Operation) {
    let seed = environment("DEJAVM_SEED", 1);
    println!("{name}: seed {seed}");
    let compare = |a: u64, b: u64, control: u32| {
        let (mine, theirs) = (ours(a, b, control), host(a, b, control));
        assert_eq!(mine, theirs, "{name} of {a:#x}, {b:#x} under {control:#x}: interpreter, host");
    };
    let controls: Vec<u32> = (0..32)
        .map(|n| {
            let (rc, ftz, daz, pe) = (n & 3, n >> 2 & 1, n >> 3 & 1, n >> 4);
            MASKED | rc << mxcsr::RC_SHIFT | ftz * mxcsr::FTZ | daz * mxcsr::DAZ | pe * mxcsr::PE
        })
        .collect();
    let specials = special::<F>();
    for &a in &specials {
        for &b in &specials {
            for &control in &controls {
                compare(a, b, control);
            }
        }
    }
    let mut rng = Rng::new(seed);
    for n in 0..environment("DEJAVM_SSE_CASES", 20_000) {
        // Every second case in the mode that programs use, where the host's unit may be asked.
        let control = if n % 2 == 0 { MASKED } else { controls[(rng.u64() % 32) as usize] };
        let (a, b) = (operand::<F>(&mut rng), operand::<F>(&mut rng));
        let b = if rng.u64() % 4 == 0 { specials[(rng.u64() % specials.len() as u64) as usize] } else { b };
        compare(a, b, control);
    }
}

macro_rules! operations {
    ($($name:ident: $format:ty, $ours:expr, $host:expr;)*) => {$(
        #[test]
        fn $name() {
            check::<$format>(stringify!($name), $ours, $host);
        }
    )*};
}

operations! {
    addss: Single, ours!(|a, b, cx| ieee::add::<Single>(a, b, cx)), host!("addss xmm0, xmm1", xmm);
    addsd: Double, ours!(|a, b, cx| ieee::add::<Double>(a, b, cx)), host!("addsd xmm0, xmm1", xmm);
    subss: Single, ours!(|a, b, cx| ieee::sub::<Single>(a, b, cx)), host!("subss xmm0, xmm1", xmm);
    subsd: Double, ours!(|a, b, cx| ieee::sub::<Double>(a, b, cx)), host!("subsd xmm0, xmm1", xmm);
    mulss: Single, ours!(|a, b, cx| ieee::mul::<Single>(a, b, cx)), host!("mulss xmm0, xmm1", xmm);
    mulsd: Double, ours!(|a, b, cx| ieee::mul::<Double>(a, b, cx)), host!("mulsd xmm0, xmm1", xmm);
    divss: Single, ours!(|a, b, cx| ieee::div::<Single>(a, b, cx)), host!("divss xmm0, xmm1", xmm);
    divsd: Double, ours!(|a, b, cx| ieee::div::<Double>(a, b, cx)), host!("divsd xmm0, xmm1", xmm);
    minss: Single, ours!(|a, b, cx| ieee::min::<Single>(a, b, cx)), host!("minss xmm0, xmm1", xmm);
    minsd: Double, ours!(|a, b, cx| ieee::min::<Double>(a, b, cx)), host!("minsd xmm0, xmm1", xmm);
    maxss: Single, ours!(|a, b, cx| ieee::max::<Single>(a, b, cx)), host!("maxss xmm0, xmm1", xmm);
    maxsd: Double, ours!(|a, b, cx| ieee::max::<Double>(a, b, cx)), host!("maxsd xmm0, xmm1", xmm);
    sqrtss: Single, ours!(|a, _, cx| ieee::sqrt::<Single>(a, cx)), host!("sqrtss xmm0, xmm0", xmm);
    sqrtsd: Double, ours!(|a, _, cx| ieee::sqrt::<Double>(a, cx)), host!("sqrtsd xmm0, xmm0", xmm);
    cvtss2si: Single, ours!(|a, _, cx| ieee::to_i64::<Single>(a, cx) as u64), host!("cvtss2si rax, xmm0", rax);
    cvtsd2si: Double, ours!(|a, _, cx| ieee::to_i64::<Double>(a, cx) as u64), host!("cvtsd2si rax, xmm0", rax);
    cvtsd2si_r32: Double, ours!(|a, _, cx| ieee::to_i32::<Double>(a, cx) as u32 as u64), host!("cvtsd2si eax, xmm0", rax);
    cvtsi2sd: Double, ours!(|a, _, cx| ieee::from_i64::<Double>(a as i64, cx)), host!("movq rax, xmm0; pxor xmm0, xmm0; cvtsi2sd xmm0, rax", xmm);
    cvtsi2ss: Double, ours!(|a, _, cx| ieee::from_i64::<Single>(a as i64, cx)), host!("movq rax, xmm0; pxor xmm0, xmm0; cvtsi2ss xmm0, rax", xmm);
    cvtss2sd: Single, ours!(|a, _, cx| ieee::widen(a, cx)), host!("cvtss2sd xmm0, xmm0", xmm);
    cvtsd2ss: Double, ours!(|a, _, cx| ieee::narrow(a, cx)), host!("pxor xmm1, xmm1; cvtsd2ss xmm1, xmm0; movaps xmm0, xmm1", xmm);
    roundss: Single, ours!(|a, _, cx| { let r = cx.rounding(); ieee::round_to_integral::<Single>(a, r, true, cx) }), host!("roundss xmm0, xmm0, 4", xmm);
    roundsd: Double, ours!(|a, _, cx| { let r = cx.rounding(); ieee::round_to_integral::<Double>(a, r, true, cx) }), host!("roundsd xmm0, xmm0, 4", xmm);
    cmpltsd: Double, ours!(|a, b, cx| if ieee::ordered_signaling::<Double>(a, b, cx) == Ordering::Less { u64::MAX } else { 0 }), host!("cmpltsd xmm0, xmm1", xmm);
    cmpeqsd: Double, ours!(|a, b, cx| if ieee::ordered_quiet::<Double>(a, b, cx) == Ordering::Equal { u64::MAX } else { 0 }), host!("cmpeqsd xmm0, xmm1", xmm);
}

/// The approximations: no host to compare with, but a bound, exact powers and the special cases.
#[test]
fn approximations_are_close() {
    let mut rng = Rng::new(environment("DEJAVM_SEED", 1));
    let bound = (-13f64).exp2();
    for _ in 0..environment("DEJAVM_SSE_CASES", 20_000) {
        // Normal, positive, with a reciprocal that is not tiny.
        let bits = rng.u64() as u32 % (0x7E80_0000 - 0x0080_0000) + 0x0080_0000;
        let x = f64::from(f32::from_bits(bits));
        let close = |ours: u64, exact: f64| {
            let error = (f64::from(f32::from_bits(ours as u32)) / exact - 1.0).abs();
            assert!(error <= bound, "of {bits:#x}: {ours:#x}, relative error {error:e}");
        };
        close(ieee::reciprocal(bits.into()), 1.0 / x);
        close(ieee::reciprocal_sqrt(bits.into()), 1.0 / x.sqrt());
    }
    assert_eq!(ieee::reciprocal(0x4000_0000), 0x3F00_0000);
    assert_eq!(ieee::reciprocal(0x7E80_0000), 0);
    assert_eq!(ieee::reciprocal(0x8000_0001), 0xFF80_0000);
    assert_eq!(ieee::reciprocal(0x7F80_0001), 0x7FC0_0001);
    assert_eq!(ieee::reciprocal_sqrt(0x4080_0000), 0x3F00_0000);
    assert_eq!(ieee::reciprocal_sqrt(0xBF80_0000), 0xFFC0_0000);
    assert_eq!(ieee::reciprocal_sqrt(0x8000_0000), 0xFF80_0000);
}

/// The comparison finds differences.
#[test]
#[should_panic(expected = "interpreter, host")]
fn canary() {
    check::<Single>(
        "subss as addss",
        ours!(|a, b, cx| ieee::sub::<Single>(a, b, cx)),
        host!("addss xmm0, xmm1", xmm),
    );
}
