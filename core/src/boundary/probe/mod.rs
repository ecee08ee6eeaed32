//! Probes: what an observer may see of a run, without any way to change it.
//!
//! A probe that is off costs nothing on the paths that run all the time: those that watch
//! instructions make the run loop take them one by one, and those that watch memory keep pages
//! away from the fast path of the soft TLB, or translated code notes both, only while they are on.
//! What a probe sees goes into the [`ProbeLog`] in the order of the run, and never reaches the guest
//! or the state hash.
//!
//! A record bears the position *before* what it tells of: with the machine at that icount, the
//! instruction that makes the access, or raises the exception, is next.

mod log;
mod settings;

pub use log::{Origin, ProbeLog};
pub use settings::{ProbeFilter, ProbeRule, ProbeSettings};

use super::{Position, ResetCause};
use crate::types::VcpuId;
use serde::{Deserialize, Serialize};

/// The chips whose registers and timers are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Chip {
    Pic,
    Pit,
    I8042,
    Rtc,
    Uart,
    AcpiPm,
    System,
    Pci,
    FwCfg,
    Ioapic,
    Lapic,
    Hpet,
}

impl Chip {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::Pic,
        Self::Pit,
        Self::I8042,
        Self::Rtc,
        Self::Uart,
        Self::AcpiPm,
        Self::System,
        Self::Pci,
        Self::FwCfg,
        Self::Ioapic,
        Self::Lapic,
        Self::Hpet,
    ];
}

/// A kind of event that can be switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ProbeKind {
    /// An exception is about to be delivered.
    Exception,
    /// An external interrupt is about to be delivered.
    Interrupt,
    /// A non-maskable interrupt is about to be delivered.
    Nmi,
    /// An instruction, or an iteration of a REP string, is about to execute.
    Instruction,
    /// The first instruction after a branch, a delivery or a change of the vCPU is about to
    /// execute.
    Block,
    /// The privilege level, the code size, long mode or paging is another than before.
    ModeSwitch,
    /// SYSCALL or SYSENTER.
    Syscall,
    /// SYSRET or SYSEXIT.
    SyscallReturn,
    /// IRET.
    InterruptReturn,
    /// A control register was written, by MOV.
    ControlWrite,
    /// CR3 got another value.
    AddressSpace,
    /// RDMSR.
    MsrRead,
    /// WRMSR.
    MsrWrite,
    /// A load; what counts is told at [`super::StopPoint`].
    Load,
    /// A store.
    Store,
    /// A load from where there is no RAM.
    MmioRead,
    /// A store to where there is no RAM.
    MmioWrite,
    /// IN or INS.
    PortRead,
    /// OUT or OUTS.
    PortWrite,
    /// A level of an ISA interrupt line changed.
    IrqLine,
    /// A UART sent a byte.
    SerialOut,
    /// A byte was written to the debug console.
    DebugConsole,
    /// Something came in through the door.
    Inbound,
    /// The machine was reset.
    Reset,
    /// The machine went off.
    PowerOff,
    /// The guest ended the run.
    DebugExit,
    /// The guest's kernel said that it panicked.
    GuestPanic,
    /// A near CALL.
    Call,
    /// A near RET.
    Return,
    /// A register of a chip was read.
    ChipRead(Chip),
    /// A register of a chip was written.
    ChipWrite(Chip),
    /// A timer of a chip fired.
    Timer(Chip),
    /// A translation was put into the soft TLB.
    TlbFill,
    /// A block was translated to host code.
    Translate,
    /// Translated blocks were forgotten.
    Flush,
    /// An exit of a translated block was linked to another.
    Link,
    /// A checkpoint was taken.
    Checkpoint,
    /// The run was put elsewhere.
    Seek,
}

impl ProbeKind {
    /// The kinds that are not of a chip, in the order of their numbers.
    const PLAIN: [Self; 29] = [
        Self::Exception,
        Self::Interrupt,
        Self::Nmi,
        Self::Instruction,
        Self::Block,
        Self::ModeSwitch,
        Self::Syscall,
        Self::SyscallReturn,
        Self::InterruptReturn,
        Self::ControlWrite,
        Self::AddressSpace,
        Self::MsrRead,
        Self::MsrWrite,
        Self::Load,
        Self::Store,
        Self::MmioRead,
        Self::MmioWrite,
        Self::PortRead,
        Self::PortWrite,
        Self::IrqLine,
        Self::SerialOut,
        Self::DebugConsole,
        Self::Inbound,
        Self::Reset,
        Self::PowerOff,
        Self::DebugExit,
        Self::GuestPanic,
        Self::Call,
        Self::Return,
    ];

