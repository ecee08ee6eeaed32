//! The bytes of guest RAM: one anonymous host mapping, addressed by offset.
//!
//! This is the only place that turns a guest offset into a host address. Every access is
//! bounds-checked here, so no guest address, however it was computed, reaches other memory.
#![allow(unsafe_code)]

use crate::types::{PAGE_SHIFT, PAGE_SIZE, Scalar};
use rustix::fd::OwnedFd;
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use std::collections::{BTreeMap, BTreeSet};

/// Guest RAM. Zero-filled at creation; untouched pages cost the host nothing.
pub struct Ram {
    base: *mut u8,
    len: usize,
    /// Its other view, once somebody wanted one.
    view: View,
}

/// A view of some pages of RAM in another order.
enum View {
    /// Nobody wanted it yet.
    Unmade,
    /// The host gives none.
    Refused,
    /// It is there.
    Made(Places),
}

/// Pages of RAM by places that linear addresses have: at the same place modulo the size of the view.
///
/// A page that is put there is moved into a file that both views map.
struct Places {
    file: OwnedFd,
    base: *mut u8,
    /// The RAM page at each place that has one.
    pages: BTreeMap<u32, u32>,
    /// The RAM pages in the file.
    shared: BTreeSet<u32>,
    /// The host gives no more.
    full: bool,
}

/// The size of the other view.
const VIEW_BYTES: usize = 1 << 36;
/// So many pages are put there at most; each takes three of the host's mappings.
const PLACES: usize = 4096;

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
        Ok(Self { base: base.cast(), len, view: View::Unmade })
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

