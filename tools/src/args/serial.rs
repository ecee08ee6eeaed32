//! Where serial ports and the monitor go.

use std::path::PathBuf;
use std::str::FromStr;

/// Where a serial port goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SerialSpec {
    /// To stdin and stdout, every byte as it is; ctrl-c ends the program.
    Stdio,
    /// To stdin and stdout, with the escapes of ctrl-a; ctrl-c goes to the guest.
    MuxStdio,
    /// What the guest sends goes into a file.
    File(PathBuf),
    /// Nowhere.
    Null,
}

impl FromStr for SerialSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "stdio" => Ok(Self::Stdio),
            "mon:stdio" => Ok(Self::MuxStdio),
            "null" | "none" => Ok(Self::Null),
            _ => match text.strip_prefix("file:") {
                Some(path) if !path.is_empty() => Ok(Self::File(path.into())),
                _ => Err("a serial port goes to stdio, mon:stdio, file:PATH, null or none".into()),
            },
        }
    }
}

impl SerialSpec {
    /// Whether it takes this terminal.
    pub fn is_stdio(&self) -> bool {
        matches!(self, Self::Stdio | Self::MuxStdio)
    }
}

/// Where the monitor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MonitorSpec {
    /// On this terminal, from the start.
    Stdio,
    /// Nowhere.
    None,
}

impl FromStr for MonitorSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "stdio" | "mon:stdio" => Ok(Self::Stdio),
            "none" | "null" => Ok(Self::None),
            _ => Err("the monitor is at stdio or none".into()),
        }
    }
}
