//! The local APIC against the SDM.

use super::msr::{IA32_APIC_BASE, IA32_TSC_DEADLINE, Refused};
use super::*;

fn enabled(vcpu: VcpuId) -> Lapic {
    let mut a = Lapic::new(vcpu);
    a.write(0, 0x0F0, 0x1FF);
    a
}

fn fixed(vector: u8, level: bool) -> ApicMessage {
    ApicMessage { vector, mode: DeliveryMode::Fixed, destination: Destination::All, level }
}

#[test]
fn registers_at_reset() {
    let mut a = Lapic::new(3);
    let expected =
        [(0x020, 3 << 24), (0x030, 0x0005_0014), (0x0E0, u32::MAX), (0x0F0, 0xFF), (0x320, 0x1_0000)];
    for (offset, value) in expected {
        assert_eq!(a.read(0, offset), value, "{offset:#x}");
    }
    assert_eq!(a.read_msr(0, IA32_APIC_BASE), Some(0xFEE0_0800));
    assert_eq!(Lapic::new(0).read_msr(0, IA32_APIC_BASE), Some(0xFEE0_0900));
}

#[test]
fn priorities_hold_back_and_nest() {
    let mut a = enabled(0);
    a.accept(&fixed(0x41, false));
    a.accept(&fixed(0x45, false));
    a.accept(&fixed(0x61, false));
    assert_eq!(a.acknowledge(), Some(0x61));
    assert_eq!(a.pending_vector(), None);
    a.accept(&fixed(0x71, false));
    assert_eq!(a.acknowledge(), Some(0x71));
    assert_eq!(a.ppr(), 0x70);
    assert_eq!(a.write(0, 0x0B0, 0), None);
    a.write(0, 0x0B0, 0);
    a.set_cr8(4);
    assert_eq!(a.pending_vector(), None);
    a.set_cr8(3);
    assert_eq!(a.acknowledge(), Some(0x45));
}

#[test]
fn eoi_of_a_level_goes_to_the_ioapic() {
    let mut a = enabled(0);
    a.accept(&fixed(0x51, true));
    assert_eq!(a.read(0, 0x1A0), 1 << 17);
    a.acknowledge();
    assert_eq!(a.write(0, 0x0B0, 0), Some(LapicAction::Eoi(0x51)));
}

#[test]
fn logical_destinations() {
    let mut a = enabled(0);
    a.write(0, 0x0D0, 0x0400_0000);
    assert!(a.matches(Destination::Logical(0x06)));
    assert!(!a.matches(Destination::Logical(0x03)));
    a.write(0, 0x0E0, 0x0FFF_FFFF);
    a.write(0, 0x0D0, 0x2400_0000);
    assert!(a.matches(Destination::Logical(0x26)));
    assert!(!a.matches(Destination::Logical(0x34)));
    assert!(!a.matches(Destination::Logical(0x23)));
    assert!(a.matches(Destination::Logical(0xFF)));
    assert!(a.matches(Destination::Physical(0)) && !a.matches(Destination::Physical(1)));
}

#[test]
fn ipis_carry_shorthands() {
    let mut a = enabled(0);
    a.write(0, 0x310, 0x0200_0000);
    let send = |a: &mut Lapic, v| match a.write(0, 0x300, v) {
        Some(LapicAction::Send(m)) => (m.mode, m.vector, m.destination),
        other => panic!("{other:?}"),
    };
    assert_eq!(send(&mut a, 0x0_4699), (DeliveryMode::StartUp, 0x99, Destination::Physical(2)));
    assert_eq!(send(&mut a, 0x0_0830), (DeliveryMode::Fixed, 0x30, Destination::Logical(2)));
    assert_eq!(send(&mut a, 0x4_0030).2, Destination::SelfOnly);
    assert_eq!(send(&mut a, 0x8_0030).2, Destination::All);
    assert_eq!(send(&mut a, 0xC_4500).2, Destination::Others);
    assert_eq!(a.write(0, 0x300, 0xC_8500), None, "INIT de-assert");
}

#[test]
fn init_then_start_up_reach_the_vcpu() {
    let mut a = enabled(1);
    let message = |mode, vector| ApicMessage { vector, mode, destination: Destination::All, level: false };
    a.accept(&message(DeliveryMode::Init, 0));
    assert!(!a.software_enabled());
    a.accept(&message(DeliveryMode::StartUp, 0x9A));
    a.accept(&message(DeliveryMode::Nmi, 0));
    assert_eq!(a.take_signals(), VcpuSignals { nmi: true, init: true, sipi: Some(0x9A) });
    assert!(!a.has_signals());
}

