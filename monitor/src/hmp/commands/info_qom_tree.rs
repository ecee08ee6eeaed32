//! `info qom-tree`: show QOM composition tree.

use super::super::Context;
use super::super::arguments::Arguments;
use super::CommandError;
use super::{Command, Outcome};
use crate::qom::{self, Object};
use std::fmt::Write as _;

pub(crate) const COMMAND: Command =
    Command { names: &["qom-tree"], parameters: "[path]", about: "show QOM composition tree", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let path = arguments.word().unwrap_or("/machine");
    arguments.end()?;
    let root = qom::tree(context.control, context.services);
    match root.find(path) {
        Some(object) => {
            print(object, path, 0, &mut context.out);
            Ok(())
        }
        None => Err(CommandError::Refused(format!("Path '{path}' could not be resolved."))),
    }
}

fn print(object: &Object, name: &str, depth: usize, out: &mut String) {
    let _ = writeln!(out, "{:indent$}{name} ({})", "", object.kind, indent = 2 * depth);
    for child in &object.children {
        print(child, &format!("/{}", child.name), depth + 1, out);
    }
}
