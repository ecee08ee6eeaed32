//! `nmi`: inject an NMI into all vCPUs.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use dejavm_core::boundary::Inbound;

pub(crate) const COMMAND: Command =
    Command { names: &["nmi"], parameters: "", about: "inject an NMI into all vCPUs", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    Ok(context.control.inject(Inbound::Nmi)?)
}
