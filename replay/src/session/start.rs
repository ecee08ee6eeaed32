//! Where a journal begins that does not begin at power-on: taking the state of a machine, and
//! making a machine of it.

use super::SessionError;
use super::replay::check_model;
use crate::checkpoint::FullCheckpoint;
use crate::journal::{Header, Start, StateDigest};
use dejavm_core::boundary::Images;
use dejavm_core::machine::Machine;

impl Start {
    /// The state of a machine that is settled where it stands, and whose output has been taken.
    pub fn of(machine: &mut Machine) -> Self {
        let at = machine.position();
        Self { checkpoint: FullCheckpoint::save(machine, at), hash: StateDigest::from(machine.state_hash()) }
    }
}

/// The machine of a journal where its run begins: at power-on, or at `start`.
///
/// # Errors
/// If this dejavm does not have that machine, or the state does not fit it.
pub fn machine_at_start(
    header: &Header,
    images: &Images,
    start: Option<&Start>,
) -> Result<Machine, SessionError> {
    check_model(header)?;
    let mut machine = Machine::new(&header.config, images.clone())?;
    if let Some(start) = start {
        start.checkpoint.load(&mut machine).map_err(|e| SessionError::BadStart(e.to_string()))?;
        if StateDigest::from(machine.state_hash()) != start.hash {
            return Err(SessionError::BadStart("it does not have its hash".to_owned()));
        }
    }
    Ok(machine)
}
