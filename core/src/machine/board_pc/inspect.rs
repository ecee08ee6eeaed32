//! Looking at the board without touching it: registers are read from a copy, since reading one
//! may change the chip.

use super::{Board, IrqCounts};
use crate::boundary::ProbeLog;
use crate::devices::pic_8259::PicRegisters;
use crate::machine::Machine;
use crate::types::{VcpuId, VirtualNs};

impl Board {
    /// The registers of both 8259s, the master first.
    pub fn pics(&self) -> [PicRegisters; 2] {
        self.state.pic.registers()
    }

    /// How often interrupt lines rose since a state was loaded, or since power-on.
    pub fn irq_counts(&self) -> IrqCounts {
        self.irqs
    }

    /// The levels of the ISA interrupt lines, bit n for IRQ n.
    pub fn isa_lines(&self) -> u16 {
        self.state.isa_lines
    }

    /// The levels of the I/O APIC's lines, bit n for pin n.
    pub fn ioapic_lines(&self) -> u32 {
        self.state.ioapic.lines()
    }

    /// A register of a local APIC, by its offset in the memory-mapped page, in whatever mode the
    /// APIC is.
    pub fn lapic_register(&mut self, vcpu: VcpuId, now: VirtualNs, offset: u64) -> u32 {
        self.state.lapics[vcpu].read(now, offset)
    }

    fn copy(&self) -> Self {
        Self {
            config: self.config.clone(),
            state: self.state.clone(),
            deadline: self.deadline,
            outbound: Vec::new(),
            request: None,
            probes: ProbeLog::default(),
            irqs: self.irqs,
        }
    }
}

impl Machine {
    /// A copy of the board as it is now: whatever is done with it, the machine does not notice.
    pub fn board_copy(&self) -> Board {
        self.board.copy()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boundary::MachineConfig;
    use crate::mem::IoBus as _;

    #[test]
    fn the_machine_does_not_notice_what_a_copy_is_asked() {
        let board = Board::new(&MachineConfig::default());
        let before = board.part_hashes();
        let mut copy = board.copy();
        for port in 0..=u16::MAX {
            copy.pio_read(0, 1000, port, 1);
        }
        copy.pio_write(0, 1000, 0x21, 1, 0);
        assert_ne!(copy.part_hashes(), before);
        assert_eq!(board.part_hashes(), before);
        assert_eq!((board.pics()[0].imr, copy.pics()[0].imr), (0xFF, 0));
        assert_eq!(copy.lapic_register(0, 1000, 0x30) & 0xFF, 0x14);
    }
}
