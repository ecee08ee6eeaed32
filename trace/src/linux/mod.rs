//! What a Linux guest is doing, read from its memory: without help from inside it, and without
//! debug symbols.
//!
//! - [`Guest`]: registers and memory at a place. [`dejavm_core::machine::Machine`] is one.
//! - [`Space`]: its memory by linear addresses.
//! - [`Symbols`]: names of addresses, of files or of the kernel in memory.
//!
//! To name an address of a run, at any place of it:
//!
//! ```no_run
//! # fn f(machine: &dejavm_core::machine::Machine) -> Result<(), dejavm_trace::linux::SymbolError> {
//! use dejavm_trace::linux::Symbols;
//! let symbols = Symbols::of_guest(machine)?; // tens of milliseconds: keep them
//! let start = symbols.address("vfs_read"); // by name
//! let place = symbols.describe(0xffff_ffff_8100_0123); // by address: "name+0x12"
//! # let _ = (start, place); Ok(())
//! # }
//! ```
//!
//! All that is read may be anything: the memory of a guest is not trusted. What cannot be true is
//! left out or is an error, lists end after so many entries, and no more is allocated than the
//! guest has RAM.

mod guest;
mod image;
mod space;
mod symbols;

pub use guest::Guest;
pub use image::{KERNEL_MAP, MODULES};
pub use space::{Mapped, Space};
pub use symbols::{Located, Symbol, SymbolError, Symbols};

#[cfg(test)]
mod fake;
