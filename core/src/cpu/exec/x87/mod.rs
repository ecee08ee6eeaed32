//! The x87 unit (SDM vol. 1, chapter 8; AMD APM vol. 5). What is defined here beyond the
//! manuals is in docs/x87.md.

mod arith;
mod compare;
mod control;
mod environment;
mod load_store;
mod source;
pub mod state;
mod transcendental;

use crate::cpu::insn::Handler;
use arith::{Add, Div, DivR, Mul, Sub, SubR};
use iced_x86::{Code, Instruction};
use load_store::{ToInt, ToM32, ToM64};
use source::{I16, I32, I64, M32, M64};

/// The handler of a form of this family.
pub fn select(i: &Instruction) -> Option<Handler> {
    let code = i.code();
    arithmetic_memory(code)
        .or_else(|| arithmetic_stack(code))
        .or_else(|| comparison(code))
        .or_else(|| transfer(code))
        .or_else(|| transfer_stack(code))
        .or_else(|| control_word(code))
        .or_else(|| function(code))
}

fn arithmetic_memory(code: Code) -> Option<Handler> {
    Some(match code {
        Code::Fadd_m32fp => arith::memory::<Add, M32>,
        Code::Fmul_m32fp => arith::memory::<Mul, M32>,
        Code::Fsub_m32fp => arith::memory::<Sub, M32>,
        Code::Fsubr_m32fp => arith::memory::<SubR, M32>,
        Code::Fdiv_m32fp => arith::memory::<Div, M32>,
        Code::Fdivr_m32fp => arith::memory::<DivR, M32>,
        Code::Fadd_m64fp => arith::memory::<Add, M64>,
        Code::Fmul_m64fp => arith::memory::<Mul, M64>,
        Code::Fsub_m64fp => arith::memory::<Sub, M64>,
        Code::Fsubr_m64fp => arith::memory::<SubR, M64>,
        Code::Fdiv_m64fp => arith::memory::<Div, M64>,
        Code::Fdivr_m64fp => arith::memory::<DivR, M64>,
        Code::Fiadd_m32int => arith::memory::<Add, I32>,
        Code::Fimul_m32int => arith::memory::<Mul, I32>,
        Code::Fisub_m32int => arith::memory::<Sub, I32>,
        Code::Fisubr_m32int => arith::memory::<SubR, I32>,
        Code::Fidiv_m32int => arith::memory::<Div, I32>,
        Code::Fidivr_m32int => arith::memory::<DivR, I32>,
        Code::Fiadd_m16int => arith::memory::<Add, I16>,
        Code::Fimul_m16int => arith::memory::<Mul, I16>,
        Code::Fisub_m16int => arith::memory::<Sub, I16>,
        Code::Fisubr_m16int => arith::memory::<SubR, I16>,
        Code::Fidiv_m16int => arith::memory::<Div, I16>,
        Code::Fidivr_m16int => arith::memory::<DivR, I16>,
        _ => return None,
    })
}

fn arithmetic_stack(code: Code) -> Option<Handler> {
    Some(match code {
        Code::Fadd_st0_sti | Code::Fadd_sti_st0 => arith::stack::<Add, 0>,
        Code::Fmul_st0_sti | Code::Fmul_sti_st0 => arith::stack::<Mul, 0>,
        Code::Fsub_st0_sti | Code::Fsub_sti_st0 => arith::stack::<Sub, 0>,
        Code::Fsubr_st0_sti | Code::Fsubr_sti_st0 => arith::stack::<SubR, 0>,
        Code::Fdiv_st0_sti | Code::Fdiv_sti_st0 => arith::stack::<Div, 0>,
        Code::Fdivr_st0_sti | Code::Fdivr_sti_st0 => arith::stack::<DivR, 0>,
        Code::Faddp_sti_st0 => arith::stack::<Add, 1>,
        Code::Fmulp_sti_st0 => arith::stack::<Mul, 1>,
        Code::Fsubp_sti_st0 => arith::stack::<Sub, 1>,
        Code::Fsubrp_sti_st0 => arith::stack::<SubR, 1>,
        Code::Fdivp_sti_st0 => arith::stack::<Div, 1>,
        Code::Fdivrp_sti_st0 => arith::stack::<DivR, 1>,
        Code::Fsqrt => arith::unary::<arith::Sqrt>,
        Code::Frndint => arith::unary::<arith::RoundInt>,
        Code::Fabs => arith::sign::<false>,
        Code::Fchs => arith::sign::<true>,
        Code::Fprem => arith::remainder::<false>,
        Code::Fprem1 => arith::remainder::<true>,
        Code::Fscale => arith::scale,
        Code::Fxtract => arith::extract,
        _ => return None,
    })
}

