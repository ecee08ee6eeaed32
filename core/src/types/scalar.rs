//! The integer widths that guest memory is read and written in.

/// An unsigned integer as a memory operand: 1, 2, 4, 8 or 16 bytes, little-endian.
pub trait Scalar: Copy + Default + Eq + std::fmt::Debug + Send + 'static {
    /// The size in bytes.
    const SIZE: usize;
    /// The value as the low bits of a u128.
    fn to_u128(self) -> u128;
    /// The low bits of `v`.
    fn from_u128(v: u128) -> Self;
    /// From exactly [`Self::SIZE`] little-endian bytes.
    fn from_le_slice(bytes: &[u8]) -> Self;
    /// Into exactly [`Self::SIZE`] little-endian bytes.
    fn to_le_slice(self, bytes: &mut [u8]);
}

macro_rules! scalar {
    ($($t:ty),*) => {$(
        impl Scalar for $t {
            const SIZE: usize = size_of::<$t>();
            #[inline(always)]
            fn to_u128(self) -> u128 {
                u128::from(self)
            }
            #[inline(always)]
            fn from_u128(v: u128) -> Self {
                v as $t
            }
            #[inline(always)]
            fn from_le_slice(bytes: &[u8]) -> Self {
                let mut a = [0; size_of::<$t>()];
                a.copy_from_slice(&bytes[..size_of::<$t>()]);
                <$t>::from_le_bytes(a)
            }
            #[inline(always)]
            fn to_le_slice(self, bytes: &mut [u8]) {
                bytes[..size_of::<$t>()].copy_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
scalar!(u8, u16, u32, u64, u128);
