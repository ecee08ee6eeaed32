//! `reverse_continue`: go back to the last place where the run was to stop.

use super::super::Context;
use super::super::arguments::Arguments;
use super::step::show_next;
use super::{Command, CommandError, Outcome, evaluate, require_replay};
use dejavm_core::boundary::StopCondition;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["reverse_continue"],
    parameters: "[addr|-e [vector]|-i [vector]]",
    about: "go back to the last replay breakpoint, or to the start of the recording, and show the next instruction \
            (addr: to where the instruction at addr was last about to be executed; -e: to the last exception; -i: to \
            the last interrupt; vector: only those with this vector)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let condition = condition(context, arguments)?;
    require_replay(context, "replay must be enabled to go back")?;
    let Some(condition) = condition else {
        let here = context.control.position().icount;
        let goal = context.control.break_before(here);
        context.control.seek(goal)?;
        return show_next(context);
    };
    match context.control.last_hit(condition)? {
        Some(hit) => {
            context.settings.vcpu = hit.vcpu;
            show_next(context)
        }
        None => {
            let _ = writeln!(context.out, "there was none before");
            Ok(())
        }
    }
}

/// What is looked for; `None`: a replay breakpoint.
fn condition(
    context: &mut Context<'_>,
    arguments: &mut Arguments<'_>,
) -> Result<Option<StopCondition>, CommandError> {
    let option = arguments.option();
    let value = if arguments.is_empty() { None } else { Some(evaluate(context, arguments)?) };
    let vector = |value: Option<u64>| {
        value.map(u8::try_from).transpose().map_err(|_| CommandError::Usage("a vector is at most 255".into()))
    };
    Ok(match option {
        None => value.map(|address| StopCondition::Breakpoint { address }),
        Some("e") => Some(StopCondition::Exception { vector: vector(value)? }),
        Some("i") => Some(StopCondition::Interrupt { vector: vector(value)? }),
        Some(other) => return Err(CommandError::UnsupportedOption(format!("-{other}"))),
    })
}
