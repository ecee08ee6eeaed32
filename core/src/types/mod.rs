//! Plain values that every room of the machine speaks in: addresses, counts, exceptions.
//!
//! Nothing here holds state or does work; arithmetic on these types has no side effects.

mod entropy;
mod exception;
mod scalar;

pub use entropy::Entropy;
pub use exception::{Exception, vector};
pub use scalar::Scalar;

use serde::{Deserialize, Serialize};

/// A guest physical address, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Gpa(pub u64);

impl Gpa {
    /// The guest frame number: the address in units of [`PAGE_SIZE`].
    pub const fn gfn(self) -> u64 {
        self.0 >> PAGE_SHIFT
    }
}

/// Guest instructions retired since power-on: the only clock of the core.
///
/// What counts as one is defined in [`crate::machine::virtual_time`].
pub type Icount = u64;

/// Virtual time since power-on, in nanoseconds.
pub type VirtualNs = u64;

/// The number of a vCPU, from 0; also its initial local APIC ID.
pub type VcpuId = usize;

/// log2 of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;
/// The size of the smallest page, in bytes.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;
/// The bits of an address below its page.
pub const PAGE_OFFSET_MASK: u64 = PAGE_SIZE - 1;

/// The highest number of vCPUs that a machine may have.
pub const MAX_VCPUS: usize = 64;
