//! One instruction on the host's x87 unit.

use crate::cases::State;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
use std::arch::asm;

/// A page of code that loads a state, executes an instruction and stores the state.
pub struct Native {
    page: *mut u8,
}

/// FRSTOR [rdi]
const LOAD: [u8; 2] = [0xDD, 0x27];
/// FNSAVE [rsi]; RET
const STORE: [u8; 3] = [0xDD, 0x36, 0xC3];

impl Native {
    pub fn new() -> Self {
        let rwx = ProtFlags::READ | ProtFlags::WRITE | ProtFlags::EXEC;
        // SAFETY: a new anonymous mapping overlaps nothing.
        let page = unsafe { mmap_anonymous(std::ptr::null_mut(), 4096, rwx, MapFlags::PRIVATE) };
        Self { page: page.expect("a page of code").cast() }
    }

    /// Executes an instruction whose only memory operand is at [rcx].
    pub fn run(&self, bytes: &[u8], before: &State) -> State {
        let code = [&LOAD[..], bytes, &STORE].concat();
        let mut after = before.clone();
        let mut flags = before.flags | 2;
        // SAFETY: the page is mapped writable and longer than the code.
        unsafe { self.page.copy_from_nonoverlapping(code.as_ptr(), code.len()) };
        // SAFETY: the code reads the image at rdi, touches at most WINDOW bytes at rcx, writes
        // the image at rsi, and returns; FNSAVE leaves the x87 unit initialised, as the ABI
        // asks for. Exceptions cannot come, since nothing waits after the instruction.
        unsafe {
            asm!(
                "push {flags}",
                "popfq",
                "call {code}",
                "pushfq",
                "pop {flags}",
                flags = inout(reg) flags,
                code = in(reg) self.page,
                inout("rax") after.rax,
                in("rcx") after.memory.as_mut_ptr(),
                in("rdi") before.image.as_ptr(),
                in("rsi") after.image.as_mut_ptr(),
                out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
            );
        }
        after.flags = flags & 0x8D5;
        after
    }
}
