//! Packed BCD: 18 digits and a sign in 10 bytes (SDM vol. 1, 4.7).

use super::f80::Num;

/// What FBSTP stores for an invalid operation ("packed BCD indefinite").
pub const INDEFINITE: u128 = 0xFFFF_C000_0000_0000_0000;

/// The number that a packed BCD image stands for; digits above 9 count at their weight.
pub fn unpack(image: u128) -> Num {
    let magnitude = (0..18).rev().fold(0u64, |v, k| v * 10 + (image >> (4 * k)) as u64 % 16);
    let n = Num::from_i64(magnitude as i64);
    Num { sign: image >> 79 & 1 != 0, ..n }
}

/// The image of an integer below 10^18.
pub fn pack(sign: bool, magnitude: u64) -> u128 {
    let mut rest = magnitude;
    let mut image = u128::from(sign) << 79;
    for k in 0..18 {
        image |= u128::from(rest % 10) << (4 * k);
        rest /= 10;
    }
    image
}
