//! `dejavm diff`: where two recordings part, and in what.

mod fields;
mod memory;

use super::events::line;
use super::verify::{open_to_search, reader, session_failure};
use crate::args::DiffArgs;
use crate::console::look;
use crate::console::replay::{Patience, Silently};
use crate::error::Failure;
use crate::exit::Exit;
use crate::progress::Progress;
use crate::say;
use dejavm_core::machine::Machine;
use dejavm_core::types::Icount;
use dejavm_replay::journal::Header;
use dejavm_replay::session::SessionError;
use dejavm_replay::session::compare::{Comparison, OtherInput, Pair, incomparable};
use std::fs::File;
use std::path::Path;

/// How many values are shown.
const MOST_FIELDS: usize = 40;

/// Does it.
pub fn execute(args: &DiffArgs) -> Result<Exit, Failure> {
    let (a, b) = (reader(&args.a)?, reader(&args.b)?);
    if let Some(what) = incomparable(&a, &b) {
        return Err(Failure::new(format!("{} and {}: {what}", args.a.display(), args.b.display()))
            .advice("recordings can be compared if they are of the same machine with the same images"));
    }
    let settings = other_settings(a.header(), b.header());
    check_parts(args, a.header())?;
    let open = |path: &Path| open_to_search(path, &args.images, args.accel);
    let mut pair = Pair::new([open(&args.a)?, open(&args.b)?], args.ignore.clone());
    let [first, second] = &pair.sessions;
    let last = first.last().icount.min(second.last().icount);
    let progress = Progress::icount("comparing", 0, last);
    let result = pair.compare(&mut Silently::new(&progress, 0, Patience::Endless));
    drop(progress);
    let comparison = match result {
        Ok(Some(comparison)) => comparison,
        Ok(None) => return Err(Failure::new("interrupted")),
        Err(SessionError::EmptyStretch { from, to }) => {
            return Err(Failure::new(format!(
                "the recordings have nothing in common: one begins at icount {from}, the other ends at {to}"
            )));
        }
        Err(error) => return Err(session_failure(&args.a, &error)),
    };
    settings.iter().for_each(|setting| say!("{setting}"));
    report(args, &mut pair, &comparison)
}

/// Whether the parts that are to be left out exist.
fn check_parts(args: &DiffArgs, header: &Header) -> Result<(), Failure> {
    match args.ignore.iter().find(|part| !header.part_names.contains(part)) {
        Some(part) => Err(Failure::new(format!("--ignore {part}: the machine has no such part"))
            .advice(format!("its parts are {}", header.part_names.join(", ")))),
        None => Ok(()),
    }
}

/// What the machines were told differently, a line each.
fn other_settings(a: &Header, b: &Header) -> Vec<String> {
    let (a, b) = (&a.config, &b.config);
    let settings = [
        ("command line", a.command_line.clone(), b.command_line.clone()),
        ("seed", a.seed.to_string(), b.seed.to_string()),
        ("clock at power-on", a.rtc_start_unix_s.to_string(), b.rtc_start_unix_s.to_string()),
        ("quantum", a.quantum_icount.to_string(), b.quantum_icount.to_string()),
    ];
    let other = settings.into_iter().filter(|(_, a, b)| a != b);
    other.map(|(what, a, b)| format!("setting     {what}: {a} | {b}")).collect()
}

fn report(args: &DiffArgs, pair: &mut Pair<Machine, File>, comparison: &Comparison) -> Result<Exit, Failure> {
    if !comparison.left_out.is_empty() {
        say!("not compared, as different from the beginning or ignored: {}", comparison.left_out.join(", "));
    }
    if let Some(input) = &comparison.input {
        report_input(input);
    }
    match &comparison.state {
        Some((icount, parts)) => {
            say!("state       differs from icount {icount} on, in: {}", parts.join(", "));
            report_makers(args, pair, *icount)?;
            report_fields(pair, parts);
        }
        None => say!("state       equal from icount {} to {}", comparison.first, comparison.last),
    }
    let [a, b] = &pair.sessions;
    let (a, b) = (a.last().icount, b.last().icount);
    if a != b {
        let (shorter, at, longer) = if a < b { (&args.a, a, b) } else { (&args.b, b, a) };
        say!("length      {} ends at icount {at}, the other at {longer}", shorter.display());
    }
    let same = comparison.input.is_none() && comparison.state.is_none() && a == b;
    Ok(if same && comparison.left_out.is_empty() { Exit::Success } else { Exit::Divergence })
}

fn report_input(input: &OtherInput) {
    say!("input       the first {} are the same, then:", input.same);
    for (name, next) in ["A", "B"].into_iter().zip(&input.next) {
        match next {
            Some((at, event)) => say!("  {name} {}", line(*at, event)),
            None => say!("  {name} {:>14}", "nothing more"),
        }
    }
}

/// The instruction before the first difference, in both.
fn report_makers(args: &DiffArgs, pair: &mut Pair<Machine, File>, icount: Icount) -> Result<(), Failure> {
    let first = pair.sessions.iter().map(|session| session.first().icount).max().unwrap_or(0);
    let Some(before) = icount.checked_sub(1).filter(|before| *before >= first) else { return Ok(()) };
    let failed = |e: &SessionError| session_failure(&args.a, e);
    pair.go(before, &mut ()).map_err(|e| failed(&e))?;
    for (name, session) in ["A", "B"].into_iter().zip(&mut pair.sessions) {
        let machine = &*session.machine();
        let vcpu = machine.current_vcpu();
        let address = look::instruction_address_of(machine, vcpu);
        say!("  {name} vCPU {vcpu}: {}", look::disassembly_text(machine, vcpu, address, 1).trim_end());
    }
    pair.go(icount, &mut ()).map_err(|e| failed(&e))?;
    Ok(())
}

/// The values that differ, and the pages of memory.
fn report_fields(pair: &mut Pair<Machine, File>, parts: &[String]) {
    let [a, b] = &mut pair.sessions;
    let (a, b) = (&*a.machine(), &*b.machine());
    let differing = fields::differing(&fields::fields(&a.save_but_ram()), &fields::fields(&b.save_but_ram()));
    for (name, a, b) in differing.iter().take(MOST_FIELDS) {
        say!("  {name}: {a} | {b}");
    }
    if differing.len() > MOST_FIELDS {
        say!("  ... and {} more values", differing.len() - MOST_FIELDS);
    }
    if parts.iter().any(|part| part == "memory") {
        memory::lines(a.memory(), b.memory()).iter().for_each(|line| say!("  {line}"));
    }
}
