//! Where serial ports go.

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
    /// What QEMU calls it.
    pub fn filename(&self) -> String {
        match self {
            Self::Stdio => "stdio".into(),
            Self::MuxStdio => "mux".into(),
            Self::File(_) => "file".into(),
            Self::Null => "null".into(),
        }
    }

    /// Whether it takes this terminal.
    pub fn is_stdio(&self) -> bool {
        matches!(self, Self::Stdio | Self::MuxStdio)
    }
}
