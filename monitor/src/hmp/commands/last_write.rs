//! `last_write`: go back to the instruction that wrote an address last.

use super::super::Context;
use super::super::arguments::Arguments;
use super::step::show_next;
use super::{Command, CommandError, Outcome};
use super::{evaluate, require_replay};
use dejavm_core::boundary::{Space, StopCondition, Watch, WatchKind};
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["last_write"],
    parameters: "[/size] [-p] addr",
    about: "go back to the instruction that last wrote to addr (size: bytes, 8 if not given; -p: addr is physical)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let size = arguments.slash().map(str::parse::<u64>);
    let Ok(len) = size.unwrap_or(Ok(8)) else {
        return Err(CommandError::Usage("the size is a number of bytes".to_owned()));
    };
    let space = match arguments.option() {
        None => Space::Linear,
        Some("p") => Space::Physical,
        Some(other) => return Err(CommandError::UnsupportedOption(format!("-{other}"))),
    };
    let start = evaluate(context, arguments)?;
    require_replay(context, "replay must be enabled to go back")?;
    let watch = Watch { space, start, len: len.max(1), kind: WatchKind::Write };
    match context.control.last_hit(StopCondition::Watch(watch))? {
        Some(hit) => {
            context.settings.vcpu = hit.vcpu;
            show_next(context)
        }
        None => {
            let _ = writeln!(context.out, "nothing wrote there before");
            Ok(())
        }
    }
}
