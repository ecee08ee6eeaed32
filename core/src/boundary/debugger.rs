//! What a debugger changes in a machine that runs live: RAM and registers of vCPUs.
//!
//! Such a change comes in like a key that is pressed, at a position, so that a recording has it and a
//! replay repeats it. Nothing of it is checked by the guest's rules, as on a real machine's debug port;
//! what would leave the machine in no state at all (RAM that is not there, a vCPU that is not there) is
//! ignored.

use serde::{Deserialize, Serialize};

/// A change, and where within its position it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebuggerWrite {
    /// The instruction that is next had begun: the interrupts and debug traps that are due before it
    /// have been delivered first. (A breakpoint stops a machine there.)
    pub begun: bool,
    /// What is changed.
    pub change: Change,
}

/// What is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// RAM.
    Memory {
        /// The guest physical address of the first byte.
        gpa: u64,
        /// The bytes; the range does not cross the hole below 4 GiB.
        bytes: Vec<u8>,
    },
    /// Registers of one vCPU.
    Registers {
        /// Which vCPU.
        vcpu: u32,
        /// Each with its new value; of a value too wide for its register the low bits count.
        values: Vec<(CpuRegister, u128)>,
    },
}

impl Change {
    /// How many bytes it carries.
    pub fn size(&self) -> usize {
        match self {
            Self::Memory { gpa: _, bytes } => bytes.len(),
            Self::Registers { vcpu: _, values } => values.len() * size_of::<u128>(),
        }
    }
}

/// The registers that a debugger can change: those without effects beyond their value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CpuRegister {
    /// A general register, by its number in encodings: RAX is 0, RCX 1, R15 15.
    General(u8),
    /// RIP.
    Rip,
    /// RFLAGS.
    Rflags,
    /// The base of FS.
    FsBase,
    /// The base of GS.
    GsBase,
    /// IA32_KERNEL_GS_BASE.
    KernelGsBase,
    /// CR2.
    Cr2,
    /// An XMM register.
    Xmm(u8),
    /// MXCSR.
    Mxcsr,
}

impl CpuRegister {
    /// Its name in lists.
    pub fn name(self) -> String {
        const GENERAL: [&str; 16] = [
            "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
            "r14", "r15",
        ];
        match self {
            Self::General(n) => GENERAL.get(usize::from(n)).unwrap_or(&"none").to_string(),
            Self::Rip => "rip".to_owned(),
            Self::Rflags => "rflags".to_owned(),
            Self::FsBase => "fs_base".to_owned(),
            Self::GsBase => "gs_base".to_owned(),
            Self::KernelGsBase => "k_gs_base".to_owned(),
            Self::Cr2 => "cr2".to_owned(),
            Self::Xmm(n) => format!("xmm{n}"),
            Self::Mxcsr => "mxcsr".to_owned(),
        }
    }
}
