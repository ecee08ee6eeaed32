//! `info mtree`: show memory tree (-f: dump flat view for address spaces).

use super::super::Context;
use super::super::arguments::Arguments;
use super::CommandError;
use super::{Command, Outcome};
use dejavm_core::machine::board_pc::layout::{
    CHIP_BYTES, DEBUG_CONSOLE_PORT, DEBUG_EXIT_PORT, ECAM_BASE, ECAM_BYTES, HPET_BASE, IOAPIC_BASE,
    LAPIC_BASE, PM_BASE, RESET_PORT, UART_PORTS,
};
use dejavm_core::mem::HIGH_RAM_BASE;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["mtree"],
    parameters: "[-f]",
    about: "show memory tree (-f: dump flat view for address spaces)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let flat = match arguments.word() {
        None => false,
        Some("-f") => true,
        Some(option) => return Err(CommandError::UnsupportedOption(option.to_owned())),
    };
    arguments.end()?;
    let memory = context.control.machine().memory();
    let (low, high) = (memory.low_bytes(), memory.high_bytes());
    let out = &mut context.out;
    let mut regions = vec![(0, low - 1, "ram", "pc.ram")];
    regions.extend(chips());
    if high > 0 {
        regions.push((HIGH_RAM_BASE, HIGH_RAM_BASE + high - 1, "ram", "pc.ram"));
    }
    space(out, 0, "memory", "system", u64::MAX, &regions, flat);
    out.push('\n');
    space(out, 1, "I/O", "io", 0xFFFF, PORTS, flat);
    Ok(())
}

/// First and last address, kind, name.
type Region = (u64, u64, &'static str, &'static str);

fn chips() -> Vec<Region> {
    [
        (ECAM_BASE, ECAM_BYTES, "pcie-mmcfg"),
        (IOAPIC_BASE, CHIP_BYTES, "ioapic"),
        (HPET_BASE, CHIP_BYTES, "hpet"),
        (LAPIC_BASE, CHIP_BYTES, "apic"),
    ]
    .map(|(base, bytes, name)| (base, base + bytes - 1, "i/o", name))
    .to_vec()
}

const PORTS: &[Region] = &[
    (0x20, 0x21, "i/o", "pic"),
    (0x40, 0x43, "i/o", "pit"),
    (0x60, 0x60, "i/o", "i8042-data"),
    (0x61, 0x61, "i/o", "pcspk"),
    (0x64, 0x64, "i/o", "i8042-cmd"),
    (0x70, 0x71, "i/o", "rtc"),
    (0x80, 0x80, "i/o", "ioport80"),
    (0x92, 0x92, "i/o", "port92"),
    (0xA0, 0xA1, "i/o", "pic"),
    (DEBUG_CONSOLE_PORT as u64, DEBUG_CONSOLE_PORT as u64, "i/o", "debugcon"),
    (DEBUG_EXIT_PORT as u64, DEBUG_EXIT_PORT as u64 + 3, "i/o", "debug-exit"),
    (UART_PORTS[1] as u64, UART_PORTS[1] as u64 + 7, "i/o", "serial"),
    (UART_PORTS[0] as u64, UART_PORTS[0] as u64 + 7, "i/o", "serial"),
    (0x4D0, 0x4D1, "i/o", "elcr"),
    (PM_BASE as u64, PM_BASE as u64 + 0x3F, "i/o", "acpi-pm"),
    (0xCF8, 0xCFB, "i/o", "pci-conf-idx"),
    (RESET_PORT as u64, RESET_PORT as u64, "i/o", "reset-control"),
    (0xCFC, 0xCFF, "i/o", "pci-conf-data"),
];

fn space(out: &mut String, number: usize, name: &str, root: &str, last: u64, regions: &[Region], flat: bool) {
    let indent = if flat {
        let _ =
            write!(out, "FlatView #{number}\n AS \"{name}\", root: {root}\n Root memory region: {root}\n");
        "  "
    } else {
        let _ = write!(out, "address-space: {name}\n  {:016x}-{last:016x} (prio 0, i/o): {root}\n", 0);
        "    "
    };
    for (first, last, kind, name) in regions {
        let _ = writeln!(out, "{indent}{first:016x}-{last:016x} (prio 0, {kind}): {name}");
    }
}
