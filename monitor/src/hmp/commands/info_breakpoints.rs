//! `info breakpoints`: show the instruction counts at which a replay stops.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["breakpoints"],
    parameters: "",
    about: "show the instruction counts at which a replay stops",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    for icount in context.control.breaks() {
        let _ = writeln!(context.out, "instruction count {icount}");
    }
    Ok(())
}
