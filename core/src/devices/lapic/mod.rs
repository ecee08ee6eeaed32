//! Local APIC (SDM vol. 3, chapter 11): registers, interrupt acceptance, IPIs, local vectors.
//!
//! The timer is in [`timer`], the way in through MSRs (APIC base, TSC deadline, x2APIC) in
//! `msr`. What concerns other APICs is handed out as a [`LapicAction`].

mod local_vector;
mod msr;
mod registers;
#[cfg(test)]
mod tests;
mod timer;

use super::apic_message::{ApicMessage, DeliveryMode, Destination};
use crate::types::{VcpuId, VirtualNs};
pub use local_vector::Lvt;
use serde::{Deserialize, Serialize};
use timer::Timer;

/// Where a local APIC answers after reset.
pub const DEFAULT_BASE: u64 = 0xFEE0_0000;

/// IA32_APIC_BASE: this is the bootstrap processor.
const BASE_BSP: u64 = 1 << 8;
/// IA32_APIC_BASE: x2APIC mode.
const BASE_EXTD: u64 = 1 << 10;
/// IA32_APIC_BASE: enabled.
const BASE_ENABLE: u64 = 1 << 11;

const SVR_ENABLE: u32 = 1 << 8;

/// ESR: tried to send a vector below 16.
const ESR_SEND_ILLEGAL: u32 = 1 << 5;
/// ESR: received a vector below 16.
const ESR_RECEIVE_ILLEGAL: u32 = 1 << 6;
/// ESR: access to a register that does not exist.
const ESR_ILLEGAL_REGISTER: u32 = 1 << 7;

/// What a local APIC hands its vCPU apart from vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VcpuSignals {
    /// A non-maskable interrupt.
    pub nmi: bool,
    /// INIT; comes before a start-up in the same value.
    pub init: bool,
    /// Start-up: begin at this vector * 4096.
    pub sipi: Option<u8>,
}

impl VcpuSignals {
    /// Whether there is any.
    pub fn any(&self) -> bool {
        self.nmi || self.init || self.sipi.is_some()
    }
}

/// What a register write asks of the other APICs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LapicAction {
    /// Send an IPI.
    Send(ApicMessage),
    /// Tell the I/O APIC that a level-triggered vector was served.
    Eoi(u8),
}

/// 256 bits, one per vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct VectorSet([u32; 8]);

impl VectorSet {
    fn set(&mut self, vector: u8, on: bool) {
        let word = &mut self.0[usize::from(vector >> 5)];
        let bit = 1 << (vector & 31);
        *word = if on { *word | bit } else { *word & !bit };
    }

    fn has(&self, vector: u8) -> bool {
        self.0[usize::from(vector >> 5)] & 1 << (vector & 31) != 0
    }

    fn highest(&self) -> Option<u8> {
        let word = self.0.iter().rposition(|&w| w != 0)?;
        Some((word * 32 + 31 - self.0[word].leading_zeros() as usize) as u8)
    }
}

/// A local APIC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lapic {
    initial_id: u32,
    base: u64,
    id: u32,
    tpr: u8,
    ldr: u32,
    dfr: u32,
    svr: u32,
    irr: VectorSet,
    isr: VectorSet,
    tmr: VectorSet,
    esr: u32,
    /// Errors since the last write of the ESR.
    errors: u32,
    icr: u64,
    lvt: [u32; Lvt::COUNT],
    lint: [bool; 2],
    timer: Timer,
    signals: VcpuSignals,
}

impl Lapic {
    /// A local APIC after power-up.
    pub fn new(vcpu: VcpuId) -> Self {
        let bsp = if vcpu == 0 { BASE_BSP } else { 0 };
        let mut apic = Self {
            initial_id: vcpu as u32,
            base: DEFAULT_BASE | BASE_ENABLE | bsp,
            id: vcpu as u32,
            tpr: 0,
            ldr: 0,
            dfr: 0,
            svr: 0,
            irr: VectorSet::default(),
            isr: VectorSet::default(),
            tmr: VectorSet::default(),
            esr: 0,
            errors: 0,
            icr: 0,
            lvt: [0; Lvt::COUNT],
            lint: [false; 2],
            timer: Timer::default(),
            signals: VcpuSignals::default(),
        };
        apic.reset_registers();
        apic
    }

    /// The state after power-up or INIT (SDM 11.4.7.1 and 11.4.7.3): the ID and the base stay.
    fn reset_registers(&mut self) {
        self.tpr = 0;
        self.ldr = 0;
        self.dfr = 0xFFFF_FFFF;
        self.svr = 0xFF;
        self.irr = VectorSet::default();
        self.isr = VectorSet::default();
        self.tmr = VectorSet::default();
        self.esr = 0;
        self.errors = 0;
        self.icr = 0;
        self.lvt = [Lvt::MASKED; Lvt::COUNT];
        self.timer = Timer::default();
    }

    /// What firmware leaves behind on the bootstrap processor: virtual wire mode (MP
    /// specification 1.4, 3.6.2.2), so that the 8259 reaches it, and NMI at LINT1.
    pub fn enter_virtual_wire_mode(&mut self) {
        self.svr |= SVR_ENABLE;
        self.lvt[Lvt::Lint0 as usize] = 0x700;
        self.lvt[Lvt::Lint1 as usize] = 0x400;
    }

    /// Whether the register page at `gpa` is this APIC's.
    pub fn owns(&self, gpa: u64) -> bool {
        self.base & (BASE_ENABLE | BASE_EXTD) == BASE_ENABLE && (self.base ^ gpa) >> 12 == 0
    }

    /// Whether IA32_APIC_BASE has it enabled.
    pub fn hardware_enabled(&self) -> bool {
        self.base & BASE_ENABLE != 0
    }

