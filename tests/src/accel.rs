//! The engine that the tests' machines run on: the interpreter, or with `DEJAVM_ACCEL=jit` the
//! translator, which then translates almost at once, as the small guests of the tests are short.
//! The program that the tests start understands the same variable.

use dejavm_core::machine::{Accel, Machine};

/// The engine that the environment asks for.
///
/// # Panics
/// If it asks for what there is not.
pub fn chosen() -> Accel {
    match std::env::var("DEJAVM_ACCEL").as_deref() {
        Ok("jit") => Accel::Jit,
        Ok("interp") | Err(_) => Accel::Interp,
        Ok(other) => panic!("DEJAVM_ACCEL is {other:?}: interp or jit"),
    }
}

/// A machine on an engine.
///
/// # Panics
/// If the host has no translator.
pub fn on(accel: Accel, mut machine: Machine) -> Machine {
    machine.set_accel(accel).expect("a translator");
    machine.translate_after(2);
    machine
}

/// A machine on the chosen engine.
pub fn on_chosen(machine: Machine) -> Machine {
    on(chosen(), machine)
}
