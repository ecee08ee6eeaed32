//! Events as numbers and back: what formats store.

use super::values::cause_name;
use super::{Value, Values};
use dejavm_core::boundary::{InboundClass, IoAccess, MemoryAccess, Mode, ProbeEvent, ProbeKind, ResetCause};

/// The most arguments that an event has.
pub const MOST_ARGUMENTS: usize = 8;

const CAUSES: [ResetCause; 4] =
    [ResetCause::Button, ResetCause::ResetControl, ResetCause::KeyboardController, ResetCause::TripleFault];

/// What the text argument of an event can be, in the order of its numbers.
pub fn words(kind: ProbeKind) -> Vec<&'static str> {
    match kind {
        ProbeKind::Inbound => InboundClass::ALL.iter().map(|class| class.name()).collect(),
        ProbeKind::Reset => CAUSES.iter().map(|cause| cause_name(*cause)).collect(),
        _ => Vec::new(),
    }
}

/// Puts the values of an event's arguments into `numbers`; how many there are. A text is the
/// number of the word.
#[inline]
pub fn pack(event: &ProbeEvent, numbers: &mut [u64; MOST_ARGUMENTS]) -> usize {
    match event {
        ProbeEvent::Instruction { address } | ProbeEvent::Block { address } => {
            numbers[0] = *address;
            1
        }
        ProbeEvent::Load(a) | ProbeEvent::Store(a) => {
            numbers[..5].copy_from_slice(&[a.address, a.physical, a.size.into(), a.value, a.high]);
            5
        }
        ProbeEvent::Call { target, back, rsp } => {
            numbers[..3].copy_from_slice(&[*target, *back, *rsp]);
            3
        }
        ProbeEvent::Return { target, rsp } => {
            numbers[..2].copy_from_slice(&[*target, *rsp]);
            2
        }
        other => pack_rare(other, numbers),
    }
}

#[cold]
fn pack_rare(event: &ProbeEvent, numbers: &mut [u64; MOST_ARGUMENTS]) -> usize {
    let values = Values::of(event);
    for (number, value) in numbers.iter_mut().zip(values.iter()) {
        *number = match value {
            Value::U64(value) => *value,
            Value::Text(text) => {
                let words = words(event.kind());
                words.iter().position(|word| word == text).unwrap_or(words.len()) as u64
            }
        };
    }
    values.len()
}

