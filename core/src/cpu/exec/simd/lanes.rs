//! A 128-bit vector as lanes of integers, lane 0 in the least significant bits.
//!
//! MMX operations use the low 64 bits of the same functions. Where the width of the vector
//! matters, it is the const parameter `BYTES`: 8 or 16.

/// An integer type that vectors are divided into.
pub trait Lane: Copy + Default {
    /// The size of a lane in bytes.
    const SIZE: usize;
    /// The lanes of a vector.
    type Array: Copy + AsRef<[Self]> + AsMut<[Self]>;
    /// Divides a vector.
    fn split(v: u128) -> Self::Array;
    /// The vector of some lanes.
    fn join(lanes: Self::Array) -> u128;
    /// The vector whose lane k is `f(k)`.
    fn build(f: impl FnMut(usize) -> Self) -> u128;
}

macro_rules! lane {
    ($($t:ty),*) => {$(
        impl Lane for $t {
            const SIZE: usize = size_of::<$t>();
            type Array = [$t; 16 / size_of::<$t>()];
            #[inline(always)]
            fn split(v: u128) -> Self::Array {
                let bytes = v.to_le_bytes();
                let (chunks, _) = bytes.as_chunks();
                std::array::from_fn(|k| <$t>::from_le_bytes(chunks[k]))
            }
            #[inline(always)]
            fn join(lanes: Self::Array) -> u128 {
                let mut bytes = [0; 16];
                let (chunks, _) = bytes.as_chunks_mut();
                for (chunk, lane) in chunks.iter_mut().zip(lanes) {
                    *chunk = lane.to_le_bytes();
                }
                u128::from_le_bytes(bytes)
            }
            #[inline(always)]
            fn build(f: impl FnMut(usize) -> Self) -> u128 {
                Self::join(std::array::from_fn(f))
            }
        }
    )*};
}
lane!(u8, i8, u16, i16, u32, i32, u64, i64);

/// Combines two vectors lane by lane.
#[inline(always)]
pub fn zip<L: Lane>(a: u128, b: u128, f: impl Fn(L, L) -> L) -> u128 {
    let (a, b) = (L::split(a), L::split(b));
    L::build(|k| f(a.as_ref()[k], b.as_ref()[k]))
}

/// Combines neighbouring lanes of `a`, then of `b` (horizontal operations).
#[inline(always)]
pub fn pairs<L: Lane, const BYTES: usize>(a: u128, b: u128, f: impl Fn(L, L) -> L) -> u128 {
    let n = BYTES / L::SIZE;
    let (a, b) = (L::split(a), L::split(b));
    L::build(|k| {
        let from = if 2 * k < n { a.as_ref() } else { b.as_ref() };
        f(from[2 * k % n], from[(2 * k + 1) % n])
    })
}

/// Converts the lanes of `a`, then of `b`, to lanes of half the size.
#[inline(always)]
pub fn pack<S: Lane, D: Lane, const BYTES: usize>(a: u128, b: u128, f: impl Fn(S) -> D) -> u128 {
    let n = BYTES / S::SIZE;
    let (a, b) = (S::split(a), S::split(b));
    D::build(|k| f(if k < n { a.as_ref()[k] } else { b.as_ref()[k % n] }))
}

/// Interleaves the lanes of the low or high halves of `a` and `b`.
#[inline(always)]
pub fn unpack<L: Lane, const BYTES: usize, const HIGH: bool>(a: u128, b: u128) -> u128 {
    let n = BYTES / L::SIZE;
    let start = if HIGH { n / 2 } else { 0 };
    let (a, b) = (L::split(a), L::split(b));
    L::build(|k| {
        let from = if k % 2 == 0 { a.as_ref() } else { b.as_ref() };
        from[(start + k / 2) % n]
    })
}

/// The top bit of every byte. What follows works on all bytes at once in one integer, since
/// compilers do not make vectors of loops over the bytes of a u128.
const TOP: u128 = u128::from_ne_bytes([0x80; 16]);

/// Sums of bytes.
#[inline(always)]
pub fn add_bytes(a: u128, b: u128) -> u128 {
    ((a & !TOP).wrapping_add(b & !TOP)) ^ ((a ^ b) & TOP)
}

/// Differences of bytes.
#[inline(always)]
pub fn sub_bytes(a: u128, b: u128) -> u128 {
    ((a | TOP).wrapping_sub(b & !TOP)) ^ ((a ^ !b) & TOP)
}

/// Bytes of all ones where the bytes are equal.
#[inline(always)]
pub fn equal_bytes(a: u128, b: u128) -> u128 {
    let differ = a ^ b;
    spread(!((differ & !TOP).wrapping_add(!TOP) | differ) & TOP)
}

/// The smaller of unsigned bytes.
#[inline(always)]
pub fn min_bytes(a: u128, b: u128) -> u128 {
    let not_below = (a & !b | !(a ^ b) & (a | TOP).wrapping_sub(b & !TOP)) & TOP;
    let mask = spread(not_below);
    b & mask | a & !mask
}

/// Bytes of all ones where the top bit is set; the others must be zero.
#[inline(always)]
fn spread(tops: u128) -> u128 {
    tops | tops.wrapping_sub(tops >> 7)
}
