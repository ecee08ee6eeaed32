//! `replay_break`: set breakpoint at the specified instruction count.

use super::super::Context;
use super::super::arguments::Arguments;
use super::evaluate;
use super::{Command, Outcome};
use serde_json::json;

pub(crate) const COMMAND: Command = Command {
    names: &["replay_break"],
    parameters: "icount",
    about: "set breakpoint at the specified instruction count",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let icount = evaluate(context, arguments)?;
    context.qmp("replay-break", json!({"icount": icount}))?;
    Ok(())
}