    /// The kinds that tell what the engine does with a run: caches, translated code, checkpoints. They are
    /// no part of the run, which may be had with other caches and other checkpoints; so no trace of a
    /// stretch has them.
    pub const OF_THE_ENGINE: [Self; 6] =
        [Self::TlbFill, Self::Translate, Self::Flush, Self::Link, Self::Checkpoint, Self::Seek];

    /// How many kinds there are that are part of a run.
    pub const COUNT: usize = Self::PLAIN.len() + 3 * Chip::ALL.len();

    /// How many kinds there are, those of the engine included.
    pub const COUNT_WITH_ENGINE: usize = Self::COUNT + Self::OF_THE_ENGINE.len();

    /// Whether it tells what the engine does.
    pub fn is_of_the_engine(self) -> bool {
        Self::OF_THE_ENGINE.contains(&self)
    }

    /// All kinds that are part of a run, in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        let chips = Chip::ALL.into_iter();
        Self::PLAIN
            .into_iter()
            .chain(chips.clone().map(Self::ChipRead))
            .chain(chips.clone().map(Self::ChipWrite))
            .chain(chips.map(Self::Timer))
    }

    /// Its number, below [`Self::COUNT`], or behind that if it is [of the
    /// engine](Self::OF_THE_ENGINE).
    #[inline]
    pub const fn index(self) -> usize {
        let chips = Self::PLAIN.len();
        match self {
            Self::Exception => 0,
            Self::Interrupt => 1,
            Self::Nmi => 2,
            Self::Instruction => 3,
            Self::Block => 4,
            Self::ModeSwitch => 5,
            Self::Syscall => 6,
            Self::SyscallReturn => 7,
            Self::InterruptReturn => 8,
            Self::ControlWrite => 9,
            Self::AddressSpace => 10,
            Self::MsrRead => 11,
            Self::MsrWrite => 12,
            Self::Load => 13,
            Self::Store => 14,
            Self::MmioRead => 15,
            Self::MmioWrite => 16,
            Self::PortRead => 17,
            Self::PortWrite => 18,
            Self::IrqLine => 19,
            Self::SerialOut => 20,
            Self::DebugConsole => 21,
            Self::Inbound => 22,
            Self::Reset => 23,
            Self::PowerOff => 24,
            Self::DebugExit => 25,
            Self::GuestPanic => 26,
            Self::Call => 27,
            Self::Return => 28,
            Self::ChipRead(chip) => chips + chip as usize,
            Self::ChipWrite(chip) => chips + Chip::ALL.len() + chip as usize,
            Self::Timer(chip) => chips + 2 * Chip::ALL.len() + chip as usize,
            Self::TlbFill => Self::COUNT,
            Self::Translate => Self::COUNT + 1,
            Self::Flush => Self::COUNT + 2,
            Self::Link => Self::COUNT + 3,
            Self::Checkpoint => Self::COUNT + 4,
            Self::Seek => Self::COUNT + 5,
        }
    }

    /// Its bit in a set of kinds.
    #[inline]
    pub const fn bit(self) -> u128 {
        1 << self.index()
    }
}

/// A load or store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryAccess {
    /// Its linear address.
    pub address: u64,
    /// The physical address of its first byte.
    pub physical: u64,
    /// Its size in bytes.
    pub size: u8,
    /// The value, its low 8 bytes.
    pub value: u64,
    /// The value, its high 8 bytes.
    pub high: u64,
}

/// An access to a port or to memory that is not RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoAccess {
    /// The port, or the physical address.
    pub address: u64,
    /// Its size in bytes.
    pub size: u8,
    /// The value.
    pub value: u64,
}

