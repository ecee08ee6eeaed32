//! Interrupt wiring: chips to the 8259s and the I/O APIC, APIC messages to their targets, and
//! what a vCPU sees of it.
//!
//! ISA IRQ n goes to the 8259 and to I/O APIC pin n, but IRQ 0 to pin 2. The 8259's INTR goes
//! to LINT0 of the bootstrap processor and to I/O APIC pin 0 (MP specification 1.4, 3.6.2).

use super::layout::{KEYBOARD_IRQ, PIC_GSI, RTC_IRQ, SCI_IRQ, TIMER_GSI, TIMER_IRQ, UART_IRQS};
use super::{Board, VcpuSignals};
use crate::boundary::ProbeEvent;
use crate::devices::apic_message::{ApicMessage, DeliveryMode, Destination};
use crate::devices::hpet::{self, Output};
use crate::devices::lapic::LapicAction;
use crate::types::{Icount, VcpuId, VirtualNs};

/// How often interrupt lines rose. That is no state of the machine: it is counted anew from wherever a state
/// is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IrqCounts {
    /// The place where counting began.
    pub since: Icount,
    /// Of the ISA lines, by IRQ.
    pub lines: [u64; 16],
    /// Of the I/O APIC pins that the HPET drives itself, by pin.
    pub pins: [u64; 32],
}

impl Board {
    /// Whether `vcpu` has an interrupt that its local APIC would deliver now.
    #[inline]
    pub fn interrupt_pending(&self, vcpu: VcpuId) -> bool {
        self.extint_pending(vcpu) || self.state.lapics[vcpu].pending_vector().is_some()
    }

    /// The 8259 reaches the bootstrap processor only.
    fn extint_pending(&self, vcpu: VcpuId) -> bool {
        if vcpu != 0 || !self.state.pic.intr() {
            return false;
        }
        let lapic = &self.state.lapics[0];
        lapic.extint_open() || self.state.ioapic.extint(PIC_GSI).is_some_and(|d| lapic.matches(d))
    }

    /// The vCPU takes its interrupt: the vector, which is in service from now on. Vectors of
    /// the 8259 come first, as their INTA cycle bypasses the APIC's priorities.
    pub fn acknowledge(&mut self, vcpu: VcpuId, now: VirtualNs) -> Option<u8> {
        self.advance(now);
        let vector = if self.extint_pending(vcpu) {
            Some(self.state.pic.acknowledge())
        } else {
            self.state.lapics[vcpu].acknowledge()
        };
        self.settle();
        vector
    }

    /// Whether NMI, INIT or start-up wait for `vcpu`.
    #[inline]
    pub fn has_signals(&self, vcpu: VcpuId) -> bool {
        self.state.lapics[vcpu].has_signals()
    }

    /// Takes NMI, INIT and start-up of `vcpu`.
    pub fn take_signals(&mut self, vcpu: VcpuId) -> VcpuSignals {
        self.state.lapics[vcpu].take_signals()
    }

    /// Brings the interrupt lines in step with the chips that drive them. An edge that the
    /// HPET made is shown as a fall before the rise.
    pub(super) fn update_lines(&mut self) {
        let edges = self.state.hpet.take_edges();
        if edges != 0 {
            self.drive_lines(edges);
        }
        self.drive_lines(0);
        let intr = self.state.pic.intr();
        self.state.lapics[0].set_lint(0, intr);
        self.set_gsi(PIC_GSI, intr);
    }

    /// Drives every line, with the HPET's comparators in `fallen` low.
    fn drive_lines(&mut self, fallen: u8) {
        let (lines, pins) = self.levels(fallen);
        if (lines, pins) == (self.state.isa_lines, self.state.hpet_pins) {
            return;
        }
        let changed = lines ^ self.state.isa_lines;
        self.state.isa_lines = lines;
        for irq in (0..16).filter(|irq| changed & 1 << irq != 0) {
            let level = lines & 1 << irq != 0;
            self.probes.push(ProbeEvent::IrqLine { irq, level });
            self.irqs.lines[usize::from(irq)] += u64::from(level);
            self.state.pic.set_line(irq, level);
            let pin = if irq == TIMER_IRQ { TIMER_GSI } else { irq.into() };
            self.set_gsi(pin, level);
        }
        let changed = pins ^ self.state.hpet_pins;
        self.state.hpet_pins = pins;
        for pin in (0..32).filter(|pin| changed & 1 << pin != 0) {
            self.irqs.pins[pin] += u64::from(pins >> pin & 1);
            self.set_gsi(pin, pins & 1 << pin != 0);
        }
    }

    /// The levels that the chips drive: ISA lines, and I/O APIC pins of the HPET.
    fn levels(&self, fallen: u8) -> (u16, u32) {
        let s = &self.state;
        let (mut lines, mut pins) = (0, 0);
        let mut drive = |irq: u8, level: bool| lines |= u16::from(level) << irq;
        if !s.hpet.legacy() {
            drive(TIMER_IRQ, s.pit.out(0));
            drive(RTC_IRQ, s.rtc.irq());
        }
        drive(KEYBOARD_IRQ, s.i8042.irq());
        drive(SCI_IRQ, s.acpi_pm.sci());
        for (uart, irq) in s.uarts.iter().zip(UART_IRQS) {
            drive(irq, uart.irq());
        }
        for n in (0..hpet::TIMERS).filter(|&n| fallen & 1 << n == 0 && s.hpet.level(n)) {
            match s.hpet.output(n) {
                Output::Isa(irq) => drive(irq, true),
                Output::Gsi(pin) => pins |= 1 << pin,
            }
        }
        (lines, pins)
    }

    fn set_gsi(&mut self, pin: usize, level: bool) {
        if let Some(message) = self.state.ioapic.set_line(pin, level) {
            self.deliver(&message);
        }
    }

    /// What a local APIC of `vcpu` asked for.
    pub(super) fn act(&mut self, vcpu: VcpuId, action: LapicAction) {
        match action {
            LapicAction::Eoi(vector) => {
                let messages = self.state.ioapic.eoi(vector);
                self.deliver_all(&messages);
            }
            LapicAction::Send(message) => match message.destination {
                Destination::SelfOnly => self.state.lapics[vcpu].accept(&message),
                Destination::Others => {
                    for (id, lapic) in self.state.lapics.iter_mut().enumerate() {
                        if id != vcpu {
                            lapic.accept(&message);
                        }
                    }
                }
                Destination::Physical(_) | Destination::Logical(_) | Destination::All => {
                    self.deliver(&message);
                }
            },
        }
    }

    /// Delivers messages in order.
    pub(super) fn deliver_all(&mut self, messages: &[ApicMessage]) {
        for message in messages {
            self.deliver(message);
        }
    }

    fn deliver(&mut self, message: &ApicMessage) {
        let targets = self.state.lapics.iter_mut().filter(|l| l.matches(message.destination));
        if message.mode == DeliveryMode::LowestPriority {
            // The lowest processor priority wins, and the lowest number among equals.
            if let Some(lapic) = targets.filter(|l| l.can_arbitrate()).min_by_key(|l| l.ppr()) {
                lapic.accept(message);
            }
            return;
        }
        targets.for_each(|lapic| lapic.accept(message));
    }
}
