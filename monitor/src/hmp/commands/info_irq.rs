//! `info irq`: how often interrupt lines rose, and which are asserted.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use std::fmt::Write as _;

pub(crate) const COMMAND: Command =
    Command { names: &["irq"], parameters: "", about: "show the interrupts statistics", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let board = context.control.machine().board_copy();
    let (lines, counts) = (board.isa_lines(), board.irq_counts());
    let out = &mut context.out;
    let isa = || counts.lines.iter().enumerate().map(|(irq, count)| (irq, *count));
    let pins = counts.pins.iter().enumerate().map(|(pin, count)| (pin, *count));
    list(out, "ioapic", isa().chain(pins));
    list(out, "isa-i8259", isa());
    let asserted: Vec<_> = (0..16).filter(|irq| lines >> irq & 1 != 0).map(|irq| irq.to_string()).collect();
    let text = if asserted.is_empty() { "(none)".to_owned() } else { asserted.join(" ") };
    let _ = writeln!(out, "asserted ISA lines: {text}");
    if counts.since > 0 {
        // A checkpoint was loaded there.
        let _ = writeln!(out, "counted from instruction {} on", counts.since);
    }
    Ok(())
}

fn list(out: &mut String, chip: &str, counts: impl Iterator<Item = (usize, u64)>) {
    let _ = writeln!(out, "IRQ statistics for {chip}:");
    for (irq, count) in counts.filter(|(_, count)| *count > 0) {
        let _ = writeln!(out, "{irq:2}: {count}");
    }
}
