//! One suite for every chip: its state is complete. Save and load give an equal chip; a change
//! shows in what is saved; a run that is saved and loaded half-way ends like one that is not.
//!
//! A chip takes part by saying how it is driven: `drive` does something that depends on a
//! number only, as a guest or the outside would, and gives what can be observed.

use super::acpi_pm::AcpiPm;
use super::apic_message::{ApicMessage, DeliveryMode, Destination};
use super::fw_cfg::FwCfg;
use super::hpet::Hpet;
use super::i8042::I8042;
use super::ioapic::IoApic;
use super::lapic::Lapic;
use super::pci_host::PciHost;
use super::pic_8259::PicPair;
use super::pit_8254::Pit8254;
use super::rtc_cmos::RtcCmos;
use super::system_ports::SystemPorts;
use super::uart_16550::Uart16550;
use crate::mem::Memory;
use crate::types::{Entropy, Gpa, VirtualNs};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;

/// A chip as the suite sees it.
trait Chip: Clone + PartialEq + Debug + Serialize + DeserializeOwned {
    /// Does one thing at `now`, chosen by `random`; gives what was observed.
    fn drive(&mut self, now: VirtualNs, random: u64) -> u64;
    /// A change that a guest can make to the chip as it is after power-up.
    fn change(&mut self);
    /// When it does something by itself.
    fn next_deadline(&self) -> Option<VirtualNs> {
        None
    }
    /// Brings it to `now`.
    fn advance(&mut self, _now: VirtualNs) {}
}

fn save(chip: &impl Chip) -> Vec<u8> {
    bincode::serde::encode_to_vec(chip, bincode::config::standard()).unwrap()
}

fn load<C: Chip>(bytes: &[u8]) -> C {
    let (chip, used) = bincode::serde::decode_from_slice(bytes, bincode::config::standard()).unwrap();
    assert_eq!(used, bytes.len());
    chip
}

/// Drives a chip through steps `[first, last)` of the script with this seed.
fn run<C: Chip>(chip: &mut C, seed: u64, steps: std::ops::Range<u64>) -> Vec<u64> {
    steps
        .map(|step| {
            let random = Entropy::new(seed << 32 | step).next_u64();
            // Steps of 0 to 2 ms, so that every timer has its turn.
            let now = step * 2_000_000 + random % 2_000_000;
            while let Some(t) = chip.next_deadline().filter(|&t| t <= now) {
                chip.advance(t);
                assert!(chip.next_deadline().is_none_or(|next| next > t), "stuck at {t}: {chip:?}");
            }
            chip.drive(now, random >> 21)
        })
        .collect()
}

const STEPS: u64 = 400;

fn check<C: Chip>(fresh: C) {
    let before = save(&fresh);
    let loaded: C = load(&before);
    assert_eq!(loaded, fresh);
    let mut changed = fresh.clone();
    changed.change();
    assert_ne!(save(&changed), before, "a change is not saved");
    for seed in 0..20 {
        let mut whole = fresh.clone();
        let observed = run(&mut whole, seed, 0..STEPS);
        assert!(observed.iter().any(|v| *v != observed[0]), "the script shows nothing");
        assert_ne!(whole, fresh, "the script does nothing");
        let cut = 1 + seed * 19;
        let mut first = fresh.clone();
        let mut parts = run(&mut first, seed, 0..cut);
        let mut second: C = load(&save(&first));
        assert_eq!(second, first, "seed {seed}");
        parts.extend(run(&mut second, seed, cut..STEPS));
        assert_eq!(parts, observed, "seed {seed}: what was observed");
        assert_eq!(save(&second), save(&whole), "seed {seed}: the end");
    }
}

/// Pieces of a random number.
fn byte(random: u64, n: u32) -> u8 {
    (random >> (8 * n)) as u8
}

impl Chip for Uart16550 {
    fn drive(&mut self, now: VirtualNs, random: u64) -> u64 {
        let register = u16::from(byte(random, 1) & 7);
        match byte(random, 0) % 4 {
            0 => u64::from(self.read(now, register)),
            1 => self.write(now, register, byte(random, 2)).map_or(1 << 20, u64::from),
            2 => {
                self.receive(now, byte(random, 2));
                self.room() as u64
            }
            _ => {
                self.receive_break(now);
                u64::from(self.irq())
            }
        }
    }

