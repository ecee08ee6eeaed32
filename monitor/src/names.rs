//! Names of addresses: the symbols of the guest's kernel, from its own memory or from a file.

use dejavm_core::machine::Machine;
use dejavm_core::types::Icount;
use dejavm_trace::linux::{SymbolError, Symbols};
use std::cell::{Cell, RefCell};
use std::path::Path;
use std::sync::Arc;

/// What the monitors know of names.
#[derive(Default)]
pub struct Names {
    symbols: RefCell<Option<Arc<Symbols>>>,
    /// Nothing was found there.
    nothing_at: Cell<Option<Icount>>,
}

impl Names {
    /// The symbols, if some are loaded.
    pub fn loaded(&self) -> Option<Arc<Symbols>> {
        self.symbols.borrow().clone()
    }

    /// Loads what the kernel of a Linux guest carries with it, and tells how many there are.
    ///
    /// # Errors
    /// If no Linux is in memory.
    pub fn load_guest(&self, machine: &Machine) -> Result<usize, SymbolError> {
        Ok(self.keep(Symbols::of_guest(machine)?))
    }

    /// Loads a System.map or an ELF file. A kernel's are moved to where KASLR has put it, if it is there
    /// already; else they stay where the file says.
    ///
    /// # Errors
    /// If the file cannot be read, or is of another kernel.
    pub fn load_file(&self, path: &Path, machine: &Machine) -> Result<usize, String> {
        let content = std::fs::read(path).map_err(|e| {
            let text = e.to_string();
            format!(
                "Could not open '{}': {}",
                path.display(),
                text.split(" (os error").next().unwrap_or_default()
            )
        })?;
        let mut symbols = Symbols::from_file(&content).map_err(|e| format!("{}: {e}", path.display()))?;
        match symbols.fit_to(machine) {
            Ok(_) | Err(SymbolError::NotLinux) => Ok(self.keep(symbols)),
            // A program's symbols are of no kernel.
            Err(_) if symbols.address("linux_banner").is_none() => Ok(self.keep(symbols)),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    fn keep(&self, symbols: Symbols) -> usize {
        let count = symbols.len();
        *self.symbols.borrow_mut() = Some(Arc::new(symbols));
        count
    }

    /// Forgets them.
    pub fn forget(&self) {
        *self.symbols.borrow_mut() = None;
        self.nothing_at.set(None);
    }

    /// Somebody uses a name: looks for symbols in the guest, unless some are loaded or there were none
    /// at this place.
    pub fn look(&self, machine: &Machine) {
        let here = machine.position().icount;
        if self.loaded().is_some() || self.nothing_at.get() == Some(here) {
            return;
        }
        if self.load_guest(machine).is_err() {
            self.nothing_at.set(Some(here));
        }
    }

    /// An address as `name+0x12`, if symbols are loaded that know it.
    pub fn describe(&self, address: u64) -> Option<String> {
        self.loaded()?.describe(address)
    }
}
