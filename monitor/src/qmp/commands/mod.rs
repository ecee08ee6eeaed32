//! The commands, in a file for each group of them, with the types of their arguments and results.

mod chardev;
mod descriptors;
pub(crate) mod dump;
mod human;
mod human_text;
mod introspection;
mod machine;
mod memory;
mod qom;
mod replay;
mod run_state;
mod send_key;
mod time_travel;
mod trace_event;

pub(crate) use machine::WATCHDOG_ACTIONS;

use super::QmpError;
use super::schema::{Member, NOTHING, Type, check_arguments, optional};
use crate::control::{Control, Mode};
use crate::services::Services;
use serde_json::{Map, Value};
use std::rc::Rc;

/// What a command works with.
pub(crate) struct Context<'a> {
    pub control: &'a mut dyn Control,
    pub services: &'a Rc<Services>,
}

/// The arguments of a command, which are of the types that it declares.
pub(crate) struct Arguments<'a>(&'a Map<String, Value>);

impl Arguments<'_> {
    /// A string that is there.
    pub fn string(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether a truth value is there and true.
    pub fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// An integer, if it is there; a negative one wraps as it does in C.
    pub fn integer(&self, name: &str) -> Option<u64> {
        let value = self.0.get(name)?;
        value.as_u64().or_else(|| value.as_i64().map(|n| n as u64))
    }

    /// An integer that must not be negative.
    pub fn unsigned(&self, name: &str) -> Result<u64, QmpError> {
        let value = self.0.get(name).and_then(Value::as_u64);
        value.ok_or_else(|| QmpError::generic(format!("Parameter '{name}' expects a non-negative number")))
    }

    /// Any value, if it is there.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

/// What becomes of a command.
pub(crate) type Outcome = Result<Value, QmpError>;

/// A command.
pub(crate) struct Command {
    /// Its name.
    pub name: &'static str,
    /// Its arguments.
    pub arguments: &'static [Member],
    /// Its result.
    pub returns: Type,
    /// Whether it may overtake those that wait.
    pub allow_oob: bool,
    /// Does it.
    pub run: fn(&mut Context<'_>, &Arguments<'_>) -> Outcome,
}

impl Command {
    /// A command that is carried out in its turn.
    pub const fn new(
        name: &'static str,
        arguments: &'static [Member],
        returns: Type,
        run: fn(&mut Context<'_>, &Arguments<'_>) -> Outcome,
    ) -> Self {
        Self { name, arguments, returns, allow_oob: false, run }
    }
}

/// `qmp_capabilities`, which the conversation itself answers.
pub(crate) const CAPABILITIES: Command = Command::new(
    "qmp_capabilities",
    &[optional("enable", Type::Array(&Type::Enum(&["oob"])))],
    NOTHING,
    |_, _| Err(QmpError::not_found("Capabilities negotiation is already complete, command ignored")),
);

/// The groups of commands.
const GROUPS: &[&[Command]] = &[
    &[CAPABILITIES],
    chardev::COMMANDS,
    descriptors::COMMANDS,
    dump::COMMANDS,
    human::COMMANDS,
    human_text::COMMANDS,
    introspection::COMMANDS,
    machine::COMMANDS,
    memory::COMMANDS,
    qom::COMMANDS,
    replay::COMMANDS,
    run_state::COMMANDS,
    send_key::COMMANDS,
    time_travel::COMMANDS,
    trace_event::COMMANDS,
];

/// All commands, by name.
pub(crate) fn all() -> Vec<&'static Command> {
    let mut all: Vec<_> = GROUPS.iter().copied().flatten().collect();
    all.sort_by_key(|command| command.name);
    all
}

/// The command of that name.
fn find(name: &str) -> Result<&'static Command, QmpError> {
    let command = GROUPS.iter().copied().flatten().find(|command| command.name == name);
    command.ok_or_else(|| QmpError::not_found(format!("The command {name} has not been found")))
}

/// Carries out a command.
///
/// # Errors
/// If there is no such command, its arguments are not of its types, or it fails.
pub fn execute(
    name: &str,
    arguments: &Map<String, Value>,
    control: &mut dyn Control,
    services: &Rc<Services>,
) -> Result<Value, QmpError> {
    let command = find(name)?;
    check_arguments(command.arguments, arguments)?;
    (command.run)(&mut Context { control, services }, &Arguments(arguments))
}

/// Carries out a command out of band.
pub(super) fn execute_oob(
    name: &str,
    arguments: &Map<String, Value>,
    control: &mut dyn Control,
    services: &Rc<Services>,
) -> Result<Value, QmpError> {
    if find(name)?.allow_oob {
        execute(name, arguments, control, services)
    } else {
        Err(QmpError::generic(format!("The command {name} does not support OOB")))
    }
}

/// Refuses with `message` unless a journal is replayed.
fn require_replay(context: &Context<'_>, message: &str) -> Result<(), QmpError> {
    match context.control.mode() {
        Mode::Replay { .. } => Ok(()),
        Mode::Live | Mode::Record { .. } => Err(QmpError::generic(message)),
    }
}

/// The vCPU that `cpu-index` names; the first without one.
fn cpu_index(context: &mut Context<'_>, arguments: &Arguments<'_>) -> Result<usize, QmpError> {
    let index = arguments.integer("cpu-index").unwrap_or(0);
    let vcpu = usize::try_from(index).ok().filter(|&vcpu| vcpu < context.control.vcpus());
    vcpu.ok_or_else(|| QmpError::generic("Parameter 'cpu-index' expects a CPU number"))
}
