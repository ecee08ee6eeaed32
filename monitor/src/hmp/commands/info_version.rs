//! `info version`: show the version of dejavm.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use std::fmt::Write as _;

pub(crate) const COMMAND: Command =
    Command { names: &["version"], parameters: "", about: "show the version of dejavm", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let _ = writeln!(context.out, "{}", env!("CARGO_PKG_VERSION"));
    Ok(())
}
