//! PCI host bridge and configuration space: mechanism #1 and ECAM (PCI Local Bus 3.0, 3.2.2.3.2
//! and chapter 6; PCI Express 4.0, 7.2.2).
//!
//! Bus 0 has one function, the host bridge 00:00.0; whatever else is asked for is not there
//! and reads as all ones.

use serde::{Deserialize, Serialize};

/// Vendor Intel, device 82441FX host bridge, revision 2, class 060000h.
const HOST_BRIDGE: [u32; 3] = [0x1237_8086, 0x0000_0006, 0x0600_0002];
const ENABLE: u32 = 1 << 31;

/// The host bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PciHost {
    address: u32,
}

impl PciHost {
    /// Reads CONFIG_ADDRESS (CF8h, 32 bits).
    pub fn address(&self) -> u32 {
        self.address
    }

    /// Writes CONFIG_ADDRESS; reserved bits read as zero.
    pub fn set_address(&mut self, value: u32) {
        self.address = value & 0x80FF_FFFC;
    }

    /// Reads the byte of CONFIG_DATA at `lane` (0 to 3).
    pub fn read_data(&self, lane: u16) -> u8 {
        if self.address & ENABLE == 0 {
            return 0xFF;
        }
        Self::config(self.address >> 8 & 0xFFFF, self.address & 0xFC | u32::from(lane))
    }

    /// Reads the byte at `offset` of the ECAM window.
    pub fn read_ecam(&self, offset: u64) -> u8 {
        Self::config((offset >> 12) as u32, offset as u32 & 0xFFF)
    }

    /// The configuration byte of a function (bus 15:8, device 7:3, function 2:0). Everything in
    /// the bridge's space is read-only.
    fn config(function: u32, register: u32) -> u8 {
        if function != 0 {
            return 0xFF;
        }
        let word = HOST_BRIDGE.get(register as usize / 4).copied().unwrap_or(0);
        word.to_le_bytes()[register as usize % 4]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(p: &mut PciHost, address: u32) -> u32 {
        p.set_address(address);
        u32::from_le_bytes([0, 1, 2, 3].map(|lane| p.read_data(lane)))
    }

    #[test]
    fn one_host_bridge_and_nothing_else() {
        let mut p = PciHost::default();
        assert_eq!(config(&mut p, 0x8000_0000), 0x1237_8086);
        assert_eq!(config(&mut p, 0x8000_0008) >> 16, 0x0600);
        assert_eq!(config(&mut p, 0x8000_003C), 0);
        for address in [0x8000_0100, 0x8000_0800, 0x8001_0000, 0] {
            assert_eq!(config(&mut p, address), u32::MAX, "{address:#x}");
        }
    }

    #[test]
    fn ecam_shows_the_same() {
        let p = PciHost::default();
        let word = |at: u64| u16::from_le_bytes([p.read_ecam(at), p.read_ecam(at + 1)]);
        assert_eq!([word(0), word(2), word(0x100), word(0x1000)], [0x8086, 0x1237, 0, 0xFFFF]);
    }
}
