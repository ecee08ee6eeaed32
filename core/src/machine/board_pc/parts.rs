//! The board's state chip by chip, so that a divergence can be named.

use super::{Board, BoardState};
use crate::machine::state_hash::hash_of;

impl Board {
    /// The hash of each chip, by name.
    pub fn part_hashes(&self) -> Vec<(String, u128)> {
        // Destructured in full: a new chip does not compile until it is hashed.
        let BoardState {
            pit,
            rtc,
            hpet,
            i8042,
            uarts,
            acpi_pm,
            system,
            pci,
            fw_cfg,
            pic,
            ioapic,
            lapics,
            isa_lines,
            hpet_pins,
        } = &self.state;
        let mut parts = vec![
            ("ioapic".to_owned(), hash_of(ioapic)),
            ("pic_8259".to_owned(), hash_of(pic)),
            ("pit_8254".to_owned(), hash_of(pit)),
            ("acpi_pm".to_owned(), hash_of(acpi_pm)),
            ("rtc_cmos".to_owned(), hash_of(rtc)),
            ("hpet".to_owned(), hash_of(hpet)),
            ("i8042".to_owned(), hash_of(i8042)),
            ("pci_host".to_owned(), hash_of(pci)),
            ("fw_cfg".to_owned(), hash_of(fw_cfg)),
            ("system_ports".to_owned(), hash_of(&(system, isa_lines, hpet_pins))),
        ];
        parts.extend(uarts.iter().enumerate().map(|(n, uart)| (format!("uart_16550.{n}"), hash_of(uart))));
        parts.extend(lapics.iter().enumerate().map(|(n, lapic)| (format!("lapic.{n}"), hash_of(lapic))));
        parts
    }

    /// Whether [`Self::take_outbound`] has something.
    #[inline]
    pub fn has_outbound(&self) -> bool {
        !self.outbound.is_empty()
    }
}
