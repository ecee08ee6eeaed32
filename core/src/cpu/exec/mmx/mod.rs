//! MMX (SDM vol. 1, chapter 9): the forms; the operations on lanes are those of SSE.
//!
//! Conversions between MMX registers and floating point are in `sse_fp`.

mod mov;

use super::simd::{BinaryOp, mmx_enter, mmx_imm_table, mmx_ready, mmx_table};
use super::sse_int::{arith::*, compare::*, pack::*, shift::*, shuffle::*};
use crate::cpu::access::Exec;
use crate::cpu::env::Env;
use crate::cpu::insn::{Handler, Insn};
use crate::cpu::state::Vcpu;
use iced_x86::{Code, Instruction};

/// The handler of a form of this family.
pub fn select(i: &Instruction) -> Option<Handler> {
    mov::select(i)
        .or_else(|| select_arithmetic(i))
        .or_else(|| select_sse_arithmetic(i))
        .or_else(|| select_ssse3(i))
        .or_else(|| select_lanes(i))
        .or_else(|| select_shift(i))
        .or_else(|| select_immediate(i))
        .or_else(|| select_shift_immediate(i.code()))
}

fn select_arithmetic(i: &Instruction) -> Option<Handler> {
    mmx_table! { i;
        Pand_mm_mmm64 => And;
        Pandn_mm_mmm64 => AndNot;
        Por_mm_mmm64 => Or;
        Pxor_mm_mmm64 => Xor;
        Paddb_mm_mmm64 => Paddb;
        Paddw_mm_mmm64 => Paddw;
        Paddd_mm_mmm64 => Paddd;
        Paddq_mm_mmm64 => Paddq;
        Psubb_mm_mmm64 => Psubb;
        Psubw_mm_mmm64 => Psubw;
        Psubd_mm_mmm64 => Psubd;
        Psubq_mm_mmm64 => Psubq;
        Paddsb_mm_mmm64 => Paddsb;
        Paddsw_mm_mmm64 => Paddsw;
        Paddusb_mm_mmm64 => Paddusb;
        Paddusw_mm_mmm64 => Paddusw;
        Psubsb_mm_mmm64 => Psubsb;
        Psubsw_mm_mmm64 => Psubsw;
        Psubusb_mm_mmm64 => Psubusb;
        Psubusw_mm_mmm64 => Psubusw;
        Pmullw_mm_mmm64 => Pmullw;
        Pmulhw_mm_mmm64 => Pmulhw;
        Pmaddwd_mm_mmm64 => Pmaddwd;
    }
}

fn select_sse_arithmetic(i: &Instruction) -> Option<Handler> {
    mmx_table! { i;
        Pmulhuw_mm_mmm64 => Pmulhuw;
        Pmuludq_mm_mmm64 => Pmuludq;
        Psadbw_mm_mmm64 => Psadbw;
        Pavgb_mm_mmm64 => Pavgb;
        Pavgw_mm_mmm64 => Pavgw;
        Pminub_mm_mmm64 => Pminub;
        Pmaxub_mm_mmm64 => Pmaxub;
        Pminsw_mm_mmm64 => Pminsw;
        Pmaxsw_mm_mmm64 => Pmaxsw;
    }
}

fn select_ssse3(i: &Instruction) -> Option<Handler> {
    mmx_table! { i;
        Phaddw_mm_mmm64 => Phaddw;
        Phaddd_mm_mmm64 => Phaddd;
        Phaddsw_mm_mmm64 => Phaddsw;
        Phsubw_mm_mmm64 => Phsubw;
        Phsubd_mm_mmm64 => Phsubd;
        Phsubsw_mm_mmm64 => Phsubsw;
        Pmaddubsw_mm_mmm64 => Pmaddubsw;
        Pmulhrsw_mm_mmm64 => Pmulhrsw;
        Psignb_mm_mmm64 => Psignb;
        Psignw_mm_mmm64 => Psignw;
        Psignd_mm_mmm64 => Psignd;
        Pabsb_mm_mmm64 => Pabsb;
        Pabsw_mm_mmm64 => Pabsw;
        Pabsd_mm_mmm64 => Pabsd;
        Pshufb_mm_mmm64 => Pshufb;
    }
}

fn select_lanes(i: &Instruction) -> Option<Handler> {
    mmx_table! { i;
        Pcmpeqb_mm_mmm64 => Pcmpeqb;
        Pcmpeqw_mm_mmm64 => Pcmpeqw;
        Pcmpeqd_mm_mmm64 => Pcmpeqd;
        Pcmpgtb_mm_mmm64 => Pcmpgtb;
        Pcmpgtw_mm_mmm64 => Pcmpgtw;
        Pcmpgtd_mm_mmm64 => Pcmpgtd;
        Packsswb_mm_mmm64 => Packsswb;
        Packssdw_mm_mmm64 => Packssdw;
        Packuswb_mm_mmm64 => Packuswb;
        Punpcklbw_mm_mmm32 => Punpcklbw, u32;
        Punpcklwd_mm_mmm32 => Punpcklwd, u32;
        Punpckldq_mm_mmm32 => Punpckldq, u32;
        Punpckhbw_mm_mmm64 => Punpckhbw;
        Punpckhwd_mm_mmm64 => Punpckhwd;
        Punpckhdq_mm_mmm64 => Punpckhdq;
    }
}

fn select_shift(i: &Instruction) -> Option<Handler> {
    mmx_table! { i;
        Psllw_mm_mmm64 => Psllw;
        Pslld_mm_mmm64 => Pslld;
        Psllq_mm_mmm64 => Psllq;
        Psrlw_mm_mmm64 => Psrlw;
        Psrld_mm_mmm64 => Psrld;
        Psrlq_mm_mmm64 => Psrlq;
        Psraw_mm_mmm64 => Psraw;
        Psrad_mm_mmm64 => Psrad;
    }
}

fn select_immediate(i: &Instruction) -> Option<Handler> {
    mmx_imm_table! { i;
        Pshufw_mm_mmm64_imm8 => Pshuflw;
        Palignr_mm_mmm64_imm8 => Palignr;
    }
}

fn select_shift_immediate(code: Code) -> Option<Handler> {
    Some(match code {
        Code::Psllw_mm_imm8 => shift_immediate::<Psllw>,
        Code::Pslld_mm_imm8 => shift_immediate::<Pslld>,
        Code::Psllq_mm_imm8 => shift_immediate::<Psllq>,
        Code::Psrlw_mm_imm8 => shift_immediate::<Psrlw>,
        Code::Psrld_mm_imm8 => shift_immediate::<Psrld>,
        Code::Psrlq_mm_imm8 => shift_immediate::<Psrlq>,
        Code::Psraw_mm_imm8 => shift_immediate::<Psraw>,
        Code::Psrad_mm_imm8 => shift_immediate::<Psrad>,
        _ => return None,
    })
}

fn shift_immediate<O: BinaryOp>(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec<()> {
    mmx_ready(cpu)?;
    mmx_enter(cpu);
    let a = cpu.mm(insn.r[0]).into();
    cpu.set_mm(insn.r[0], O::apply::<8>(a, u128::from(insn.imm as u8)) as u64);
    Ok(())
}
