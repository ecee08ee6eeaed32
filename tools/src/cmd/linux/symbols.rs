//! `dejavm symbols`: names and addresses of a Linux guest's kernel.

use super::{at_place, failure, hex, print_json};
use crate::args::SymbolsArgs;
use crate::cmd::machine::read;
use crate::error::Failure;
use crate::exit::Exit;
use dejavm_core::machine::Machine;
use dejavm_trace::linux::{Kernel, LinuxError, Symbol, SymbolError, Symbols};
use serde::Serialize;

#[derive(Serialize)]
struct Row<'a> {
    address: String,
    kind: char,
    name: &'a str,
    module: Option<&'a str>,
    /// Bytes behind the symbol, of an address that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
}

/// Does it.
pub fn execute(args: &SymbolsArgs) -> Result<Exit, Failure> {
    at_place(&args.place, |machine| {
        let symbols = find(args, machine)?;
        let rows = match args.wanted.as_slice() {
            [] => symbols.iter().map(|symbol| row(symbol, None)).collect(),
            wanted => look_up(&symbols, wanted)?,
        };
        print(args, &rows)
    })
}

fn find(args: &SymbolsArgs, machine: &Machine) -> Result<Symbols, Failure> {
    let Some(path) = &args.symbols else {
        return match Kernel::of_guest(machine) {
            Ok(kernel) => Ok(kernel.at(machine).symbols().unwrap_or_else(|_| kernel.symbols().clone())),
            Err(error @ LinuxError::Symbols(_)) => Err(failure(&error)),
            // What else there is of it need not be understood.
            Err(_) => Symbols::of_guest(machine).map_err(|e| failure(&e.into())),
        };
    };
    let of_file = |e: SymbolError| Failure::new(format!("{}: {e}", path.display()));
    let mut symbols = Symbols::from_file(&read(path)?).map_err(of_file)?;
    symbols.fit_to(machine).map_err(of_file)?;
    Ok(symbols)
}

fn row(symbol: Symbol<'_>, offset: Option<u64>) -> Row<'_> {
    Row { address: hex(symbol.address), kind: symbol.kind, name: symbol.name, module: symbol.module, offset }
}

fn look_up<'a>(symbols: &'a Symbols, wanted: &[String]) -> Result<Vec<Row<'a>>, Failure> {
    let mut rows = Vec::new();
    for word in wanted {
        let before = rows.len();
        if let Some(digits) = word.strip_prefix("0x") {
            let address = u64::from_str_radix(digits, 16);
            let address = address.map_err(|e| Failure::new(format!("'{word}' is no address: {e}")))?;
            rows.extend(symbols.lookup(address).map(|found| row(found.symbol, Some(found.offset))));
        } else {
            rows.extend(symbols.named(word).map(|symbol| row(symbol, None)));
        }
        if rows.len() == before {
            return Err(Failure::new(format!("there is no symbol for '{word}'")));
        }
    }
    Ok(rows)
}

fn print(args: &SymbolsArgs, rows: &[Row<'_>]) -> Result<(), Failure> {
    if args.place.json {
        return print_json(&rows);
    }
    let mut text = String::new();
    for Row { address, kind, name, module, offset } in rows {
        let module = module.map_or_else(String::new, |module| format!("\t[{module}]"));
        let offset = offset.map_or_else(String::new, |offset| format!("+{offset:#x}"));
        text.push_str(&format!("{:0>16} {kind} {name}{offset}{module}\n", address.trim_start_matches("0x")));
    }
    crate::output::print(format_args!("{text}"));
    Ok(())
}
