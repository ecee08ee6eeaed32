//! Integer arithmetic and logic on lanes.

use crate::cpu::exec::simd::{
    Lane, add_bytes, binary_imm_ops, binary_ops, min_bytes, pairs, sub_bytes, xmm_imm_table, xmm_table, zip,
};
use crate::cpu::insn::Handler;
use iced_x86::Instruction;

/// The handler of an arithmetic form.
pub fn select(i: &Instruction) -> Option<Handler> {
    select_basic(i).or_else(|| select_sse2(i)).or_else(|| select_ssse3(i)).or_else(|| select_sse41(i))
}

fn select_basic(i: &Instruction) -> Option<Handler> {
    xmm_table! { i;
        Pand_xmm_xmmm128 | Andps_xmm_xmmm128 | Andpd_xmm_xmmm128 => And;
        Pandn_xmm_xmmm128 | Andnps_xmm_xmmm128 | Andnpd_xmm_xmmm128 => AndNot;
        Por_xmm_xmmm128 | Orps_xmm_xmmm128 | Orpd_xmm_xmmm128 => Or;
        Pxor_xmm_xmmm128 | Xorps_xmm_xmmm128 | Xorpd_xmm_xmmm128 => Xor;
        Paddb_xmm_xmmm128 => Paddb;
        Paddw_xmm_xmmm128 => Paddw;
        Paddd_xmm_xmmm128 => Paddd;
        Paddq_xmm_xmmm128 => Paddq;
        Psubb_xmm_xmmm128 => Psubb;
        Psubw_xmm_xmmm128 => Psubw;
        Psubd_xmm_xmmm128 => Psubd;
        Psubq_xmm_xmmm128 => Psubq;
    }
}

fn select_sse2(i: &Instruction) -> Option<Handler> {
    xmm_table! { i;
        Paddsb_xmm_xmmm128 => Paddsb;
        Paddsw_xmm_xmmm128 => Paddsw;
        Paddusb_xmm_xmmm128 => Paddusb;
        Paddusw_xmm_xmmm128 => Paddusw;
        Psubsb_xmm_xmmm128 => Psubsb;
        Psubsw_xmm_xmmm128 => Psubsw;
        Psubusb_xmm_xmmm128 => Psubusb;
        Psubusw_xmm_xmmm128 => Psubusw;
        Pmullw_xmm_xmmm128 => Pmullw;
        Pmulhw_xmm_xmmm128 => Pmulhw;
        Pmulhuw_xmm_xmmm128 => Pmulhuw;
        Pmuludq_xmm_xmmm128 => Pmuludq;
        Pmaddwd_xmm_xmmm128 => Pmaddwd;
        Psadbw_xmm_xmmm128 => Psadbw;
        Pavgb_xmm_xmmm128 => Pavgb;
        Pavgw_xmm_xmmm128 => Pavgw;
        Pminub_xmm_xmmm128 => Pminub;
        Pmaxub_xmm_xmmm128 => Pmaxub;
        Pminsw_xmm_xmmm128 => Pminsw;
        Pmaxsw_xmm_xmmm128 => Pmaxsw;
    }
}

fn select_ssse3(i: &Instruction) -> Option<Handler> {
    xmm_table! { i;
        Phaddw_xmm_xmmm128 => Phaddw;
        Phaddd_xmm_xmmm128 => Phaddd;
        Phaddsw_xmm_xmmm128 => Phaddsw;
        Phsubw_xmm_xmmm128 => Phsubw;
        Phsubd_xmm_xmmm128 => Phsubd;
        Phsubsw_xmm_xmmm128 => Phsubsw;
        Pmaddubsw_xmm_xmmm128 => Pmaddubsw;
        Pmulhrsw_xmm_xmmm128 => Pmulhrsw;
        Psignb_xmm_xmmm128 => Psignb;
        Psignw_xmm_xmmm128 => Psignw;
        Psignd_xmm_xmmm128 => Psignd;
        Pabsb_xmm_xmmm128 => Pabsb;
        Pabsw_xmm_xmmm128 => Pabsw;
        Pabsd_xmm_xmmm128 => Pabsd;
    }
}