/// The mode of a vCPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mode {
    /// The privilege level.
    pub cpl: u8,
    /// The code size: 16, 32 or 64.
    pub code_bits: u8,
    /// EFER.LMA.
    pub long: bool,
    /// CR0.PG.
    pub paging: bool,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ProbeEvent {
    /// Of a page fault `address` is the faulting linear address, else 0.
    Exception {
        vector: u8,
        error_code: Option<u16>,
        rip: u64,
        address: u64,
    },
    /// `rip` is the address of the instruction that it comes before.
    Interrupt {
        vector: u8,
        rip: u64,
    },
    /// `rip` is the address of the instruction that it comes before.
    Nmi {
        rip: u64,
    },
    /// The linear address.
    Instruction {
        address: u64,
    },
    /// The linear address.
    Block {
        address: u64,
    },
    /// The mode that holds from here on.
    ModeSwitch(Mode),
    /// `rip` is where it returns to; `arguments` are those of Linux: RDI RSI RDX R10 R8 R9.
    Syscall {
        rip: u64,
        number: u64,
        arguments: Box<[u64; 6]>,
    },
    /// `rip` is where it goes; `result` is RAX.
    SyscallReturn {
        rip: u64,
        result: u64,
    },
    /// `rip` is where it goes, at privilege level `cpl`.
    InterruptReturn {
        rip: u64,
        cpl: u8,
    },
    /// Register, and its value before and after.
    ControlWrite {
        register: u8,
        old: u64,
        value: u64,
    },
    /// CR3 before and after.
    AddressSpace {
        old: u64,
        value: u64,
    },
    MsrRead {
        msr: u32,
        value: u64,
    },
    MsrWrite {
        msr: u32,
        value: u64,
    },
    Load(MemoryAccess),
    Store(MemoryAccess),
    MmioRead(IoAccess),
    MmioWrite(IoAccess),
    PortRead(IoAccess),
    PortWrite(IoAccess),
    IrqLine {
        irq: u8,
        level: bool,
    },
    SerialOut {
        port: u8,
        byte: u8,
    },
    DebugConsole {
        byte: u8,
    },
    /// The class as it is called everywhere, and how many bytes came.
    Inbound {
        class: InboundClass,
        size: u32,
    },
    Reset {
        cause: ResetCause,
    },
    PowerOff,
    DebugExit {
        code: u32,
    },
    /// What pvpanic was told.
    GuestPanic {
        events: u8,
    },
    /// Where it goes, where it shall return to, and RSP, which points to that afterwards.
    Call {
        target: u64,
        back: u64,
        rsp: u64,
    },
    /// Where it goes, and RSP, which pointed to that before.
    Return {
        target: u64,
        rsp: u64,
    },
    ChipRead {
        chip: Chip,
        access: IoAccess,
    },
    ChipWrite {
        chip: Chip,
        access: IoAccess,
    },
    Timer {
        chip: Chip,
    },
    /// The linear page, and the physical one.
    TlbFill {
        address: u64,
        physical: u64,
    },
    /// The linear address of its first instruction, how many there are, and the bytes of host code.
    Translate {
        address: u64,
        instructions: u64,
        host_bytes: u64,
    },
    /// How many blocks.
    Flush {
        blocks: u64,
    },
    /// Where it leads.
    Link {
        address: u64,
    },
    /// How many pages were written since the one before.
    Checkpoint {
        pages: u64,
    },
    Seek,
}

/// The classes of inbound events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum InboundClass {
    Serial,
    SerialBreak,
    Keyboard,
    Reset,
    PowerButton,
    Nmi,
    Debugger,
    PortWrite,
}

impl InboundClass {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Serial,
        Self::SerialBreak,
        Self::Keyboard,
        Self::Reset,
        Self::PowerButton,
        Self::Nmi,
        Self::Debugger,
        Self::PortWrite,
    ];

    /// What it is called in lists.
    pub fn name(self) -> &'static str {
        match self {
            Self::Serial => "serial",
            Self::SerialBreak => "serial_break",
            Self::Keyboard => "keyboard",
            Self::Reset => "reset",
            Self::PowerButton => "power_button",
            Self::Nmi => "nmi",
            Self::Debugger => "debugger",
            Self::PortWrite => "port_write",
        }
    }
}

impl super::Inbound {
    /// Its class, and how many bytes it carries.
    pub fn class_and_size(&self) -> (InboundClass, usize) {
        match self {
            Self::Serial { port: _, bytes } => (InboundClass::Serial, bytes.len()),
            Self::SerialBreak { port: _ } => (InboundClass::SerialBreak, 0),
            Self::Keyboard { scan_codes } => (InboundClass::Keyboard, scan_codes.len()),
            Self::Reset => (InboundClass::Reset, 0),
            Self::PowerButton => (InboundClass::PowerButton, 0),
            Self::Nmi => (InboundClass::Nmi, 0),
            Self::Debugger(write) => (InboundClass::Debugger, write.change.size()),
            Self::PortWrite(write) => (InboundClass::PortWrite, usize::from(write.size)),
        }
    }
}

