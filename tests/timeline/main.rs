//! Going back and forth in a recorded run: wherever one comes from, and whichever engine runs, the state
//! at an icount is the one that a straight replay has there.

mod damage;
mod debugger;
mod fill;
mod hard_cases;
mod killed;
mod linux;
mod search;
mod walk;

use dejavm_core::machine::Accel;

/// The engines of this host.
fn engines() -> Vec<Accel> {
    let all = [Accel::Interp, Accel::Jit];
    let there: Vec<Accel> = all.into_iter().filter(|accel| accel.available().is_ok()).collect();
    if there.len() < all.len() {
        eprintln!("SKIPPED: the translator does not run on this host");
    }
    there
}
