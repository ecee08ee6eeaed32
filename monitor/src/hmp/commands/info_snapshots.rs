//! `info snapshots`: show the marks that savevm has set in this recording, as QEMU shows snapshots.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use crate::control::date_text;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["snapshots"],
    parameters: "",
    about: "show the marks that savevm has set in this recording",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let marks = context.control.marks().map(|marks| marks.clone()).unwrap_or_default();
    let out = &mut context.out;
    if marks.is_empty() {
        out.push_str("There is no snapshot available.\n");
        return Ok(());
    }
    out.push_str("List of snapshots present on all disks:\n");
    let mut row = |[id, tag, size, date, clock, icount]: [&str; 6]| {
        let _ = writeln!(out, "{id:<7} {tag:<16} {size:>8} {date:>19} {clock:>15} {icount:>10}");
    };
    row(["ID", "TAG", "VM_SIZE", "DATE", "VM_CLOCK", "ICOUNT"]);
    for (tag, mark) in &marks {
        let ms = mark.at.now_ns / 1_000_000;
        let (seconds, minutes, hours) = (ms / 1000 % 60, ms / 60_000 % 60, ms / 3_600_000);
        let clock = format!("{hours:04}:{minutes:02}:{seconds:02}.{:03}", ms % 1000);
        // A mark holds no state: the checkpoints, which lie beside the journal anyway, have that.
        row(["--", tag, "0 B", &date_text(mark.made_unix_s), &clock, &mark.at.icount.to_string()]);
    }
    Ok(())
}