impl ProbeEvent {
    /// Its kind.
    #[inline]
    pub fn kind(&self) -> ProbeKind {
        match self {
            Self::Exception { .. } => ProbeKind::Exception,
            Self::Interrupt { .. } => ProbeKind::Interrupt,
            Self::Nmi { .. } => ProbeKind::Nmi,
            Self::Instruction { .. } => ProbeKind::Instruction,
            Self::Block { .. } => ProbeKind::Block,
            Self::ModeSwitch(_) => ProbeKind::ModeSwitch,
            Self::Syscall { .. } => ProbeKind::Syscall,
            Self::SyscallReturn { .. } => ProbeKind::SyscallReturn,
            Self::InterruptReturn { .. } => ProbeKind::InterruptReturn,
            Self::ControlWrite { .. } => ProbeKind::ControlWrite,
            Self::AddressSpace { .. } => ProbeKind::AddressSpace,
            Self::MsrRead { .. } => ProbeKind::MsrRead,
            Self::MsrWrite { .. } => ProbeKind::MsrWrite,
            Self::Load(_) => ProbeKind::Load,
            Self::Store(_) => ProbeKind::Store,
            Self::MmioRead(_) => ProbeKind::MmioRead,
            Self::MmioWrite(_) => ProbeKind::MmioWrite,
            Self::PortRead(_) => ProbeKind::PortRead,
            Self::PortWrite(_) => ProbeKind::PortWrite,
            Self::IrqLine { .. } => ProbeKind::IrqLine,
            Self::SerialOut { .. } => ProbeKind::SerialOut,
            Self::DebugConsole { .. } => ProbeKind::DebugConsole,
            Self::Inbound { .. } => ProbeKind::Inbound,
            Self::Reset { .. } => ProbeKind::Reset,
            Self::PowerOff => ProbeKind::PowerOff,
            Self::DebugExit { .. } => ProbeKind::DebugExit,
            Self::GuestPanic { .. } => ProbeKind::GuestPanic,
            Self::Call { .. } => ProbeKind::Call,
            Self::Return { .. } => ProbeKind::Return,
            Self::ChipRead { chip, .. } => ProbeKind::ChipRead(*chip),
            Self::ChipWrite { chip, .. } => ProbeKind::ChipWrite(*chip),
            Self::Timer { chip } => ProbeKind::Timer(*chip),
            Self::TlbFill { .. } => ProbeKind::TlbFill,
            Self::Translate { .. } => ProbeKind::Translate,
            Self::Flush { .. } => ProbeKind::Flush,
            Self::Link { .. } => ProbeKind::Link,
            Self::Checkpoint { .. } => ProbeKind::Checkpoint,
            Self::Seek => ProbeKind::Seek,
        }
    }

    /// The addresses (linear and physical, or a port, or of code) that filters on addresses ask
    /// for, and how many bytes from there; None: it has none.
    pub fn addresses(&self) -> Option<([u64; 2], u64)> {
        let one = |address: u64, size: u64| Some(([address; 2], size));
        match self {
            Self::Load(a) | Self::Store(a) => Some(([a.address, a.physical], a.size.into())),
            Self::MmioRead(a) | Self::MmioWrite(a) | Self::PortRead(a) | Self::PortWrite(a) => {
                one(a.address, a.size.into())
            }
            Self::ChipRead { access, .. } | Self::ChipWrite { access, .. } => {
                one(access.address, access.size.into())
            }
            Self::Instruction { address } | Self::Block { address } => one(*address, 1),
            Self::Exception { rip, .. }
            | Self::Interrupt { rip, .. }
            | Self::Nmi { rip }
            | Self::Syscall { rip, .. }
            | Self::SyscallReturn { rip, .. }
            | Self::InterruptReturn { rip, .. } => one(*rip, 1),
            Self::Call { target, .. } | Self::Return { target, .. } => one(*target, 1),
            Self::MsrRead { msr, .. } | Self::MsrWrite { msr, .. } => one((*msr).into(), 1),
            Self::TlbFill { address, physical } => Some(([*address, *physical], 1)),
            Self::Translate { address, .. } | Self::Link { address } => one(*address, 1),
            Self::ModeSwitch(_)
            | Self::ControlWrite { .. }
            | Self::AddressSpace { .. }
            | Self::IrqLine { .. }
            | Self::SerialOut { .. }
            | Self::DebugConsole { .. }
            | Self::Inbound { .. }
            | Self::Reset { .. }
            | Self::PowerOff
            | Self::DebugExit { .. }
            | Self::GuestPanic { .. }
            | Self::Timer { .. }
            | Self::Flush { .. }
            | Self::Checkpoint { .. }
            | Self::Seek => None,
        }
    }

