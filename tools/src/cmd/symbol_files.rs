//! Symbols for an analysis: of a file that the user gives, at the address where it was loaded, and of
//! the kernel of a Linux guest.

use super::machine::read;
use crate::args::ModuleSpec;
use crate::error::Failure;
use dejavm_trace::linux::{Guest, Symbols};

/// Those of a file.
///
/// # Errors
/// If it has none.
pub fn of_file(spec: &ModuleSpec) -> Result<Symbols, Failure> {
    let content = read(&spec.path)?;
    let symbols = Symbols::from_file(&content);
    symbols.map_err(|e| Failure::new(format!("{}: {e}", spec.path.display())))
}

/// Those that the kernel of a guest carries, if it is Linux and its memory is set up.
pub fn of_kernel(guest: &dyn Guest) -> Option<Symbols> {
    Symbols::of_guest(guest).ok()
}
