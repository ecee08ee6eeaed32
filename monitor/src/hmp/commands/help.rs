//! `help` and `info` without more: the commands that there are.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{ALL, Command, CommandError, INFO, Outcome, find};

pub(crate) const COMMAND: Command =
    Command { names: &["help", "?"], parameters: "[cmd]", about: "show the help", run };

/// `info` stands in the table for the sake of `help`; what comes after it has a table of its own.
pub(crate) const INFO_COMMAND: Command = Command {
    names: &["info"],
    parameters: "[subcommand]",
    about: "show various information about the system state",
    run: run_info,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let Some(name) = arguments.word() else {
        context.out.push_str(&table_text("", ALL));
        return Ok(());
    };
    let unknown = |name: &str| CommandError::Refused(format!("unknown command: '{name}'"));
    let command = find(ALL, name).ok_or_else(|| unknown(name))?;
    match (command.names[0], arguments.word()) {
        ("info", None) => context.out.push_str(&table_text("info ", INFO)),
        ("info", Some(sub)) => {
            let command = find(INFO, sub).ok_or_else(|| unknown(&format!("info {sub}")))?;
            context.out.push_str(&line("info ", command));
        }
        (_, _) => context.out.push_str(&line("", command)),
    }
    arguments.end()
}

fn run_info(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    context.out.push_str(&table_text("info ", INFO));
    arguments.end()
}

/// A line for each command.
pub(crate) fn table_text(before: &str, table: &[Command]) -> String {
    table.iter().map(|command| line(before, command)).collect()
}

fn line(before: &str, command: &Command) -> String {
    format!("{before}{} {} -- {}\n", command.names.join("|"), command.parameters, command.about)
}
