//! A guest whose memory is not what it should be: nothing that is read may make dejavm panic, hang
//! or take memory without bound.

use super::guest::Guest as Recorded;
use dejavm_core::boundary::Images;
use dejavm_core::cpu::CpuState;
use dejavm_core::machine::Machine;
use dejavm_core::types::VcpuId;
use dejavm_replay::journal::Reader;
use dejavm_replay::session::ReplaySession;
use dejavm_tests::rng::Rng;
use dejavm_trace::linux::syscalls::Tracer;
use dejavm_trace::linux::{Guest, Kernel, Symbols};
use std::time::{Duration, Instant};

/// A word in so many is another.
const RARITIES: [u64; 4] = [20_000, 1_000, 50, 2];

/// The memory of a machine, damaged here and there: a place always in the same way.
struct Damaged<'a> {
    machine: &'a Machine,
    seed: u64,
    rarity: u64,
}

fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 31).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    value ^ value >> 29
}

impl Damaged<'_> {
    /// What is read where `word` is written.
    fn word(&self, at: u64, word: u64) -> u64 {
        let noise = mix(mix(at ^ self.seed) ^ self.seed);
        if noise % self.rarity != 0 {
            return word;
        }
        match noise >> 32 & 7 {
            0 => 0,
            1 => u64::MAX,
            2 => noise,
            3 => word ^ 1 << (noise & 63),
            // Lists that lead nowhere, or round and round.
            4 => word.wrapping_add(noise & 0xFFF8),
            5 => word & !0xFFF,
            6 => 0xFFFF_8880_0000_0000 | noise & 0x0FFF_FFF8,
            _ => word >> 1,
        }
    }
}

impl Guest for Damaged<'_> {
    fn vcpus(&self) -> usize {
        Guest::vcpus(self.machine)
    }
    fn cpu(&self, vcpu: VcpuId) -> Option<&CpuState> {
        Guest::cpu(self.machine, vcpu)
    }
    fn ram_bytes(&self) -> u64 {
        self.machine.ram_bytes()
    }
    fn read_physical(&self, gpa: u64, bytes: &mut [u8]) -> bool {
        if !self.machine.read_physical(gpa, bytes) {
            return false;
        }
        for at in (gpa & !7..gpa + bytes.len() as u64).step_by(8) {
            let mut whole = [0; 8];
            if !self.machine.read_physical(at, &mut whole) {
                continue;
            }
            let whole = self.word(at, u64::from_le_bytes(whole)).to_le_bytes();
            for (n, byte) in whole.iter().enumerate() {
                let place = (at + n as u64).checked_sub(gpa).and_then(|place| bytes.get_mut(place as usize));
                place.into_iter().for_each(|place| *place = *byte);
            }
        }
        true
    }
}

/// Asks all that can be asked.
fn ask_all(kernel: &Kernel, guest: &dyn Guest) {
    let view = kernel.at(guest);
    let tasks = view.tasks().or_else(|_| view.processes()).unwrap_or_default();
    for task in &tasks {
        let _ = (view.command_line(task), view.backtrace_of_task(task));
    }
    for vcpu in 0..guest.vcpus() {
        let _ = (view.current(vcpu), view.backtrace_of_vcpu(vcpu));
    }
    let _ = (view.modules(), view.task(1), Tracer::new(kernel, guest).map(drop));
    let _ = view.task_table(&tasks, true);
}

pub fn memory_of_any_kind_is_survived(recorded: &Recorded) {
    let reader = Reader::open(&recorded.journal).expect("a journal");
    let mut session = ReplaySession::open_here(reader, Images::default()).expect("a session");
    session.use_side_file(&recorded.journal.with_extension("djc"), 1 << 30).expect("checkpoints");
    session.seek(recorded.place_of_ps(), &mut ()).expect("a place");
    let machine: &Machine = session.machine();
    let kernel = Kernel::of_guest(machine).expect("a kernel");
    assert!(kernel.at(machine).processes().expect("processes").len() > 40);
    let mut rng = Rng::new(1);
    for case in 0..40 {
        let seed = rng.u64();
        let damaged = Damaged { machine, seed, rarity: RARITIES[case % RARITIES.len()] };
        let start = Instant::now();
        ask_all(&kernel, &damaged);
        // A hang, on a machine that may have other things to do.
        assert!(start.elapsed() < Duration::from_secs(60), "case {case}, seed {seed:#x}");
    }
    for rarity in [1 << 20, 1 << 14] {
        let damaged = Damaged { machine, seed: rng.u64(), rarity };
        // What is found, if anything is, can be used.
        if let Ok(kernel) = Kernel::of_guest(&damaged) {
            ask_all(&kernel, &damaged);
        }
        let _ = Symbols::of_guest(&damaged).map(|symbols| symbols.describe(1 << 63));
    }
}
