//! `info registers`: show the cpu registers (-a: show register info for all cpus; vcpu: specific vCPU to query; show the current CPU's registers if no argument is specified).

use super::super::Context;
use super::super::arguments::Arguments;
use super::super::registers::registers_text;
use super::{Command, Outcome};
use super::{CommandError, no_such_cpu};

pub(crate) const COMMAND: Command = Command {
    names: &["registers"],
    parameters: "[-a|vcpu]",
    about: "show the cpu registers (-a: show register info for all cpus; vcpu: specific vCPU to query; show the current CPU's registers if no argument is specified)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let shown = match arguments.word() {
        None => context.settings.vcpu..context.settings.vcpu + 1,
        Some("-a") => 0..context.control.vcpus(),
        Some(option) if option.starts_with('-') => {
            return Err(CommandError::UnsupportedOption(option.to_owned()));
        }
        Some(number) => {
            let vcpu: usize =
                number.parse().map_err(|_| CommandError::Usage("the vCPU must be a number".to_owned()))?;
            vcpu..vcpu + 1
        }
    };
    arguments.end()?;
    for vcpu in shown {
        let cpu = context.control.cpu_state(vcpu).ok_or_else(no_such_cpu)?;
        context.out.push_str(&registers_text(vcpu, &cpu));
    }
    Ok(())
}
