//! The memory-mapped registers (SDM vol. 3, table 11-1).

use super::timer::Mode;
use super::{ESR_ILLEGAL_REGISTER, ESR_SEND_ILLEGAL, Lapic, LapicAction, Lvt, SVR_ENABLE};
use crate::devices::apic_message::{ApicMessage, DeliveryMode, Destination};
use crate::types::VirtualNs;

/// Version 14h, six LVT entries.
const VERSION: u32 = 0x0005_0014;

/// Offset of the ICR's low half.
pub(super) const ICR_LOW: u64 = 0x300;

impl Lapic {
    /// Reads the register at `offset` (a multiple of 16) of the page.
    pub fn read(&mut self, now: VirtualNs, offset: u64) -> u32 {
        self.advance(now);
        let word = (offset >> 4 & 7) as usize;
        match offset {
            0x020 if self.x2apic() => self.id,
            0x020 => self.id << 24,
            0x030 => VERSION,
            0x080 => self.tpr.into(),
            0x0A0 => self.ppr().into(),
            // APR, EOI and remote read exist and read as zero.
            0x090 | 0x0B0 | 0x0C0 => 0,
            0x0D0 if self.x2apic() => self.x2apic_ldr(),
            0x0D0 => self.ldr,
            0x0E0 => self.dfr,
            0x0F0 => self.svr,
            0x100..=0x170 => self.isr.0[word],
            0x180..=0x1F0 => self.tmr.0[word],
            0x200..=0x270 => self.irr.0[word],
            0x280 => self.esr,
            ICR_LOW => self.icr as u32,
            0x310 => (self.icr >> 32) as u32,
            0x320..=0x370 => self.lvt[(offset as usize - 0x320) >> 4],
            0x380 => self.timer.initial,
            0x390 => self.current_count(now),
            0x3E0 => self.timer.divide(),
            _ => {
                self.error(ESR_ILLEGAL_REGISTER);
                0
            }
        }
    }

    fn current_count(&self, now: VirtualNs) -> u32 {
        let lvt = self.lvt[Lvt::Timer as usize];
        if Mode::of(lvt) == Mode::TscDeadline { 0 } else { self.timer.current(now, lvt) }
    }

    /// Writes the register at `offset` (a multiple of 16) of the page.
    pub fn write(&mut self, now: VirtualNs, offset: u64, value: u32) -> Option<LapicAction> {
        self.advance(now);
        let timer_lvt = self.lvt[Lvt::Timer as usize];
        match offset {
            0x020 => self.id = value >> 24,
            0x080 => self.tpr = value as u8,
            0x0B0 => return self.end_of_interrupt(),
            0x0D0 => self.ldr = value & 0xFF00_0000,
            0x0E0 => self.dfr = value | 0x0FFF_FFFF,
            0x0F0 => self.write_svr(value),
            0x280 => self.esr = std::mem::take(&mut self.errors),
            ICR_LOW => return self.send(u64::from(value) | self.icr & !0xFFFF_FFFF),
            0x310 => self.icr = self.icr & 0xFFFF_FFFF | u64::from(value & 0xFF00_0000) << 32,
            0x320 => {
                self.write_lvt(0, value);
                self.timer.change_mode(timer_lvt, self.lvt[0]);
            }
            0x330..=0x370 => self.write_lvt((offset as usize - 0x320) >> 4, value),
            0x380 => self.timer.set_initial(now, timer_lvt, value),
            0x3E0 => self.timer.set_divide(now, timer_lvt, value),
            // Read-only registers swallow writes.
            0x030 | 0x090 | 0x0A0 | 0x0C0 | 0x100..=0x270 | 0x390 => {}
            _ => self.error(ESR_ILLEGAL_REGISTER),
        }
        None
    }

    fn write_svr(&mut self, value: u32) {
        self.svr = value & 0x3FF;
        if value & SVR_ENABLE == 0 {
            self.mask_all_lvt();
        }
    }

    /// Writes the whole ICR, which sends (SDM 11.6.1).
    pub(super) fn send(&mut self, icr: u64) -> Option<LapicAction> {
        // Bit 12, delivery status, reads as idle: messages arrive at once.
        self.icr = icr & 0xFFFF_FFFF_000C_CFFF;
        let vector = icr as u8;
        let mode = DeliveryMode::from_bits((icr >> 8) as u32);
        let assert = icr & 1 << 14 != 0;
        let level = icr & 1 << 15 != 0;
        if mode == DeliveryMode::Init && level && !assert {
            // INIT level de-assert sets arbitration IDs, which do not exist any more.
            return None;
        }
        if matches!(mode, DeliveryMode::Fixed | DeliveryMode::LowestPriority) && vector < 16 {
            self.error(ESR_SEND_ILLEGAL);
            return None;
        }
        let target = if self.x2apic() { (icr >> 32) as u32 } else { (icr >> 56) as u32 };
        let destination = match icr >> 18 & 3 {
            0 if icr & 1 << 11 != 0 => Destination::Logical(target),
            0 => Destination::Physical(target),
            1 => Destination::SelfOnly,
            2 => Destination::All,
            _ => Destination::Others,
        };
        // Only I/O APICs send level-triggered vectors.
        Some(LapicAction::Send(ApicMessage { vector, mode, destination, level: false }))
    }
}
