//! `log`: set what is logged: off, error, warn, info, debug, trace, or per module as in 'info,dejavm_core=debug'.

use super::super::Context;
use super::super::arguments::Arguments;
use super::CommandError;
use super::{Command, Outcome};

pub(crate) const COMMAND: Command = Command {
    names: &["log"],
    parameters: "filter",
    about: "set what is logged: off, error, warn, info, debug, trace, or per module as in 'info,dejavm_core=debug'",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let filter = match arguments.string()? {
        "none" => "off",
        other => other,
    };
    arguments.end()?;
    context.services.log.set_filter(filter).map_err(CommandError::Usage)
}
