//! `cpu`: set the default CPU.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use super::{evaluate, no_such_cpu};

pub(crate) const COMMAND: Command =
    Command { names: &["cpu"], parameters: "index", about: "set the default CPU", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let index = evaluate(context, arguments)?;
    let vcpu = usize::try_from(index).ok().filter(|&v| v < context.control.vcpus());
    context.settings.vcpu = vcpu.ok_or_else(no_such_cpu)?;
    Ok(())
}
