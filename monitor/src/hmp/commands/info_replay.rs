//! `info replay`: show record/replay information.

use super::super::Context;
use super::super::arguments::Arguments;
use super::info_checkpoints::summary_line;
use super::{Command, Outcome};
use crate::control::Mode;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command =
    Command { names: &["replay"], parameters: "", about: "show record/replay information", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let icount = context.control.position().icount;
    let _ = match context.control.mode() {
        Mode::Live => writeln!(context.out, "Record/replay is not active"),
        Mode::Record { file } => {
            writeln!(context.out, "Recording execution '{file}': instruction count = {icount}")
        }
        Mode::Replay { file } => {
            let last = context.control.last_icount().unwrap_or(icount);
            let percent = icount as f64 * 100.0 / last.max(1) as f64;
            writeln!(
                context.out,
                "Replaying execution '{file}': instruction count = {icount}\n\
                 {percent:.3} % of {last} instructions, {} replay breakpoints",
                context.control.breaks().len()
            )
        }
    };
    if let Some(kept) = context.control.checkpoints() {
        let _ = writeln!(context.out, "{}", summary_line(&kept));
    }
    Ok(())
}
