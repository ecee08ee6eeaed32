//! `gva2gpa`: print the guest physical address corresponding to a guest virtual address.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use super::{current_cpu, evaluate};
use crate::control::quiet_walk;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["gva2gpa"],
    parameters: "addr",
    about: "print the guest physical address corresponding to a guest virtual address",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let address = evaluate(context, arguments)?;
    let cpu = current_cpu(context)?;
    match quiet_walk::translate(context.control.machine().memory(), &cpu, address) {
        Some(gpa) => {
            let _ = writeln!(context.out, "gpa: {:#x}", gpa.0);
        }
        None => context.out.push_str("Unmapped\n"),
    }
    Ok(())
}
