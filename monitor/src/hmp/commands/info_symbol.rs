//! `info symbol`: what an address of a Linux guest's kernel is called, or where a name is.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, CommandError, Outcome, evaluate};
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["symbol"],
    parameters: "name|addr",
    about: "show the address of a kernel symbol of a Linux guest, or the symbol of an address",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let machine = context.control.machine();
    let kernel = context.services.linux.kernel(machine)?;
    let symbols = kernel.at(machine).symbols().unwrap_or_else(|_| kernel.symbols().clone());
    let mut words = Arguments::new(arguments.peek());
    let word = words.string()?;
    let named: Vec<_> = symbols.named(word).collect();
    if !named.is_empty() {
        for symbol in named {
            let module = symbol.module.map_or_else(String::new, |module| format!(" [{module}]"));
            let _ = writeln!(context.out, "{:#018x} {} {}{module}", symbol.address, symbol.kind, symbol.name);
        }
        return Ok(());
    }
    if word.starts_with(|c: char| c.is_alphabetic() || c == '_') {
        return Err(CommandError::Refused(format!("the guest's kernel has no symbol '{word}'")));
    }
    let address = evaluate(context, arguments)?;
    let name = symbols.describe(address);
    let _ = writeln!(context.out, "{address:#018x} {}", name.as_deref().unwrap_or("is of no symbol"));
    Ok(())
}
