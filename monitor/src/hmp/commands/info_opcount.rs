//! `info opcount`: show dynamic compiler opcode counters.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use dejavm_core::machine::Machine;
use std::collections::BTreeMap;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command =
    Command { names: &["opcount"], parameters: "", about: "show dynamic compiler opcode counters", run };

/// How often instructions were translated, by mnemonic, the most frequent first.
fn translated(machine: &Machine) -> Vec<(String, u64)> {
    let mut by_mnemonic = BTreeMap::new();
    for (code, count) in machine.translated_forms() {
        *by_mnemonic.entry(format!("{:?}", code.mnemonic()).to_lowercase()).or_insert(0) += count;
    }
    let mut counts: Vec<_> = by_mnemonic.into_iter().collect();
    counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    counts
}

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let machine = context.control.machine();
    if machine.jit_stats().is_none() {
        context.out.push_str("[no dynamic compiler: instructions are interpreted one by one]\n");
    }
    let (counts, lacking) = (translated(machine), machine.unimplemented());
    for (mnemonic, count) in counts {
        let _ = writeln!(context.out, "{mnemonic} {count}");
    }
    if !lacking.is_empty() {
        context.out.push_str("instructions that the virtual CPU lacks, and how often they raised #UD:\n");
    }
    for (mnemonic, count) in lacking {
        let _ = writeln!(context.out, "{mnemonic:<20} {count}");
    }
    Ok(())
}
