//! The bytes of guest RAM: one anonymous host mapping, addressed by offset.
//!
//! This is the only place that turns a guest offset into a host address. Every access is
//! bounds-checked here, so no guest address, however it was computed, reaches other memory.
#![allow(unsafe_code)]

use crate::types::Scalar;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Guest RAM. Zero-filled at creation; untouched pages cost the host nothing.
pub struct Ram {
    base: *mut u8,
    len: usize,
}

// SAFETY: `Ram` owns its mapping alone and hands out no pointer into it that outlives a
// borrow of `self`, so moving it to another thread moves the only access there is.
unsafe impl Send for Ram {}

impl Ram {
    /// Maps `len` bytes of zeroed memory.
    ///
    /// # Errors
    /// The host's error if it cannot reserve that much.
    pub fn new(len: usize) -> std::io::Result<Self> {
        // SAFETY: a fresh private anonymous mapping at an address of the kernel's choice
        // aliases nothing.
        let base = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                len.max(1),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )?
        };
        Ok(Self { base: base.cast(), len })
    }

    /// The host address of the first byte, for generated code: see the invariant of
    /// `crate::codemem`.
    pub fn host_address(&self) -> u64 {
        self.base as u64
    }

    /// The offset of a host address that lies in RAM; any other gives one that is refused wherever
    /// it is used.
    #[inline(always)]
    pub fn offset_of(&self, host: u64) -> usize {
        (host as usize).wrapping_sub(self.base as usize)
    }

    /// The size in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no RAM at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads a little-endian scalar at `offset`.
    ///
    /// # Panics
    /// If it does not lie within RAM (our bug: callers translate first).
    #[inline(always)]
    pub fn read<T: Scalar>(&self, offset: usize) -> T {
        assert!(offset <= self.len && self.len - offset >= T::SIZE);
        // SAFETY: the assertion keeps [offset, offset + SIZE) inside the mapping, which lives
        // as long as self; T is a plain integer, valid for any bytes; unaligned is allowed.
        let v = unsafe { self.base.add(offset).cast::<T>().read_unaligned() };
        if cfg!(target_endian = "little") { v } else { T::from_le_slice(&self.slice(offset, T::SIZE)[..]) }
    }

    /// Writes a little-endian scalar at `offset`.
    ///
    /// # Panics
    /// If it does not lie within RAM (our bug: callers translate first).
    #[inline(always)]
    pub fn write<T: Scalar>(&mut self, offset: usize, v: T) {
        assert!(offset <= self.len && self.len - offset >= T::SIZE);
        if cfg!(target_endian = "little") {
            // SAFETY: as in `read`; &mut self makes this the only access.
            unsafe { self.base.add(offset).cast::<T>().write_unaligned(v) }
        } else {
            v.to_le_slice(self.slice_mut(offset, T::SIZE));
        }
    }

    /// The bytes `[offset, offset + len)`.
    ///
    /// # Panics
    /// If they do not lie within RAM.
    pub fn slice(&self, offset: usize, len: usize) -> &[u8] {
        assert!(offset <= self.len && self.len - offset >= len);
        // SAFETY: inside the mapping by the assertion; initialised by the kernel with zeros;
        // borrowed from self, so no write happens meanwhile.
        unsafe { std::slice::from_raw_parts(self.base.add(offset), len) }
    }

    /// The bytes `[offset, offset + len)`, to be written.
    ///
    /// # Panics
    /// If they do not lie within RAM.
    pub fn slice_mut(&mut self, offset: usize, len: usize) -> &mut [u8] {
        assert!(offset <= self.len && self.len - offset >= len);
        // SAFETY: as in `slice`, and &mut self makes this the only borrow.
        unsafe { std::slice::from_raw_parts_mut(self.base.add(offset), len) }
    }
}

impl Drop for Ram {
    fn drop(&mut self) {
        // SAFETY: base and len are those of the mapping made in `new`; nobody can hold a
        // borrow of it any more. Failing to unmap leaks it, which is all that can be done.
        let _ = unsafe { munmap(self.base.cast(), self.len.max(1)) };
    }
}
