//! `info modules`: the kernel modules of a Linux guest.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use dejavm_trace::linux::module_table;

pub(crate) const COMMAND: Command =
    Command { names: &["modules"], parameters: "", about: "show the kernel modules of a Linux guest", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let machine = context.control.machine();
    let modules = context.services.linux.kernel(machine)?.at(machine).modules()?;
    context.out.push_str(&module_table(&modules));
    Ok(())
}
