//! A recording does not know its engine: what one made, the other replays, state hash by state
//! hash.

use dejavm_core::machine::Accel;
use dejavm_replay::session::RunMachine as _;
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
