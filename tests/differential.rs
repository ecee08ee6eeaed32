//! The interpreter against the host CPU: every instruction form that ring 3 of 64-bit mode has.
//!
//! A test per family of `isa/`. `DEJAVM_CASES=N` runs N cases of each form, `DEJAVM_SEED=N`
//! other ones, `DEJAVM_FORM=PATTERN` only the forms of that name.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use dejavm_tests::compare::Tolerance;
use dejavm_tests::differential::{Outcome, Pair, Summary};
use dejavm_tests::generate::state;
use dejavm_tests::image::Ending;
use dejavm_tests::isa::{Family, Row, Subject, families, forms, glob, parse};
use dejavm_tests::layout::{CODE, WINDOW, WINDOW_BYTES};
use dejavm_tests::native::Native;
use std::collections::BTreeSet;
use std::str::FromStr;

const DEFAULT_CASES_PER_FORM: u64 = 200;
const DEFAULT_SEED: u64 = 1;

macro_rules! family_tests {
    ($($name:ident)*) => {
        const FAMILIES: &[&str] = &[$(stringify!($name)),*];
        mod family {
            $(#[test]
            fn $name() {
                super::check_family(stringify!($name));
            })*
        }
    };
}
family_tests! {
    alu atomic bits control flag_ops idle mmx mov muldiv segment shift sse stack string system x87
}

fn setting<T: FromStr>(name: &str, default: T) -> T {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} cannot be read")),
        Err(_) => default,
    }
}

fn check_family(name: &str) {
    let mut family = families().expect("rows").into_iter().find(|f| f.name == name).expect("its file");
    if let Ok(pattern) = std::env::var("DEJAVM_FORM") {
        family.rows.retain(|r| matches!(r.subject, Subject::Form(c) if glob(&pattern, &format!("{c:?}"))));
    }
    let summary = run(&family, setting("DEJAVM_CASES", DEFAULT_CASES_PER_FORM));
    assert!(show(name, &summary), "{name}: interpreter and host CPU differ");
}

fn run(family: &Family, cases: u64) -> Summary {
    let mut pair = Pair::start().expect("the host CPU as an oracle");
    pair.run_family(family, cases, setting("DEJAVM_SEED", DEFAULT_SEED)).expect("both machines run")
}

/// Prints what came of a family; false if there is something to mend.
fn show(name: &str, summary: &Summary) -> bool {
    let total = |f: fn(&Outcome) -> u64| summary.values().map(f).sum::<u64>();
    let names = |f: fn(&Outcome) -> bool| -> Vec<&str> {
        summary.iter().filter(|(_, o)| f(o)).map(|(n, _)| n.as_str()).collect()
    };
    let (missing, unencoded) = (names(|o| o.not_implemented), names(|o| o.not_encoded));
    let failing: Vec<_> =
        summary.iter().filter(|(_, o)| o.failed != 0).map(|(n, o)| format!("{n} ({})", o.failed)).collect();
    for report in summary.values().flat_map(|o| &o.reports) {
        eprintln!("{report}");
    }
    eprintln!(
        "{name}: {} forms, {} cases equal, {} different",
        summary.len(),
        total(|o| o.passed),
        total(|o| o.failed)
    );
    if !missing.is_empty() {
        eprintln!("{name}: not implemented: {}", missing.join(" "));
    }
    if !unencoded.is_empty() {
        eprintln!("{name}: no encoding found: {}", unencoded.join(" "));
    }
    if !failing.is_empty() {
        eprintln!("{name}: different: {}", failing.join(" "));
    }
    missing.is_empty() && unencoded.is_empty() && failing.is_empty()
}

