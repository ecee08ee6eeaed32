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

/// The registers that a debugger can change.
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
    /// A segment register, by its number in encodings (ES is 0, CS 1, SS 2, DS 3, FS 4, GS 5): the
    /// selector, which brings its descriptor along.
    Segment(u8),
    /// CR0.
    Cr0,
    /// CR3.
    Cr3,
    /// CR4.
    Cr4,
    /// CR8, the task priority.
    Cr8,
    /// IA32_EFER.
    Efer,
    /// ST(i): 80 bits. Whether it is empty stays.
    Stack(u8),
    /// The control word of the x87 unit.
    X87Control,
    /// Its status word, with TOP.
    X87Status,
    /// Its tag word, of 16 bits: which registers are empty.
    X87Tag,
    /// The selector of its last instruction.
    X87InstructionSelector,
    /// The address of its last instruction.
    X87InstructionPointer,
    /// The selector of its last operand.
    X87DataSelector,
    /// The address of its last operand.
    X87DataPointer,
    /// The opcode of its last instruction, 11 bits.
    X87Opcode,
}

impl CpuRegister {
    /// Its name in lists.
    pub fn name(self) -> String {
        const GENERAL: [&str; 16] = [
            "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
            "r14", "r15",
        ];
        const SEGMENTS: [&str; 6] = ["es", "cs", "ss", "ds", "fs", "gs"];
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
            Self::Segment(n) => SEGMENTS.get(usize::from(n)).unwrap_or(&"none").to_string(),
            Self::Cr0 => "cr0".to_owned(),
            Self::Cr3 => "cr3".to_owned(),
            Self::Cr4 => "cr4".to_owned(),
            Self::Cr8 => "cr8".to_owned(),
            Self::Efer => "efer".to_owned(),
            Self::Stack(n) => format!("st{n}"),
            Self::X87Control => "fctrl".to_owned(),
            Self::X87Status => "fstat".to_owned(),
            Self::X87Tag => "ftag".to_owned(),
            Self::X87InstructionSelector => "fiseg".to_owned(),
            Self::X87InstructionPointer => "fioff".to_owned(),
            Self::X87DataSelector => "foseg".to_owned(),
            Self::X87DataPointer => "fooff".to_owned(),
            Self::X87Opcode => "fop".to_owned(),
        }
    }
}
