//! The host CPU as an oracle: runs a block of code in ring 3 of a forked child, with the
//! registers and memory of the case, and captures what it left.
//!
//! [`child`] is what runs there; [`slots`] is the memory shared with it. A child lives for many
//! cases and takes them in batches.
#![allow(unsafe_code)]

mod child;
mod slots;

use crate::image::{Input, Output};
use slots::Slots;
use std::io;

/// The most cases in a batch.
pub const BATCH: usize = 64;

/// A child process that executes cases.
pub struct Native {
    slots: Slots,
    pid: libc::pid_t,
    to_child: libc::c_int,
    from_child: libc::c_int,
}

impl Native {
    /// Whether the child itself has something at an address where a case should find nothing: its
    /// stack and its libraries lie where the host's kernel puts them.
    pub fn maps(&self, address: u64) -> bool {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.pid)).unwrap_or_default();
        maps.lines().filter_map(|line| line.split(' ').next()?.split_once('-')).any(|(from, to)| {
            let hex = |digits| u64::from_str_radix(digits, 16).unwrap_or(0);
            (hex(from)..hex(to)).contains(&address)
        })
    }

    /// Forks the child.
    ///
    /// # Errors
    /// The host's error; also if the host has no user-mode FSGSBASE.
    pub fn start() -> io::Result<Self> {
        // SAFETY: getauxval only reads the auxiliary vector.
        if unsafe { libc::getauxval(libc::AT_HWCAP2) } & 2 == 0 {
            return Err(io::Error::other("the host CPU or its kernel has no FSGSBASE"));
        }
        let slots = Slots::new()?;
        let [child_in, to_child] = pipe()?;
        let [from_child, child_out] = pipe()?;
        // SAFETY: the child touches only memory that it has alone or that `slots` shares, and
        // calls only async-signal-safe functions, so threads of the parent do not matter.
        let pid = unsafe { libc::fork() };
        match pid {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                close(to_child);
                close(from_child);
                child::run(&slots, child_in, child_out)
            }
            _ => {
                close(child_in);
                close(child_out);
                Ok(Self { slots, pid, to_child, from_child })
            }
        }
    }

    /// Hands a batch to the child and returns while it works.
    ///
    /// # Errors
    /// The host's error if the child is gone.
    pub fn submit(&mut self, cases: &[Input]) -> io::Result<()> {
        assert!(cases.len() <= BATCH);
        for (k, case) in cases.iter().enumerate() {
            self.slots.put(k, case);
        }
        send(self.to_child, cases.len() as u8)
    }

    /// Waits for the batch that was submitted.
    ///
    /// # Errors
    /// If the child died of a case; says which.
    pub fn collect(&mut self, count: usize) -> io::Result<Vec<Output>> {
        match receive(self.from_child)? {
            Some(_) => Ok((0..count).map(|k| self.slots.take(k)).collect()),
            None => Err(io::Error::other(format!("the child died of case {}", self.slots.progress()))),
        }
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        close(self.to_child);
        close(self.from_child);
        // SAFETY: the pid is our own child's, not waited for before.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, std::ptr::null_mut(), 0);
        }
    }
}

fn pipe() -> io::Result<[libc::c_int; 2]> {
    let mut fds = [0; 2];
    // SAFETY: `fds` has room for the two descriptors.
    if unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(fds)
}

fn close(fd: libc::c_int) {
    // SAFETY: every descriptor given here is owned and closed once.
    unsafe { libc::close(fd) };
}

fn send(fd: libc::c_int, byte: u8) -> io::Result<()> {
    // SAFETY: one byte is read from a live variable.
    if unsafe { libc::write(fd, (&raw const byte).cast(), 1) } != 1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The next byte, or `None` at the end.
fn receive(fd: libc::c_int) -> io::Result<Option<u8>> {
    let mut byte = 0u8;
    loop {
        // SAFETY: one byte is written to a live variable.
        match unsafe { libc::read(fd, (&raw mut byte).cast(), 1) } {
            1 => return Ok(Some(byte)),
            0 => return Ok(None),
            _ => {
                let e = io::Error::last_os_error();
                if e.kind() != io::ErrorKind::Interrupted {
                    return Err(e);
                }
            }
        }
    }
}
