//! Where serial ports go.

use dejavm_monitor::chardev::Backend;
use dejavm_monitor::transport::Place;
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
    /// To whoever comes to a socket, to named pipes, or to a terminal that the host makes.
    Remote(Place),
    /// Nowhere.
    Null,
    /// To the character device (`--chardev`) of that name.
    Chardev(String),
}

impl FromStr for SerialSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "stdio" => Ok(Self::Stdio),
            "mon:stdio" => Ok(Self::MuxStdio),
            "null" | "none" => Ok(Self::Null),
            _ => match text.split_once(':') {
                Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
                Some(("chardev", id)) if !id.is_empty() => Ok(Self::Chardev(id.into())),
                _ => text.parse().map(Self::Remote).map_err(|why| {
                    format!("{why}; a serial port goes to stdio, mon:stdio, file:PATH, chardev:ID, pty, pipe:PATH, unix:PATH,server=on,wait=off, tcp:127.0.0.1:PORT,server=on,wait=off, null or none")
                }),
            },
        }
    }
}

impl SerialSpec {
    /// The character device that it is by itself; `None`: one that has a name.
    pub fn backend(&self) -> Option<Backend> {
        Some(match self {
            Self::Stdio => Backend::Stdio { mux: false },
            Self::MuxStdio => Backend::Stdio { mux: true },
            Self::File(path) => Backend::File { path: path.clone(), append: false },
            Self::Remote(place) => Backend::Remote(place.clone()),
            Self::Null => Backend::Null,
            Self::Chardev(_) => return None,
        })
    }
}