/// Repeats a case: `DEJAVM_CASE=SEED:HEX`, as a failure's report gives it.
#[test]
fn one_case() {
    let text = setting("DEJAVM_CASE", "0x1:4801d8".to_owned());
    let (seed, hex) = text.split_once(':').expect("SEED:HEX");
    let seed = u64::from_str_radix(seed.trim_start_matches("0x"), 16).expect("a hexadecimal seed");
    let code: Vec<u8> = (0..hex.len())
        .step_by(2)
        .map(|k| u8::from_str_radix(&hex[k..k + 2], 16).expect("hex digits"))
        .collect();
    let outcome = Pair::start()
        .and_then(|mut p| p.run_one(seed, &code, Tolerance::default()))
        .expect("both machines run");
    assert!(outcome.failed == 0 && !outcome.not_implemented, "{}", outcome.reports.join("\n"));
}

/// A pair that is fed different code must report a difference: the harness can fail.
#[test]
fn canary() {
    let mut pair = Pair::start().expect("the host CPU as an oracle");
    let difference =
        pair.run_different(7, &[0x48, 0x01, 0xD8], &[0x48, 0x29, 0xD8]).expect("both machines run");
    assert!(difference.iter().any(|d| d.starts_with("rax")), "ADD and SUB found equal: {difference:?}");
}

/// Every file has its test, every form that ring 3 can be asked about has its family.
#[test]
fn nothing_is_left_out() {
    let families = families().expect("rows");
    let files: Vec<_> = families.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(files, FAMILIES);
    let rows: Vec<Row> = families.into_iter().flat_map(|f| f.rows).collect();
    let tested: BTreeSet<_> = rows
        .iter()
        .filter_map(|r| match r.subject {
            Subject::Form(c) => Some(c as u16),
            Subject::Bytes(_) => None,
        })
        .collect();
    let left_out: Vec<_> =
        forms().filter(|c| !tested.contains(&(*c as u16))).map(|c| format!("{c:?}")).collect();
    assert!(left_out.is_empty(), "in no family: {}", left_out.join(" "));
}

#[test]
fn bad_rows_are_refused() {
    for (text, line) in [("Add_*\nNosuch_*", 2), ("!Add_*", 1), ("Add_* ; ignore=XF", 1), ("= 4g", 1)] {
        assert_eq!(parse(text).expect_err(text).0, line, "{text}");
    }
}

/// The oracle itself: a fault has its vector, error code and address, registers and memory
/// come back, and the next case finds nothing of the last one.
#[test]
fn host_reports_what_happened() {
    let mut native = Native::start().expect("the host CPU as an oracle");
    let mut run = |code: &[u8], rbx: u64| {
        let mut case = state::input(1, code);
        case.registers.gpr[3] = rbx;
        case.registers.gpr[0] = 0x1122_3344_5566_7788;
        native.submit(std::slice::from_ref(&case)).expect("a child");
        native.collect(1).expect("a child").remove(0)
    };
    let store = [0x48, 0x89, 0x03]; // mov [rbx], rax
    let stored = run(&store, WINDOW + 16);
    assert_eq!((stored.ending.vector, stored.registers.rip), (3, CODE + 4));
    assert_eq!(stored.window[16..24], 0x1122_3344_5566_7788u64.to_le_bytes());
    let past = WINDOW + WINDOW_BYTES as u64;
    let faulted = run(&store, past - 4);
    assert_eq!(faulted.ending, Ending { vector: 14, error_code: 6, address: past });
    assert_eq!(faulted.registers.rip, CODE);
    assert_eq!(run(&store, CODE).ending, Ending { vector: 14, error_code: 7, address: CODE });
    assert_eq!(run(&store, 1 << 63).ending.vector, 13);
    assert_eq!(run(&[0x0F, 0x0B], 0).ending.vector, 6); // ud2
    assert_eq!(run(&[0x48, 0x31, 0xC0, 0x48, 0xF7, 0xF8], 0).ending.vector, 0); // xor rax, rax; idiv rax
    // Alignment checking and single-stepping, switched on by the case, end with it.
    assert_eq!(run(&[0x68, 0x46, 0x03, 0x04, 0x00, 0x9D], 0).registers.flags & 0x4_0000, 0x4_0000);
    assert_eq!(run(&store, WINDOW + 17).ending.vector, 3);
}
