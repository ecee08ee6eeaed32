//! `info version`: show the version of dejavm.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use serde_json::json;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["version"],
    parameters: "",
    about: "show the version of the interface (QEMU's) and of dejavm",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let version = context.qmp("query-version", json!({}))?;
    let number = |part: &str| version["qemu"][part].as_u64().unwrap_or_default();
    let (major, minor, micro) = (number("major"), number("minor"), number("micro"));
    // Without a blank, as QEMU has it.
    let package = version["package"].as_str().unwrap_or_default();
    let _ = writeln!(context.out, "{major}.{minor}.{micro}{package}");
    Ok(())
}