#[test]
fn one_shot_timer_counts_divides_and_ends() {
    let mut a = enabled(0);
    a.write(100, 0x320, 0xEC);
    a.write(100, 0x3E0, 0x3);
    a.write(100, 0x380, 1000);
    assert_eq!(a.next_deadline(), Some(100 + 16_000));
    assert_eq!(a.read(100 + 1600, 0x390), 900);
    a.advance(16_100);
    assert_eq!(a.acknowledge(), Some(0xEC));
    assert_eq!(a.read(20_000, 0x390), 0);
    assert_eq!(a.next_deadline(), None);
}

#[test]
fn periodic_timer_repeats_and_survives_masking() {
    let mut a = enabled(0);
    a.write(0, 0x320, 0x2_0040);
    a.write(0, 0x3E0, 0xB);
    a.write(0, 0x380, 500);
    for k in 1..4 {
        assert_eq!(a.next_deadline(), Some(500 * k));
        a.advance(500 * k);
        assert_eq!(a.acknowledge(), Some(0x40));
        a.write(500 * k, 0x0B0, 0);
    }
    a.write(1600, 0x320, 0x3_0040);
    assert_eq!(a.next_deadline(), None);
    assert_eq!(a.read(2600, 0x390), 400);
    a.write(2700, 0x320, 0x2_0040);
    assert_eq!(a.pending_vector(), None, "what passed while masked is gone");
    assert_eq!(a.next_deadline(), Some(3000));
}

#[test]
fn tsc_deadline_fires_once() {
    let mut a = enabled(0);
    assert_eq!(a.write_msr(0, IA32_TSC_DEADLINE, 77), Ok(None));
    assert_eq!(a.read_msr(0, IA32_TSC_DEADLINE), Some(0), "not in this mode");
    a.write(0, 0x320, 0x4_0050);
    a.write_msr(0, IA32_TSC_DEADLINE, 5000).unwrap();
    assert_eq!(a.next_deadline(), Some(5000));
    a.advance(5000);
    assert_eq!(a.acknowledge(), Some(0x50));
    assert_eq!(a.read_msr(5000, IA32_TSC_DEADLINE), Some(0));
    a.write(5000, 0x0B0, 0);
    a.write_msr(6000, IA32_TSC_DEADLINE, 10).unwrap();
    assert_eq!(a.acknowledge(), Some(0x50), "a deadline in the past strikes at once");
}

#[test]
fn software_disable_masks_and_refuses() {
    let mut a = enabled(0);
    a.write(0, 0x350, 0x700);
    assert!(a.extint_open());
    a.write(0, 0x0F0, 0xFF);
    assert!(!a.extint_open());
    a.write(0, 0x350, 0x700);
    assert_eq!(a.read(0, 0x350), 0x1_0700);
    a.accept(&fixed(0x80, false));
    assert_eq!(a.pending_vector(), None);
}

#[test]
fn errors_show_after_a_write_of_the_esr() {
    let mut a = enabled(0);
    a.write(0, 0x370, 0xFE);
    assert_eq!(a.write(0, 0x300, 0x5), None);
    assert_eq!(a.read(0, 0x280), 0);
    a.write(0, 0x280, 0);
    assert_eq!(a.read(0, 0x280), ESR_SEND_ILLEGAL);
    assert_eq!(a.acknowledge(), Some(0xFE));
}

#[test]
fn lint_pins() {
    let mut a = enabled(0);
    a.write(0, 0x360, 0x400);
    a.set_lint(1, true);
    a.set_lint(1, true);
    assert!(a.take_signals().nmi);
    assert!(!a.has_signals());
    a.write(0, 0x350, 0x8040);
    a.set_lint(0, true);
    assert_eq!(a.acknowledge(), Some(0x40));
    assert_eq!(a.read(0, 0x350), 0xC040, "remote IRR");
    a.write(0, 0x0B0, 0);
    assert_eq!(a.acknowledge(), Some(0x40), "still asserted");
}

#[test]
fn base_moves_disables_and_enters_x2apic() {
    let mut a = enabled(2);
    assert_eq!(a.write_msr(0, IA32_APIC_BASE, 0x1000_0801), Err(Refused));
    a.write_msr(0, IA32_APIC_BASE, 0x1000_0800).unwrap();
    assert!(a.owns(0x1000_0020) && !a.owns(DEFAULT_BASE));
    a.write_msr(0, IA32_APIC_BASE, 0xFEE0_0C00).unwrap();
    assert!(!a.owns(DEFAULT_BASE));
    assert_eq!(a.read_msr(0, 0x802), Some(2));
    assert_eq!(a.read_msr(0, 0x80D), Some(4));
    assert!(a.matches(Destination::Logical(4)));
    assert_eq!(a.read_msr(0, 0x8FF), None);
    assert_eq!(a.write_msr(0, 0x80B, 1), Err(Refused));
    assert_eq!(a.write_msr(0, IA32_APIC_BASE, 0xFEE0_0800), Err(Refused), "only by disabling");
    a.write_msr(0, IA32_APIC_BASE, 0xFEE0_0000).unwrap();
    assert!(a.extint_open() && !a.hardware_enabled());
}