fn select_sse41(i: &Instruction) -> Option<Handler> {
    fn without_immediate(i: &Instruction) -> Option<Handler> {
        xmm_table! { i;
            Pmuldq_xmm_xmmm128 => Pmuldq;
            Pmulld_xmm_xmmm128 => Pmulld;
            Pminsb_xmm_xmmm128 => Pminsb;
            Pminsd_xmm_xmmm128 => Pminsd;
            Pminuw_xmm_xmmm128 => Pminuw;
            Pminud_xmm_xmmm128 => Pminud;
            Pmaxsb_xmm_xmmm128 => Pmaxsb;
            Pmaxsd_xmm_xmmm128 => Pmaxsd;
            Pmaxuw_xmm_xmmm128 => Pmaxuw;
            Pmaxud_xmm_xmmm128 => Pmaxud;
            Phminposuw_xmm_xmmm128 => Phminposuw;
        }
    }
    fn with_immediate(i: &Instruction) -> Option<Handler> {
        xmm_imm_table! { i;
            Mpsadbw_xmm_xmmm128_imm8 => Mpsadbw;
        }
    }
    without_immediate(i).or_else(|| with_immediate(i))
}

binary_ops! {
    And = |a, b| a & b;
    AndNot = |a, b| !a & b;
    Or = |a, b| a | b;
    Xor = |a, b| a ^ b;
    Paddb = |a, b| add_bytes(a, b);
    Paddw = |a, b| zip(a, b, u16::wrapping_add);
    Paddd = |a, b| zip(a, b, u32::wrapping_add);
    Paddq = |a, b| zip(a, b, u64::wrapping_add);
    Psubb = |a, b| sub_bytes(a, b);
    Psubw = |a, b| zip(a, b, u16::wrapping_sub);
    Psubd = |a, b| zip(a, b, u32::wrapping_sub);
    Psubq = |a, b| zip(a, b, u64::wrapping_sub);
    Paddsb = |a, b| zip(a, b, i8::saturating_add);
    Paddsw = |a, b| zip(a, b, i16::saturating_add);
    Paddusb = |a, b| zip(a, b, u8::saturating_add);
    Paddusw = |a, b| zip(a, b, u16::saturating_add);
    Psubsb = |a, b| zip(a, b, i8::saturating_sub);
    Psubsw = |a, b| zip(a, b, i16::saturating_sub);
    Psubusb = |a, b| zip(a, b, u8::saturating_sub);
    Psubusw = |a, b| zip(a, b, u16::saturating_sub);
    Pmullw = |a, b| zip(a, b, u16::wrapping_mul);
    Pmulld = |a, b| zip(a, b, u32::wrapping_mul);
    Pmulhw = |a, b| zip(a, b, |x: i16, y: i16| (i32::from(x) * i32::from(y) >> 16) as i16);
    Pmulhuw = |a, b| zip(a, b, |x: u16, y: u16| (u32::from(x) * u32::from(y) >> 16) as u16);
    Pmulhrsw = |a, b| zip(a, b, |x: i16, y: i16| (((i32::from(x) * i32::from(y) >> 14) + 1) >> 1) as i16);
    Pmuludq = |a, b| zip(a, b, |x: u64, y: u64| u64::from(x as u32) * u64::from(y as u32));
    Pmuldq = |a, b| zip(a, b, |x: i64, y: i64| i64::from(x as i32) * i64::from(y as i32));
    Pmaddwd = |a, b| zip(a, b, multiply_add_words);
    Pmaddubsw = |a, b| zip(a, b, multiply_add_bytes);
    Psadbw = |a, b| sum_differences(a, b);
    Pavgb = |a, b| zip(a, b, |x: u8, y: u8| ((u16::from(x) + u16::from(y) + 1) >> 1) as u8);
    Pavgw = |a, b| zip(a, b, |x: u16, y: u16| ((u32::from(x) + u32::from(y) + 1) >> 1) as u16);
    Pminub = |a, b| min_bytes(a, b);
    Pminuw = |a, b| zip(a, b, |x: u16, y| x.min(y));
    Pminud = |a, b| zip(a, b, |x: u32, y| x.min(y));
    Pminsb = |a, b| zip(a, b, |x: i8, y| x.min(y));
    Pminsw = |a, b| zip(a, b, |x: i16, y| x.min(y));
    Pminsd = |a, b| zip(a, b, |x: i32, y| x.min(y));
    Pmaxub = |a, b| zip(a, b, |x: u8, y| x.max(y));
    Pmaxuw = |a, b| zip(a, b, |x: u16, y| x.max(y));
    Pmaxud = |a, b| zip(a, b, |x: u32, y| x.max(y));
    Pmaxsb = |a, b| zip(a, b, |x: i8, y| x.max(y));
    Pmaxsw = |a, b| zip(a, b, |x: i16, y| x.max(y));
    Pmaxsd = |a, b| zip(a, b, |x: i32, y| x.max(y));
    Phaddw = |a, b| pairs::<u16, BYTES>(a, b, u16::wrapping_add);
    Phaddd = |a, b| pairs::<u32, BYTES>(a, b, u32::wrapping_add);
    Phaddsw = |a, b| pairs::<i16, BYTES>(a, b, i16::saturating_add);
    Phsubw = |a, b| pairs::<u16, BYTES>(a, b, u16::wrapping_sub);
    Phsubd = |a, b| pairs::<u32, BYTES>(a, b, u32::wrapping_sub);
    Phsubsw = |a, b| pairs::<i16, BYTES>(a, b, i16::saturating_sub);
    Psignb = |a, b| zip(a, b, |x: i8, y: i8| x.wrapping_mul(y.signum()));
    Psignw = |a, b| zip(a, b, |x: i16, y: i16| x.wrapping_mul(y.signum()));
    Psignd = |a, b| zip(a, b, |x: i32, y: i32| x.wrapping_mul(y.signum()));
    Pabsb = |_, b| zip(b, b, |x: i8, _| x.wrapping_abs());
    Pabsw = |_, b| zip(b, b, |x: i16, _| x.wrapping_abs());
    Pabsd = |_, b| zip(b, b, |x: i32, _| x.wrapping_abs());
    Phminposuw = |_, b| minimum_position(b);
}

