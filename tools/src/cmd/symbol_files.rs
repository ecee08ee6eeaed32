//! Symbols for an analysis: of a file that the user gives, at the address where it was loaded, and of
//! the kernel of a Linux guest.

use super::machine::read;
use crate::args::ModuleSpec;
use crate::error::Failure;
use dejavm_trace::linux::{Guest, Symbols};
use std::sync::Mutex;

/// Those of a file.
///
/// # Errors
/// If it has none.
pub fn of_file(spec: &ModuleSpec) -> Result<Symbols, Failure> {
    let content = read(&spec.path)?;
    let symbols = Symbols::from_file(&content);
    symbols.map_err(|e| Failure::new(format!("{}: {e}", spec.path.display())))
}

/// Those that the kernel of a guest carries, looked for while pieces of a run go by, on any thread: one
/// looks at a time, until they are found. Early in a boot there are none.
pub struct KernelSearch {
    /// It is looked at one of so many pieces.
    every: u64,
    seen: Mutex<(u64, Option<Symbols>)>,
}

impl KernelSearch {
    /// Looks at one of `every` pieces.
    pub fn every(every: u64) -> Self {
        Self { every, seen: Mutex::new((0, None)) }
    }

    /// A piece of the run goes by.
    pub fn look(&self, guest: &dyn Guest) {
        let Ok(mut seen) = self.seen.try_lock() else { return };
        let (pieces, symbols) = &mut *seen;
        if symbols.is_none() && *pieces % self.every == 0 {
            *symbols = Symbols::of_guest(guest).ok();
        }
        *pieces += 1;
    }

    /// What was found.
    pub fn found(self) -> Option<Symbols> {
        self.seen.into_inner().ok().and_then(|(_, symbols)| symbols)
    }
}
