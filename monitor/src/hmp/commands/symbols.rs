//! `symbols`: names for expressions, `x/i` and `info cpus`.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, CommandError, Outcome};
use std::fmt::Write as _;
use std::path::Path;

pub(crate) const COMMAND: Command = Command {
    names: &["symbols"],
    parameters: "[filename|off]",
    about: "load the symbols of a Linux guest from its memory, or those of a System.map or vmlinux, as names in \
            expressions and disassembly (off: forget them; a name in an expression loads them, too)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let word = arguments.word();
    arguments.end()?;
    let refused = |message: String| CommandError::Refused(format!("Error: {message}"));
    let names = &context.services.names;
    let machine = &*context.control.machine();
    let count = match word {
        Some("off") => {
            names.forget();
            return Ok(());
        }
        None => names.load_guest(machine).map_err(|e| refused(e.to_string()))?,
        Some(file) => names.load_file(Path::new(file), machine).map_err(refused)?,
    };
    let _ = writeln!(context.out, "{count} symbols");
    Ok(())
}
