//! `print`: print expression value (use $reg for CPU register access).

use super::super::Context;
use super::super::arguments::Arguments;
use super::super::memory_format::{Format, FormatLetter, value_text};
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
    let letter = format.and_then(|f| f.letter).unwrap_or(FormatLetter::Hex);
    let value = evaluate(context, arguments)?;
    let _ = writeln!(context.out, "{}", value_text(value, letter));
    Ok(())
}