    fn change(&mut self) {
        self.write(0, 7, 0x55);
    }

    fn next_deadline(&self) -> Option<VirtualNs> {
        self.next_deadline()
    }

    fn advance(&mut self, now: VirtualNs) {
        self.advance(now);
    }
}

impl Chip for Pit8254 {
    fn drive(&mut self, now: VirtualNs, random: u64) -> u64 {
        match byte(random, 0) % 4 {
            0 | 1 => {
                let value = self.read(now, u16::from(byte(random, 1) & 3));
                u64::from(value) << 3 | (0..3).map(|n| u64::from(self.out(n)) << n).sum::<u64>()
            }
            2 => {
                self.write(now, u16::from(byte(random, 1) & 3), byte(random, 2));
                0
            }
            _ => {
                self.set_gate2(now, random & 0x100 != 0);
                0
            }
        }
    }

    fn change(&mut self) {
        self.write(0, 3, 0x34);
    }

    fn next_deadline(&self) -> Option<VirtualNs> {
        self.next_deadline()
    }

    fn advance(&mut self, now: VirtualNs) {
        self.advance(now);
    }
}

impl Chip for PicPair {
    fn drive(&mut self, _now: VirtualNs, random: u64) -> u64 {
        let port = [0x20, 0x21, 0xA0, 0xA1][usize::from(byte(random, 1) & 3)];
        match byte(random, 0) % 5 {
            0 => u64::from(self.read(port)),
            1 => {
                self.write(port, byte(random, 2));
                0
            }
            2 if self.intr() => 0x100 | u64::from(self.acknowledge()),
            3 => {
                self.write_elcr(usize::from(byte(random, 1) & 1), byte(random, 2));
                u64::from(self.read_elcr(0))
            }
            _ => {
                let irq = byte(random, 1) & 15;
                if irq != 2 {
                    self.set_line(irq, random & 0x1_0000 != 0);
                }
                u64::from(self.intr())
            }
        }
    }

    fn change(&mut self) {
        self.write(0x21, 0x55);
    }
}

impl Chip for IoApic {
    fn drive(&mut self, _now: VirtualNs, random: u64) -> u64 {
        match byte(random, 0) % 4 {
            0 => {
                self.write(0, u64::from(byte(random, 1) & 0x3F) as u32);
                u64::from(self.read(0x10))
            }
            1 => {
                self.write(0, 0x10 + u32::from(byte(random, 1)) % 48);
                self.write(0x10, (random >> 16) as u32).len() as u64
            }
            2 => self.eoi(byte(random, 2)).len() as u64,
            _ => {
                let pin = usize::from(byte(random, 1)) % super::ioapic::PINS;
                self.set_line(pin, random & 0x1_0000 != 0).map_or(0, |m| 0x100 | u64::from(m.vector))
            }
        }
    }

    fn change(&mut self) {
        self.set_line(5, true);
    }
}

/// Offsets of registers of the local APIC that are worth writing often.
const LAPIC_REGISTERS: [u64; 12] =
    [0x80, 0xB0, 0xD0, 0xE0, 0xF0, 0x280, 0x300, 0x320, 0x350, 0x360, 0x380, 0x3E0];

impl Chip for Lapic {
    fn drive(&mut self, now: VirtualNs, random: u64) -> u64 {
        let register = LAPIC_REGISTERS[usize::from(byte(random, 1)) % LAPIC_REGISTERS.len()];
        match byte(random, 0) % 8 {
            0 => u64::from(self.read(now, u64::from(byte(random, 1) & 0x3F) << 4)),
            1 | 2 => u64::from(self.write(now, register, (random >> 16) as u32).is_some()),
            3 => {
                self.write(now, 0xF0, 0x1FF);
                self.accept_random(random);
                0
            }
            4 => self.acknowledge().map_or(0, u64::from),
            5 => {
                self.set_lint(usize::from(byte(random, 1) & 1), random & 0x1_0000 != 0);
                u64::from(self.ppr())
            }
            6 => {
                // TSC-deadline mode, half a millisecond ahead.
                self.write(now, 0x320, 0x4_0050);
                self.write_msr(now, 0x6E0, now + 500_000).map_or(2, |a| u64::from(a.is_some()))
            }
            _ => u64::from(self.take_signals().any()),
        }
    }

