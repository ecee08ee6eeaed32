//! The memory that parent and child share: the cases of a batch, the window, the code page.

use crate::image::{Ending, Extent, FxImage, Input, Output, Registers};
use crate::layout::{CODE_BYTES, CODE_OFFSET, CODE_PAGE, INT3, WINDOW, WINDOW_BYTES};
use dejavm_core::cpu::flags;
use std::io;

const CODE_PAGE_BYTES: usize = 4096;

/// One case as the child sees it.
#[repr(C)]
pub struct Slot {
    pub input: Registers,
    pub output: Registers,
    pub code: [u8; CODE_BYTES],
    pub window: [u8; WINDOW_BYTES],
    pub ending: Ending,
}

#[repr(C)]
struct Shared {
    progress: u64,
    slots: [Slot; super::BATCH],
}

/// The shared mappings.
pub struct Slots {
    shared: *mut Shared,
    arena: libc::c_int,
}

impl Slots {
    /// Maps them (in the parent, before the fork).
    pub fn new() -> io::Result<Self> {
        let len = size_of::<Shared>();
        // SAFETY: a fresh mapping at an address of the kernel's choice aliases nothing.
        let p = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if p == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the name is a C string; the descriptor is owned from here on.
        let arena = unsafe { libc::memfd_create(c"dejavm-case".as_ptr(), libc::MFD_CLOEXEC) };
        // SAFETY: plain system call on the descriptor above.
        if arena < 0 || unsafe { libc::ftruncate(arena, CODE_PAGE_BYTES as i64) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { shared: p.cast(), arena })
    }

    /// Writes a case into slot `k`.
    pub fn put(&mut self, k: usize, case: &Input) {
        assert!(case.code.len() < CODE_BYTES);
        let slot = self.slot(k);
        slot.input = case.registers;
        if case.extent == Extent::SingleStep {
            slot.input.flags |= flags::TF;
        }
        slot.code = [INT3; CODE_BYTES];
        slot.code[..case.code.len()].copy_from_slice(&case.code);
        slot.window = *case.window;
    }

    /// Reads the outcome from slot `k`.
    pub fn take(&mut self, k: usize) -> Output {
        let slot = self.slot(k);
        Output { registers: slot.output, window: Box::new(slot.window), ending: slot.ending }
    }

    /// The case that the child was last at.
    pub fn progress(&self) -> u64 {
        // SAFETY: the mapping lives as long as self; the child only writes whole words.
        unsafe { (&raw const (*self.shared).progress).read_volatile() }
    }

    /// Notes the case that the child is at.
    pub fn set_progress(&self, k: usize) {
        // SAFETY: as in `progress`.
        unsafe { (&raw mut (*self.shared).progress).write_volatile(k as u64) }
    }

    /// Slot `k`, in the child.
    pub fn slot_ptr(&self, k: usize) -> *mut Slot {
        assert!(k < super::BATCH);
        // SAFETY: within the mapping by the assertion.
        unsafe { (&raw mut (*self.shared).slots).cast::<Slot>().add(k) }
    }

    fn slot(&mut self, k: usize) -> &mut Slot {
        // SAFETY: `&mut self`, and the child leaves the slots alone while it waits for a batch;
        // every bit pattern is a valid Slot.
        unsafe { &mut *self.slot_ptr(k) }
    }

    /// In the child: maps the code page and the window at their addresses. Returns a writable
    /// alias of the code page.
    pub fn map_case(&self) -> io::Result<*mut u8> {
        let rw = libc::PROT_READ | libc::PROT_WRITE;
        let fixed = libc::MAP_FIXED_NOREPLACE | libc::MAP_POPULATE;
        self.map(WINDOW, WINDOW_BYTES, rw, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | fixed, -1)?;
        let code = libc::PROT_READ | libc::PROT_EXEC;
        self.map(CODE_PAGE, CODE_PAGE_BYTES, code, libc::MAP_SHARED | fixed, self.arena)?;
        let alias = self.map(0, CODE_PAGE_BYTES, rw, libc::MAP_SHARED | libc::MAP_POPULATE, self.arena)?;
        // SAFETY: the alias was mapped just now with this length.
        unsafe { alias.write_bytes(INT3, CODE_PAGE_BYTES) };
        Ok(alias)
    }

    fn map(&self, at: u64, len: usize, prot: i32, flags: i32, fd: i32) -> io::Result<*mut u8> {
        // SAFETY: MAP_FIXED_NOREPLACE (or no address at all) cannot replace a live mapping.
        let p = unsafe { libc::mmap(at as *mut libc::c_void, len, prot, flags, fd, 0) };
        if p == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(p.cast())
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        super::close(self.arena);
        // SAFETY: the mapping made in `new`, with its length, not used afterwards.
        unsafe { libc::munmap(self.shared.cast(), size_of::<Shared>()) };
    }
}

/// Copies a case's code and data to where they run. Only in the child.
///
/// # Safety
/// `slot` is a slot, `alias` what [`Slots::map_case`] gave.
pub unsafe fn lay_out(slot: *const Slot, alias: *mut u8) {
    // SAFETY: by the contract; the window is mapped at WINDOW in the child.
    unsafe {
        alias.add(CODE_OFFSET).copy_from_nonoverlapping((&raw const (*slot).code).cast(), CODE_BYTES);
        (WINDOW as *mut u8).copy_from_nonoverlapping((&raw const (*slot).window).cast(), WINDOW_BYTES);
    }
}

/// Copies what the case left into its slot. Only in the child.
///
/// # Safety
/// As [`lay_out`]; `fx` points to an FXSAVE image.
pub unsafe fn save(slot: *mut Slot, registers: &Registers, fx: *const FxImage, ending: Ending) {
    // SAFETY: by the contract.
    unsafe {
        (*slot).output = *registers;
        (*slot).output.fx.0.as_mut_ptr().copy_from_nonoverlapping(fx.cast(), 512);
        (*slot).ending = ending;
        (&raw mut (*slot).window).cast::<u8>().copy_from_nonoverlapping(WINDOW as *const u8, WINDOW_BYTES);
    }
}
