//! `info hash`: show the hash of the machine's state here: what a replay is checked by.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, CommandError, Outcome};
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["hash"],
    parameters: "[-a]",
    about: "show the hash of the machine's state at this place (-a: of each part)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let all = arguments.option() == Some("a");
    arguments.end()?;
    let machine = context.control.machine();
    if machine.in_instruction() {
        let why = "an interrupt was delivered here, and its handler has not begun: step once";
        return Err(CommandError::Refused(why.into()));
    }
    let hash = machine.state_hash();
    let _ = writeln!(context.out, "{:032x}", hash.combined());
    if all {
        let vcpus = hash.vcpus.iter().enumerate().map(|(n, part)| (format!("vcpu{n}"), *part));
        for (name, part) in vcpus.chain(hash.devices).chain([("memory".to_owned(), hash.memory)]) {
            let _ = writeln!(context.out, "{part:032x} {name}");
        }
    }
    Ok(())
}
