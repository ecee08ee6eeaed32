//! A region of code, mapped twice.

use std::io;

/// A region that code is appended to, and that is emptied as a whole.
///
/// Addresses are those of the executable view.
pub struct CodeRegion {
    writable: *mut u8,
    executable: *mut u8,
    len: usize,
    used: usize,
}

// SAFETY: the region owns both of its mappings alone; the pointers are used only with a borrow
// of it, so moving it to another thread moves all access.
unsafe impl Send for CodeRegion {}

impl CodeRegion {
    /// Reserves `len` bytes, a multiple of the page size. The host gives memory as it is used.
    ///
    /// # Errors
    /// The host's error if it gives no executable memory.
    #[cfg(target_os = "linux")]
    pub fn new(len: usize) -> io::Result<Self> {
        use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
        use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
        let file = memfd_create("dejavm-code", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, len as u64)?;
        let map = |protection| {
            // SAFETY: a fresh mapping at an address of the kernel's choice aliases no Rust object.
            unsafe { mmap(std::ptr::null_mut(), len, protection, MapFlags::SHARED, &file, 0) }
        };
        let writable = map(ProtFlags::READ | ProtFlags::WRITE)?;
        match map(ProtFlags::READ | ProtFlags::EXEC) {
            Ok(executable) => {
                Ok(Self { writable: writable.cast(), executable: executable.cast(), len, used: 0 })
            }
            Err(e) => {
                // SAFETY: made just above, and used by nobody.
                let _ = unsafe { munmap(writable, len) };
                Err(e.into())
            }
        }
    }

    /// There is no such thing on this host.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(target_os = "linux"))]
    pub fn new(_: usize) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Where the next bytes go.
    pub fn next(&self) -> usize {
        self.executable as usize + self.used
    }

    /// How many bytes still fit.
    pub fn room(&self) -> usize {
        self.len - self.used
    }

    /// How many bytes there are.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Whether an address lies in the code that was appended.
    pub fn contains(&self, address: usize) -> bool {
        address.checked_sub(self.executable as usize).is_some_and(|offset| offset < self.used)
    }

    /// Appends code and gives its address; the end is aligned to 16 bytes.
    ///
    /// # Panics
    /// If there is no room.
    pub fn append(&mut self, code: &[u8]) -> usize {
        assert!(code.len() <= self.room());
        let at = self.next();
        // SAFETY: within the writable view by the assertion; &mut self makes this the only
        // access, and nothing is executed while Rust code runs.
        unsafe { std::ptr::copy_nonoverlapping(code.as_ptr(), self.writable.add(self.used), code.len()) };
        self.used = (self.used + code.len()).next_multiple_of(16).min(self.len);
        at
    }

    /// Overwrites 4 bytes at an address.
    ///
    /// # Panics
    /// If they do not lie within the code.
    pub fn patch(&mut self, address: usize, bytes: [u8; 4]) {
        let offset = address.wrapping_sub(self.executable as usize);
        assert!(offset < self.used && self.used - offset >= 4);
        // SAFETY: as in `append`.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.writable.add(offset), 4) };
    }

    /// Forgets what was appended behind the first `keep` bytes.
    ///
    /// # Panics
    /// If there is not so much.
    pub fn truncate(&mut self, keep: usize) {
        assert!(keep <= self.used);
        self.used = keep;
    }
}

impl Drop for CodeRegion {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        for view in [self.writable, self.executable] {
            // SAFETY: the mappings of `new`; nobody executes or borrows them any more.
            let _ = unsafe { rustix::mm::munmap(view.cast(), self.len) };
        }
    }
}
