//! `info qtree`: show device tree (-b: brief, omit properties).

use super::super::Context;
use super::super::arguments::Arguments;
use super::CommandError;
use super::{Command, Outcome};
use crate::qom;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["qtree"],
    parameters: "[-b]",
    about: "show device tree (-b: brief, omit properties)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let brief = match arguments.word() {
        None => false,
        Some("-b") => true,
        Some(option) => return Err(CommandError::UnsupportedOption(option.to_owned())),
    };
    arguments.end()?;
    let root = qom::tree(context.control, context.services);
    context.out.push_str("bus: main-system-bus\n  type System\n");
    for device in root.find("/machine").into_iter().flat_map(|machine| &machine.children) {
        let _ = writeln!(context.out, "  dev: {}, id \"\"", device.kind);
        for (name, value) in device.properties.iter().filter(|_| !brief) {
            let _ = writeln!(context.out, "    {name} = {value}");
        }
    }
    Ok(())
}
