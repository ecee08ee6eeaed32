//! The board as a guest's port and memory accesses see it.

use super::layout::{IOAPIC_BASE, LAPIC_BASE};
use super::*;
use crate::boundary::PortWrite;
use crate::mem::IoBus;
use crate::types::Gpa;

fn board(vcpus: u32) -> Board {
    Board::new(&MachineConfig { vcpus, ..MachineConfig::default() })
}

fn out(b: &mut Board, now: VirtualNs, writes: &[(u16, u8)]) {
    for &(port, value) in writes {
        b.pio_write(0, now, port, 1, value.into());
    }
}

fn lapic(b: &mut Board, vcpu: VcpuId, offset: u64, value: u32) {
    b.mmio_write(vcpu, 0, Gpa(LAPIC_BASE + offset), 4, value.into());
}

fn ioapic_entry(b: &mut Board, pin: u64, entry: u64) {
    for (register, half) in [(0x11 + 2 * pin, entry >> 32), (0x10 + 2 * pin, entry & 0xFFFF_FFFF)] {
        b.mmio_write(0, 0, Gpa(IOAPIC_BASE), 4, register);
        b.mmio_write(0, 0, Gpa(IOAPIC_BASE + 0x10), 4, half);
    }
}

const PIC_INIT: [(u16, u8); 8] = [
    (0x20, 0x11),
    (0x21, 0x20),
    (0x21, 0x04),
    (0x21, 0x01),
    (0xA0, 0x11),
    (0xA1, 0x28),
    (0xA1, 0x02),
    (0xA1, 0x01),
];

#[test]
fn timer_interrupt_through_the_8259_in_virtual_wire_mode() {
    let mut b = board(2);
    out(&mut b, 0, &PIC_INIT);
    out(&mut b, 0, &[(0x43, 0x34), (0x40, 0xA9), (0x40, 0x04)]);
    let falls = b.next_deadline().unwrap();
    b.advance(falls);
    assert!(!b.interrupt_pending(0));
    let rises = b.next_deadline().unwrap();
    b.advance(rises);
    assert!(b.interrupt_pending(0) && !b.interrupt_pending(1));
    assert_eq!(b.acknowledge(0, rises), Some(0x20));
    assert!(!b.interrupt_pending(0));
}

#[test]
fn timer_interrupt_through_the_ioapic_at_pin_2() {
    let mut b = board(2);
    lapic(&mut b, 1, 0xF0, 0x1FF);
    ioapic_entry(&mut b, 2, 1 << 56 | 0x31);
    out(&mut b, 0, &[(0x43, 0x34), (0x40, 0xA9), (0x40, 0x04)]);
    b.advance(1_100_000);
    assert!(b.interrupt_pending(1));
    assert_eq!(b.acknowledge(1, 1_100_000), Some(0x31));
}

#[test]
fn start_up_ipis_reach_the_others_only() {
    let mut b = board(3);
    lapic(&mut b, 0, 0x300, 0xC_4500);
    lapic(&mut b, 0, 0x300, 0xC_4699);
    let expected = VcpuSignals { nmi: false, init: true, sipi: Some(0x99) };
    assert!(!b.has_signals(0));
    assert_eq!(b.take_signals(1), expected);
    assert_eq!(b.take_signals(2), expected);
}

#[test]
fn lowest_priority_goes_to_the_idlest() {
    let mut b = board(3);
    for vcpu in 0..3 {
        lapic(&mut b, vcpu, 0xF0, 0x1FF);
        lapic(&mut b, vcpu, 0xD0, 1 << (24 + vcpu));
    }
    b.set_cr8(0, 0, 5);
    ioapic_entry(&mut b, 4, 7 << 56 | 0x0941);
    out(&mut b, 0, &[(0x3FC, 8), (0x3F9, 2)]);
    assert!(!b.interrupt_pending(0) && b.interrupt_pending(1) && !b.interrupt_pending(2));
}

#[test]
fn serial_bytes_come_and_go() {
    let mut b = board(1);
    out(&mut b, 0, &[(0x3FB, 3), (0x3F8, b'h'), (0x3F8, b'i'), (0xE9, b'!')]);
    let expected = [
        Outbound::Serial { port: 0, byte: b'h' },
        Outbound::Serial { port: 0, byte: b'i' },
        Outbound::DebugConsole(b'!'),
    ];
    assert_eq!(b.take_outbound(), expected);
    assert_eq!(b.serial_room(0), 1);
    b.apply(&Inbound::Serial { port: 0, bytes: vec![b'x'] }, 10);
    assert_eq!(b.serial_room(0), 0);
    assert_eq!(b.pio_read(0, 10, 0x3F8, 1), u32::from(b'x'));
}

#[test]
fn ports_are_written_from_outside_as_by_a_cpu() {
    let mut b = board(1);
    let write = |port, size, value| Inbound::PortWrite(PortWrite { port, size, value });
    b.apply(&write(0x3FF, 1, 0x1255), 0);
    assert_eq!(b.pio_read(0, 0, 0x3FF, 1), 0x55);
    b.apply(&write(0xCF8, 4, 0x8000_0000), 0);
    assert_eq!(b.pio_read(0, 0, 0xCF8, 4), 0x8000_0000);
    b.apply(&write(0xE9, 1, 0x21), 0);
    assert_eq!(b.take_outbound(), [Outbound::DebugConsole(b'!')]);
    b.apply(&write(0xF4, 1, 0x1234), 0);
    assert_eq!(b.take_request(), Some(MachineRequest::DebugExit(0x34)));
}

