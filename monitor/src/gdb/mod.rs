//! The gdb stub: gdb's remote protocol (GDB manual, appendix E) on top of the control interface.
//!
//! [`Stub`] is one client: bytes in, bytes out. It may live on a thread of its own, since it
//! reaches the run only through a [`Link`], which carries a [`Request`] to the one who owns the
//! run; [`serve`] answers it there. Threads are vCPUs: thread 1 is vCPU 0.

mod filter;
mod registers;
mod request;
mod stops;
mod stub;
mod target;

pub use request::{Link, Reply, Request, serve};
pub use stub::{Closed, Stub};

#[cfg(test)]
mod tests;