    /// The value that filters on values ask for: what was read or written, the number of a
    /// system call, a vector, a byte.
    pub fn value(&self) -> Option<u64> {
        Some(match self {
            Self::Load(a) | Self::Store(a) => a.value,
            Self::MmioRead(a) | Self::MmioWrite(a) | Self::PortRead(a) | Self::PortWrite(a) => a.value,
            Self::ChipRead { access, .. } | Self::ChipWrite { access, .. } => access.value,
            Self::Exception { vector, .. } | Self::Interrupt { vector, .. } => (*vector).into(),
            Self::Syscall { number, .. } => *number,
            Self::SyscallReturn { result, .. } => *result,
            Self::ControlWrite { value, .. }
            | Self::AddressSpace { value, .. }
            | Self::MsrRead { value, .. }
            | Self::MsrWrite { value, .. } => *value,
            Self::IrqLine { irq, .. } => (*irq).into(),
            Self::SerialOut { byte, .. } | Self::DebugConsole { byte } => (*byte).into(),
            Self::DebugExit { code } => (*code).into(),
            Self::GuestPanic { events } => (*events).into(),
            Self::Nmi { .. }
            | Self::Instruction { .. }
            | Self::Block { .. }
            | Self::ModeSwitch(_)
            | Self::InterruptReturn { .. }
            | Self::Inbound { .. }
            | Self::Reset { .. }
            | Self::PowerOff
            | Self::Call { .. }
            | Self::Return { .. }
            | Self::Timer { .. }
            | Self::TlbFill { .. }
            | Self::Translate { .. }
            | Self::Flush { .. }
            | Self::Link { .. }
            | Self::Checkpoint { .. }
            | Self::Seek => return None,
        })
    }
}

/// An event with its place in the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRecord {
    /// Where: before it.
    pub position: Position,
    /// On which vCPU; None: on none, as of timers.
    pub vcpu: Option<u8>,
    /// Its privilege level; 0 if there is no vCPU.
    pub cpl: u8,
    /// Its CR3; 0 if there is no vCPU.
    pub cr3: u64,
    /// What.
    pub event: ProbeEvent,
}

impl ProbeRecord {
    /// On which vCPU.
    pub fn vcpu(&self) -> Option<VcpuId> {
        self.vcpu.map(VcpuId::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_numbered_in_order() {
        let all = ProbeKind::all().chain(ProbeKind::OF_THE_ENGINE);
        let numbers: Vec<usize> = all.map(ProbeKind::index).collect();
        assert_eq!(numbers, (0..ProbeKind::COUNT_WITH_ENGINE).collect::<Vec<_>>());
        assert!(ProbeKind::COUNT_WITH_ENGINE <= 128, "a bit for each");
    }

    #[test]
    fn every_class_of_input_is_listed_once() {
        // A class that is missing here does not compile: give it the next number, and a place in the list.
        let number = |class: InboundClass| match class {
            InboundClass::Serial => 0,
            InboundClass::SerialBreak => 1,
            InboundClass::Keyboard => 2,
            InboundClass::Reset => 3,
            InboundClass::PowerButton => 4,
            InboundClass::Nmi => 5,
            InboundClass::Debugger => 6,
            InboundClass::PortWrite => 7,
        };
        assert_eq!(InboundClass::ALL.map(number).to_vec(), (0..8).collect::<Vec<_>>());
        let names: std::collections::BTreeSet<_> = InboundClass::ALL.map(InboundClass::name).into();
        assert_eq!(names.len(), InboundClass::ALL.len());
    }
}