binary_imm_ops! {
    Mpsadbw = |a, b, imm| sliding_differences(a, b, imm);
}

/// The sum of the products of the two words in a doubleword.
fn multiply_add_words(x: i32, y: i32) -> i32 {
    let low = i32::from(x as i16) * i32::from(y as i16);
    let high = (x >> 16) * (y >> 16);
    low.wrapping_add(high)
}

/// The saturated sum of the products of the two bytes in a word: unsigned by signed.
fn multiply_add_bytes(x: i16, y: i16) -> i16 {
    let low = i32::from(x as u8) * i32::from(y as i8);
    let high = i32::from((x as u16 >> 8) as u8) * i32::from(y >> 8);
    (low + high).clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

/// In each quadword, the sum of the absolute differences of its eight bytes.
fn sum_differences(a: u128, b: u128) -> u128 {
    let (a, b) = (u8::split(a), u8::split(b));
    u64::build(|q| (8 * q..8 * q + 8).map(|k| u64::from(a[k].abs_diff(b[k]))).sum())
}

/// Sums of absolute differences between four bytes of `b` and those at eight successive
/// positions of `a`.
fn sliding_differences(a: u128, b: u128, imm: u8) -> u128 {
    let (a, b) = (u8::split(a), u8::split(b));
    let from_a = usize::from(imm >> 2 & 1) * 4;
    let from_b = usize::from(imm & 3) * 4;
    u16::build(|k| (0..4).map(|j| u16::from(a[from_a + k + j].abs_diff(b[from_b + j]))).sum())
}

/// The smallest word and, above it, its index.
fn minimum_position(v: u128) -> u128 {
    let words = u16::split(v);
    let mut best = 0;
    for k in 1..8 {
        if words[k] < words[best] {
            best = k;
        }
    }
    u128::from(words[best]) | (best as u128) << 16
}
