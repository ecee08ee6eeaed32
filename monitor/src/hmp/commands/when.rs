//! `when`: show where the run is: instruction count, virtual time, and how far that is.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["when"],
    parameters: "",
    about: "show where the run is: instruction count, virtual time, and how far that is",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let at = context.control.position();
    let _ = write!(context.out, "instruction count {}, virtual time {} ns", at.icount, at.now_ns);
    if let Some(last) = context.control.last_icount() {
        let percent = at.icount as f64 * 100.0 / last.max(1) as f64;
        let _ = write!(context.out, ", {percent:.3} % of {last}");
    }
    context.out.push('\n');
    Ok(())
}
