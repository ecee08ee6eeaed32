//! `info mem`: show the active virtual memory mappings.

use super::super::Context;
use super::super::arguments::Arguments;
use super::current_cpu;
use super::{Command, Outcome};
use crate::control::page_table;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command =
    Command { names: &["mem"], parameters: "", about: "show the active virtual memory mappings", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let cpu = current_cpu(context)?;
    if !page_table::paging(&cpu) {
        context.out.push_str("PG disabled\n");
        return Ok(());
    }
    let mut ranges: Vec<(u64, u64, u64)> = Vec::new();
    page_table::each(context.control.machine().memory(), &cpu, &mut |page| {
        let rights = page.rights & (WRITE | USER);
        match ranges.last_mut() {
            Some((_, end, last)) if *end == page.address && *last == rights => {
                *end = end.wrapping_add(page.bytes)
            }
            _ => ranges.push((page.address, page.address.wrapping_add(page.bytes), rights)),
        }
    });
    for (start, end, rights) in ranges {
        let user = if rights & USER != 0 { 'u' } else { '-' };
        let write = if rights & WRITE != 0 { 'w' } else { '-' };
        let size = end.wrapping_sub(start);
        let _ = writeln!(context.out, "{start:016x}-{end:016x} {size:016x} {user}r{write}");
    }
    Ok(())
}

const WRITE: u64 = 2;
const USER: u64 = 4;
