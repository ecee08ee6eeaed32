//! Commands that know Linux guests: what they share.

pub mod backtraces;
pub mod follow;
pub mod modules;
pub mod processes;
pub mod symbols;
pub mod syscalls;

use super::verify::{open_to_follow, session_failure};
use crate::args::PlaceArgs;
use crate::console::replay::{Patience, seek};
use crate::error::Failure;
use crate::exit::Exit;
use dejavm_core::machine::{Accel, Machine};
use dejavm_replay::session::SessionError;
use dejavm_trace::linux::{LinuxError, SymbolError};
use serde::Serialize;
use std::path::Path;

/// Goes to a place, and does something with the machine there.
fn at_place(args: &PlaceArgs, act: impl FnOnce(&Machine) -> Result<(), Failure>) -> Result<Exit, Failure> {
    let mut session = open_to_follow(&args.journal, &args.images, Accel::Interp)?;
    let at = args.at.unwrap_or(session.last().icount);
    match seek(&mut session, at, Patience::Endless) {
        Ok(_) => act(session.machine().machine()).map(|()| Exit::Success),
        Err(error) => ended(&args.journal, error),
    }
}

/// What an error of a replay ends with.
fn ended(journal: &Path, error: SessionError) -> Result<Exit, Failure> {
    match error {
        SessionError::Divergence(divergence) => {
            eprintln!("dejavm: {}: {divergence}", journal.display());
            Ok(Exit::Divergence)
        }
        other => Err(session_failure(journal, &other)),
    }
}

/// What cannot be told of a guest, and what to do.
pub fn failure(error: &LinuxError) -> Failure {
    let failure = Failure::new(error.to_string());
    match error {
        LinuxError::Symbols(SymbolError::NotLinux) | LinuxError::Unsound(_) => {
            failure.advice("try another place with --at; a Linux kernel has set up its memory after some 100 million instructions")
        }
        LinuxError::NoTask(_) => failure.advice("`dejavm ps FILE --at ICOUNT --threads` lists all"),
        LinuxError::NoTypes => {
            failure.advice("use a kernel with CONFIG_DEBUG_INFO_BTF, or `dejavm dump` and crash with the kernel's debug symbols")
        }
        _ => failure,
    }
}

/// Prints JSON.
fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Failure::new(e.to_string()))?;
    crate::say!("{text}");
    Ok(())
}

/// A number as JSON has addresses: text, as not all readers have 64 bits.
fn hex(value: u64) -> String {
    format!("{value:#x}")
}
