//! Places in a recorded run (QAPI: replay.json).

use super::{Arguments, Command, Context, Outcome, require_replay};
use crate::control::Mode;
use crate::qmp::QmpError;
use crate::qmp::schema::{Member, NOTHING, Type, optional, required};
use serde_json::json;

const ICOUNT: &[Member] = &[required("icount", Type::Int)];

pub(super) const COMMANDS: &[Command] = &[
    Command::new(
        "query-replay",
        &[],
        Type::Object(&[
            required("mode", Type::Enum(&["none", "record", "play"])),
            optional("filename", Type::Str),
            required("icount", Type::Int),
        ]),
        query_replay,
    ),
    Command::new("replay-break", ICOUNT, NOTHING, replay_break),
    Command::new("replay-delete-break", &[], NOTHING, replay_delete_break),
    Command::new("replay-seek", ICOUNT, NOTHING, replay_seek),
];

fn query_replay(context: &mut Context<'_>, _: &Arguments<'_>) -> Outcome {
    let icount = context.control.position().icount;
    Ok(match context.control.mode() {
        Mode::Live => json!({"mode": "none", "icount": 0}),
        Mode::Record { file } => json!({"mode": "record", "filename": file, "icount": icount}),
        Mode::Replay { file } => json!({"mode": "play", "filename": file, "icount": icount}),
    })
}

fn replay_break(context: &mut Context<'_>, arguments: &Arguments<'_>) -> Outcome {
    require_replay(context, "setting the breakpoint is allowed only in play mode")?;
    let icount = arguments.unsigned("icount")?;
    if icount < context.control.position().icount {
        return Err(QmpError::generic("cannot set breakpoint at the instruction in the past"));
    }
    context.control.set_break(icount)?;
    Ok(json!({}))
}

fn replay_delete_break(context: &mut Context<'_>, _: &Arguments<'_>) -> Outcome {
    require_replay(context, "replay breakpoints are allowed only in play mode")?;
    context.control.delete_break(None)?;
    Ok(json!({}))
}

fn replay_seek(context: &mut Context<'_>, arguments: &Arguments<'_>) -> Outcome {
    require_replay(context, "replay must be enabled to seek")?;
    let icount = arguments.unsigned("icount")?;
    context.control.begin_seek(icount)?;
    Ok(json!({}))
}
