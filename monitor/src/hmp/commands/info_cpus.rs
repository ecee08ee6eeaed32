//! `info cpus`: show infos for each CPU.

use super::super::Context;
use super::super::arguments::Arguments;
use super::super::registers::instruction_address;
use super::{Command, Outcome};
use dejavm_core::cpu::Activity;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command =
    Command { names: &["cpus"], parameters: "", about: "show infos for each CPU", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    for vcpu in 0..context.control.vcpus() {
        let Some(cpu) = context.control.cpu_state(vcpu) else { continue };
        let mark = if vcpu == context.settings.vcpu { "*" } else { " " };
        let activity = match cpu.activity {
            Activity::Running => "",
            Activity::Halted => " (halted)",
            Activity::WaitForSipi => " (waiting for start-up IPI)",
            Activity::Shutdown => " (shutdown)",
        };
        let pc = instruction_address(&cpu);
        let name = context.services.names.describe(pc).map(|name| format!(" <{name}>")).unwrap_or_default();
        let _ = writeln!(
            context.out,
            "{mark} CPU #{vcpu}: thread_id={} pc={pc:#018x}{name}{activity}",
            std::process::id()
        );
    }
    Ok(())
}
