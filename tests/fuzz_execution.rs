//! Random guests on a whole machine: any code in any mode, against every device. Nothing panics;
//! each run makes progress in icount or says that it is idle; memory stays bounded.
//!
//! `DEJAVM_FUZZ_SEED=N` repeats a case; a long run is
//! `DEJAVM_FUZZ_SECONDS=600 cargo test -p dejavm-tests --test fuzz_execution`.

use dejavm_core::boundary::{Inbound, PortWrite};
use dejavm_core::machine::{Machine, RunLimit, StopReason};
use dejavm_tests::fuzz::{self, guest::Guest};
use dejavm_tests::rng::Rng;

const CASES: u64 = 400;
const ICOUNT: u64 = 20_000;
/// A guest resets, and sleeps, so many times at most.
const STOPS: u32 = 40;

/// Something from outside, whether the guest is ready for it or not.
fn inbound(rng: &mut Rng) -> Inbound {
    match rng.below(7) {
        0 => Inbound::Nmi,
        1 => Inbound::PowerButton,
        2 => Inbound::SerialBreak { port: rng.below(3) as u8 },
        3 => Inbound::Keyboard { scan_codes: rng.u64().to_le_bytes().to_vec() },
        4 => {
            let size = [1, 2, 4][rng.below(3) as usize];
            Inbound::PortWrite(PortWrite { port: port(rng), size, value: rng.u64() as u32 })
        }
        _ => {
            Inbound::Serial { port: rng.below(3) as u8, bytes: vec![rng.u64() as u8; rng.below(40) as usize] }
        }
    }
}

/// Any port, but mostly one that a chip answers at.
fn port(rng: &mut Rng) -> u16 {
    const BASES: [u16; 14] =
        [0x20, 0x40, 0x60, 0x70, 0x80, 0x92, 0xA0, 0x2F8, 0x3F8, 0x4D0, 0x510, 0x514, 0x600, 0xCF8];
    match rng.below(8) {
        0 => rng.u64() as u16,
        _ => BASES[rng.below(BASES.len() as u64) as usize] + rng.below(8) as u16,
    }
}

/// Runs to `until` or to the end of what the guest does.
fn go(machine: &mut Machine, rng: &mut Rng) {
    let mut stops = 0;
    while machine.position().icount < ICOUNT && stops < STOPS {
        let before = machine.position();
        let mut limit = RunLimit::to_icount(before.icount + 1 + rng.below(3000));
        limit.stop_when_idle = true;
        limit.stop_on_reset = true;
        match machine.run(&limit) {
            StopReason::Limit => {
                assert_eq!(machine.position().icount, limit.until.icount);
                if rng.one_in(4) {
                    machine.apply(&inbound(rng));
                }
            }
            StopReason::Idle { deadline_ns } => {
                stops += 1;
                match deadline_ns {
                    Some(ns) => machine.skip_idle(ns),
                    None => machine.apply(&inbound(rng)),
                }
            }
            StopReason::Reset(_) => stops += 1,
            StopReason::PowerOff | StopReason::DebugExit(_) => return,
            StopReason::Kicked => unreachable!("nobody kicks"),
            StopReason::StopPoint => unreachable!("there are no stop points"),
        }
        assert!(machine.position() >= before);
    }
}

#[test]
fn random_guests_end() {
    fuzz::run(CASES, |seed| {
        let mut rng = Rng::new(seed);
        let mut machine = Guest::new(&mut rng).machine();
        go(&mut machine, &mut rng);
        machine.state_hash();
    });
}
