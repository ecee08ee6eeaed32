//! A write to an I/O port by whoever sits before the machine: the monitor's `o`.

use serde::{Deserialize, Serialize};

/// What OUT would do, done from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortWrite {
    /// The port.
    pub port: u16,
    /// The number of bytes: 1, 2 or 4.
    pub size: u8,
    /// The value, of which the lowest `size` bytes count.
    pub value: u32,
}

impl PortWrite {
    /// The bytes that are written, and zeros.
    pub fn masked_value(&self) -> u32 {
        let unused_bits = 32 - 8 * u32::from(self.size.clamp(1, 4));
        self.value & u32::MAX >> unused_bits
    }

    /// Whether a CPU could write so many bytes at once. What comes from a file must be checked.
    pub fn is_possible(&self) -> bool {
        matches!(self.size, 1 | 2 | 4)
    }
}
