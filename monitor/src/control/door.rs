//! What a monitor gives to the machine: by the same door as all else that comes from outside,
//! so that a recording has it in its journal.

use super::ControlError;
use dejavm_core::boundary::Inbound;

/// The way into the machine.
pub trait Door {
    /// Gives something to the machine from outside.
    ///
    /// # Errors
    /// If the run is a replay: nothing may come in but what its journal holds.
    fn inject(&mut self, event: Inbound) -> Result<(), ControlError>;
}
