//! What generated code has at hand: the frame at its stack pointer.

use std::mem::offset_of;

/// The frame. What is used most comes first, within reach of an 8-bit displacement.
#[repr(C)]
#[derive(Clone, Default)]
pub struct Frame {
    /// The table of translations that accesses go through: the base of GS in generated code.
    pub tlb: u64,
    /// The base of GS now.
    pub tlb_in_use: u64,
    /// The base of FS.
    pub fs_base: u64,
    /// The base of GS.
    pub gs_base: u64,
    /// The table of jump targets.
    pub jumps: u64,
    /// The ring of expected returns.
    pub returns: u64,
    /// Scratch.
    pub temp: u64,
    /// What the guest may do without being looked at: bits of [`rights`].
    pub rights: u64,
    /// The guest's general registers, in the order of `jit::regs`; those that have no host
    /// register live here.
    pub slots: [u64; 16],
    /// What to add to a linear address for the host address, for each window of the block.
    pub windows: [u64; 4],
    /// The ranges of pages that a loop keeps.
    pub kept: [Kept; KEPT],
    /// The low half: so many accesses more may lie outside of what is kept before [`super::WIDEN`] is asked
    /// for. The high half: the budget when that was set, modulo 2^32.
    pub misses: u64,
    /// What RAX holds: the arithmetic flags in its low half (AH as LAHF stores it, AL = OF), and from
    /// bit [`BUDGET_SHIFT`] on the instructions that may still begin, without those of the block.
    pub rax: u64,
    /// Not 0 while the guest's vector registers and MXCSR are in the host's.
    pub vectors: u64,
    /// Whether they may be: the guest's control registers allow SSE.
    pub vectors_allowed: u64,
    /// Where the guest's vector registers are otherwise: 16 times 16 bytes.
    pub xmm: u64,
    /// Where its MXCSR is otherwise.
    pub mxcsr: u64,
    /// The host's own MXCSR, while the guest's is in use.
    pub host_mxcsr: u64,
    /// Where the guest's x87 state is: one of [`X87_IN_STATE`], [`X87_IN_HOST`], [`X87_IN_IMAGE`].
    pub x87: u64,
    /// The image that FRSTOR loads and FNSAVE stores.
    pub x87_image: u64,
    /// The position in the ring of returns: a byte.
    pub ring: u64,
    /// [`super::Guest::interpret`], behind its calling convention.
    pub helper: u64,
    /// The guest.
    pub guest: u64,
    /// The frame that this one was copied from, and goes back to.
    pub home: u64,
    /// Where to go in generated code.
    pub entry: u64,
    /// The exit that was taken.
    pub exit: u64,
    /// Where the guest goes on behind [`EXIT_TO_TARGET`].
    pub target: u64,
    /// Where the guest's flags other than the arithmetic ones are.
    pub system_flags: u64,
    /// Where its segment registers are.
    pub segments: u64,
    /// Where its IA32_KERNEL_GS_BASE is.
    pub kernel_gs_base: u64,
    /// Where the vCPU keeps which table of translations it goes through.
    pub mmu: u64,
    /// The table while user pages are out of reach for the supervisor, and while they are not; for who
    /// has the right [`rights::SMAP`].
    pub tlb_closed: u64,
    /// See there.
    pub tlb_open: u64,
    /// Its time-stamp counter when the budget is used up.
    pub tsc: u64,
    /// Where instrumented code puts its next [`super::Note`].
    pub notes: u64,
    /// Beyond it, no instrumented block begins.
    pub notes_full: u64,
    /// Not 0 if a block begins with the next instruction.
    pub block_next: u64,
}

/// How many ranges a loop keeps.
pub const KEPT: usize = 4;

/// Pages that lie one behind the other, linearly and in the host's memory: accesses of one kind and size
/// may go there.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The first linear address.
    pub low: u64,
    /// The size of the range, less that of an access.
    pub limit: u64,
    /// What to add to a linear address for the host address.
    pub delta: u64,
}

