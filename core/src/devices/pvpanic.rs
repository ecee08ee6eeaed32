//! The paravirtual panic device (QEMU, docs/specs/pvpanic.rst): a port by which a guest's kernel
//! says that it panicked. It has no state.

/// Reading tells which events the machine takes: the kernel panicked (bit 0), or panicked and a
/// crash kernel takes over (bit 1).
const EVENTS: u8 = 3;

/// What the port reads as.
pub fn read() -> u8 {
    EVENTS
}

/// What a write says, if it says anything.
pub fn write(value: u8) -> Option<u8> {
    Some(value & EVENTS).filter(|events| *events != 0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_known_events_are_told() {
        assert_eq!(super::read(), 3);
        assert_eq!([0, 1, 2, 4, 0xFF].map(super::write), [None, Some(1), Some(2), None, Some(3)]);
    }
}
