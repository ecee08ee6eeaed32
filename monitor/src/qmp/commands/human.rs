//! Commands of the human monitor, for programs (QAPI: misc.json).

use super::{Arguments, Command, Context, Outcome, cpu_index};
use crate::hmp::Hmp;
use crate::qmp::schema::{Type, optional, required};
use serde_json::json;

pub(super) const COMMANDS: &[Command] = &[Command::new(
    "human-monitor-command",
    &[required("command-line", Type::Str), optional("cpu-index", Type::Int)],
    Type::Str,
    human_monitor_command,
)];

fn human_monitor_command(context: &mut Context<'_>, arguments: &Arguments<'_>) -> Outcome {
    let vcpu = cpu_index(context, arguments)?;
    let mut hmp = Hmp::on_vcpu(context.services.clone(), vcpu);
    let text = hmp.execute(arguments.string("command-line"), context.control);
    Ok(json!(text.replace('\n', "\r\n")))
}
