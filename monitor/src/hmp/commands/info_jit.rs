//! `info jit`: show dynamic compiler info.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use std::fmt::Write as _;

pub(crate) const COMMAND: Command =
    Command { names: &["jit"], parameters: "", about: "show dynamic compiler info", run };

/// How many forms without translation are listed.
const MOST_FORMS: usize = 12;

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let Some(s) = context.control.machine().jit_stats() else {
        context.out.push_str("there is no dynamic compiler: instructions are interpreted one by one\n");
        return Ok(());
    };
    let mean = |total: u64, of: u64| if of == 0 { 0.0 } else { total as f64 / of as f64 };
    let rows = [
        ("blocks translated", s.blocks.to_string()),
        (
            "guest instructions in them",
            format!("{} ({:.1} a block)", s.guest_instructions, mean(s.guest_instructions, s.blocks)),
        ),
        ("guest bytes", s.guest_bytes.to_string()),
        ("host bytes", format!("{} ({:.1} times as many)", s.host_bytes, mean(s.host_bytes, s.guest_bytes))),
        ("jumps linked", s.links.to_string()),
        ("blocks dropped, overwritten", s.dropped.to_string()),
        ("flushes of all code", s.flushes.to_string()),
        ("times entered", s.entries.to_string()),
        ("left for want of budget", s.starved.to_string()),
        ("left by an unknown jump", s.unlinked.to_string()),
        ("left by a fault or event", s.left.to_string()),
        ("instructions interpreted inside", s.interpreted.to_string()),
        ("of these without translation", s.untranslated.to_string()),
    ];
    for (name, value) in rows {
        let _ = writeln!(context.out, "{name:32}{value}");
    }
    for (form, count) in context.control.machine().untranslated_forms().into_iter().take(MOST_FORMS) {
        let _ = writeln!(context.out, "    {:28}{count}", format!("{form:?}"));
    }
    Ok(())
}
