//! The memory-mapped side of the address decoder, and the local APICs' MSRs.

use super::Board;
use super::layout::{CHIP_BYTES, ECAM_BASE, ECAM_BYTES, HPET_BASE, IOAPIC_BASE};
use super::ports::chip_at;
use crate::boundary::{Chip, IoAccess, ProbeEvent, ProbeKind, ProbeLog};
use crate::mem::IoBus;
use crate::types::{Gpa, VcpuId, VirtualNs};

/// Which chip answers at an address.
enum Target {
    Lapic(u64),
    IoApic(u64),
    Hpet(u64),
    Ecam(u64),
    Nobody,
}

impl Board {
    fn note_read(&mut self, chip: Option<Chip>, access: IoAccess) {
        if let Some(chip) = chip.filter(|&chip| self.probes.wants(ProbeKind::ChipRead(chip))) {
            self.probes.push(ProbeEvent::ChipRead { chip, access });
        }
    }

    fn note_write(&mut self, chip: Option<Chip>, access: IoAccess) {
        if let Some(chip) = chip.filter(|&chip| self.probes.wants(ProbeKind::ChipWrite(chip))) {
            self.probes.push(ProbeEvent::ChipWrite { chip, access });
        }
    }

    fn decode(&self, vcpu: VcpuId, gpa: Gpa) -> Target {
        let within = |base: u64, bytes: u64| (base..base + bytes).contains(&gpa.0).then(|| gpa.0 - base);
        if self.state.lapics[vcpu].owns(gpa.0) {
            Target::Lapic(gpa.0 & 0xFFF)
        } else if let Some(offset) = within(IOAPIC_BASE, CHIP_BYTES) {
            Target::IoApic(offset)
        } else if let Some(offset) = within(HPET_BASE, CHIP_BYTES) {
            Target::Hpet(offset)
        } else if let Some(offset) = within(ECAM_BASE, ECAM_BYTES) {
            Target::Ecam(offset)
        } else {
            Target::Nobody
        }
    }
}

/// The part of a 32-bit register at byte `offset` of it, `size` bytes wide.
fn part(value: u32, offset: u64, size: u8) -> u64 {
    let shifted = u64::from(value) >> (8 * (offset & 3));
    shifted & ones(size)
}

/// All ones in `size` bytes.
fn ones(size: u8) -> u64 {
    u64::MAX >> (64 - 8 * u32::from(size))
}

impl Target {
    fn chip(&self) -> Option<Chip> {
        match self {
            Self::Lapic(_) => Some(Chip::Lapic),
            Self::IoApic(_) => Some(Chip::Ioapic),
            Self::Hpet(_) => Some(Chip::Hpet),
            Self::Ecam(_) => Some(Chip::Pci),
            Self::Nobody => None,
        }
    }
}

impl IoBus for Board {
    fn interrupt_pending(&self, vcpu: VcpuId) -> bool {
        Board::interrupt_pending(self, vcpu)
    }

    fn quiet_until(&self) -> Option<VirtualNs> {
        let busy = self.has_request()
            || self.state.fw_cfg.dma_pending()
            || self.state.lapics.iter().any(|lapic| lapic.has_signals());
        (!busy).then_some(self.deadline)
    }

    fn pio_read(&mut self, _vcpu: VcpuId, now: VirtualNs, port: u16, size: u8) -> u32 {
        self.advance(now);
        let value = self.read_ports(now, port, size);
        self.note_read(chip_at(port), IoAccess { address: port.into(), size, value: value.into() });
        self.settle();
        value
    }

    fn pio_write(&mut self, _vcpu: VcpuId, now: VirtualNs, port: u16, size: u8, value: u32) {
        self.advance(now);
        self.note_write(chip_at(port), IoAccess { address: port.into(), size, value: value.into() });
        self.write_ports(now, port, size, value);
        self.settle();
    }

    fn mmio_read(&mut self, vcpu: VcpuId, now: VirtualNs, gpa: Gpa, size: u8) -> u64 {
        self.advance(now);
        let target = self.decode(vcpu, gpa);
        let chip = target.chip();
        // Nothing was due, so a look at its counter leaves no line and no deadline to follow.
        let settled = matches!(target, Target::Hpet(_));
        let value = match target {
            Target::Lapic(offset) => part(self.state.lapics[vcpu].read(now, offset & !0xF), offset, size),
            Target::IoApic(offset) => part(self.state.ioapic.read(offset & !0xF), offset, size),
            Target::Hpet(offset) => self.state.hpet.read(now, offset, size),
            Target::Ecam(offset) => {
                (0..u64::from(size)).map(|k| u64::from(self.state.pci.read_ecam(offset + k)) << (8 * k)).sum()
            }
            Target::Nobody => ones(size),
        };
        self.note_read(chip, IoAccess { address: gpa.0, size, value });
        if !settled {
            self.settle();
        }
        value
    }

    fn mmio_write(&mut self, vcpu: VcpuId, now: VirtualNs, gpa: Gpa, size: u8, value: u64) {
        self.advance(now);
        let target = self.decode(vcpu, gpa);
        self.note_write(target.chip(), IoAccess { address: gpa.0, size, value });
        match target {
            // Registers are written as a whole, at their first byte (SDM vol. 3, 11.4.1).
            Target::Lapic(offset) if offset & 0xF == 0 => {
                if let Some(action) = self.state.lapics[vcpu].write(now, offset, value as u32) {
                    self.act(vcpu, action);
                }
            }
            Target::IoApic(offset) if offset & 0xF == 0 => {
                let messages = self.state.ioapic.write(offset, value as u32);
                self.deliver_all(&messages);
            }
            Target::Hpet(offset) => self.state.hpet.write(now, offset, size, value),
            Target::Lapic(_) | Target::IoApic(_) | Target::Ecam(_) | Target::Nobody => {}
        }
        self.settle();
    }

    fn apic_msr_read(&mut self, vcpu: VcpuId, now: VirtualNs, msr: u32) -> Option<u64> {
        self.advance(now);
        let value = self.state.lapics[vcpu].read_msr(now, msr);
        if let Some(value) = value {
            self.note_read(Some(Chip::Lapic), IoAccess { address: msr.into(), size: 8, value });
        }
        value
    }

    fn apic_msr_write(&mut self, vcpu: VcpuId, now: VirtualNs, msr: u32, value: u64) -> bool {
        self.advance(now);
        self.note_write(Some(Chip::Lapic), IoAccess { address: msr.into(), size: 8, value });
        let result = self.state.lapics[vcpu].write_msr(now, msr, value);
        if let Ok(Some(action)) = result {
            self.act(vcpu, action);
        }
        self.settle();
        result.is_ok()
    }

    fn cr8(&self, vcpu: VcpuId) -> u64 {
        self.state.lapics[vcpu].cr8()
    }

    fn set_cr8(&mut self, vcpu: VcpuId, now: VirtualNs, value: u64) {
        self.advance(now);
        self.state.lapics[vcpu].set_cr8(value);
    }

    fn probe_log(&mut self) -> Option<&mut ProbeLog> {
        Some(&mut self.probes)
    }
}
