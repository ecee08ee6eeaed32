//! Guest memory: RAM, what is known of each page, page walks and the soft TLB.
//!
//! The soft TLB is *coherent*: a translation always equals a fresh page walk, because a store
//! to a page that a walk went through drops what was derived from it. So the contents of the
//! TLB are invisible to the guest, and may be thrown away at any time (checkpoint restore,
//! another engine, a debugger's read) without changing one bit of the run. Architecturally
//! this is a CPU that never keeps a stale translation, which the SDM allows (vol. 3, 4.10).

mod changes;
mod dma;
mod io_bus;
mod memory;
mod page_filter;
mod page_walk;
mod ram;
mod soft_tlb;

pub use changes::{Change, ChangeLog};
pub use dma::DmaAccess;
pub use io_bus::{IdleBus, IoBus};
pub use memory::{CodeLines, HIGH_RAM_BASE, LOW_RAM_LIMIT, Memory, TableUse, WriteEffect};
pub use page_filter::{PageFilter, Touched};
pub use page_walk::{Access, AccessKind, PHYSICAL_ADDRESS_BITS, PageFault, PagingRegs, Translation, walk};
pub use ram::Ram;
pub use soft_tlb::{MmuIndex, Observed, SoftTlb, TlbEntry, tlb_layout};