impl Drop for Places {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`; generated code, which alone reads and writes there, is gone
        // or never runs again.
        let _ = unsafe { munmap(self.base.cast(), VIEW_BYTES) };
    }
}

impl Places {
    /// A view in which no page has its place yet, of RAM of so many bytes.
    #[cfg(target_os = "linux")]
    fn new(len: usize) -> std::io::Result<Self> {
        use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
        let file = memfd_create("dejavm-ram", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, len as u64)?;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a fresh mapping, which nobody may access, at an address of the kernel's choice.
        let base = unsafe { mmap_anonymous(std::ptr::null_mut(), VIEW_BYTES, ProtFlags::empty(), flags)? };
        Ok(Self { file, base: base.cast(), pages: BTreeMap::new(), shared: BTreeSet::new(), full: false })
    }

    #[cfg(not(target_os = "linux"))]
    fn new(_: usize) -> std::io::Result<Self> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    fn number(linear: u64) -> u32 {
        (linear as usize % VIEW_BYTES >> PAGE_SHIFT) as u32
    }

    fn address(&self, number: u32) -> *mut u8 {
        self.base.wrapping_add((number as usize) << PAGE_SHIFT)
    }

    /// Maps a page of the file, by number.
    ///
    /// # Safety
    /// `at` begins a page of one of the two views, which nobody borrows, and whose bytes nobody needs
    /// or are those of the page of the file.
    unsafe fn map(&self, at: *mut u8, page: u32) -> std::io::Result<()> {
        let flags = MapFlags::SHARED | MapFlags::FIXED | MapFlags::POPULATE;
        let (access, offset) = (ProtFlags::READ | ProtFlags::WRITE, u64::from(page) << PAGE_SHIFT);
        // SAFETY: as the caller says.
        unsafe { mmap(at.cast(), PAGE_SIZE as usize, access, flags, &self.file, offset)? };
        Ok(())
    }
}

impl Ram {
    /// Whether a host address is one in the other view.
    pub fn is_placed(&self, host: u64) -> bool {
        let View::Made(places) = &self.view else { return false };
        (host as usize).wrapping_sub(places.base as usize) < VIEW_BYTES
    }

    /// The host address of the page at `ram_offset` in a view of RAM in which it lies where its linear
    /// address says: pages beside each other there are beside each other here. It is put there if need
    /// be, instead of another one only if that `may_move`. `None` if it cannot be.
    pub fn place(&mut self, linear: u64, ram_offset: u64, may_move: bool) -> Option<u64> {
        if let View::Unmade = self.view {
            self.view = Places::new(self.len).map_or(View::Refused, View::Made);
        }
        let View::Made(places) = &self.view else { return None };
        let (number, page) = (Places::number(linear), (ram_offset >> PAGE_SHIFT) as u32);
        let host = places.address(number) as u64;
        match places.pages.get(&number) {
            Some(there) if *there == page => return Some(host),
            Some(_) if !may_move => return None,
            None if places.pages.len() >= PLACES => return None,
            _ if places.full => return None,
            _ => {}
        }
        let whole = ram_offset as usize + PAGE_SIZE as usize <= self.len;
        if !whole || (!places.shared.contains(&page) && places.shared.len() >= PLACES) {
            return None;
        }
        if self.put(number, page).is_err() {
            // What is there stays there.
            if let View::Made(places) = &mut self.view {
                places.full = true;
            }
            return None;
        }
        Some(host)
    }

    /// Puts a page at a place of the other view.
    fn put(&mut self, number: u32, page: u32) -> std::io::Result<()> {
        let offset = (page as usize) << PAGE_SHIFT;
        let View::Made(places) = &self.view else { return Err(std::io::ErrorKind::Unsupported.into()) };
        let shared = places.shared.contains(&page);
        if !shared {
            let mut bytes = self.slice(offset, PAGE_SIZE as usize);
            let mut at = offset as u64;
            while !bytes.is_empty() {
                let written = rustix::io::pwrite(&places.file, bytes, at)?;
                (bytes, at) = (&bytes[written..], at + written as u64);
            }
        }
        // SAFETY: a page of the other view, which no Rust code refers to, and which generated code, which
        // does not run now, is not to look for another page at any more: so says who lets it move.
        unsafe { places.map(places.address(number), page)? };
        if !shared {
            // SAFETY: a page within RAM; &mut self means that nobody borrows it; the file has its bytes.
            // The mapping that it is part of stays as large as it was, in parts.
            unsafe { places.map(self.base.wrapping_add(offset), page)? };
        }
        if let View::Made(places) = &mut self.view {
            places.shared.insert(page);
            places.pages.insert(number, page);
        }
        Ok(())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// A scalar in the other view.
    fn at(host: u64) -> u64 {
        // SAFETY: the tests ask at addresses that `place` gave, of pages within a view that is there.
        unsafe { (host as *const u64).read() }
    }

    #[test]
    fn pages_lie_in_both_views_where_they_are_wanted() {
        let page = |n: u64| n * PAGE_SIZE;
        let mut ram = Ram::new(64 << 12).expect("memory");
        ram.write::<u64>(page(7) as usize, 77);
        let host = ram.place(0x7FFF_1234_5000, page(7), false).expect("a place");
        assert_eq!(at(host), 77, "its bytes moved with it");
        ram.write::<u64>(page(7) as usize, 78);
        assert_eq!(at(host), 78);
        assert!(ram.is_placed(host) && !ram.is_placed(ram.host_address()));
        assert_eq!(ram.place(0x7FFF_1234_6000, page(2), false), Some(host + PAGE_SIZE), "beside it");
        assert_eq!(ram.place(0x7FFF_1234_5000, page(7), false), Some(host), "it is there");
        assert_eq!(ram.place(0x7FFF_1234_5000, page(3), false), None, "somebody else is");
        ram.write::<u64>(page(3) as usize, 33);
        assert_eq!(ram.place(0x7FFF_1234_5000, page(3), true), Some(host));
        assert_eq!((at(host), ram.read::<u64>(page(7) as usize)), (33, 78));
        assert_ne!(ram.place(0xFFFF_8880_0000_0000, page(7), false), None, "a second place for a page");
        assert_eq!(ram.place(0, page(64), true), None, "beyond RAM");
    }
}
