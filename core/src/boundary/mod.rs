//! The door: everything that crosses between the machine and the outside, as values.
//!
//! Into the machine go its configuration and images (once) and inbound events (each at an exact
//! position); out of it come outbound events, which are a function of what went in. The enums
//! are closed and matched without `_`, so that a new class of input leads through every place
//! that must know it.

mod debugger;
mod port_write;
mod probe;
mod stop_point;

pub use debugger::{Change, CpuRegister, DebuggerWrite};
pub use port_write::PortWrite;
pub use probe::{
    Chip, InboundClass, IoAccess, MemoryAccess, Mode, Origin, ProbeEvent, ProbeFilter, ProbeKind, ProbeLog,
    ProbeRecord, ProbeRule, ProbeSettings,
};
pub use stop_point::{
    HitCause, OnHit, Space, StopCondition, StopHit, StopHits, StopPoint, StopPoints, Watch, WatchKind,
};

use crate::types::{Icount, VirtualNs};
use serde::{Deserialize, Serialize};

/// Where a run is: what an inbound event is stamped with.
///
/// Icount alone does not tell two moments of one idle stretch apart; virtual time does.
/// Ordered by icount, then by time (both never decrease).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Instructions retired.
    pub icount: Icount,
    /// Virtual time.
    pub now_ns: VirtualNs,
}

/// All that decides what the machine is, apart from its images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineConfig {
    /// The number of vCPUs, 1 to [`crate::types::MAX_VCPUS`].
    pub vcpus: u32,
    /// The size of RAM, in bytes.
    pub ram_bytes: u64,
    /// The kernel command line.
    pub command_line: String,
    /// Seeds RDRAND and RDSEED, and the boot protocol's random seed.
    pub seed: u64,
    /// What the RTC shows at power-on: seconds since 1970-01-01 UTC.
    pub rtc_start_unix_s: i64,
    /// How many instructions a vCPU runs before the next has its turn.
    pub quantum_icount: u32,
}

impl Default for MachineConfig {
    fn default() -> Self {
        Self {
            vcpus: 1,
            ram_bytes: 256 << 20,
            command_line: String::new(),
            seed: 0,
            rtc_start_unix_s: 1_700_000_000,
            quantum_icount: 50_000,
        }
    }
}

/// What is loaded into RAM at power-on and at each reset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Images {
    /// The kernel: a bzImage, or an ELF with a PVH note or a 64-bit entry point.
    pub kernel: Vec<u8>,
    /// The initial RAM disk.
    pub initrd: Option<Vec<u8>>,
}

/// What comes in from outside while the machine runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Inbound {
    /// Bytes arriving at a UART; at most [`crate::machine::Machine::serial_room`] of them.
    Serial {
        /// The UART's number, from 0.
        port: u8,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A break condition on a UART's line.
    SerialBreak {
        /// The UART's number, from 0.
        port: u8,
    },
    /// Scan codes (set 1) from the keyboard.
    Keyboard {
        /// The codes, as the i8042 hands them to the guest.
        scan_codes: Vec<u8>,
    },
    /// The reset button.
    Reset,
    /// The power button (ACPI).
    PowerButton,
    /// A non-maskable interrupt to every vCPU.
    Nmi,
    /// What a debugger writes: RAM, or registers.
    Debugger(DebuggerWrite),
    /// A write to an I/O port.
    PortWrite(PortWrite),
}

/// What the machine gives to the outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outbound {
    /// A byte that a UART sent.
    Serial {
        /// The UART's number, from 0.
        port: u8,
        /// The byte.
        byte: u8,
    },
    /// A byte written to the debug console (port E9h).
    DebugConsole(u8),
    /// The guest's kernel says that it panicked (pvpanic): bit 0, or bit 1 if a crash kernel takes
    /// over.
    GuestPanic(u8),
    /// The machine was reset, and goes on.
    Reset(ResetCause),
    /// The machine is off; nothing runs any more.
    PowerOff,
    /// The guest asked to end the run with a code (the debug-exit port).
    DebugExit(u32),
}

/// Why a machine was reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResetCause {
    /// From outside.
    Button,
    /// ACPI reset register or port CF9h.
    ResetControl,
    /// The i8042's reset line.
    KeyboardController,
    /// A triple fault.
    TripleFault,
}
