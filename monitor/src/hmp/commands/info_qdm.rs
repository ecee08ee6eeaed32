//! `info qdm`: show qdev device model list.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use crate::qom;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command =
    Command { names: &["qdm"], parameters: "", about: "show qdev device model list", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let root = qom::tree(context.control, context.services);
    let mut kinds: Vec<_> = root.find("/machine").iter().flat_map(|m| &m.children).map(|d| d.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for kind in kinds {
        let _ = writeln!(context.out, "name \"{kind}\", no-user");
    }
    Ok(())
}
