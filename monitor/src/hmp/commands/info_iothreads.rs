//! `info iothreads`: show iothreads. There are none: a thread owns all devices.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};

pub(crate) const COMMAND: Command =
    Command { names: &["iothreads"], parameters: "", about: "show iothreads (there are none)", run };

fn run(_: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()
}
