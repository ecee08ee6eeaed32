//! What must be equal after a case, and how a difference is shown.

use crate::generate::state::decode;
use crate::image::{COMPARED_FLAGS, FxImage, Input, Output};
use crate::layout::WINDOW;
use iced_x86::{CpuidFeature, Formatter, Instruction, IntelFormatter};
use std::fmt::Write;

/// MXCSR.MM, misaligned exception mask: AMD's CPUs have it, the model does not (as Intel's), so it
/// raises #GP where this host takes it.
const MXCSR_MM: u32 = 1 << 17;

/// What a row of an `.isa` file leaves out of the comparison.
#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub struct Tolerance {
    /// RFLAGS bits that are not compared.
    pub flags: u64,
    /// x87 status bits that are not compared.
    pub x87_status: u16,
    /// How many units in the last place an x87 result may differ.
    pub x87_ulp: u64,
    /// Lanes of 32 bits may differ by this part of 2^16 of their value (RCPPS and its kin).
    pub f32_relative: u32,
}

/// The differences, one line each: what, interpreter, host. Empty if there are none.
pub fn differences(interpreter: &Output, host: &Output, t: &Tolerance) -> Vec<String> {
    let mut d = Vec::new();
    if host.registers.fx.mxcsr() & MXCSR_MM != 0 {
        return d;
    }
    let mut differ = |what: String, a: u128, b: u128| {
        if a != b {
            d.push(format!("{what}: interpreter {a:#x}, host {b:#x}"));
        }
    };
    let (a, b) = (&interpreter.registers, &host.registers);
    differ("vector".into(), interpreter.ending.vector.into(), host.ending.vector.into());
    differ("error code".into(), interpreter.ending.error_code.into(), host.ending.error_code.into());
    differ("CR2".into(), interpreter.ending.address.into(), host.ending.address.into());
    differ("rip".into(), a.rip.into(), b.rip.into());
    for (k, name) in GPR.iter().enumerate() {
        differ((*name).into(), a.gpr[k].into(), b.gpr[k].into());
    }
    let mask = COMPARED_FLAGS & !t.flags;
    if a.flags & mask != b.flags & mask {
        differ(
            format!("flags [{}]", flag_names((a.flags ^ b.flags) & mask)),
            (a.flags & mask).into(),
            (b.flags & mask).into(),
        );
    }
    differ("fs base".into(), a.fs_base.into(), b.fs_base.into());
    differ("gs base".into(), a.gs_base.into(), b.gs_base.into());
    differ("x87 control".into(), a.fx.u16(0).into(), b.fx.u16(0).into());
    let status = !t.x87_status;
    differ("x87 status".into(), (a.fx.u16(2) & status).into(), (b.fx.u16(2) & status).into());
    differ("x87 tags".into(), a.fx.0[4].into(), b.fx.0[4].into());
    differ("mxcsr".into(), a.fx.mxcsr().into(), b.fx.mxcsr().into());
    for i in 0..8 {
        if !x87_close(a.fx.st(i), b.fx.st(i), t.x87_ulp) {
            differ(format!("st{i}"), wide(a.fx.st(i)), wide(b.fx.st(i)));
        }
    }
    for i in 0..16 {
        if !xmm_close(a.fx.xmm(i), b.fx.xmm(i), t.f32_relative) {
            differ(format!("xmm{i}"), a.fx.xmm(i), b.fx.xmm(i));
        }
    }
    let bytes = interpreter.window.iter().zip(host.window.iter()).enumerate();
    for (at, (x, y)) in bytes.filter(|(_, (x, y))| x != y).take(16) {
        differ(format!("[{:#x}]", WINDOW + at as u64), (*x).into(), (*y).into());
    }
    d
}

fn wide((significand, sign_exponent): (u64, u16)) -> u128 {
    u128::from(sign_exponent) << 64 | u128::from(significand)
}

/// Equal, or within `ulp` units in the last place.
fn x87_close(a: (u64, u16), b: (u64, u16), ulp: u64) -> bool {
    if ulp == 0 || (a.1 ^ b.1) & 0x8000 != 0 {
        return a == b;
    }
    // Magnitudes of normal numbers are ordered like their encodings without the integer bit.
    let order = |(s, e): (u64, u16)| u128::from(e & 0x7FFF) << 63 | u128::from(s & (u64::MAX >> 1));
    order(a).abs_diff(order(b)) <= u128::from(ulp)
}

