//! A recording does not know its engine: what one made, the other replays, state hash by state
//! hash.

use dejavm_core::boundary::{Images, MachineConfig};
use dejavm_core::machine::{Accel, Machine, RunLimit, StopReason};
use dejavm_replay::session::RunMachine as _;
use dejavm_tests::cli::guest_file;
use dejavm_tests::lockstep::compare;
use dejavm_tests::recording::{END, recorded_on, replay_on, straight};

#[test]
fn a_recording_of_one_engine_replays_on_the_other() {
    if let Err(e) = Accel::Jit.available() {
        eprintln!("skipped: {e}");
        return;
    }
    for (vcpus, seed) in [(1, 1), (2, 2), (4, 3)] {
        for (made_by, replayed_by) in [(Accel::Interp, Accel::Jit), (Accel::Jit, Accel::Interp)] {
            let journal = recorded_on(made_by, vcpus, seed, None);
            let at = [END / 3, END / 2 + 7, END];
            let expected = straight(&journal, &at);
            let mut session = replay_on(replayed_by, &journal);
            for (icount, digest) in at.iter().zip(&expected) {
                // Every state hash on the way is compared, too.
                session.run_until(*icount, &mut ()).expect("a replay");
                assert_eq!(session.machine().digest(), *digest, "{vcpus} vCPUs at {icount}");
            }
        }
    }
}

/// The beginning of a boot of Debian's kernel; `DEJAVM_LOCKSTEP_ICOUNT` goes further, to the end if
/// it is large enough.
#[test]
fn linux_boots_in_lock_step() {
    const EVERY: u64 = 2_500_000;
    if let Err(e) = Accel::Jit.available() {
        eprintln!("skipped: {e}");
        return;
    }
    let until = std::env::var("DEJAVM_LOCKSTEP_ICOUNT").map_or(15_000_000, |n| n.parse().expect("a number"));
    let read = |name| std::fs::read(guest_file(name)).expect("a guest's file");
    let images = Images { kernel: read("vmlinuz-cloud"), initrd: Some(read("initrd.gz")) };
    let command_line = "console=ttyS0 earlyprintk=ttyS0 dejavm.mode=workload".to_owned();
    let config = MachineConfig { vcpus: 2, command_line, ..MachineConfig::default() };
    let [mut a, mut b] = [Accel::Interp, Accel::Jit].map(|accel| {
        let mut machine = Machine::new(&config, images.clone()).expect("a machine");
        machine.set_accel(accel).expect("an engine");
        machine
    });
    let mut reason = StopReason::Limit;
    while a.position().icount < until && reason == StopReason::Limit {
        let limit = RunLimit::to_icount(a.position().icount + EVERY);
        reason = a.run(&limit);
        assert_eq!(reason, b.run(&limit));
        if let Some(difference) = compare(&mut a, &mut b) {
            panic!("{difference}");
        }
        assert_eq!(a.take_outbound(), b.take_outbound());
    }
    println!("the same for {} instructions", a.position().icount);
}
