//! Running, standing still, reset, power (QAPI: run-state.json, misc.json).

use super::{Arguments, Command, Context, Outcome};
use crate::control::RunState;
use crate::qmp::schema::{NOTHING, Type, required};
use dejavm_core::boundary::Inbound;
use serde_json::json;

const STATES: Type = Type::Enum(&["running", "paused", "prelaunch", "shutdown"]);

pub(super) const COMMANDS: &[Command] = &[
    Command::new(
        "query-status",
        &[],
        Type::Object(&[required("running", Type::Bool), required("status", STATES)]),
        query_status,
    ),
    // Out of band it ends a seek that is under way.
    Command { allow_oob: true, ..Command::new("stop", &[], NOTHING, stop) },
    Command::new("cont", &[], NOTHING, cont),
    Command::new("quit", &[], NOTHING, quit),
    Command::new("system_reset", &[], NOTHING, |c, _| inject(c, Inbound::Reset)),
    Command::new("system_powerdown", &[], NOTHING, |c, _| inject(c, Inbound::PowerButton)),
    Command::new("inject-nmi", &[], NOTHING, |c, _| inject(c, Inbound::Nmi)),
];

fn query_status(context: &mut Context<'_>, _: &Arguments<'_>) -> Outcome {
    let state = context.control.run_state();
    let status = match state {
        RunState::Running => "running",
        RunState::Paused => "paused",
        RunState::Prelaunch => "prelaunch",
        RunState::Shutdown => "shutdown",
    };
    Ok(json!({"running": state == RunState::Running, "status": status}))
}

fn stop(context: &mut Context<'_>, _: &Arguments<'_>) -> Outcome {
    context.control.stop();
    Ok(json!({}))
}

fn cont(context: &mut Context<'_>, _: &Arguments<'_>) -> Outcome {
    context.control.resume()?;
    Ok(json!({}))
}

fn quit(context: &mut Context<'_>, _: &Arguments<'_>) -> Outcome {
    context.control.quit();
    Ok(json!({}))
}

fn inject(context: &mut Context<'_>, event: Inbound) -> Outcome {
    context.control.inject(event)?;
    Ok(json!({}))
}
