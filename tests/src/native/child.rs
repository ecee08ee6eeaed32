//! The child: enters a case with IRET, leaves it by the signal of the exception that ends it.
//!
//! Nothing here may allocate, lock or touch thread-local storage: the child is a fork of a
//! process with threads, and FS belongs to the case while it runs.

use super::slots::{Slot, Slots, lay_out, save};
use crate::image::{Ending, FxImage, Registers, has_error_code};
use std::arch::naked_asm;
use std::mem::offset_of;
use std::ptr::null_mut;

/// Where [`leave`] finds the host again: RSP, FS base, GS base.
static mut HOST: [u64; 3] = [0; 3];
/// The slot of the running case; null between cases.
static mut CURRENT: *mut Slot = null_mut();
/// The stack of the signal handler.
static mut SIGNAL_STACK: [u8; 64 << 10] = [0; 64 << 10];

/// Seconds after which a batch is given up.
const BATCH_TIMEOUT_HOST_S: u32 = 20;
/// User space ends here.
const LINUX_TASK_SIZE: u64 = (1 << 47) - 4096;
/// The vector reported for a case that did not end in time.
const TIMEOUT: u64 = 0x100;

/// Serves batches until the parent closes its end.
pub fn run(slots: &Slots, input: libc::c_int, output: libc::c_int) -> ! {
    let Ok(alias) = slots.map_case() else { exit(98) };
    if !install_handlers() {
        exit(97)
    }
    while let Ok(Some(count)) = super::receive(input) {
        // SAFETY: alarm has no preconditions.
        unsafe { libc::alarm(BATCH_TIMEOUT_HOST_S) };
        for k in 0..usize::from(count) {
            slots.set_progress(k);
            let slot = slots.slot_ptr(k);
            // SAFETY: slot and alias are those of `slots`; this process has one thread, and the
            // parent leaves the slots alone until it is answered. `enter` comes back by `leave`.
            unsafe {
                lay_out(slot, alias);
                CURRENT = slot;
                enter(&raw const (*slot).input, &raw mut HOST);
                CURRENT = null_mut();
            }
        }
        if super::send(output, count).is_err() {
            exit(0)
        }
    }
    exit(0)
}

fn exit(status: i32) -> ! {
    // SAFETY: _exit runs no handlers of the parent's.
    unsafe { libc::_exit(status) }
}

fn install_handlers() -> bool {
    // SAFETY: the stack is a static used for nothing else; the actions are zeroed and then
    // filled as sigaction(2) asks; the handler keeps to async-signal-safe code.
    unsafe {
        let stack = libc::stack_t {
            ss_sp: (&raw mut SIGNAL_STACK).cast(),
            ss_flags: 0,
            ss_size: size_of_val(&*(&raw const SIGNAL_STACK)),
        };
        let mut ok = libc::sigaltstack(&stack, null_mut()) == 0;
        let signals = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGALRM];
        for signal in signals {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = signal_entry as *const () as usize;
            // SA_NODEFER: the handler never returns to the kernel, so nothing may stay blocked.
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
            ok &= libc::sigaction(signal, &action, null_mut()) == 0;
        }
        ok
    }
}