    fn x2apic(&self) -> bool {
        self.base & BASE_EXTD != 0
    }

    fn software_enabled(&self) -> bool {
        self.svr & SVR_ENABLE != 0
    }

    /// Whether a message with this destination is for this APIC (SDM 11.6.2).
    pub fn matches(&self, destination: Destination) -> bool {
        match destination {
            Destination::Physical(id) => id == self.id || id == 0xFF || id == u32::MAX,
            Destination::Logical(mda) if self.x2apic() => {
                let ldr = self.x2apic_ldr();
                mda == u32::MAX || (mda ^ ldr) >> 16 == 0 && mda & ldr & 0xFFFF != 0
            }
            Destination::Logical(mda) => self.matches_logical(mda as u8),
            Destination::All => true,
            // The sender is not known here: the board settles these two.
            Destination::SelfOnly | Destination::Others => false,
        }
    }

    fn matches_logical(&self, mda: u8) -> bool {
        let ldr = (self.ldr >> 24) as u8;
        if mda == 0xFF {
            return true;
        }
        match self.dfr >> 28 {
            0xF => mda & ldr != 0,
            0x0 => (mda ^ ldr) >> 4 == 0 && mda & ldr & 0x0F != 0,
            _ => false,
        }
    }

    fn x2apic_ldr(&self) -> u32 {
        (self.id >> 4) << 16 | 1 << (self.id & 15)
    }

    /// Whether it takes part in lowest-priority arbitration.
    pub fn can_arbitrate(&self) -> bool {
        self.hardware_enabled() && self.software_enabled()
    }

    /// Takes a message that is for this APIC.
    pub fn accept(&mut self, message: &ApicMessage) {
        if !self.hardware_enabled() && message.mode != DeliveryMode::Init {
            return;
        }
        match message.mode {
            DeliveryMode::Fixed | DeliveryMode::LowestPriority => {
                self.accept_vector(message.vector, message.level);
            }
            DeliveryMode::Nmi => self.signals.nmi = true,
            DeliveryMode::Init => {
                self.reset_registers();
                self.signals = VcpuSignals { nmi: false, init: true, sipi: None };
            }
            DeliveryMode::StartUp => self.signals.sipi = Some(message.vector),
            // ExtINT is a level that the board looks at; SMI and reserved do nothing here.
            DeliveryMode::ExtInt | DeliveryMode::Smi | DeliveryMode::Reserved => {}
        }
    }

    fn accept_vector(&mut self, vector: u8, level: bool) {
        if !self.software_enabled() {
            return;
        }
        if vector < 16 {
            self.error(ESR_RECEIVE_ILLEGAL);
            return;
        }
        self.irr.set(vector, true);
        self.tmr.set(vector, level);
    }

    fn error(&mut self, bit: u32) {
        let new = self.errors & bit == 0;
        self.errors |= bit;
        let lvt = self.lvt[Lvt::Error as usize];
        // An error vector that is itself illegal must not raise errors for ever.
        if new && lvt & Lvt::MASKED == 0 && lvt as u8 >= 16 {
            self.accept_vector(lvt as u8, false);
        }
    }

    /// The processor priority (SDM 11.8.3.1).
    pub fn ppr(&self) -> u8 {
        let in_service = self.isr.highest().unwrap_or(0);
        if self.tpr >> 4 >= in_service >> 4 { self.tpr } else { in_service & 0xF0 }
    }

    /// The vector that would be delivered now.
    pub fn pending_vector(&self) -> Option<u8> {
        if !self.hardware_enabled() {
            return None;
        }
        self.irr.highest().filter(|v| v >> 4 > self.ppr() >> 4)
    }

    /// Delivers the pending vector: it is in service now.
    pub fn acknowledge(&mut self) -> Option<u8> {
        let vector = self.pending_vector()?;
        self.irr.set(vector, false);
        self.isr.set(vector, true);
        Some(vector)
    }

    /// Whether INTR of the 8259 passes through LINT0 to the processor.
    pub fn extint_open(&self) -> bool {
        !self.hardware_enabled() || self.lvt[Lvt::Lint0 as usize] & (Lvt::MASKED | 0x700) == 0x700
    }

    fn end_of_interrupt(&mut self) -> Option<LapicAction> {
        let vector = self.isr.highest()?;
        self.isr.set(vector, false);
        self.local_eoi(vector);
        self.tmr.has(vector).then_some(LapicAction::Eoi(vector))
    }

    /// TPR bits 7:4.
    pub fn cr8(&self) -> u64 {
        u64::from(self.tpr >> 4)
    }

    /// Sets TPR bits 7:4, and 3:0 to zero.
    pub fn set_cr8(&mut self, value: u64) {
        self.tpr = (value as u8) << 4;
    }

    /// Whether a signal waits for the vCPU.
    pub fn has_signals(&self) -> bool {
        self.signals.any()
    }

    /// Takes what waits for the vCPU.
    pub fn take_signals(&mut self) -> VcpuSignals {
        std::mem::take(&mut self.signals)
    }

    /// An NMI from outside the APIC bus.
    pub fn signal_nmi(&mut self) {
        self.signals.nmi = true;
    }

    /// When the timer strikes.
    pub fn next_deadline(&self) -> Option<VirtualNs> {
        self.timer.next_deadline(self.lvt[Lvt::Timer as usize])
    }

    /// Brings the chip to `now`.
    pub fn advance(&mut self, now: VirtualNs) {
        let lvt = self.lvt[Lvt::Timer as usize];
        if self.timer.advance(now, lvt) && lvt & Lvt::MASKED == 0 {
            self.accept_vector(lvt as u8, false);
        }
    }
}
