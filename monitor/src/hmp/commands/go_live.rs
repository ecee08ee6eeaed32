//! `go_live`: leave the recording here and go on as a new one.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome, require_replay};

pub(crate) const COMMAND: Command = Command {
    names: &["go_live"],
    parameters: "filename",
    about: "leave the recording here, go on live, and record that into filename",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let file = arguments.string()?;
    arguments.end()?;
    require_replay(context, "replay must be enabled to leave it")?;
    Ok(context.control.go_live(file)?)
}
