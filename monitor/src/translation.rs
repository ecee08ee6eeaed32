//! `one-insn-per-tb`: whether a run that has a translator does without it for a while.

use crate::control::Control;
use crate::services::Services;
use dejavm_core::machine::Accel;

/// Whether each instruction is executed by itself.
pub fn is_one_instruction(control: &mut dyn Control) -> bool {
    control.machine().accel() == Accel::Interp
}

/// Executes each instruction by itself, or as the run began. Nothing else changes.
///
/// # Errors
/// If this host cannot translate.
pub fn set_one_instruction(control: &mut dyn Control, services: &Services, on: bool) -> Result<(), String> {
    let machine = control.machine();
    if on && machine.accel() == Accel::Jit {
        services.translator_rests.set(true);
        return machine.set_accel(Accel::Interp).map_err(|e| e.to_string());
    }
    if !on && services.translator_rests.take() {
        return machine.set_accel(Accel::Jit).map_err(|e| e.to_string());
    }
    Ok(())
}