#[test]
fn power_off_reset_and_exit_are_requests() {
    let mut b = board(1);
    b.pio_write(0, 0, 0x604, 2, 5 << 10 | 1 << 13);
    assert_eq!(b.take_request(), Some(MachineRequest::PowerOff));
    out(&mut b, 0, &[(0xCF9, 6)]);
    assert_eq!(b.take_request(), Some(MachineRequest::Reset(ResetCause::ResetControl)));
    b.pio_write(0, 0, 0xF4, 4, 0x1234);
    assert_eq!(b.take_request(), Some(MachineRequest::DebugExit(0x1234)));
    b.apply(&Inbound::Reset, 0);
    assert_eq!(b.take_request(), Some(MachineRequest::Reset(ResetCause::Button)));
}

#[test]
fn power_button_raises_the_sci_until_cleared() {
    let mut b = board(1);
    lapic(&mut b, 0, 0xF0, 0x1FF);
    ioapic_entry(&mut b, 9, 0x8039);
    b.pio_write(0, 0, 0x602, 2, 0x100);
    b.apply(&Inbound::PowerButton, 0);
    assert_eq!(b.acknowledge(0, 0), Some(0x39));
    lapic(&mut b, 0, 0xB0, 0);
    assert_eq!(b.acknowledge(0, 0), Some(0x39), "level: again until cleared");
    b.pio_write(0, 0, 0x600, 2, 0x100);
    lapic(&mut b, 0, 0xB0, 0);
    assert!(!b.interrupt_pending(0));
}

#[test]
fn nobody_answers_with_ones() {
    let mut b = board(1);
    assert_eq!(b.pio_read(0, 0, 0x1234, 4), u32::MAX);
    assert_eq!(b.pio_read(0, 0, 0x1234, 1), 0xFF);
    assert_eq!(b.mmio_read(0, 0, Gpa(0xD000_0000), 8), u64::MAX);
    assert_eq!(b.mmio_read(0, 0, Gpa(0xD000_0000), 2), 0xFFFF);
}

#[test]
fn port_61_gates_and_shows_counter_2() {
    let mut b = board(1);
    out(&mut b, 0, &[(0x61, 1), (0x43, 0xB0), (0x42, 10), (0x42, 0)]);
    assert_eq!(b.pio_read(0, 5_000, 0x61, 1) & 0x21, 0x01);
    assert_eq!(b.pio_read(0, 12_000, 0x61, 1) & 0x21, 0x21);
}

#[test]
fn an_nmi_from_outside_reaches_every_vcpu() {
    let mut b = board(2);
    b.apply(&Inbound::Nmi, 0);
    assert!(b.take_signals(0).nmi && b.take_signals(1).nmi);
}

#[test]
fn hpet_takes_the_place_of_the_8254_in_legacy_mode() {
    let mut b = board(1);
    lapic(&mut b, 0, 0xF0, 0x1FF);
    ioapic_entry(&mut b, 2, 0x31);
    let hpet = layout::HPET_BASE;
    for (offset, value) in [(0x10, 3), (0x100, 0x4C), (0x108, 1000), (0x108, 1000)] {
        b.mmio_write(0, 0, Gpa(hpet + offset), 8, value);
    }
    for k in 1..4 {
        let t = 10_000 * k;
        assert_eq!(b.next_deadline(), Some(t));
        b.advance(t);
        assert_eq!(b.acknowledge(0, t), Some(0x31));
        lapic(&mut b, 0, 0xB0, 0);
        assert!(!b.interrupt_pending(0));
    }
    assert_eq!(b.mmio_read(0, 35_000, Gpa(hpet + 0xF0), 4), 3500);
}

#[test]
fn rtc_survives_a_reset_and_interrupts_at_irq_8() {
    let mut b = board(1);
    out(&mut b, 0, &PIC_INIT);
    out(&mut b, 0, &[(0x70, 0x0B), (0x71, 0x12)]);
    b.advance(1_000_000_000);
    assert_eq!(b.acknowledge(0, 1_000_000_000), Some(0x28));
    b.reset(2_000_000_000);
    out(&mut b, 3_000_000_000, &[(0x70, 0)]);
    // 1700000000 is 22:13:20.
    assert_eq!(b.pio_read(0, 3_000_000_000, 0x71, 1), 0x23);
    assert!(!b.interrupt_pending(0));
}

#[test]
fn keys_arrive_at_irq_1_and_the_controller_resets() {
    let mut b = board(1);
    out(&mut b, 0, &PIC_INIT);
    b.apply(&Inbound::Keyboard { scan_codes: vec![0x1E] }, 0);
    let t = b.next_deadline().unwrap();
    b.advance(t);
    assert_eq!((b.acknowledge(0, t), b.pio_read(0, t, 0x60, 1)), (Some(0x21), 0x1E));
    out(&mut b, t, &[(0x64, 0xFE)]);
    assert_eq!(b.take_request(), Some(MachineRequest::Reset(ResetCause::KeyboardController)));
}

#[test]
fn pci_has_a_host_bridge_both_ways() {
    let mut b = board(1);
    b.pio_write(0, 0, 0xCF8, 4, 0x8000_0000);
    assert_eq!(b.pio_read(0, 0, 0xCFC, 4), 0x1237_8086);
    assert_eq!(b.pio_read(0, 0, 0xCFE, 2), 0x1237);
    assert_eq!(b.mmio_read(0, 0, Gpa(layout::ECAM_BASE), 4), 0x1237_8086);
    assert_eq!(b.mmio_read(0, 0, Gpa(layout::ECAM_BASE + 0x8000), 4), 0xFFFF_FFFF);
}
