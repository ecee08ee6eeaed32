//! What must be equal after an instruction, and how nearly.

use crate::cases::{State, WINDOW};
use iced_x86::Code;

/// How near a result must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tolerance {
    /// The same bits.
    Exact,
    /// Registers within one unit in the last place; C1 says how the result was rounded, so it
    /// may differ.
    Ulp,
    /// The same bits, but for the instruction and data pointers of an image in memory, whose
    /// fields have this many bytes.
    Image(usize),
}

impl Tolerance {
    pub fn of(code: Code) -> Self {
        match code {
            Code::Fsin | Code::Fcos | Code::Fsincos | Code::Fptan | Code::Fpatan => Self::Ulp,
            Code::F2xm1 | Code::Fyl2x | Code::Fyl2xp1 => Self::Ulp,
            Code::Fnstenv_m28byte | Code::Fnsave_m108byte => Self::Image(4),
            Code::Fnstenv_m14byte | Code::Fnsave_m94byte => Self::Image(2),
            _ => Self::Exact,
        }
    }
}

const C1: u16 = 1 << 9;

/// What differs.
pub fn compare(host: &State, ours: &State, tolerance: Tolerance) -> Result<(), String> {
    let same = |what: &str, a: u64, b: u64| if a == b { Ok(()) } else { Err(format!("{what} {a:x} {b:x}")) };
    let ignored = if tolerance == Tolerance::Ulp { C1 } else { 0 };
    same("control", host.control().into(), ours.control().into())?;
    same("status", (host.status() & !ignored).into(), (ours.status() & !ignored).into())?;
    for i in 0..8 {
        compare_register(i, host.st(i), ours.st(i), tolerance)?;
    }
    same("tags", host.tags().into(), ours.tags().into())?;
    same("rax", host.rax, ours.rax)?;
    same("flags", host.flags, ours.flags)?;
    let pointers = match tolerance {
        // The last field has two bytes and, in the wide format, two that are always ones.
        Tolerance::Image(field) => 3 * field..6 * field + 2,
        _ => 0..0,
    };
    for k in 0..WINDOW {
        if !pointers.contains(&k) {
            same("memory", host.memory[k].into(), ours.memory[k].into())?;
        }
    }
    Ok(())
}

fn compare_register(
    i: usize,
    host: (u64, u16),
    ours: (u64, u16),
    tolerance: Tolerance,
) -> Result<(), String> {
    let ordered =
        |(significand, e): (u64, u16)| u128::from(e) << 63 | u128::from(significand & (u64::MAX >> 1));
    let near = ordered(host).abs_diff(ordered(ours)) <= 1 && host.1 >> 15 == ours.1 >> 15;
    if host == ours || (tolerance == Tolerance::Ulp && near) {
        return Ok(());
    }
    Err(format!("st({i}) {:04x}:{:016x} {:04x}:{:016x}", host.1, host.0, ours.1, ours.0))
}
