//! The human monitor protocol: commands, arguments and texts as QEMU's monitor has them.
//!
//! One file per command in [`commands`]; here only what they share. `$rip`, `$rax` and the like
//! are known as well as QEMU's `$eip`.

mod absent;
mod arguments;
pub mod commands;
mod completion;
mod expression;
mod memory_format;
mod registers;

pub use completion::Words;
pub(crate) use registers::value as register_value;
pub use registers::{code_size, instruction_address, registers_text};

use crate::control::Control;
use crate::services::Services;
use arguments::Arguments;
use commands::{Command, CommandError, Outcome};
use dejavm_core::types::VcpuId;
use memory_format::{Format, FormatLetter};
use serde_json::Value;
use std::collections::VecDeque;
use std::rc::Rc;

/// What stands before a command.
pub const PROMPT: &str = "(dejavm) ";

/// What a monitor remembers between commands.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The vCPU that registers and virtual addresses belong to.
    pub vcpu: VcpuId,
    /// The format of `x` without one.
    pub format: FormatLetter,
    /// The size of `x` without one, in bytes.
    pub size: usize,
    /// The last lines, oldest first.
    pub history: VecDeque<String>,
}

/// How many lines a monitor remembers.
const MAX_HISTORY: usize = 64;

impl Default for Settings {
    fn default() -> Self {
        Self { vcpu: 0, format: FormatLetter::Hex, size: 4, history: VecDeque::new() }
    }
}

impl Settings {
    /// Letter and size that a command is to use: as given, or else as the last command with a format was
    /// told. Instructions have no size.
    pub(crate) fn format(&mut self, given: Option<Format>) -> (FormatLetter, usize) {
        if let Some(format) = given {
            self.format = format.letter.unwrap_or(self.format);
            if self.format != FormatLetter::Instruction {
                self.size = format.size.unwrap_or(self.size);
            }
        }
        (self.format, self.size)
    }

    fn remember(&mut self, line: &str) {
        if self.history.back().is_some_and(|last| last == line) {
            return;
        }
        if self.history.len() == MAX_HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(line.to_owned());
    }
}

/// What a command works with.
pub(crate) struct Context<'a> {
    pub control: &'a mut dyn Control,
    pub services: &'a Rc<Services>,
    pub settings: &'a mut Settings,
    /// What it prints.
    pub out: String,
}

impl Context<'_> {
    /// Carries out the command for programs that this one is a face of.
    pub fn qmp(&mut self, command: &str, arguments: Value) -> Result<Value, CommandError> {
        let Value::Object(arguments) = arguments else { unreachable!("arguments are an object") };
        let result = crate::qmp::execute(command, &arguments, self.control, self.services);
        result.map_err(|error| CommandError::Refused(error.desc))
    }
}

/// A monitor: takes command lines, gives text.
pub struct Hmp {
    services: Rc<Services>,
    settings: Settings,
}

impl Hmp {
    /// A monitor that has not been asked anything yet.
    pub fn new(services: Rc<Services>) -> Self {
        Self { services, settings: Settings::default() }
    }

    /// The same, with another vCPU as the one that commands are about.
    pub fn on_vcpu(services: Rc<Services>, vcpu: VcpuId) -> Self {
        let mut hmp = Self::new(services);
        hmp.settings.vcpu = vcpu;
        hmp
    }

    /// What greets the user.
    pub fn banner() -> String {
        format!("dejavm {} monitor - type 'help' for more information\n", env!("CARGO_PKG_VERSION"))
    }

    /// Executes a command line and returns what it prints, each line ended.
    pub fn execute(&mut self, line: &str, control: &mut dyn Control) -> String {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return String::new();
        }
        self.settings.remember(line);
        let mut context =
            Context { control, services: &self.services, settings: &mut self.settings, out: String::new() };
        let result = dispatch(line, &mut context);
        let mut out = context.out;
        if let Err(error) = result {
            out.push_str(&error);
        }
        out
    }

    /// All that could stand in the place of the line's last word.
    pub fn complete(line: &str, words: &Words) -> Vec<String> {
        completion::candidates(line, words)
    }
}

/// Finds the command that a line names and runs it. The error is the text to print.
fn dispatch(line: &str, context: &mut Context<'_>) -> Result<(), String> {
    let (name, rest) = split_name(line);
    let unknown = |name: &str| format!("unknown command: '{name}'\n");
    let missing = |absent: &absent::Absent| Err(format!("{}\n", absent.lacks.text()));
    let Some(command) = commands::find(commands::ALL, name) else {
        return absent::find(absent::COMMANDS, name).map_or_else(|| Err(unknown(name)), missing);
    };
    if command.names[0] != "info" {
        return run(command, name, name, rest, context);
    }
    let (sub, sub_rest) = split_name(rest.trim_start());
    if sub.is_empty() {
        context.out.push_str(&commands::help::info_text());
        return Ok(());
    }
    let full = format!("info {sub}");
    let Some(command) = commands::find(commands::INFO, sub) else {
        return absent::find(absent::INFO, sub).map_or_else(|| Err(unknown(&full)), missing);
    };
    run(command, sub, &full, sub_rest, context)
}

fn run(
    command: &Command,
    name: &str,
    full_name: &str,
    rest: &str,
    context: &mut Context<'_>,
) -> Result<(), String> {
    let mut arguments = Arguments::new(rest);
    let outcome: Outcome = (command.run)(context, &mut arguments);
    outcome.map_err(|error| error.text(name, full_name))
}

/// The command's name ends at a space or, for `x/4i`, at the slash.
fn split_name(line: &str) -> (&str, &str) {
    line.split_at(line.find([' ', '\t', '/']).unwrap_or(line.len()))
}

#[cfg(test)]
mod tests;
