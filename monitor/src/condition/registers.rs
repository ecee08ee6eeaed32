//! Registers by name, in all their widths.

use crate::hmp::register_value;
use dejavm_core::cpu::CpuState;
use dejavm_core::cpu::state::{RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP};

/// The legacy registers, by the letters that all their names share.
const LEGACY: [(&str, usize); 8] =
    [("ax", RAX), ("bx", RBX), ("cx", RCX), ("dx", RDX), ("si", RSI), ("di", RDI), ("bp", RBP), ("sp", RSP)];

/// Whether there is such a register.
pub(super) fn exists(name: &str) -> bool {
    value(&CpuState::reset(0), &name.to_ascii_lowercase()).is_some()
}

/// The value of a register; the name is in lower case.
pub(super) fn value(cpu: &CpuState, name: &str) -> Option<u64> {
    if name == "cpl" {
        return Some(cpu.cpl.into());
    }
    part_of_legacy(cpu, name).or_else(|| part_of_new(cpu, name)).or_else(|| {
        let whole = register_value(cpu, name)?;
        Some(if matches!(name, "eip" | "eflags") { u64::from(whole as u32) } else { whole })
    })
}

/// `eax`, `ax`, `al`, `ah`, `sil`.
fn part_of_legacy(cpu: &CpuState, name: &str) -> Option<u64> {
    LEGACY.iter().find_map(|&(letters, index)| {
        let whole = cpu.regs[index];
        let byte = letters.strip_suffix('x');
        if name.strip_prefix('e') == Some(letters) {
            Some(u64::from(whole as u32))
        } else if name == letters {
            Some(u64::from(whole as u16))
        } else if name.strip_suffix('l') == Some(byte.unwrap_or(letters)) {
            Some(u64::from(whole as u8))
        } else if byte.is_some() && name.strip_suffix('h') == byte {
            Some(u64::from((whole >> 8) as u8))
        } else {
            None
        }
    })
}

/// `r8d`, `r8w`, `r8b`.
fn part_of_new(cpu: &CpuState, name: &str) -> Option<u64> {
    let (number, width) = name.strip_prefix('r')?.split_at_checked(name.len().checked_sub(2)?)?;
    let number = number.parse::<usize>().ok().filter(|n| (8..16).contains(n))?;
    match width {
        "d" => Some(u64::from(cpu.regs[number] as u32)),
        "w" => Some(u64::from(cpu.regs[number] as u16)),
        "b" => Some(u64::from(cpu.regs[number] as u8)),
        _ => None,
    }
}
