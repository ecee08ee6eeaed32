//! `trace-event`: changes status of a specific trace event (name: event name pattern).

use super::super::Context;
use super::super::arguments::Arguments;
use super::CommandError;
use super::{Command, Outcome};
use dejavm_core::types::{MAX_VCPUS, VcpuId};
use serde_json::json;

pub(crate) const COMMAND: Command = Command {
    names: &["trace-event"],
    parameters: "name on|off [vcpu]",
    about: "changes status of a specific trace event (name: event name pattern)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let name = arguments.string()?;
    let on = match arguments.string()? {
        "on" => true,
        "off" => false,
        _ => return Err(CommandError::Usage("Expected 'on' or 'off'".to_owned())),
    };
    if let Some(vcpu) = arguments.word() {
        let vcpu = vcpu_of(vcpu)?;
        arguments.end()?;
        let set = context.services.trace.set_on(name, on, vcpu);
        return set.map_err(|e| CommandError::Refused(e.to_string()));
    }
    arguments.end()?;
    context.qmp("trace-event-set-state", json!({"name": name, "enable": on}))?;
    Ok(())
}

/// A vCPU by its number.
pub(super) fn vcpu_of(word: &str) -> Result<VcpuId, CommandError> {
    let vcpu = word.parse().ok().filter(|&id: &VcpuId| id < MAX_VCPUS);
    vcpu.ok_or_else(|| CommandError::Usage("No such vCPU".to_owned()))
}
