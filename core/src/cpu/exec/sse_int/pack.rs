//! Conversion between lane sizes: packing with saturation, and sign or zero extension.

use crate::cpu::exec::simd::{Lane, binary_ops, pack, xmm_table};
use crate::cpu::insn::Handler;
use iced_x86::Instruction;

/// The handler of a conversion.
pub fn select(i: &Instruction) -> Option<Handler> {
    xmm_table! { i;
        Packsswb_xmm_xmmm128 => Packsswb;
        Packssdw_xmm_xmmm128 => Packssdw;
        Packuswb_xmm_xmmm128 => Packuswb;
        Packusdw_xmm_xmmm128 => Packusdw;
        Pmovsxbw_xmm_xmmm64 => Pmovsxbw, u64;
        Pmovsxbd_xmm_xmmm32 => Pmovsxbd, u32;
        Pmovsxbq_xmm_xmmm16 => Pmovsxbq, u16;
        Pmovsxwd_xmm_xmmm64 => Pmovsxwd, u64;
        Pmovsxwq_xmm_xmmm32 => Pmovsxwq, u32;
        Pmovsxdq_xmm_xmmm64 => Pmovsxdq, u64;
        Pmovzxbw_xmm_xmmm64 => Pmovzxbw, u64;
        Pmovzxbd_xmm_xmmm32 => Pmovzxbd, u32;
        Pmovzxbq_xmm_xmmm16 => Pmovzxbq, u16;
        Pmovzxwd_xmm_xmmm64 => Pmovzxwd, u64;
        Pmovzxwq_xmm_xmmm32 => Pmovzxwq, u32;
        Pmovzxdq_xmm_xmmm64 => Pmovzxdq, u64;
    }
}

binary_ops! {
    Packsswb = |a, b| pack::<i16, i8, BYTES>(a, b, |x| x.clamp(i8::MIN.into(), i8::MAX.into()) as i8);
    Packssdw = |a, b| pack::<i32, i16, BYTES>(a, b, |x| x.clamp(i16::MIN.into(), i16::MAX.into()) as i16);
    Packuswb = |a, b| pack::<i16, u8, BYTES>(a, b, |x| x.clamp(0, u8::MAX.into()) as u8);
    Packusdw = |a, b| pack::<i32, u16, BYTES>(a, b, |x| x.clamp(0, u16::MAX.into()) as u16);
    Pmovsxbw = |_, b| { let v = i8::split(b); i16::build(|k| v[k].into()) };
    Pmovsxbd = |_, b| { let v = i8::split(b); i32::build(|k| v[k].into()) };
    Pmovsxbq = |_, b| { let v = i8::split(b); i64::build(|k| v[k].into()) };
    Pmovsxwd = |_, b| { let v = i16::split(b); i32::build(|k| v[k].into()) };
    Pmovsxwq = |_, b| { let v = i16::split(b); i64::build(|k| v[k].into()) };
    Pmovsxdq = |_, b| { let v = i32::split(b); i64::build(|k| v[k].into()) };
    Pmovzxbw = |_, b| { let v = u8::split(b); u16::build(|k| v[k].into()) };
    Pmovzxbd = |_, b| { let v = u8::split(b); u32::build(|k| v[k].into()) };
    Pmovzxbq = |_, b| { let v = u8::split(b); u64::build(|k| v[k].into()) };
    Pmovzxwd = |_, b| { let v = u16::split(b); u32::build(|k| v[k].into()) };
    Pmovzxwq = |_, b| { let v = u16::split(b); u64::build(|k| v[k].into()) };
    Pmovzxdq = |_, b| { let v = u32::split(b); u64::build(|k| v[k].into()) };
}
