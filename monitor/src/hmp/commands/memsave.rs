//! `memsave`: save to disk virtual memory dump starting at 'addr' of size 'size'.

use super::super::Context;
use super::super::arguments::Arguments;
use super::stretch_and_file;
use super::{Command, Outcome};
use serde_json::json;

pub(crate) const COMMAND: Command = Command {
    names: &["memsave"],
    parameters: "addr size file",
    about: "save to disk virtual memory dump starting at 'addr' of size 'size'",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let (address, size, file) = stretch_and_file(context, arguments)?;
    let vcpu = context.settings.vcpu;
    context.qmp("memsave", json!({"val": address, "size": size, "filename": file, "cpu-index": vcpu}))?;
    Ok(())
}
