//! The commands, one file each, and the tables that name them.

mod cont;
mod cpu;
mod dump_guest_memory;
mod go_live;
pub(crate) mod help;
mod info_checkpoints;
mod info_cpus;
mod info_dump;
mod info_marks;
mod info_registers;
mod info_replay;
mod info_status;
mod info_trace_events;
mod info_version;
mod last_write;
mod log;
mod mark;
mod memory_dump;
mod nmi;
mod print;
mod quit;
mod replay_break;
mod replay_delete_break;
mod replay_seek;
mod reverse_step;
mod sendkey;
mod step;
mod stop;
mod system_powerdown;
mod system_reset;
mod trace_event;
mod x;
mod xp;

use super::Context;
use super::arguments::Arguments;
use super::expression;
use crate::control::{ControlError, Mode};
use dejavm_core::cpu::CpuState;
use dejavm_core::types::VcpuId;

/// A command of the monitor.
pub(crate) struct Command {
    /// Its name, then its short names.
    pub names: &'static [&'static str],
    /// Its parameters, as help shows them.
    pub parameters: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Does it.
    pub run: fn(&mut Context<'_>, &mut Arguments<'_>) -> Outcome,
}

/// What becomes of a command.
pub(crate) type Outcome = Result<(), CommandError>;

/// Why a command was not carried out.
#[derive(Debug)]
pub(crate) enum CommandError {
    /// The arguments are wrong.
    Usage(String),
    /// A word is missing.
    StringExpected,
    /// The name of a file is missing.
    FilenameExpected,
    /// Something is left after the last argument.
    Extraneous,
    /// An option that the command lacks.
    UnsupportedOption(String),
    /// The arguments are right, the moment is not.
    Refused(String),
}

impl From<ControlError> for CommandError {
    fn from(error: ControlError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl CommandError {
    /// The lines to print; `name` is what the command was called, `full_name` with its `info`.
    pub fn text(&self, name: &str, full_name: &str) -> String {
        let message = match self {
            Self::Refused(message) => return format!("{message}\n"),
            Self::Usage(message) => message.clone(),
            Self::StringExpected => format!("{name}: string expected"),
            Self::FilenameExpected => format!("{name}: filename expected"),
            Self::Extraneous => format!("{name}: extraneous characters at the end of line"),
            Self::UnsupportedOption(option) => format!("{name}: unsupported option {option}"),
        };
        format!("{message}\nTry \"help {full_name}\" for more information\n")
    }
}

/// The commands, by name.
pub(crate) const ALL: &[Command] = &[
    cont::COMMAND,
    cpu::COMMAND,
    dump_guest_memory::COMMAND,
    go_live::COMMAND,
    help::COMMAND,
    help::INFO_COMMAND,
    last_write::COMMAND,
    log::COMMAND,
    mark::COMMAND,
    nmi::COMMAND,
    print::COMMAND,
    quit::COMMAND,
    replay_break::COMMAND,
    replay_delete_break::COMMAND,
    replay_seek::COMMAND,
    reverse_step::COMMAND,
    sendkey::COMMAND,
    step::COMMAND,
    stop::COMMAND,
    system_powerdown::COMMAND,
    system_reset::COMMAND,
    trace_event::COMMAND,
    x::COMMAND,
    xp::COMMAND,
];

/// The commands after `info`, by name.
pub(crate) const INFO: &[Command] = &[
    info_checkpoints::COMMAND,
    info_cpus::COMMAND,
    info_dump::COMMAND,
    info_marks::COMMAND,
    info_registers::COMMAND,
    info_replay::COMMAND,
    info_status::COMMAND,
    info_trace_events::COMMAND,
    info_version::COMMAND,
];

/// The command of that name.
pub(crate) fn find(table: &'static [Command], name: &str) -> Option<&'static Command> {
    table.iter().find(|c| c.names.contains(&name))
}

/// The state of the current vCPU.
fn current_cpu(context: &mut Context<'_>) -> Result<CpuState, CommandError> {
    context.control.cpu_state(context.settings.vcpu).ok_or_else(no_such_cpu)
}

fn no_such_cpu() -> CommandError {
    CommandError::Refused("invalid CPU index".into())
}

/// The value of the expression that the rest of the line is.
fn evaluate(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Result<u64, CommandError> {
    expression::evaluate(arguments.remainder(), &current_cpu(context)?)
}

/// Refuses with `message` unless a journal is replayed.
fn require_replay(context: &mut Context<'_>, message: &str) -> Outcome {
    match context.control.mode() {
        Mode::Replay { .. } => Ok(()),
        Mode::Live | Mode::Record { .. } => Err(CommandError::Refused(message.to_owned())),
    }
}

/// Reads as much of `bytes` as is mapped from `address` on; returns how much.
fn readable(context: &mut Context<'_>, vcpu: VcpuId, address: u64, bytes: &mut [u8]) -> usize {
    (0..bytes.len())
        .find(|&i| !context.control.read_virtual(vcpu, address.wrapping_add(i as u64), &mut bytes[i..=i]))
        .unwrap_or(bytes.len())
}