    fn change(&mut self) {
        self.set_cr8(3);
    }

    fn next_deadline(&self) -> Option<VirtualNs> {
        self.next_deadline()
    }

    fn advance(&mut self, now: VirtualNs) {
        self.advance(now);
    }
}

impl Lapic {
    fn accept_random(&mut self, random: u64) {
        self.accept(&ApicMessage {
            vector: byte(random, 2),
            mode: DeliveryMode::from_bits(u32::from(byte(random, 1))),
            destination: Destination::All,
            level: random & 0x8000 != 0,
        });
    }
}

impl Chip for Hpet {
    fn drive(&mut self, now: VirtualNs, random: u64) -> u64 {
        let offset =
            [0x10, 0x20, 0xF0, 0x100, 0x108, 0x120, 0x128, 0x140, 0x148][usize::from(byte(random, 1) % 9)];
        match byte(random, 0) % 4 {
            0 => self.read(now, offset, 8),
            1 => {
                self.write(now, 0x10, 4, 1 | random >> 16 & 2);
                u64::from(self.level(0)) | u64::from(self.level(2)) << 1
            }
            2 => {
                self.write(now, offset, 8, random >> 8);
                0
            }
            // A comparator some time ahead.
            _ => {
                let counter = self.read(now, 0xF0, 8);
                self.write(now, offset & !8 | 8, 8, counter + (random >> 8 & 0xF_FFFF));
                u64::from(self.take_edges())
            }
        }
    }

    fn change(&mut self) {
        self.write(0, 0x108, 8, 77);
    }

    fn next_deadline(&self) -> Option<VirtualNs> {
        self.next_deadline()
    }

    fn advance(&mut self, now: VirtualNs) {
        self.advance(now);
    }
}

impl Chip for RtcCmos {
    fn drive(&mut self, now: VirtualNs, random: u64) -> u64 {
        let register = if random & 0x8000 != 0 { 0x0A + byte(random, 1) % 3 } else { byte(random, 1) & 0x7F };
        self.write_index(register);
        if byte(random, 0) % 3 == 0 {
            self.write(now, byte(random, 2));
            return u64::from(self.irq());
        }
        u64::from(self.read(now)) << 1 | u64::from(self.irq())
    }

    fn change(&mut self) {
        self.write_index(0x40);
        self.write(0, 9);
    }

    fn next_deadline(&self) -> Option<VirtualNs> {
        self.next_deadline()
    }

    fn advance(&mut self, now: VirtualNs) {
        self.advance(now);
    }
}

impl Chip for I8042 {
    fn drive(&mut self, now: VirtualNs, random: u64) -> u64 {
        match byte(random, 0) % 6 {
            0 => u64::from(self.read_status()),
            1 | 2 => u64::from(self.read_data(now)) << 1 | u64::from(self.irq()),
            3 => u64::from(self.write_command(now, byte(random, 1))),
            4 => u64::from(self.write_data(now, byte(random, 1) | 0xE0)),
            _ => {
                self.press(now, &[byte(random, 1), byte(random, 2)]);
                u64::from(self.irq())
            }
        }
    }

    fn change(&mut self) {
        self.press(0, &[0x1E]);
    }

    fn next_deadline(&self) -> Option<VirtualNs> {
        self.next_deadline()
    }

    fn advance(&mut self, now: VirtualNs) {
        self.advance(now);
    }
}

impl Chip for AcpiPm {
    fn drive(&mut self, now: VirtualNs, random: u64) -> u64 {
        let offset = u16::from(byte(random, 1)) % super::acpi_pm::BLOCK_BYTES;
        match byte(random, 0) % 4 {
            0 | 1 => u64::from(self.read(now, offset)) << 1 | u64::from(self.sci()),
            2 => u64::from(self.write(now, offset & 7, byte(random, 2))),
            _ => {
                self.press_power_button();
                u64::from(self.sci())
            }
        }
    }

