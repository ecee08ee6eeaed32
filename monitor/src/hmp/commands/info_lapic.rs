//! `info lapic`: show local apic state (apic-id: local apic to read, default is which of current CPU).

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use super::{evaluate, no_such_cpu};
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["lapic"],
    parameters: "[apic-id]",
    about: "show local apic state (apic-id: local apic to read, default is which of current CPU)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let vcpu = if arguments.is_empty() {
        context.settings.vcpu
    } else {
        usize::try_from(evaluate(context, arguments)?).unwrap_or(usize::MAX)
    };
    if vcpu >= context.control.vcpus() {
        return Err(no_such_cpu());
    }
    let machine = context.control.machine();
    let now = machine.position().now_ns;
    let mut board = machine.board_copy();
    let mut read = |offset: u64| board.lapic_register(vcpu, now, offset);
    let out = &mut context.out;
    let _ = writeln!(out, "dumping local APIC state for CPU {vcpu} \n");
    for (name, offset) in VECTORS {
        let _ = writeln!(out, "{name}\t {}", vector_text(name, read(offset)));
    }
    let divider = read(0x3E0);
    let shift = ((divider >> 1 & 4 | divider & 3) + 1) & 7;
    let (initial, current) = (read(0x380), read(0x390));
    let _ = writeln!(
        out,
        "Timer\t DCR={divider:#x} (divide by {}) initial_count = {initial} current_count = {current}",
        1 << shift
    );
    let spurious = read(0xF0);
    let enabled = if spurious & 0x100 != 0 { "enabled" } else { "disabled" };
    let focus = if spurious & 0x200 != 0 { "on" } else { "off" };
    let _ = writeln!(
        out,
        "SPIV\t {spurious:#010x} APIC {enabled}, focus={focus}, spurious vec {}",
        spurious & 0xFF
    );
    let _ = writeln!(out, "ICR\t {}", command_text(read(0x300)));
    for (name, offset) in [("ICR2", 0x310), ("ESR", 0x280)] {
        let _ = writeln!(out, "{name}\t {:#010x}", read(offset));
    }
    for (name, base) in [("ISR", 0x100), ("IRR", 0x200)] {
        let bits: Vec<u32> = (0..8).map(|n| read(base + 0x10 * n)).collect();
        let set: Vec<_> = (0..256u32).filter(|v| bits[*v as usize / 32] >> (v % 32) & 1 != 0).collect();
        let text: Vec<_> = set.iter().map(u32::to_string).collect();
        let _ = writeln!(out, "{name}\t {}", if text.is_empty() { "(none)".into() } else { text.join(" ") });
    }
    let _ = writeln!(
        out,
        "\nAPR {:#04x} TPR {:#04x} DFR {:#04x} LDR {:#04x} PPR {:#04x}",
        read(0x90),
        read(0x80),
        read(0xE0) >> 28,
        read(0xD0) >> 24,
        read(0xA0)
    );
    Ok(())
}

/// The local vectors, by QEMU's names, and where they are.
const VECTORS: [(&str, u64); 6] = [
    ("LVT0", 0x350),
    ("LVT1", 0x360),
    ("LVTPC", 0x340),
    ("LVTERR", 0x370),
    ("LVTTHMR", 0x330),
    ("LVTT", 0x320),
];
const MODES: [&str; 8] = ["Fixed", "...", "SMI", "...", "NMI", "INIT", "...", "ExtINT"];

/// The interrupt command register, and what it says.
fn command_text(value: u32) -> String {
    let flag = |bit: u32, set: &'static str, clear: &'static str| match value >> bit & 1 {
        0 => clear,
        _ => set,
    };
    let shorthand = ["no-shorthand", "self", "all-self", "all"][(value >> 18 & 3) as usize];
    format!(
        "{value:#010x} {} {} {} {shorthand}",
        flag(11, "logical", "physical"),
        flag(15, "level", "edge"),
        flag(14, "assert", "de-assert"),
    )
}

fn vector_text(name: &str, value: u32) -> String {
    let flag =
        |bit: u32, set: &'static str, clear: &'static str| if value >> bit & 1 != 0 { set } else { clear };
    let timer = match (name, value >> 17 & 3) {
        ("LVTT", 0) => "one-shot",
        ("LVTT", 1) => "periodic",
        ("LVTT", 2) => "tsc-deadline",
        _ => "",
    };
    let mode = MODES[(value >> 8 & 7) as usize];
    let vector = if mode == "NMI" { String::new() } else { format!("(vec {})", value & 0xFF) };
    format!(
        "{value:#010x} {} {:<5} {:<6} {:<7} {timer:<12} {mode:<6} {vector}",
        flag(13, "active-lo", "active-hi"),
        flag(15, "level", "edge"),
        flag(16, "masked", ""),
        flag(12, "pending", ""),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that QEMU was seen to print, and its text for them.
    #[test]
    fn registers_as_qemu_shows_them() {
        assert_eq!(command_text(0x000c_4610), "0x000c4610 physical edge assert all");
        let trimmed = |name: &str, value| vector_text(name, value).trim_end().to_owned();
        assert_eq!(
            trimmed("LVT0", 0x0001_0700),
            "0x00010700 active-hi edge  masked                      ExtINT (vec 0)"
        );
        assert_eq!(
            trimmed("LVT1", 0x0000_0400),
            "0x00000400 active-hi edge                              NMI"
        );
        assert_eq!(
            trimmed("LVTT", 0x0000_00ec),
            "0x000000ec active-hi edge                 one-shot     Fixed  (vec 236)"
        );
    }
}