/// The event of a kind with these arguments; None if it has not these.
pub fn unpack(kind: ProbeKind, numbers: &[u64]) -> Option<ProbeEvent> {
    let n = |k: usize| numbers.get(k).copied();
    let byte = |k: usize| u8::try_from(n(k)?).ok();
    let word = |k: usize| u32::try_from(n(k)?).ok();
    let flag = |k: usize| n(k).filter(|&v| v <= 1).map(|v| v == 1);
    let memory =
        || Some(MemoryAccess { address: n(0)?, physical: n(1)?, size: byte(2)?, value: n(3)?, high: n(4)? });
    let io = || Some(IoAccess { address: n(0)?, size: byte(1)?, value: n(2)? });
    Some(match kind {
        ProbeKind::Exception => {
            let vector = byte(0)?;
            let code = u16::try_from(n(1)?).ok()?;
            let error_code = (code != 0 || has_error_code(vector)).then_some(code);
            ProbeEvent::Exception { vector, error_code, rip: n(2)?, address: n(3)? }
        }
        ProbeKind::Interrupt => ProbeEvent::Interrupt { vector: byte(0)?, rip: n(1)? },
        ProbeKind::Nmi => ProbeEvent::Nmi { rip: n(0)? },
        ProbeKind::Instruction => ProbeEvent::Instruction { address: n(0)? },
        ProbeKind::Block => ProbeEvent::Block { address: n(0)? },
        ProbeKind::ModeSwitch => ProbeEvent::ModeSwitch(Mode {
            cpl: byte(0)?,
            code_bits: byte(1)?,
            long: flag(2)?,
            paging: flag(3)?,
        }),
        ProbeKind::Syscall => {
            let arguments = Box::new(numbers.get(2..8)?.try_into().ok()?);
            ProbeEvent::Syscall { rip: n(0)?, number: n(1)?, arguments }
        }
        ProbeKind::SyscallReturn => ProbeEvent::SyscallReturn { rip: n(0)?, result: n(1)? },
        ProbeKind::InterruptReturn => ProbeEvent::InterruptReturn { rip: n(0)?, cpl: byte(1)? },
        ProbeKind::ControlWrite => ProbeEvent::ControlWrite { register: byte(0)?, old: n(1)?, value: n(2)? },
        ProbeKind::AddressSpace => ProbeEvent::AddressSpace { old: n(0)?, value: n(1)? },
        ProbeKind::MsrRead => ProbeEvent::MsrRead { msr: word(0)?, value: n(1)? },
        ProbeKind::MsrWrite => ProbeEvent::MsrWrite { msr: word(0)?, value: n(1)? },
        ProbeKind::Load => ProbeEvent::Load(memory()?),
        ProbeKind::Store => ProbeEvent::Store(memory()?),
        ProbeKind::MmioRead => ProbeEvent::MmioRead(io()?),
        ProbeKind::MmioWrite => ProbeEvent::MmioWrite(io()?),
        ProbeKind::PortRead => ProbeEvent::PortRead(io()?),
        ProbeKind::PortWrite => ProbeEvent::PortWrite(io()?),
        ProbeKind::IrqLine => ProbeEvent::IrqLine { irq: byte(0)?, level: flag(1)? },
        ProbeKind::SerialOut => ProbeEvent::SerialOut { port: byte(0)?, byte: byte(1)? },
        ProbeKind::DebugConsole => ProbeEvent::DebugConsole { byte: byte(0)? },
        ProbeKind::Inbound => {
            ProbeEvent::Inbound { class: *InboundClass::ALL.get(n(0)? as usize)?, size: word(1)? }
        }
        ProbeKind::Reset => ProbeEvent::Reset { cause: *CAUSES.get(n(0)? as usize)? },
        ProbeKind::PowerOff => ProbeEvent::PowerOff,
        ProbeKind::DebugExit => ProbeEvent::DebugExit { code: word(0)? },
        ProbeKind::GuestPanic => ProbeEvent::GuestPanic { events: byte(0)? },
        ProbeKind::Call => ProbeEvent::Call { target: n(0)?, back: n(1)?, rsp: n(2)? },
        ProbeKind::Return => ProbeEvent::Return { target: n(0)?, rsp: n(1)? },
        ProbeKind::ChipRead(chip) => ProbeEvent::ChipRead { chip, access: io()? },
        ProbeKind::ChipWrite(chip) => ProbeEvent::ChipWrite { chip, access: io()? },
        ProbeKind::Timer(chip) => ProbeEvent::Timer { chip },
        // No trace of a run has them.
        ProbeKind::TlbFill
        | ProbeKind::Translate
        | ProbeKind::Flush
        | ProbeKind::Link
        | ProbeKind::Checkpoint
        | ProbeKind::Seek => return None,
    })
}

/// The exceptions that push an error code outside real mode (SDM vol. 3, 6.15).
fn has_error_code(vector: u8) -> bool {
    matches!(vector, 8 | 10..=14 | 17 | 21)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::all;

    #[test]
    fn every_event_comes_back() {
        for description in all() {
            // 1 is a value that every argument can have.
            let numbers = vec![1; description.arguments.len()];
            let event = unpack(description.kind, &numbers).unwrap_or_else(|| panic!("{}", description.name));
            assert_eq!(event.kind(), description.kind);
            let mut packed = [0; MOST_ARGUMENTS];
            let count = pack(&event, &mut packed);
            assert_eq!(packed[..count], numbers, "{}", description.name);
        }
        for kind in [ProbeKind::Inbound, ProbeKind::Reset] {
            assert!(unpack(kind, &[words(kind).len() as u64, 0]).is_none(), "a word that there is not");
        }
    }
}
