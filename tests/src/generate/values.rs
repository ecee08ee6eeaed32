//! Values that are likely to matter: boundaries of integers, and floating-point numbers of
//! every class.

use crate::rng::Rng;

/// An integer.
pub fn integer(rng: &mut Rng) -> u64 {
    match rng.below(8) {
        0 => rng.below(256),
        1 => rng.below(256).wrapping_neg(),
        2 => boundary(rng),
        3 => 1 << rng.below(64),
        4 => rng.u64() & u64::from(u32::MAX),
        _ => rng.u64(),
    }
}

fn boundary(rng: &mut Rng) -> u64 {
    let width = rng.pick(&[7u32, 8, 15, 16, 31, 32, 63]);
    (1u64 << width).wrapping_add(rng.below(3)).wrapping_sub(1)
}

/// A 32-bit floating-point number.
pub fn f32_bits(rng: &mut Rng) -> u32 {
    float(rng, 8, 23) as u32
}

/// A 64-bit floating-point number.
pub fn f64_bits(rng: &mut Rng) -> u64 {
    float(rng, 11, 52)
}

fn float(rng: &mut Rng, exponent_bits: u32, fraction_bits: u32) -> u64 {
    let sign = rng.below(2) << (exponent_bits + fraction_bits);
    let max = (1u64 << exponent_bits) - 1;
    let exponent = exponent(rng, max) << fraction_bits;
    sign | exponent | fraction(rng, fraction_bits)
}

/// A biased exponent: often near 1.0, often at the ends.
fn exponent(rng: &mut Rng, max: u64) -> u64 {
    match rng.below(12) {
        0 => 0,
        1 => 1 + rng.below(3),
        2 => max,
        3 => max - 1 - rng.below(3),
        4 | 5 => rng.below(max + 1),
        6 => (max / 2).saturating_sub(20) + rng.below(100).min(max / 2),
        _ => max / 2 - 4 + rng.below(9),
    }
}

fn fraction(rng: &mut Rng, bits: u32) -> u64 {
    let mask = (1u64 << bits) - 1;
    mask & match rng.below(6) {
        0 => 0,
        1 => 1 << rng.below(u64::from(bits)),
        2 => mask,
        3 => rng.u64() << (bits / 2),
        _ => rng.u64(),
    }
}

/// An 80-bit number: significand, and sign with exponent. One in ten has an encoding that the
/// unit itself never makes (pseudo-denormal, unnormal, pseudo-infinity).
pub fn f80_bits(rng: &mut Rng) -> (u64, u16) {
    let exponent = exponent(rng, 0x7FFF);
    let mut significand = 1 << 63 | fraction(rng, 63);
    if exponent == 0 || rng.one_in(30) {
        significand ^= 1 << 63;
    }
    if rng.one_in(10) {
        // A whole number or a number that was a float before.
        significand &= !(rng.u64() >> rng.below(60)) | 1 << 63;
    }
    (significand, exponent as u16 | (rng.below(2) << 15) as u16)
}

/// 128 bits for an XMM register: integers, or floats in all lanes.
pub fn vector(rng: &mut Rng) -> u128 {
    let join = |high: u64, low: u64| u128::from(high) << 64 | u128::from(low);
    match rng.below(4) {
        0 => join(rng.u64(), rng.u64()),
        1 => join(integer(rng), integer(rng)),
        2 => join(f64_bits(rng), f64_bits(rng)),
        _ => (0..4).fold(0, |v, _| v << 32 | u128::from(f32_bits(rng))),
    }
}

/// Bytes for the data window.
pub fn fill(bytes: &mut [u8], rng: &mut Rng) {
    for chunk in bytes.chunks_exact_mut(64) {
        match rng.below(4) {
            0 => chunk.as_chunks_mut::<16>().0.iter_mut().for_each(|c| *c = vector(rng).to_le_bytes()),
            1 => chunk.as_chunks_mut::<16>().0.iter_mut().for_each(|c| {
                let (significand, sign_exponent) = f80_bits(rng);
                c[..8].copy_from_slice(&significand.to_le_bytes());
                c[8..10].copy_from_slice(&sign_exponent.to_le_bytes());
            }),
            _ => chunk.as_chunks_mut::<8>().0.iter_mut().for_each(|c| *c = rng.u64().to_le_bytes()),
        }
    }
}
