//! `info tlb`: show virtual to physical memory mappings.

use super::super::Context;
use super::super::arguments::Arguments;
use super::current_cpu;
use super::{Command, Outcome};
use crate::control::page_table;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command =
    Command { names: &["tlb"], parameters: "", about: "show virtual to physical memory mappings", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let cpu = current_cpu(context)?;
    if !page_table::paging(&cpu) {
        context.out.push_str("PG disabled\n");
        return Ok(());
    }
    page_table::each(context.control.machine().memory(), &cpu, &mut |page| {
        let flags: String =
            FLAGS.iter().map(|&(bit, c)| if page.entry >> bit & 1 != 0 { c } else { '-' }).collect();
        let large = if page.bytes > 4096 { 'P' } else { '-' };
        let _ = writeln!(
            context.out,
            "{:016x}: {:016x} {}{large}{}",
            page.address,
            page.physical,
            &flags[..2],
            &flags[2..]
        );
    });
    Ok(())
}

/// Bits of a page-table entry, and their letters, in QEMU's order; between the first two and the
/// others stands whether the page is large.
const FLAGS: [(u32, char); 8] =
    [(63, 'X'), (8, 'G'), (6, 'D'), (5, 'A'), (4, 'C'), (3, 'T'), (2, 'U'), (1, 'W')];
