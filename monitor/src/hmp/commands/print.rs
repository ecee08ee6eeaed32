//! `print`: print expression value (use $reg for CPU register access).

use super::super::Context;
use super::super::arguments::Arguments;
use super::super::memory_format::{Format, value_text};
use super::evaluate;
use super::{Command, Outcome};
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["print", "p"],
    parameters: "/fmt expr",
    about: "print expression value (use $reg for CPU register access)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let format = arguments.slash().map(Format::parse).transpose()?;
    let value = evaluate(context, arguments)?;
    let (letter, _) = context.settings.format(format);
    let _ = writeln!(context.out, "{}", value_text(value, letter));
    Ok(())
}
