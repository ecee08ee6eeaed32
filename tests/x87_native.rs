//! The x87 unit against the host's: each opcode of D8 to DF on random and special register
//! stacks, control words and memory operands. The whole state before goes in with FRSTOR, the
//! whole state after comes out with FNSAVE.
//!
//! `DEJAVM_X87_CASES` sets the number of cases per opcode, `DEJAVM_SEED` the seed.
#![cfg(target_arch = "x86_64")]
#![allow(unsafe_code)]

#[path = "x87/cases.rs"]
mod cases;
#[path = "x87/compare.rs"]
mod compare;
#[path = "x87/emulated.rs"]
mod emulated;
#[path = "x87/native.rs"]
mod native;

use cases::Random;
use compare::Tolerance;
use emulated::Emulated;
use iced_x86::{Code, Decoder, DecoderOptions, Formatter, IntelFormatter};
use native::Native;

/// The opcodes whose first byte is `first`, as groups that differ only in ST(i): register forms
/// of one reg field that behave alike are drawn from at random.
fn groups(first: u8) -> Vec<Vec<Vec<u8>>> {
    let mut groups: Vec<(Code, Vec<Vec<u8>>)> = Vec::new();
    // ModRM 01 + 8 n: memory at [rcx].
    let forms = (0..8u8).map(|n| n << 3 | 1).chain(0xC0..=0xFF);
    let plain = forms.clone().map(|modrm| vec![first, modrm]);
    // With the prefix only the forms that it changes: environments of 16 bits.
    let prefixed = forms.map(|modrm| vec![0x66, first, modrm]).filter(|b| code(b) != code(&b[1..]));
    for bytes in plain.chain(prefixed) {
        match groups.last_mut() {
            _ if code(&bytes) == Code::INVALID => {}
            Some((last, forms)) if *last == code(&bytes) => forms.push(bytes),
            _ => groups.push((code(&bytes), vec![bytes])),
        }
    }
    groups.into_iter().map(|(_, forms)| forms).collect()
}

fn code(bytes: &[u8]) -> Code {
    Decoder::new(32, bytes, DecoderOptions::AMD).decode().code()
}

fn disassemble(bytes: &[u8]) -> String {
    let mut text = String::new();
    IntelFormatter::new().format(&Decoder::new(32, bytes, DecoderOptions::AMD).decode(), &mut text);
    text
}

fn environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

fn check_opcodes(first: u8) {
    let seed = environment("DEJAVM_SEED", 1);
    let cases = environment("DEJAVM_X87_CASES", 100_000);
    let mut random = Random::new(seed ^ u64::from(first) << 32);
    let (native, mut emulated) = (Native::new(), Emulated::new());
    let mut failures = Vec::new();
    for group in groups(first) {
        let tolerance = Tolerance::of(code(&group[0]));
        let mut wrong = 0;
        let mut first_wrong = String::new();
        for _ in 0..cases {
            let bytes = &group[random.below(group.len())];
            let before = cases::state(&mut random, tolerance);
            let expected = native.run(bytes, &before);
            let got = emulated.run(bytes, &before);
            if let Err(difference) = compare::compare(&expected, &got, tolerance) {
                wrong += 1;
                if first_wrong.is_empty() {
                    first_wrong = format!(
                        "{bytes:02x?} {difference}\n  before {before}\n  host   {expected}\n  ours   {got}"
                    );
                }
            }
        }
        if wrong != 0 {
            failures.push(format!("{}: {wrong} of {cases}: {first_wrong}", disassemble(&group[0])));
        }
    }
    assert!(failures.is_empty(), "seed {seed}, {cases} cases per opcode\n{}", failures.join("\n"));
}

macro_rules! opcodes {
    ($($name:ident $first:literal)*) => {$(
        #[test]
        fn $name() {
            check_opcodes($first);
        }
    )*};
}
opcodes! { opcode_d8 0xD8 opcode_d9 0xD9 opcode_da 0xDA opcode_db 0xDB opcode_dc 0xDC opcode_dd 0xDD opcode_de 0xDE opcode_df 0xDF }

#[test]
fn every_form_is_drawn() {
    let codes: Vec<Code> = (0xD8..=0xDF).flat_map(groups).map(|forms| code(&forms[0])).collect();
    for wanted in [Code::Fadd_m32fp, Code::Fnsave_m94byte, Code::Frstor_m108byte, Code::Fcomip_st0_sti] {
        assert!(codes.contains(&wanted), "{wanted:?}");
    }
    // Every form of D8 to DF, both widths of the environments included.
    assert_eq!(codes.len(), 148, "{codes:?}");
}

#[test]
fn each_field_is_compared() {
    let mut random = Random::new(1);
    let state = cases::state(&mut random, Tolerance::Exact);
    assert_eq!(compare::compare(&state, &state, Tolerance::Exact), Ok(()));
    let differs = |change: fn(&mut cases::State), tolerance| {
        let mut other = state.clone();
        change(&mut other);
        compare::compare(&state, &other, tolerance).is_err()
    };
    assert!(differs(|s| s.image[0] ^= 1, Tolerance::Ulp), "control");
    assert!(differs(|s| s.image[4] ^= 1, Tolerance::Ulp), "status");
    assert!(differs(|s| s.image[8] ^= 1, Tolerance::Ulp), "tags");
    assert!(differs(|s| s.image[28] ^= 1, Tolerance::Exact), "ST(0)");
    assert!(differs(|s| s.image[28] ^= 2, Tolerance::Ulp), "ST(0) by two units");
    assert!(differs(|s| s.memory[11] ^= 1, Tolerance::Image(4)), "memory before the pointers");
    assert!(differs(|s| s.memory[26] ^= 1, Tolerance::Image(4)), "memory after the pointers");
    assert!(differs(|s| s.rax ^= 1, Tolerance::Ulp), "RAX");
    assert!(differs(|s| s.flags ^= 1, Tolerance::Ulp), "flags");
}
