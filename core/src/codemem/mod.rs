//! Executable memory, and the one place that enters generated code.
//!
//! A region is mapped twice: one view may be written, the other executed, and no page is ever
//! both. `jit` decides what the bytes are; here they are put in place, and called.
//!
//! **What generated code may do**, and all that it may do (the translator keeps it by
//! construction; everything unsafe here rests on it):
//! - it reads and writes the [`Frame`] that it was entered with, on its own stack;
//! - it reads the tables that the frame points to (translations through the base of GS, which it
//!   sets and nobody else in this process uses; jump targets), at indices that are masked to their size;
//! - it reads and writes the ring of expected returns, at an offset that is a byte and a multiple
//!   of the size of its entries;
//! - it reads and writes guest RAM at addresses made of an entry of the soft TLB that matched
//!   *this* access, with its size, or a range of addresses around it, or another access to the same
//!   page, since which no Rust code has run that could change translations; or of a range of linear
//!   pages, each with an entry that matched such an access, that lie one behind the other in one view of
//!   RAM (what [`Guest::interpret`] makes of [`WIDEN`] included), likewise; and of nothing else;
//! - it reads and writes the vector registers and MXCSR at the addresses in the frame, which are
//!   those of the vCPU that it runs for;
//! - it reads and writes the system flags, IA32_KERNEL_GS_BASE and the number of the table of
//!   translations (which it makes one of those that exist), reads the segment registers and writes the
//!   base of GS, at the addresses in the frame, which are those of the same vCPU;
//! - it reads and writes the x87 image that the frame points to;
//! - it writes and reads notes from [`Frame::notes`] on, which moves with them; a block that may write some
//!   begins only if that is not beyond [`Frame::notes_full`], and whoever lends the buffer leaves
//!   room for the notes of one block behind that;
//! - when it calls or returns, the host's MXCSR is what it was when it was entered, and its x87
//!   unit as FNINIT leaves it;
//! - it calls [`Guest::interpret`] through the pointer in the frame, and returns.

#![allow(unsafe_code)]

mod frame;
mod region;

pub use frame::{
    BUDGET_SHIFT, EXIT_TO_TARGET, Frame, KEPT, Kept, NOTE_BYTES, Note, X87_IN_HOST, X87_IN_IMAGE,
    X87_IN_STATE, budget_of, field, rights,
};
pub use region::CodeRegion;

/// What generated code falls back on.
pub trait Guest {
    /// Does by other means what site `site` stands for. The answer is one of [`CONTINUE`],
    /// [`LEAVE`] and [`JUMP`].
    fn interpret(&mut self, frame: &mut Frame, site: u32) -> u32;
}

/// Not a site: puts the guest's x87 state into the image, and [`Frame::x87`] to
/// [`X87_IN_IMAGE`] if the host's unit may run with it. The answer is [`CONTINUE`].
pub const LOAD_X87: u32 = u32::MAX;
/// Not a site, but the first of [`KEPT`] times two: has a range of pages that a loop keeps made as large as
/// can be, number n being (this - [`WIDEN`]) / 2, for accesses that write if it is odd. Nothing that was
/// checked becomes wrong. The answer is [`CONTINUE`].
pub const WIDEN: u32 = LOAD_X87 - 2 * KEPT as u32;
/// Go on behind the site.
pub const CONTINUE: u32 = 0;
/// Leave generated code; the state of the guest is not in the frame.
pub const LEAVE: u32 = 1;
/// Go on at [`Frame::entry`].
pub const JUMP: u32 = 2;

/// Whether generated code can run here.
pub fn supported() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    {
        std::arch::is_x86_feature_detected!("bmi2")
            && std::arch::is_x86_feature_detected!("sse4.2")
            && has_lahf()
            && has_fsgsbase()
    }
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    {
        false
    }
}

/// CPUID 8000_0001h ECX bit 0: LAHF and SAHF in 64-bit mode.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn has_lahf() -> bool {
    std::arch::x86_64::__cpuid(0x8000_0001).ecx & 1 != 0
}

/// WRGSBASE works in user mode: bit 1 of what the kernel says of the host's capabilities.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn has_fsgsbase() -> bool {
    rustix::param::linux_hwcap().1 & 2 != 0
}

/// Runs generated code: `thunk` is the entry thunk within `region`, [`Frame::entry`] the block.
/// Gives what the code left in EAX.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub fn enter<G: Guest>(region: &CodeRegion, thunk: usize, frame: &mut Frame, guest: &mut G) -> u32 {
    assert!(region.contains(thunk) && region.contains(frame.entry as usize));
    frame.helper = trampoline::<G> as *const () as u64;
    frame.guest = std::ptr::from_mut(guest) as u64;
    // SAFETY: `thunk` lies in the executable view, which lives as long as `region`; the entry
    // thunk has this signature, keeps the callee-saved registers and leaves as the invariant
    // of this module says.
    let f = unsafe { std::mem::transmute::<usize, extern "sysv64" fn(*mut Frame) -> u32>(thunk) };
    f(frame)
}

/// Nothing is ever translated on such a host.
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub fn enter<G: Guest>(_: &CodeRegion, _: usize, _: &mut Frame, _: &mut G) -> u32 {
    unreachable!("no generated code without an executable region")
}

/// What generated code calls. A panic in it ends the process: there is nothing to unwind into.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
extern "sysv64" fn trampoline<G: Guest>(frame: *mut Frame, site: u32) -> u32 {
    // SAFETY: generated code passes its own frame, which lies on its stack and which nobody
    // else refers to while this runs.
    let frame = unsafe { &mut *frame };
    // SAFETY: `enter` put a pointer to the guest there, exclusively borrowed until it returns,
    // and uses it nowhere itself; generated code never writes the field.
    let guest = unsafe { &mut *(frame.guest as *mut G) };
    guest.interpret(frame, site)
}