/// Equal, or every 32-bit lane within the relative error.
fn xmm_close(a: u128, b: u128, relative: u32) -> bool {
    if relative == 0 || a == b {
        return a == b;
    }
    (0..4).all(|lane| {
        let (x, y) = ((a >> (32 * lane)) as u32, (b >> (32 * lane)) as u32);
        let (f, g) = (f64::from(f32::from_bits(x)), f64::from(f32::from_bits(y)));
        x == y || (f - g).abs() <= g.abs() * f64::from(relative) / 65536.0
    })
}

const GPR: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15",
];

/// The bits of RFLAGS that a case compares, by name.
pub const FLAG_NAMES: [(&str, u64); 10] = [
    ("CF", 1),
    ("PF", 1 << 2),
    ("AF", 1 << 4),
    ("ZF", 1 << 6),
    ("SF", 1 << 7),
    ("DF", 1 << 10),
    ("OF", 1 << 11),
    ("NT", 1 << 14),
    ("AC", 1 << 18),
    ("ID", 1 << 21),
];

fn flag_names(bits: u64) -> String {
    let names: Vec<_> = FLAG_NAMES.iter().filter(|(_, b)| bits & b != 0).map(|(n, _)| *n).collect();
    names.join(" ")
}

/// The code as text.
pub fn disassembly(code: &[u8]) -> String {
    let mut formatter = IntelFormatter::new();
    let mut text = String::new();
    for i in decode(code) {
        if !text.is_empty() {
            text.push_str("; ");
        }
        formatter.format(&i, &mut text);
    }
    text
}

/// Everything about a failed case, to read and to repeat.
pub fn report(
    seed: u64,
    input: &Input,
    interpreter: &Output,
    host: &Output,
    differences: &[String],
) -> String {
    let mut s = String::new();
    let hex: String = input.code.iter().map(|b| format!("{b:02x}")).collect();
    let form = decode(&input.code).first().map(|i| format!("{:?}", i.code())).unwrap_or_default();
    let _ = writeln!(s, "{}   [{form}] {:?}", disassembly(&input.code), input.extent);
    for d in differences {
        let _ = writeln!(s, "  {d}");
    }
    let r = &input.registers;
    let _ = write!(s, "  in:");
    for (k, name) in GPR.iter().enumerate() {
        let _ = write!(s, " {name}={:x}", r.gpr[k]);
    }
    let _ = writeln!(s, " flags={:x} fs={:x} gs={:x}", r.flags, r.fs_base, r.gs_base);
    if decode(&input.code).iter().any(uses_floating_point) {
        floating_point(&mut s, "in", &r.fx, &r.fx);
        floating_point(&mut s, "interpreter", &interpreter.registers.fx, &r.fx);
        floating_point(&mut s, "host", &host.registers.fx, &r.fx);
    }
    let _ = writeln!(
        s,
        "  again: DEJAVM_CASE={seed:#x}:{hex} cargo nextest run -p dejavm-tests --no-capture one_case"
    );
    s
}

fn uses_floating_point(i: &Instruction) -> bool {
    let of_unit = |f: &CpuidFeature| {
        let name = format!("{f:?}");
        ["FPU", "MMX", "SSE", "SSSE"].iter().any(|unit| name.starts_with(unit))
    };
    i.cpuid_features().iter().any(of_unit)
}

/// The x87 and SSE state; of registers only those that differ from `before` (all, if it is the same).
fn floating_point(s: &mut String, name: &str, fx: &FxImage, before: &FxImage) {
    let all = std::ptr::eq(fx, before);
    let _ = write!(
        s,
        "  {name}: cw={:x} sw={:x} tags={:x} mxcsr={:x}",
        fx.u16(0),
        fx.u16(2),
        fx.0[4],
        fx.mxcsr()
    );
    for i in (0..8).filter(|i| all || fx.st(*i) != before.st(*i)) {
        let _ = write!(s, " st{i}={:x}", wide(fx.st(i)));
    }
    for i in (0..16).filter(|i| all || fx.xmm(*i) != before.xmm(*i)) {
        let _ = write!(s, " xmm{i}={:x}", fx.xmm(i));
    }
    let _ = writeln!(s);
}
