//! `replay_seek`: replay execution to the specified instruction count, or to a mark.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use super::{evaluate, require_replay};

pub(crate) const COMMAND: Command = Command {
    names: &["replay_seek"],
    parameters: "icount",
    about: "replay execution to the specified instruction count",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let marked = context.control.marks().and_then(|marks| marks.get(arguments.rest()).copied());
    let icount = match marked {
        Some(icount) => icount,
        None => evaluate(context, arguments)?,
    };
    require_replay(context, "replay must be enabled to seek")?;
    Ok(context.control.seek(icount)?)
}
