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
        context.out.push_str("Accelerator settings:\none-insn-per-tb: on\n\n");
        context.out.push_str("there is no dynamic compiler: instructions are interpreted one by one\n");
        return Ok(());
    };
    let mean = |total: u64, of: u64| if of == 0 { 0.0 } else { total as f64 / of as f64 };
    let out = &mut context.out;
    out.push_str("Accelerator settings:\none-insn-per-tb: off\n\nTranslation buffer state:\n");
    // First what QEMU tells, as it tells it; then what is known here besides.
    let (target, host) = (mean(s.guest_bytes, s.blocks), mean(s.host_bytes, s.blocks));
    let ratio = mean(s.host_bytes, s.guest_bytes);
    let rows = [
        ("gen code size", s.host_bytes.to_string()),
        ("TB count", s.blocks.to_string()),
        ("TB avg target size", format!("{target:.0} bytes")),
        ("TB avg host size", format!("{host:.0} bytes (expansion ratio: {ratio:.1})")),
        ("TB avg instructions", format!("{:.1}", mean(s.guest_instructions, s.blocks))),
        ("direct jump count", s.links.to_string()),
        ("TBs kept now", s.cached_blocks.to_string()),
        ("code kept now", s.cached_bytes.to_string()),
        ("translation time", format!("{:.3} s", s.translating_ns as f64 / 1e9)),
    ];
    for (name, value) in rows {
        let _ = writeln!(out, "{name:<20}{value}");
    }
    out.push_str("\nStatistics:\n");
    let rows = [
        ("TB flush count", s.flushes),
        ("TB invalidate count", s.dropped),
        ("times entered", s.entries),
        ("left: no budget", s.starved),
        ("left: unknown jump", s.unlinked),
        ("left: fault, event", s.left),
        ("interpreted inside", s.interpreted),
        ("no translation", s.untranslated),
    ];
    for (name, value) in rows {
        let _ = writeln!(out, "{name:<20}{value}");
    }
    for (form, count) in context.control.machine().untranslated_forms().into_iter().take(MOST_FORMS) {
        let _ = writeln!(context.out, "    {:28}{count}", format!("{form:?}"));
    }
    Ok(())
}
