//! `info kvm`: show KVM information.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use serde_json::json;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command =
    Command { names: &["kvm"], parameters: "", about: "show KVM information", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let value = context.qmp("query-kvm", json!({}))?;
    let enabled = value["enabled"] == true;
    let _ = writeln!(context.out, "kvm support: {}", if enabled { "enabled" } else { "disabled" });
    Ok(())
}
