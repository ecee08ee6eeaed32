//! Backward in a recorded run, and its named places: what QEMU has nothing for.

use super::{Arguments, Command, Context, Outcome, require_replay};
use crate::control::{Mark, is_mark_name};
use crate::qmp::QmpError;
use crate::qmp::schema::{NOTHING, Type, optional, required};
use dejavm_core::boundary::{Space, StopCondition, Watch, WatchKind};
use serde_json::{Value, json};

/// Where a search ended; `found` is false if it stands where it stood.
const PLACE: Type = Type::Object(&[
    required("found", Type::Bool),
    required("icount", Type::Int),
    optional("cpu-index", Type::Int),
]);

const MARK: Type = Type::Object(&[
    required("name", Type::Str),
    required("icount", Type::Int),
    required("virtual-time-ns", Type::Int),
]);

const CHECKPOINTS: Type = Type::Object(&[
    required("count", Type::Int),
    required("bytes", Type::Int),
    required("budget", Type::Int),
    required("in-file", Type::Bool),
    optional("filling", Type::Int),
    required("icounts", Type::Array(&Type::Int)),
]);

pub(super) const COMMANDS: &[Command] = &[
    Command::new("replay-reverse-step", &[optional("count", Type::Int)], NOTHING, reverse_step),
    Command::new(
        "replay-reverse-continue",
        &[
            optional("address", Type::Int),
            optional("event", Type::Enum(&["exception", "interrupt"])),
            optional("vector", Type::Int),
        ],
        PLACE,
        reverse_continue,
    ),
    Command::new(
        "replay-last-write",
        &[required("address", Type::Int), optional("size", Type::Int), optional("physical", Type::Bool)],
        PLACE,
        last_write,
    ),
    Command::new(
        "replay-mark",
        &[required("name", Type::Str), optional("delete", Type::Bool)],
        NOTHING,
        mark,
    ),
    Command::new("query-replay-marks", &[], Type::Array(&MARK), query_marks),
    Command::new("query-replay-breaks", &[], Type::Array(&Type::Int), |context, _| {
        Ok(json!(context.control.breaks()))
    }),
    Command::new("query-checkpoints", &[], CHECKPOINTS, query_checkpoints),
];

const NO_WAY_BACK: &str = "replay must be enabled to go back";

fn reverse_step(context: &mut Context<'_>, arguments: &Arguments<'_>) -> Outcome {
    require_replay(context, NO_WAY_BACK)?;
    let count = if arguments.value("count").is_some() { arguments.unsigned("count")? } else { 1 };
    let here = context.control.position().icount;
    let goal = context.control.steps_back(here, count)?;
    context.control.begin_seek(goal)?;
    Ok(json!({}))
}

fn reverse_continue(context: &mut Context<'_>, arguments: &Arguments<'_>) -> Outcome {
    require_replay(context, NO_WAY_BACK)?;
    if let Some(condition) = condition(arguments)? {
        return last_hit(context, condition);
    }
    let here = context.control.position().icount;
    let goal = context.control.break_before(here);
    let found = context.control.breaks().contains(&goal);
    context.control.seek(goal)?;
    Ok(json!({"found": found, "icount": goal}))
}

/// What is looked for; `None`: a replay breakpoint.
fn condition(arguments: &Arguments<'_>) -> Result<Option<StopCondition>, QmpError> {
    let vector = arguments.integer("vector").map(u8::try_from).transpose();
    let vector = vector.map_err(|_| QmpError::generic("Parameter 'vector' expects a number up to 255"))?;
    let condition = match (arguments.integer("address"), arguments.string("event")) {
        (Some(address), "") => StopCondition::Breakpoint { address },
        (None, "exception") => StopCondition::Exception { vector },
        (None, "interrupt") => StopCondition::Interrupt { vector },
        (None, _) => return Ok(None),
        (Some(_), _) => {
            return Err(QmpError::generic("Parameters 'address' and 'event' exclude each other"));
        }
    };
    Ok(Some(condition))
}

fn last_write(context: &mut Context<'_>, arguments: &Arguments<'_>) -> Outcome {
    require_replay(context, NO_WAY_BACK)?;
    let start = arguments.integer("address").unwrap_or_default();
    let len = if arguments.value("size").is_some() { arguments.unsigned("size")? } else { 8 };
    if len == 0 {
        return Err(QmpError::generic("Parameter 'size' expects a number of bytes"));
    }
    let space = if arguments.flag("physical") { Space::Physical } else { Space::Linear };
    last_hit(context, StopCondition::Watch(Watch { space, start, len, kind: WatchKind::Write }))
}

fn last_hit(context: &mut Context<'_>, condition: StopCondition) -> Outcome {
    let hit = context.control.last_hit(condition)?;
    let icount = context.control.position().icount;
    Ok(match hit {
        Some(hit) => json!({"found": true, "icount": icount, "cpu-index": hit.vcpu}),
        None => json!({"found": false, "icount": icount}),
    })
}

fn mark(context: &mut Context<'_>, arguments: &Arguments<'_>) -> Outcome {
    let name = arguments.string("name");
    if !is_mark_name(name) {
        return Err(QmpError::generic("Parameter 'name' expects a word that begins with a letter"));
    }
    let at = context.control.position();
    let marks = context.control.marks();
    let marks =
        marks.ok_or_else(|| QmpError::generic("nothing is recorded that a place could be marked in"))?;
    if arguments.flag("delete") {
        marks.remove(name).ok_or_else(|| QmpError::generic(format!("there is no mark {name}")))?;
    } else {
        marks.insert(name.to_owned(), Mark::now(at));
    }
    context.control.keep_marks()?;
    Ok(json!({}))
}

fn query_marks(context: &mut Context<'_>, _: &Arguments<'_>) -> Outcome {
    let marks = context.control.marks().cloned().unwrap_or_default();
    let entry = |(name, mark): (&String, &Mark)| json!({"name": name, "icount": mark.at.icount, "virtual-time-ns": mark.at.now_ns});
    Ok(marks.iter().map(entry).collect::<Value>())
}

fn query_checkpoints(context: &mut Context<'_>, _: &Arguments<'_>) -> Outcome {
    let kept = context.control.checkpoints();
    let kept = kept.ok_or_else(|| QmpError::generic("no checkpoints are kept"))?;
    let icounts: Vec<_> = kept.positions.iter().map(|at| at.icount).collect();
    let mut answer = json!({
        "count": kept.count, "bytes": kept.bytes, "budget": kept.budget_bytes, "in-file": kept.in_file,
        "icounts": icounts,
    });
    if let Some(icount) = kept.filling {
        answer["filling"] = json!(icount);
    }
    Ok(answer)
}
