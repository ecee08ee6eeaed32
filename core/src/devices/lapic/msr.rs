//! The local APIC's MSRs: IA32_APIC_BASE, IA32_TSC_DEADLINE, x2APIC (SDM vol. 3, 11.4.4,
//! 11.5.4.1, 11.12).

use super::registers::ICR_LOW;
use super::timer::Mode;
use super::{BASE_BSP, BASE_ENABLE, BASE_EXTD, Lapic, LapicAction, Lvt};
use crate::devices::apic_message::{ApicMessage, DeliveryMode, Destination};
use crate::types::VirtualNs;

/// IA32_APIC_BASE.
pub const IA32_APIC_BASE: u32 = 0x1B;
/// IA32_TSC_DEADLINE.
pub const IA32_TSC_DEADLINE: u32 = 0x6E0;
const X2APIC_FIRST: u32 = 0x800;
const X2APIC_LAST: u32 = 0x8FF;
const SELF_IPI: u64 = 0x3F0;
/// The base's address bits, for 40 bits of physical address.
const BASE_ADDRESS: u64 = 0xFF_FFFF_F000;

impl Lapic {
    /// RDMSR; `None` if there is no such register now.
    pub fn read_msr(&mut self, now: VirtualNs, msr: u32) -> Option<u64> {
        self.advance(now);
        match msr {
            IA32_APIC_BASE => Some(self.base),
            IA32_TSC_DEADLINE => Some(self.timer.deadline),
            X2APIC_FIRST..=X2APIC_LAST if self.x2apic() => {
                let offset = u64::from(msr - X2APIC_FIRST) << 4;
                match offset {
                    ICR_LOW => Some(self.icr),
                    0x020 | 0x030 | 0x080 | 0x0A0 | 0x0D0 | 0x0F0 | 0x100..=0x280 | 0x320..=0x390 | 0x3E0 => {
                        Some(self.read(now, offset).into())
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// WRMSR; `Err` if it is refused.
    ///
    /// # Errors
    /// The value or the register is not allowed: #GP.
    pub fn write_msr(
        &mut self,
        now: VirtualNs,
        msr: u32,
        value: u64,
    ) -> Result<Option<LapicAction>, Refused> {
        self.advance(now);
        match msr {
            IA32_APIC_BASE => self.write_base(value).map(|()| None),
            IA32_TSC_DEADLINE => {
                // Ignored outside TSC-deadline mode.
                if Mode::of(self.lvt[Lvt::Timer as usize]) == Mode::TscDeadline {
                    self.timer.deadline = value;
                    self.advance(now);
                }
                Ok(None)
            }
            X2APIC_FIRST..=X2APIC_LAST if self.x2apic() => {
                self.write_x2apic(now, u64::from(msr - X2APIC_FIRST) << 4, value)
            }
            _ => Err(Refused),
        }
    }

    fn write_x2apic(
        &mut self,
        now: VirtualNs,
        offset: u64,
        value: u64,
    ) -> Result<Option<LapicAction>, Refused> {
        if offset == ICR_LOW {
            return Ok(self.send(value));
        }
        let zero_only = matches!(offset, 0x0B0 | 0x280);
        if value >> 32 != 0 || (zero_only && value != 0) {
            return Err(Refused);
        }
        match offset {
            0x080 | 0x0B0 | 0x0F0 | 0x280 | 0x320..=0x380 | 0x3E0 => {
                Ok(self.write(now, offset, value as u32))
            }
            SELF_IPI => Ok(Some(LapicAction::Send(ApicMessage {
                vector: value as u8,
                mode: DeliveryMode::Fixed,
                destination: Destination::SelfOnly,
                level: false,
            }))),
            _ => Err(Refused),
        }
    }

    fn write_base(&mut self, value: u64) -> Result<(), Refused> {
        let allowed = BASE_ADDRESS | BASE_BSP | BASE_ENABLE | BASE_EXTD;
        let mode = value & (BASE_ENABLE | BASE_EXTD);
        let old = self.base & (BASE_ENABLE | BASE_EXTD);
        // SDM figure 11-27: x2APIC is entered from xAPIC only, and left only by disabling.
        let bad = mode == BASE_EXTD
            || (old == 0 && mode == BASE_ENABLE | BASE_EXTD)
            || (old & BASE_EXTD != 0 && mode == BASE_ENABLE);
        if value & !allowed != 0 || bad {
            return Err(Refused);
        }
        self.base = value & !BASE_BSP | self.base & BASE_BSP;
        if mode == 0 && old != 0 {
            self.reset_registers();
            self.id = self.initial_id;
        }
        if mode & BASE_EXTD != 0 {
            self.id = self.initial_id;
        }
        Ok(())
    }
}

/// A WRMSR that raises #GP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;