fn comparison(code: Code) -> Option<Handler> {
    Some(match code {
        Code::Fcom_m32fp => compare::memory::<M32, 0>,
        Code::Fcomp_m32fp => compare::memory::<M32, 1>,
        Code::Fcom_m64fp => compare::memory::<M64, 0>,
        Code::Fcomp_m64fp => compare::memory::<M64, 1>,
        Code::Ficom_m32int => compare::memory::<I32, 0>,
        Code::Ficomp_m32int => compare::memory::<I32, 1>,
        Code::Ficom_m16int => compare::memory::<I16, 0>,
        Code::Ficomp_m16int => compare::memory::<I16, 1>,
        Code::Fcom_st0_sti | Code::Fcom_st0_sti_DCD0 => compare::stack::<true, 0>,
        Code::Fcomp_st0_sti | Code::Fcomp_st0_sti_DCD8 | Code::Fcomp_st0_sti_DED0 => {
            compare::stack::<true, 1>
        }
        Code::Fcompp => compare::stack::<true, 2>,
        Code::Fucom_st0_sti => compare::stack::<false, 0>,
        Code::Fucomp_st0_sti => compare::stack::<false, 1>,
        Code::Fucompp => compare::stack::<false, 2>,
        Code::Fcomi_st0_sti => compare::stack_flags::<true, 0>,
        Code::Fcomip_st0_sti => compare::stack_flags::<true, 1>,
        Code::Fucomi_st0_sti => compare::stack_flags::<false, 0>,
        Code::Fucomip_st0_sti => compare::stack_flags::<false, 1>,
        Code::Ftst => compare::test,
        Code::Fxam => compare::examine,
        _ => return None,
    })
}

fn transfer(code: Code) -> Option<Handler> {
    Some(match code {
        Code::Fld_m32fp => load_store::load::<M32>,
        Code::Fld_m64fp => load_store::load::<M64>,
        Code::Fld_m80fp => load_store::load_m80,
        Code::Fild_m16int => load_store::load::<I16>,
        Code::Fild_m32int => load_store::load::<I32>,
        Code::Fild_m64int => load_store::load::<I64>,
        Code::Fbld_m80bcd => load_store::load_bcd,
        Code::Fst_m32fp => load_store::store::<ToM32, false>,
        Code::Fstp_m32fp => load_store::store::<ToM32, true>,
        Code::Fst_m64fp => load_store::store::<ToM64, false>,
        Code::Fstp_m64fp => load_store::store::<ToM64, true>,
        Code::Fstp_m80fp => load_store::store_m80,
        Code::Fist_m16int => load_store::store::<ToInt<u16, false>, false>,
        Code::Fistp_m16int => load_store::store::<ToInt<u16, false>, true>,
        Code::Fist_m32int => load_store::store::<ToInt<u32, false>, false>,
        Code::Fistp_m32int => load_store::store::<ToInt<u32, false>, true>,
        Code::Fistp_m64int => load_store::store::<ToInt<u64, false>, true>,
        Code::Fisttp_m16int => load_store::store::<ToInt<u16, true>, true>,
        Code::Fisttp_m32int => load_store::store::<ToInt<u32, true>, true>,
        Code::Fisttp_m64int => load_store::store::<ToInt<u64, true>, true>,
        Code::Fbstp_m80bcd => load_store::store_bcd,
        _ => return None,
    })
}

