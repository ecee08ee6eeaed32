//! `info jit`: show dynamic compiler info.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};

pub(crate) const COMMAND: Command =
    Command { names: &["jit"], parameters: "", about: "show dynamic compiler info", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    context.out.push_str("there is no dynamic compiler: instructions are interpreted one by one\n");
    Ok(())
}
