//! `replay_seek` or `seek`: replay execution to the specified instruction count, or another place.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, CommandError, Outcome, evaluate, require_replay};
use dejavm_core::types::Icount;

pub(crate) const COMMAND: Command = Command {
    names: &["replay_seek", "seek"],
    parameters: "icount",
    about: "replay execution to the specified instruction count (also: +N, -N, 25%, end, a mark of savevm)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let place = arguments.remainder();
    let icount = goal(context, place)?;
    require_replay(context, "replay must be enabled to seek")?;
    Ok(context.control.seek(icount)?)
}

/// The icount that a place is at.
fn goal(context: &mut Context<'_>, place: &str) -> Result<Icount, CommandError> {
    let here = context.control.position().icount;
    let last = context.control.last_icount().unwrap_or(0);
    let value = |context: &mut Context<'_>, text: &str| evaluate(context, &mut Arguments::new(text));
    if let Some(mark) = context.control.marks().and_then(|marks| marks.get(place).copied()) {
        return Ok(mark.at.icount);
    }
    if place == "end" {
        return Ok(last);
    }
    if let Some(percent) = place.strip_suffix('%') {
        return percent_of(last, percent)
            .ok_or_else(|| CommandError::Usage(format!("'{place}' is no percentage from 0% to 100%")));
    }
    let beyond = || {
        CommandError::Refused("cannot seek to the specified instruction count: it is before the start".into())
    };
    match place.as_bytes() {
        [b'+', ..] => Ok(here.saturating_add(value(context, &place[1..])?)),
        [b'-', ..] => here.checked_sub(value(context, &place[1..])?).ok_or_else(beyond),
        _ => value(context, place),
    }
}

fn percent_of(last: Icount, percent: &str) -> Option<Icount> {
    let percent: f64 = percent.trim().parse().ok().filter(|p| (0.0..=100.0).contains(p))?;
    Some(((last as f64 * percent / 100.0) as Icount).min(last))
}
