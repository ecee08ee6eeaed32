//! What a Linux guest is doing, read from its memory: without help from inside it, and without
//! debug symbols.
//!
//! - [`Guest`]: registers and memory at a place. [`dejavm_core::machine::Machine`] is one.
//! - [`Space`]: its memory by linear addresses.
//! - [`Symbols`]: names of addresses, of files or of the kernel in memory.
//! - [`Kernel`]: what holds of a kernel everywhere, read once; [`Kernel::at`] gives the [`View`] of
//!   a place: [`View::processes`], [`View::tasks`], [`View::current`], [`View::modules`],
//!   [`View::symbols`] (with those of modules), [`View::backtrace_of_vcpu`],
//!   [`View::backtrace_of_task`].
//! - [`syscalls::Tracer`]: the system calls of a run, decoded.
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
//! And what the guest is doing:
//!
//! ```no_run
//! # fn f(machine: &dejavm_core::machine::Machine) -> Result<(), dejavm_trace::linux::LinuxError> {
//! use dejavm_trace::linux::Kernel;
//! let kernel = Kernel::of_guest(machine)?; // once; it holds until the guest boots anew
//! let view = kernel.at(machine); // at each place
//! for process in view.processes()? {
//!     println!("{} {} {}", process.pid, process.state.letter(), process.comm);
//! }
//! let symbols = view.symbols()?;
//! for frame in view.backtrace_of_vcpu(0)?.frames {
//!     println!("{:#x} {}", frame.ip, view.name_of(&frame, &symbols).unwrap_or_default());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! All that is read may be anything: the memory of a guest is not trusted. What cannot be true is
//! left out or is an error, lists end after so many entries, and no more is allocated than the
//! guest has RAM.

mod backtrace;
pub mod btf;
mod guest;
mod image;
mod kernel;
mod modules;
mod orc;
mod space;
mod symbols;
pub mod syscalls;
mod tables;
mod tasks;

pub use backtrace::{Backtrace, Entry, Frame, How, MOST_FRAMES};
pub use guest::Guest;
pub use image::{KERNEL_MAP, MODULES};
pub use kernel::{Kernel, LinuxError, View};
pub use modules::Module;
pub use space::{Mapped, Space};
pub use symbols::{Located, Symbol, SymbolError, Symbols};
pub use tables::module_table;
pub use tasks::{Task, TaskState};

#[cfg(test)]
mod fake;
