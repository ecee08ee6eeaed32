//! `bt`: who called whom in a Linux guest.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, CommandError, Outcome};

pub(crate) const COMMAND: Command = Command {
    names: &["bt", "backtrace"],
    parameters: "[pid]",
    about: "show the call stack of the current vCPU of a Linux guest, or of the thread with a pid",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let pid = arguments.word().map(str::parse::<i32>);
    let Ok(pid) = pid.transpose() else { return Err(CommandError::Usage("the pid is a number".to_owned())) };
    arguments.end()?;
    let vcpu = context.settings.vcpu;
    let machine = context.control.machine();
    let kernel = context.services.linux.kernel(machine)?;
    let view = kernel.at(machine);
    let trace = match pid {
        Some(pid) => view.backtrace_of_task(&view.task(pid)?)?,
        None => view.backtrace_of_vcpu(vcpu)?,
    };
    let symbols = view.symbols().unwrap_or_else(|_| kernel.symbols().clone());
    context.out.push_str(&view.backtrace_text(&trace, &|frame| view.name_of(frame, &symbols)));
    Ok(())
}