    fn change(&mut self) {
        self.press_power_button();
    }

    fn next_deadline(&self) -> Option<VirtualNs> {
        self.next_deadline()
    }

    fn advance(&mut self, now: VirtualNs) {
        self.advance(now);
    }
}

impl Chip for SystemPorts {
    fn drive(&mut self, _now: VirtualNs, random: u64) -> u64 {
        let value = byte(random, 1);
        match byte(random, 0) % 8 {
            0 => u64::from(self.read_61(false, true)),
            1 => u64::from(self.write_61(value)),
            2 => u64::from(self.read_92()),
            3 => u64::from(self.write_92(value)),
            4 => u64::from(self.read_cf9()),
            5 => u64::from(self.write_cf9(value)),
            6 => u64::from(self.read_80()),
            _ => {
                self.write_80(value);
                0
            }
        }
    }

    fn change(&mut self) {
        self.write_80(1);
    }
}

impl Chip for PciHost {
    fn drive(&mut self, _now: VirtualNs, random: u64) -> u64 {
        match byte(random, 0) % 3 {
            0 => {
                self.set_address(0x8000_0000 | u32::from(byte(random, 1)));
                u64::from(self.address())
            }
            1 => {
                self.set_address((random >> 8) as u32);
                0
            }
            _ => u64::from(self.read_data(u16::from(byte(random, 1) & 3))),
        }
    }

    fn change(&mut self) {
        self.set_address(0x8000_0004);
    }
}

impl Chip for FwCfg {
    fn drive(&mut self, _now: VirtualNs, random: u64) -> u64 {
        match byte(random, 0) % 4 {
            0 => {
                self.select([0, 1, 0x19, 0x20][usize::from(byte(random, 1) & 3)]);
                u64::from(self.read_data())
            }
            1 => u64::from(self.read_data()),
            2 => {
                self.write_dma_address(u16::from(byte(random, 1) & 7), byte(random, 2) & 1);
                u64::from(self.dma_pending())
            }
            _ => {
                // At 0, writes of 16 bytes to the file; elsewhere, reads of one byte.
                let mut mem = Memory::new(1 << 16).expect("a little RAM");
                mem.write_bytes(Gpa(0), &[0, 0x20, 0, 0x18, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0]);
                mem.write_bytes(Gpa(2), &[byte(random, 1) & 0x10 | 8]);
                mem.write_bytes(Gpa(0x100), &[0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0]);
                self.run_dma(&mut mem);
                u64::from(mem.read_phys::<u8>(Gpa(0x200)).unwrap_or(0))
            }
        }
    }

    fn change(&mut self) {
        self.select(0x20);
    }
}

#[test]
fn fw_cfg() {
    check(FwCfg::default());
}

#[test]
fn uart_16550() {
    check(Uart16550::default());
}

#[test]
fn pit_8254() {
    check(Pit8254::default());
}

#[test]
fn pic_8259() {
    check(PicPair::default());
}

#[test]
fn ioapic() {
    check(IoApic::default());
}

#[test]
fn lapic() {
    check(Lapic::new(1));
}

#[test]
fn hpet() {
    check(Hpet::default());
}

#[test]
fn rtc_cmos() {
    check(RtcCmos::new(1_700_000_000));
}

#[test]
fn i8042() {
    check(I8042::default());
}

#[test]
fn acpi_pm() {
    check(AcpiPm::default());
}

#[test]
fn system_ports() {
    check(SystemPorts::default());
}

#[test]
fn pci_host() {
    check(PciHost::default());
}

/// A chip that forgets part of its state: the suite must notice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, serde::Deserialize)]
struct Forgetful {
    kept: u64,
    #[serde(skip)]
    forgotten: u64,
}

impl Chip for Forgetful {
    fn drive(&mut self, _now: VirtualNs, random: u64) -> u64 {
        self.kept ^= random;
        self.forgotten += 1;
        self.forgotten
    }

    fn change(&mut self) {
        self.kept = 1;
    }
}

#[test]
#[should_panic(expected = "assertion")]
fn the_suite_can_fail() {
    check(Forgetful::default());
}
