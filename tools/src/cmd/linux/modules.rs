//! `dejavm modules`: the kernel modules of a Linux guest.

use super::{at_place, failure, hex, print_json};
use crate::args::ModulesArgs;
use crate::error::Failure;
use crate::exit::Exit;
use dejavm_core::machine::Machine;
use dejavm_trace::linux::{Kernel, Module, module_table};
use serde::Serialize;

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    address: String,
    size_bytes: u64,
    /// Address and size of each part, code first.
    parts: Vec<(String, u64)>,
}

/// Does it.
pub fn execute(args: &ModulesArgs) -> Result<Exit, Failure> {
    at_place(&args.place, |machine| list(args, machine))
}

fn list(args: &ModulesArgs, machine: &Machine) -> Result<(), Failure> {
    let kernel = Kernel::of_guest(machine).map_err(|e| failure(&e))?;
    let modules = kernel.at(machine).modules().map_err(|e| failure(&e))?;
    if args.place.json {
        let row = |module: &'_ Module| (module.base(), module.size());
        let rows: Vec<Row<'_>> = modules
            .iter()
            .map(|module| Row {
                name: &module.name,
                address: hex(row(module).0),
                size_bytes: row(module).1,
                parts: module.parts.iter().map(|(base, size)| (hex(*base), *size)).collect(),
            })
            .collect();
        return print_json(&rows);
    }
    crate::output::print(format_args!("{}", module_table(&modules)));
    Ok(())
}
