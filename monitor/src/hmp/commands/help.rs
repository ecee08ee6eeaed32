//! `help` and `info` without more: the commands that there are.

use super::super::Context;
use super::super::absent::{self, Absent};
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
    let name = arguments.word();
    let sub = arguments.word();
    arguments.end()?;
    let text = match (name, sub) {
        (None, _) => table_text("", ALL, absent::COMMANDS),
        (Some("info"), None) => info_text(),
        (Some("info"), Some(sub)) => one("info ", INFO, absent::INFO, sub)?,
        (Some(name), _) => one("", ALL, absent::COMMANDS, name)?,
    };
    context.out.push_str(&text);
    Ok(())
}

fn run_info(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    context.out.push_str(&info_text());
    arguments.end()
}

/// A line for each command after `info`.
pub(crate) fn info_text() -> String {
    table_text("info ", INFO, absent::INFO)
}

/// A line for each command, by name.
fn table_text(before: &str, there: &[Command], absent: &[Absent]) -> String {
    let there = there.iter().map(|command| (command.names[0], line(before, command)));
    let absent = absent.iter().map(|command| (command.name, absent_line(before, command)));
    let mut lines: Vec<_> = there.chain(absent).collect();
    lines.sort_by_key(|(name, _)| *name);
    lines.into_iter().map(|(_, line)| line).collect()
}

fn one(
    before: &str,
    there: &'static [Command],
    absent: &'static [Absent],
    name: &str,
) -> Result<String, CommandError> {
    let there = find(there, name).map(|command| line(before, command));
    let line = there.or_else(|| absent::find(absent, name).map(|command| absent_line(before, command)));
    line.ok_or_else(|| CommandError::Refused(format!("unknown command: '{before}{name}'")))
}

fn line(before: &str, command: &Command) -> String {
    format!("{before}{} {} -- {}\n", command.names.join("|"), command.parameters, command.about)
}

fn absent_line(before: &str, command: &Absent) -> String {
    format!(
        "{before}{} {} -- {} ({})\n",
        command.name,
        command.parameters,
        command.about,
        command.lacks.text()
    )
}