/// Where the budget begins in [`Frame::rax`].
pub const BUDGET_SHIFT: u8 = 16;
/// A budget is less than this, either way.
const BUDGETS: i64 = 1 << (63 - BUDGET_SHIFT);

impl Frame {
    /// The arithmetic flags as they are in AX.
    #[inline]
    pub fn ax(&self) -> u64 {
        self.rax & 0xFFFF
    }

    /// Sets the arithmetic flags.
    #[inline]
    pub fn set_ax(&mut self, ax: u64) {
        self.rax = self.rax & !0xFFFF | ax;
    }

    /// The instructions that may still begin, without those of the current block.
    #[inline]
    pub fn budget(&self) -> i64 {
        budget_of(self.rax)
    }

    /// From now on, so many accesses may lie outside of what is kept.
    #[inline]
    pub fn count_misses(&mut self, misses: u32) {
        self.misses = u64::from(self.budget() as u32) << 32 | u64::from(misses);
    }

    /// The instructions since [`Self::count_misses`], modulo 2^32.
    #[inline]
    pub fn since_misses_counted(&self) -> u32 {
        ((self.misses >> 32) as u32).wrapping_sub(self.budget() as u32)
    }

    /// Sets the budget.
    #[inline]
    pub fn set_budget(&mut self, budget: i64) {
        assert!(budget.abs() < BUDGETS, "slices are not so long");
        self.rax = (budget as u64) << BUDGET_SHIFT | self.ax();
    }
}

/// The budget in RAX.
#[inline]
pub fn budget_of(rax: u64) -> i64 {
    rax as i64 >> BUDGET_SHIFT
}

/// Bits of [`Frame::rights`].
pub mod rights {
    /// It is at privilege level 0.
    pub const SUPERVISOR: u8 = 1;
    /// It may read its time-stamp counter.
    pub const TSC: u8 = 2;
    /// No interrupt waits for it to enable interrupts.
    pub const CALM: u8 = 4;
    /// It is at privilege level 0, and EFLAGS.AC decides whether user pages are within reach.
    pub const SMAP: u8 = 8;
}

/// Not the number of an exit: the guest goes on at [`Frame::target`].
pub const EXIT_TO_TARGET: u32 = u32::MAX;

/// What instrumented code writes: a pair of numbers. Some notes are several; the names are those of the
/// first.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// [`Frame::rax`] then.
    pub rax: u64,
    /// What it is of; the translator knows.
    pub step: u64,
}

/// The size of a note.
pub const NOTE_BYTES: usize = size_of::<Note>();

/// The guest's x87 state is in the vCPU.
pub const X87_IN_STATE: u64 = 0;
/// It is in the host's unit.
pub const X87_IN_HOST: u64 = 1;
/// It is in the image.
pub const X87_IN_IMAGE: u64 = 2;

/// Offsets of the fields, for the translator.
pub mod field {
    use super::{Frame, Kept, offset_of};

