//! The arguments of one event, as values.

use dejavm_core::boundary::{IoAccess, MemoryAccess, ProbeEvent, ResetCause};

/// The value of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// An unsigned number.
    U64(u64),
    /// Text.
    Text(&'static str),
}

/// The most arguments that an event has.
const MOST: usize = 8;

/// The values of an event's arguments, in the order of its description.
#[derive(Clone, Copy, Debug)]
pub struct Values {
    list: [Value; MOST],
    len: usize,
}

impl std::ops::Deref for Values {
    type Target = [Value];
    fn deref(&self) -> &[Value] {
        &self.list[..self.len]
    }
}

impl Values {
    /// Those of an event.
    pub fn of(event: &ProbeEvent) -> Self {
        match event {
            ProbeEvent::Exception { vector, error_code, rip, address } => {
                Self::numbers([u64::from(*vector), error_code.map_or(0, u64::from), *rip, *address])
            }
            ProbeEvent::Interrupt { vector, rip } => Self::numbers([(*vector).into(), *rip]),
            ProbeEvent::Nmi { rip } => Self::numbers([*rip]),
            ProbeEvent::Instruction { address } | ProbeEvent::Block { address } => Self::numbers([*address]),
            ProbeEvent::ModeSwitch(mode) => {
                Self::numbers([mode.cpl.into(), mode.code_bits.into(), mode.long.into(), mode.paging.into()])
            }
            ProbeEvent::Syscall { rip, number, arguments } => {
                let [a, b, c, d, e, f] = **arguments;
                Self::numbers([*rip, *number, a, b, c, d, e, f])
            }
            ProbeEvent::SyscallReturn { rip, result } => Self::numbers([*rip, *result]),
            ProbeEvent::InterruptReturn { rip, cpl } => Self::numbers([*rip, (*cpl).into()]),
            ProbeEvent::ControlWrite { register, old, value } => {
                Self::numbers([(*register).into(), *old, *value])
            }
            ProbeEvent::AddressSpace { old, value } => Self::numbers([*old, *value]),
            ProbeEvent::MsrRead { msr, value } | ProbeEvent::MsrWrite { msr, value } => {
                Self::numbers([(*msr).into(), *value])
            }
            ProbeEvent::Load(access) | ProbeEvent::Store(access) => Self::of_memory(access),
            ProbeEvent::MmioRead(access)
            | ProbeEvent::MmioWrite(access)
            | ProbeEvent::PortRead(access)
            | ProbeEvent::PortWrite(access)
            | ProbeEvent::ChipRead { access, .. }
            | ProbeEvent::ChipWrite { access, .. } => Self::of_io(access),
            ProbeEvent::IrqLine { irq, level } => Self::numbers([(*irq).into(), (*level).into()]),
            ProbeEvent::SerialOut { port, byte } => Self::numbers([(*port).into(), (*byte).into()]),
            ProbeEvent::DebugConsole { byte } => Self::numbers([(*byte).into()]),
            ProbeEvent::Inbound { class, size } => {
                Self::new([Value::Text(class.name()), Value::U64((*size).into())])
            }
            ProbeEvent::Reset { cause } => Self::new([Value::Text(cause_name(*cause))]),
            ProbeEvent::DebugExit { code } => Self::numbers([(*code).into()]),
            ProbeEvent::GuestPanic { events } => Self::numbers([(*events).into()]),
            ProbeEvent::Call { target, back, rsp } => Self::numbers([*target, *back, *rsp]),
            ProbeEvent::Return { target, rsp } => Self::numbers([*target, *rsp]),
            ProbeEvent::TlbFill { address, physical } => Self::numbers([*address, *physical]),
            ProbeEvent::Translate { address, instructions, host_bytes } => {
                Self::numbers([*address, *instructions, *host_bytes])
            }
            ProbeEvent::Flush { blocks } => Self::numbers([*blocks]),
            ProbeEvent::Link { address } => Self::numbers([*address]),
            ProbeEvent::Checkpoint { pages } => Self::numbers([*pages]),
            ProbeEvent::PowerOff | ProbeEvent::Timer { .. } | ProbeEvent::Seek => Self::numbers([]),
        }
    }

    fn new<const N: usize>(values: [Value; N]) -> Self {
        let mut list = [Value::U64(0); MOST];
        list[..N].copy_from_slice(&values);
        Self { list, len: N }
    }

    fn numbers<const N: usize>(values: [u64; N]) -> Self {
        Self::new(values.map(Value::U64))
    }

    fn of_memory(a: &MemoryAccess) -> Self {
        Self::numbers([a.address, a.physical, a.size.into(), a.value, a.high])
    }

    fn of_io(a: &IoAccess) -> Self {
        Self::numbers([a.address, a.size.into(), a.value])
    }
}

/// What a cause of a reset is called.
pub(super) fn cause_name(cause: ResetCause) -> &'static str {
    match cause {
        ResetCause::Button => "button",
        ResetCause::ResetControl => "reset_control",
        ResetCause::KeyboardController => "keyboard_controller",
        ResetCause::TripleFault => "triple_fault",
    }
}
