//! `gdbserver`: serve gdb at a socket from now on, or no more.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["gdbserver"],
    parameters: "[device]",
    about: "serve gdb at device (tcp::PORT, tcp:HOST:PORT, unix:PATH; tcp::1234 if not given); none: no more",
    run,
};

const DEFAULT_DEVICE: &str = "tcp::1234";

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let device = if arguments.is_empty() { DEFAULT_DEVICE } else { arguments.string()? };
    arguments.end()?;
    if device == "none" {
        context.control.serve_gdb(None)?;
        context.out.push_str("Disabled gdbserver\n");
    } else {
        context.control.serve_gdb(Some(device))?;
        let _ = writeln!(context.out, "Waiting for gdb connection on device '{device}'");
    }
    Ok(())
}
