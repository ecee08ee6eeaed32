//! `info mtree`: show memory tree (-f: dump flat view for address spaces; -d: dump dispatch tree, valid with -f
//! only; -o: dump region owners/parents; -D: dump disabled regions).

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
    parameters: "[-f][-d][-o][-D]",
    about: "show memory tree (-f: dump flat view for address spaces;-d: dump dispatch tree, valid with -f only);\
            -o: dump region owners/parents;-D: dump disabled regions)",
    run,
};

/// What is to be shown.
#[derive(Default)]
struct Options {
    flat: bool,
    dispatch: bool,
    owners: bool,
}

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let mut options = Options::default();
    while let Some(letters) = arguments.option() {
        for letter in letters.chars() {
            match letter {
                'f' => options.flat = true,
                'd' => options.dispatch = true,
                'o' => options.owners = true,
                // No region of this machine is ever disabled.
                'D' => {}
                _ => return Err(CommandError::UnsupportedOption(format!("-{letter}"))),
            }
        }
    }
    arguments.end()?;
    let memory = context.control.machine().memory();
    let (low, high) = (memory.low_bytes(), memory.high_bytes());
    let out = &mut context.out;
    let mut regions = vec![(0, low - 1, "ram", "pc.ram", "")];
    regions.extend(chips());
    if high > 0 {
        regions.push((HIGH_RAM_BASE, HIGH_RAM_BASE + high - 1, "ram", "pc.ram", ""));
    }
    space(out, 0, "memory", "system", u64::MAX, &regions, &options);
    out.push('\n');
    space(out, 1, "I/O", "io", 0xFFFF, PORTS, &options);
    Ok(())
}

/// First and last address, kind, name, and whose it is of the machine's objects.
type Region = (u64, u64, &'static str, &'static str, &'static str);

fn chips() -> Vec<Region> {
    [
        (ECAM_BASE, ECAM_BYTES, "pcie-mmcfg", "/pcihost"),
        (IOAPIC_BASE, CHIP_BYTES, "ioapic", "/ioapic"),
        (HPET_BASE, CHIP_BYTES, "hpet", "/hpet"),
        (LAPIC_BASE, CHIP_BYTES, "apic", "/cpu[0]/lapic"),
    ]
    .map(|(base, bytes, name, owner)| (base, base + bytes - 1, "i/o", name, owner))
    .to_vec()
}

const PORTS: &[Region] = &[
    (0x20, 0x21, "i/o", "pic", "/pic"),
    (0x40, 0x43, "i/o", "pit", "/pit"),
    (0x60, 0x60, "i/o", "i8042-data", "/i8042"),
    (0x61, 0x61, "i/o", "pcspk", "/pit"),
    (0x64, 0x64, "i/o", "i8042-cmd", "/i8042"),
    (0x70, 0x71, "i/o", "rtc", "/rtc"),
    (0x80, 0x80, "i/o", "ioport80", ""),
    (0x92, 0x92, "i/o", "port92", ""),
    (0xA0, 0xA1, "i/o", "pic", "/pic"),
    (DEBUG_CONSOLE_PORT as u64, DEBUG_CONSOLE_PORT as u64, "i/o", "debugcon", "/debugcon"),
    (DEBUG_EXIT_PORT as u64, DEBUG_EXIT_PORT as u64 + 3, "i/o", "debug-exit", "/debug-exit"),
    (UART_PORTS[1] as u64, UART_PORTS[1] as u64 + 7, "i/o", "serial", "/serial1"),
    (UART_PORTS[0] as u64, UART_PORTS[0] as u64 + 7, "i/o", "serial", "/serial0"),
    (0x4D0, 0x4D1, "i/o", "elcr", "/pic"),
    (PM_BASE as u64, PM_BASE as u64 + 0x3F, "i/o", "acpi-pm", "/acpi-pm"),
    (0xCF8, 0xCFB, "i/o", "pci-conf-idx", "/pcihost"),
    (RESET_PORT as u64, RESET_PORT as u64, "i/o", "reset-control", "/pcihost"),
    (0xCFC, 0xCFF, "i/o", "pci-conf-data", "/pcihost"),
];

fn space(
    out: &mut String,
    number: usize,
    name: &str,
    root: &str,
    last: u64,
    regions: &[Region],
    options: &Options,
) {
    let owner = |place: &str| match place {
        _ if !options.owners => String::new(),
        // What belongs to no chip is the board's.
        "" => " parent:{obj path=/machine}".to_owned(),
        _ => format!(" owner:{{dev path=/machine{place}}}"),
    };
    let indent = if options.flat {
        let _ =
            write!(out, "FlatView #{number}\n AS \"{name}\", root: {root}\n Root memory region: {root}\n");
        "  "
    } else {
        let _ = write!(out, "address-space: {name}\n  {:016x}-{last:016x} (prio 0, i/o): {root}", 0);
        let _ = writeln!(out, "{}", owner(""));
        "    "
    };
    for (first, last, kind, name, place) in regions {
        let _ = writeln!(out, "{indent}{first:016x}-{last:016x} (prio 0, {kind}): {name}{}", owner(place));
    }
    if options.flat && options.dispatch {
        dispatch(out, last, regions);
    }
}

/// The sections that an address is looked up in, and those between them, which nobody answers.
fn dispatch(out: &mut String, last: u64, regions: &[Region]) {
    let _ = write!(out, "  Dispatch\n    Physical sections\n");
    let (mut next, mut number) = (0, 0);
    let mut section = |first: u64, last: u64, name: &str, answer: &str| {
        let _ = writeln!(out, "      #{number} @{first:016x}..{last:016x} {name} [{answer}]");
        number += 1;
    };
    for (first, end, kind, name, _) in regions {
        if *first > next {
            section(next, first - 1, "(noname)", "unassigned");
        }
        section(*first, *end, name, if *kind == "ram" { "RAM" } else { "i/o" });
        next = next.max(end.saturating_add(1));
    }
    if next <= last && next != 0 {
        section(next, last, "(noname)", "unassigned");
    }
}
