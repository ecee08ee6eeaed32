//! The commands, one file each, and what they share: from the command line to an exit status.

mod analysis_output;
mod bisect;
mod callgraph;
mod coverage;
mod demo;
mod diff;
mod dump;
mod events;
pub mod go_live;
mod info;
mod linux;
mod machine;
mod memhist;
mod pack;
mod record;
mod replay;
mod run;
mod setup;
mod sql;
mod stats;
mod stretch;
mod symbol_files;
mod trace;
mod trim;
mod verify;

use crate::args::{Cli, Command, qemu_spelling};
use crate::error::Failure;
use crate::exit::{self, Exit};
use crate::hostio::terminal;
use clap::Parser as _;
use std::process::ExitCode;

/// The program: `arguments` are those of the command line, the program's name first.
pub fn main(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    terminal::restore_on_panic();
    let cli = match Cli::try_parse_from(qemu_spelling::rewrite(arguments)) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors, and go to stdout.
            let status = if error.use_stderr() { exit::USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(status);
        }
    };
    let result = execute(cli.command);
    terminal::restore();
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("dejavm: {failure}");
            ExitCode::from(exit::ERROR)
        }
    }
}

fn execute(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Run(args) => run::execute(&args),
        Command::Record(args) => record::execute(&args),
        Command::Replay(args) => replay::execute(&args),
        Command::Info(args) => info::execute(&args),
        Command::Verify(args) => verify::execute(&args),
        Command::Events(args) => events::execute(&args),
        Command::Dump(args) => dump::execute(&args),
        Command::Pack(args) => pack::pack(&args),
        Command::Unpack(args) => pack::unpack(&args),
        Command::Trim(args) => trim::execute(&args),
        Command::Bisect(args) => bisect::execute(&args),
        Command::Diff(args) => diff::execute(&args),
        Command::Sql(args) => sql::execute(&args),
        Command::Trace(args) => trace::execute(&args),
        Command::Ps(args) => linux::processes::execute(&args),
        Command::Bt(args) => linux::backtraces::execute(&args),
        Command::Modules(args) => linux::modules::execute(&args),
        Command::Symbols(args) => linux::symbols::execute(&args),
        Command::Syscalls(args) => linux::syscalls::execute(&args),
        Command::Stats(args) => stats::execute(&args),
        Command::Coverage(args) => coverage::execute(&args),
        Command::Callgraph(args) => callgraph::execute(&args),
        Command::Memhist(args) => memhist::execute(&args),
        Command::Demo(args) => demo::execute(&args),
    }
}
