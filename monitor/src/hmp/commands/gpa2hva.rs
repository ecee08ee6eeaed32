//! `gpa2hva`: print the host virtual address corresponding to a guest physical address.

use super::super::Context;
use super::super::arguments::Arguments;
use super::CommandError;
use super::evaluate;
use super::{Command, Outcome};
use dejavm_core::types::Gpa;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["gpa2hva"],
    parameters: "addr",
    about: "print the host virtual address corresponding to a guest physical address",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let address = evaluate(context, arguments)?;
    let memory = context.control.machine().memory();
    match memory.ram_offset(Gpa(address)) {
        Some(offset) => {
            let host = memory.ram.slice(offset, 1).as_ptr();
            let _ = writeln!(context.out, "Host virtual address for {address:#x} (pc.ram) is {host:p}");
            Ok(())
        }
        None => Err(CommandError::Refused(format!("Memory at address {address:#x} is not RAM"))),
    }
}
