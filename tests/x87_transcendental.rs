//! Transcendental functions against values of a much higher precision, on any host: the
//! definition of docs/x87.md, correctly rounded.

use dejavm_core::softfloat::f80_context::{Context, PE};
use dejavm_core::softfloat::{F80, Num, f80_exp_log, f80_trig};

const ROWS: &str = include_str!("x87/transcendental.txt");

fn value(text: &str) -> F80 {
    let (sign_exponent, significand) = text.split_once(':').expect("an 80-bit number");
    F80 {
        significand: u64::from_str_radix(significand, 16).expect("a significand"),
        sign_exponent: u16::from_str_radix(sign_exponent, 16).expect("a sign and exponent"),
    }
}

fn evaluate(function: &str, ctx: &mut Context, st0: Num, st1: impl Fn() -> Num) -> F80 {
    match function {
        "fsin" => f80_trig::sin(ctx, st0).expect("in range"),
        "fcos" => f80_trig::cos(ctx, st0).expect("in range"),
        "fptan" => f80_trig::tan(ctx, st0).expect("in range").0,
        "fpatan" => f80_trig::atan2(ctx, st1(), st0),
        "f2xm1" => f80_exp_log::exp2_minus_1(ctx, st0),
        "fyl2x" => f80_exp_log::y_log2_x(ctx, st1(), st0),
        "fyl2xp1" => f80_exp_log::y_log2_1_plus_x(ctx, st1(), st0),
        _ => panic!("no such function: {function}"),
    }
}

#[test]
fn results_are_correctly_rounded() {
    let rows = ROWS.lines().filter(|l| !l.starts_with('#'));
    let mut count = 0;
    for row in rows {
        let fields: Vec<&str> = row.split(' ').collect();
        let rounding: u16 = fields[1].parse().expect("a rounding control");
        let mut ctx = Context::new(0x037F | rounding << 10);
        let st1 = || value(fields[3]).unpack();
        let result = evaluate(fields[0], &mut ctx, value(fields[2]).unpack(), st1);
        assert_eq!(result, value(fields[4]), "{row}");
        assert_ne!(ctx.flags & PE, 0, "{row}");
        count += 1;
    }
    assert!(count > 500, "{count} rows");
}
