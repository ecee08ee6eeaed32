//! Errors and their classes, as QAPI has them.

use crate::control::ControlError;

/// The class of an error, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// Nothing particular.
    GenericError,
    /// No such command, or not now.
    CommandNotFound,
    /// There is no such device.
    DeviceNotFound,
}

impl ErrorClass {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::GenericError => "GenericError",
            Self::CommandNotFound => "CommandNotFound",
            Self::DeviceNotFound => "DeviceNotFound",
        }
    }
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{desc}")]
pub struct QmpError {
    /// For programs.
    pub class: ErrorClass,
    /// For people.
    pub desc: String,
}

impl QmpError {
    /// An error of no particular class.
    pub fn generic(desc: impl Into<String>) -> Self {
        Self { class: ErrorClass::GenericError, desc: desc.into() }
    }

    /// No such command.
    pub fn not_found(desc: impl Into<String>) -> Self {
        Self { class: ErrorClass::CommandNotFound, desc: desc.into() }
    }

    /// No such device.
    pub fn no_device(desc: impl Into<String>) -> Self {
        Self { class: ErrorClass::DeviceNotFound, desc: desc.into() }
    }
}

impl From<ControlError> for QmpError {
    fn from(error: ControlError) -> Self {
        Self::generic(error.to_string())
    }
}
