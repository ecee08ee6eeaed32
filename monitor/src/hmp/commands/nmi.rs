//! `nmi`: inject an NMI into all vCPUs.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use serde_json::json;

pub(crate) const COMMAND: Command =
    Command { names: &["nmi"], parameters: "", about: "inject an NMI into all vCPUs", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    context.qmp("inject-nmi", json!({}))?;
    Ok(())
}
