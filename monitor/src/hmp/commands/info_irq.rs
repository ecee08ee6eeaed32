//! `info irq`: show the interrupt lines that are asserted.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use std::fmt::Write as _;

pub(crate) const COMMAND: Command =
    Command { names: &["irq"], parameters: "", about: "show the interrupt lines that are asserted", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let lines = context.control.machine().board_copy().isa_lines();
    let asserted: Vec<_> = (0..16).filter(|irq| lines >> irq & 1 != 0).map(|irq| irq.to_string()).collect();
    context.out.push_str("interrupts are not counted; trace-event can tell each of them\n");
    let text = if asserted.is_empty() { "(none)".to_owned() } else { asserted.join(" ") };
    let _ = writeln!(context.out, "asserted ISA lines: {text}");
    Ok(())
}
