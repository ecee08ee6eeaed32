//! `step`: execute one instruction, or as many as given, and show the next.

use super::super::Context;
use super::super::arguments::Arguments;
use super::super::registers::{code_size, instruction_address};
use super::{Command, Outcome};
use super::{current_cpu, evaluate, readable};
use crate::disassembly::{MAX_INSN_BYTES, disassemble};
use serde_json::Value;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["step"],
    parameters: "[count]",
    about: "execute one instruction, or as many as given, and show the next",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let count = if arguments.is_empty() { 1 } else { evaluate(context, arguments)? };
    context.control.step(count)?;
    show_next(context)
}

/// Shows where the run stands: the next instruction of the monitor's vCPU.
pub(super) fn show_next(context: &mut Context<'_>) -> Outcome {
    let vcpu = context.settings.vcpu;
    let cpu = current_cpu(context)?;
    let mut bytes = [0; MAX_INSN_BYTES];
    let at = instruction_address(&cpu);
    let length = readable(context, vcpu, at, &mut bytes);
    let line = disassemble(at, &bytes[..length], code_size(&cpu));
    let text = line.map_or_else(|| format!("{at:#010x}: unable to read memory"), |l| l.text);
    let _ = writeln!(context.out, "{} {text}", context.control.position().icount);
    Ok(())
}

/// Shows where a search backward has ended, as QMP tells it, on the vCPU that it was for; `nothing` if it found none
/// and has to.
pub(super) fn show_place(context: &mut Context<'_>, place: &Value, anyway: bool, nothing: &str) -> Outcome {
    if place["found"] != true && !anyway {
        let _ = writeln!(context.out, "{nothing}");
        return Ok(());
    }
    if let Some(vcpu) = place["cpu-index"].as_u64() {
        context.settings.vcpu = vcpu as usize;
    }
    show_next(context)
}