fn transfer_stack(code: Code) -> Option<Handler> {
    Some(match code {
        Code::Fld_sti => load_store::load_sti,
        Code::Fst_sti => load_store::store_sti::<0>,
        Code::Fstp_sti | Code::Fstp_sti_DFD0 | Code::Fstp_sti_DFD8 => load_store::store_sti::<1>,
        Code::Fstpnce_sti => load_store::store_sti_unchecked,
        Code::Fxch_st0_sti | Code::Fxch_st0_sti_DDC8 | Code::Fxch_st0_sti_DFC8 => load_store::exchange,
        Code::Fcmovb_st0_sti => load_store::move_if::<2>,
        Code::Fcmovnb_st0_sti => load_store::move_if::<3>,
        Code::Fcmove_st0_sti => load_store::move_if::<4>,
        Code::Fcmovne_st0_sti => load_store::move_if::<5>,
        Code::Fcmovbe_st0_sti => load_store::move_if::<6>,
        Code::Fcmovnbe_st0_sti => load_store::move_if::<7>,
        Code::Fcmovu_st0_sti => load_store::move_if::<10>,
        Code::Fcmovnu_st0_sti => load_store::move_if::<11>,
        _ => return None,
    })
}

fn control_word(code: Code) -> Option<Handler> {
    Some(match code {
        Code::Fninit => control::init,
        Code::Fnclex => control::clear_exceptions,
        Code::Fldcw_m2byte => control::load_control,
        Code::Fnstcw_m2byte => control::store_control,
        Code::Fnstsw_m2byte => control::store_status,
        Code::Fnstsw_AX => control::store_status_ax,
        Code::Ffree_sti => control::free::<false>,
        Code::Ffreep_sti => control::free::<true>,
        Code::Fincstp => control::rotate::<1>,
        Code::Fdecstp => control::rotate::<7>,
        Code::Fnop => control::nop,
        Code::Fneni | Code::Fndisi | Code::Fnsetpm => control::obsolete,
        Code::Wait => control::fwait,
        Code::Fnstenv_m14byte => environment::store_environment::<false>,
        Code::Fnstenv_m28byte => environment::store_environment::<true>,
        Code::Fldenv_m14byte => environment::load_environment::<false>,
        Code::Fldenv_m28byte => environment::load_environment::<true>,
        Code::Fnsave_m94byte => environment::save::<false>,
        Code::Fnsave_m108byte => environment::save::<true>,
        Code::Frstor_m94byte => environment::restore::<false>,
        Code::Frstor_m108byte => environment::restore::<true>,
        _ => return None,
    })
}

fn function(code: Code) -> Option<Handler> {
    Some(match code {
        Code::Fld1 => transcendental::constant::<0>,
        Code::Fldl2t => transcendental::constant::<1>,
        Code::Fldl2e => transcendental::constant::<2>,
        Code::Fldpi => transcendental::constant::<3>,
        Code::Fldlg2 => transcendental::constant::<4>,
        Code::Fldln2 => transcendental::constant::<5>,
        Code::Fldz => transcendental::constant::<6>,
        Code::F2xm1 => transcendental::power,
        Code::Fyl2x => transcendental::pair::<transcendental::Log>,
        Code::Fyl2xp1 => transcendental::pair::<transcendental::LogOnePlus>,
        Code::Fpatan => transcendental::pair::<transcendental::Arctangent>,
        Code::Fptan => transcendental::tangent,
        Code::Fsin => transcendental::sine::<false>,
        Code::Fcos => transcendental::sine::<true>,
        Code::Fsincos => transcendental::sine_cosine,
        _ => return None,
    })
}