/// Loads `input` and runs it; returns when [`signal_entry`] does.
#[unsafe(naked)]
unsafe extern "C" fn enter(input: *const Registers, host: *mut [u64; 3]) {
    naked_asm!(
        "push rbp", "push rbx", "push r12", "push r13", "push r14", "push r15",
        "mov [rsi], rsp",
        "rdfsbase rax", "mov [rsi + 8], rax",
        "rdgsbase rax", "mov [rsi + 16], rax",
        "fxrstor64 [rdi + {fx}]",
        "mov rax, [rdi + {fs_base}]", "wrfsbase rax",
        "mov rax, [rdi + {gs_base}]", "wrgsbase rax",
        "mov eax, ss", "push rax",
        "push qword ptr [rdi + {gpr} + 8 * 4]",
        "push qword ptr [rdi + {flags}]",
        "mov eax, cs", "push rax",
        "push qword ptr [rdi + {rip}]",
        "mov rax, [rdi + {gpr} + 8 * 0]", "mov rcx, [rdi + {gpr} + 8 * 1]",
        "mov rdx, [rdi + {gpr} + 8 * 2]", "mov rbx, [rdi + {gpr} + 8 * 3]",
        "mov rbp, [rdi + {gpr} + 8 * 5]", "mov rsi, [rdi + {gpr} + 8 * 6]",
        "mov r8,  [rdi + {gpr} + 8 * 8]", "mov r9,  [rdi + {gpr} + 8 * 9]",
        "mov r10, [rdi + {gpr} + 8 * 10]", "mov r11, [rdi + {gpr} + 8 * 11]",
        "mov r12, [rdi + {gpr} + 8 * 12]", "mov r13, [rdi + {gpr} + 8 * 13]",
        "mov r14, [rdi + {gpr} + 8 * 14]", "mov r15, [rdi + {gpr} + 8 * 15]",
        "mov rdi, [rdi + {gpr} + 8 * 7]",
        "iretq",
        fx = const offset_of!(Registers, fx),
        gpr = const offset_of!(Registers, gpr),
        flags = const offset_of!(Registers, flags),
        rip = const offset_of!(Registers, rip),
        fs_base = const offset_of!(Registers, fs_base),
        gs_base = const offset_of!(Registers, gs_base),
    )
}

/// The signal handler: makes the processor fit for Rust again, records, and returns from
/// [`enter`] without going back through the kernel.
#[unsafe(naked)]
unsafe extern "C" fn signal_entry() {
    naked_asm!(
        // AC and NT of the case must not reach our code.
        "push 2", "popfq",
        "lea r10, [rip + {host}]",
        "rdfsbase rcx", "rdgsbase r8",
        "mov rax, [r10 + 8]", "wrfsbase rax",
        "mov rax, [r10 + 16]", "wrgsbase rax",
        "sub rsp, 8",
        "call {record}",
        "fninit",
        "push 0x1F80", "ldmxcsr [rsp]",
        "mov rsp, [rip + {host}]",
        "pop r15", "pop r14", "pop r13", "pop r12", "pop rbx", "pop rbp",
        "ret",
        host = sym HOST,
        record = sym record,
    )
}

/// Saves the interrupted case's state in its slot.
unsafe extern "C" fn record(
    signal: libc::c_int,
    _info: *const libc::siginfo_t,
    context: *const libc::ucontext_t,
    fs_base: u64,
    gs_base: u64,
) {
    // SAFETY: the kernel's context is valid during the handler, its fpregs point to an FXSAVE
    // image; this process has one thread, so CURRENT is not changing under us.
    unsafe {
        if CURRENT.is_null() {
            exit(99);
        }
        let m = &(*context).uc_mcontext;
        let r = |i: libc::c_int| m.gregs[i as usize] as u64;
        let registers = Registers {
            fx: FxImage([0; 512]),
            gpr: GPR_ORDER.map(r),
            rip: r(libc::REG_RIP),
            flags: r(libc::REG_EFL),
            fs_base,
            gs_base,
        };
        let vector = if signal == libc::SIGALRM { TIMEOUT } else { r(libc::REG_TRAPNO) };
        let address = if vector == 14 { r(libc::REG_CR2) } else { 0 };
        // For its own addresses Linux reports a protection fault whatever happened.
        let hidden = if address >= LINUX_TASK_SIZE { 1 } else { 0 };
        let error_code = if has_error_code(vector) { r(libc::REG_ERR) & !hidden } else { 0 };
        let ending = Ending { vector, error_code, address };
        save(CURRENT, &registers, m.fpregs.cast(), ending);
    }
}

/// The general registers in encoding order, as the kernel's context numbers them.
const GPR_ORDER: [libc::c_int; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];
