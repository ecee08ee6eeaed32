//! `info opcount`: show dynamic compiler opcode counters.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use std::fmt::Write as _;

pub(crate) const COMMAND: Command =
    Command { names: &["opcount"], parameters: "", about: "show dynamic compiler opcode counters", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    context.out.push_str("[the translator has no opcode counters]\n");
    let lacking = context.control.machine().unimplemented();
    if !lacking.is_empty() {
        context.out.push_str("instructions that the virtual CPU lacks, and how often they raised #UD:\n");
    }
    for (mnemonic, count) in lacking {
        let _ = writeln!(context.out, "{mnemonic:<20} {count}");
    }
    Ok(())
}
