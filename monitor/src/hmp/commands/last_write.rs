//! `last_write`: go back to the instruction that wrote an address last.

use super::super::Context;
use super::super::arguments::Arguments;
use super::step::show_place;
use super::{Command, CommandError, Outcome, evaluate};
use serde_json::json;

pub(crate) const COMMAND: Command = Command {
    names: &["last_write"],
    parameters: "[/size] [-p] addr",
    about: "go back to the instruction that last wrote to addr (size: bytes, 8 if not given; -p: addr is physical)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let size = arguments.slash().map(str::parse::<u64>);
    let Ok(size) = size.unwrap_or(Ok(8)) else {
        return Err(CommandError::Usage("the size is a number of bytes".to_owned()));
    };
    let physical = match arguments.option() {
        None => false,
        Some("p") => true,
        Some(other) => return Err(CommandError::UnsupportedOption(format!("-{other}"))),
    };
    let address = evaluate(context, arguments)?;
    let write = json!({"address": address, "size": size, "physical": physical});
    let place = context.qmp("replay-last-write", write)?;
    show_place(context, &place, false, "nothing wrote there before")
}