    /// [`Frame::tlb`].
    pub const TLB: i32 = offset_of!(Frame, tlb) as i32;
    /// [`Frame::tlb_in_use`].
    pub const TLB_IN_USE: i32 = offset_of!(Frame, tlb_in_use) as i32;
    /// [`Frame::fs_base`].
    pub const FS_BASE: i32 = offset_of!(Frame, fs_base) as i32;
    /// [`Frame::gs_base`].
    pub const GS_BASE: i32 = offset_of!(Frame, gs_base) as i32;
    /// [`Frame::jumps`].
    pub const JUMPS: i32 = offset_of!(Frame, jumps) as i32;
    /// [`Frame::returns`].
    pub const RETURNS: i32 = offset_of!(Frame, returns) as i32;
    /// [`Frame::ring`].
    pub const RING: i32 = offset_of!(Frame, ring) as i32;
    /// [`Frame::temp`].
    pub const TEMP: i32 = offset_of!(Frame, temp) as i32;
    /// [`Frame::rights`].
    pub const RIGHTS: i32 = offset_of!(Frame, rights) as i32;
    /// [`Frame::system_flags`].
    pub const SYSTEM_FLAGS: i32 = offset_of!(Frame, system_flags) as i32;
    /// [`Frame::segments`].
    pub const SEGMENTS: i32 = offset_of!(Frame, segments) as i32;
    /// [`Frame::kernel_gs_base`].
    pub const KERNEL_GS_BASE: i32 = offset_of!(Frame, kernel_gs_base) as i32;
    /// [`Frame::mmu`].
    pub const MMU: i32 = offset_of!(Frame, mmu) as i32;
    /// [`Frame::tlb_closed`].
    pub const TLB_CLOSED: i32 = offset_of!(Frame, tlb_closed) as i32;
    /// [`Frame::tlb_open`].
    pub const TLB_OPEN: i32 = offset_of!(Frame, tlb_open) as i32;
    /// [`Frame::tsc`].
    pub const TSC: i32 = offset_of!(Frame, tsc) as i32;
    /// [`Frame::slots`].
    pub const SLOTS: i32 = offset_of!(Frame, slots) as i32;
    /// [`Frame::windows`].
    pub const WINDOWS: i32 = offset_of!(Frame, windows) as i32;
    /// [`Frame::kept`].
    pub const KEPT: i32 = offset_of!(Frame, kept) as i32;
    /// The size of each.
    pub const KEPT_BYTES: i32 = size_of::<Kept>() as i32;
    /// [`Kept::low`] in it.
    pub const LOW: i32 = offset_of!(Kept, low) as i32;
    /// [`Kept::limit`] in it.
    pub const LIMIT: i32 = offset_of!(Kept, limit) as i32;
    /// [`Kept::delta`] in it.
    pub const DELTA: i32 = offset_of!(Kept, delta) as i32;
    /// [`Frame::misses`].
    pub const MISSES: i32 = offset_of!(Frame, misses) as i32;
    /// [`Frame::rax`].
    pub const RAX: i32 = offset_of!(Frame, rax) as i32;
    /// [`Frame::vectors`].
    pub const VECTORS: i32 = offset_of!(Frame, vectors) as i32;
    /// [`Frame::vectors_allowed`].
    pub const VECTORS_ALLOWED: i32 = offset_of!(Frame, vectors_allowed) as i32;
    /// [`Frame::xmm`].
    pub const XMM: i32 = offset_of!(Frame, xmm) as i32;
    /// [`Frame::mxcsr`].
    pub const MXCSR: i32 = offset_of!(Frame, mxcsr) as i32;
    /// [`Frame::host_mxcsr`].
    pub const HOST_MXCSR: i32 = offset_of!(Frame, host_mxcsr) as i32;
    /// [`Frame::x87`].
    pub const X87: i32 = offset_of!(Frame, x87) as i32;
    /// [`Frame::x87_image`].
    pub const X87_IMAGE: i32 = offset_of!(Frame, x87_image) as i32;
    /// [`Frame::notes`].
    pub const NOTES: i32 = offset_of!(Frame, notes) as i32;
    /// [`Frame::notes_full`].
    pub const NOTES_FULL: i32 = offset_of!(Frame, notes_full) as i32;
    /// [`Frame::block_next`].
    pub const BLOCK_NEXT: i32 = offset_of!(Frame, block_next) as i32;
    /// [`Frame::helper`].
    pub const HELPER: i32 = offset_of!(Frame, helper) as i32;
    /// [`Frame::home`].
    pub const HOME: i32 = offset_of!(Frame, home) as i32;
    /// [`Frame::entry`].
    pub const ENTRY: i32 = offset_of!(Frame, entry) as i32;
    /// [`Frame::exit`].
    pub const EXIT: i32 = offset_of!(Frame, exit) as i32;
    /// [`Frame::target`].
    pub const TARGET: i32 = offset_of!(Frame, target) as i32;
    /// The size of the frame.
    pub const SIZE: i32 = size_of::<Frame>() as i32;
}

const _: () = assert!(field::SIZE % 16 == 0);
