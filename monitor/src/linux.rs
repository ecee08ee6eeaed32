//! What monitors remember of a Linux guest: its kernel, read once and used until another is there.

use dejavm_core::machine::Machine;
use dejavm_trace::linux::{Kernel, LinuxError};
use std::cell::RefCell;
use std::rc::Rc;

/// The kernel that was found last.
#[derive(Default)]
pub struct LinuxGuest {
    kernel: RefCell<Option<Rc<Kernel>>>,
}

impl LinuxGuest {
    /// The kernel that is in the guest's memory now.
    ///
    /// # Errors
    /// If there is none that is known.
    pub fn kernel(&self, machine: &Machine) -> Result<Rc<Kernel>, LinuxError> {
        let known = self.kernel.borrow().clone().filter(|kernel| kernel.is_in(machine));
        if let Some(kernel) = known {
            return Ok(kernel);
        }
        let kernel = Rc::new(Kernel::of_guest(machine)?);
        *self.kernel.borrow_mut() = Some(kernel.clone());
        Ok(kernel)
    }
}
