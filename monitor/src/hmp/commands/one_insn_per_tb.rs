//! `one-insn-per-tb`, which was `singlestep` once: run emulation with one guest instruction per
//! translation block.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, CommandError, Outcome};
use crate::translation;

pub(crate) const COMMAND: Command = Command {
    names: &["one-insn-per-tb", "singlestep"],
    parameters: "[on|off]",
    about: "run emulation with one guest instruction per translation block: instructions are interpreted one \
            by one, and the run stays the same (off: as it was before)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let on = match arguments.word() {
        None | Some("on") => true,
        Some("off") => false,
        Some(other) => return Err(CommandError::Refused(format!("unexpected option {other}"))),
    };
    arguments.end()?;
    translation::set_one_instruction(context.control, context.services, on).map_err(CommandError::Refused)
}
