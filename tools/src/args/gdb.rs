//! Where gdb finds the machine.

use clap::Args;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where the gdb server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GdbSpec {
    /// At a port.
    Tcp {
        /// Of this host name or address.
        host: String,
        /// The port; 0: any.
        port: u16,
    },
    /// At a socket in the file system.
    Unix(PathBuf),
}

/// Where QEMU's `-s` listens.
const SHORTHAND_PORT: u16 = 1234;
/// Nobody on another machine can reach this.
const LOOPBACK: &str = "127.0.0.1";

impl Default for GdbSpec {
    fn default() -> Self {
        Self::Tcp { host: LOOPBACK.into(), port: SHORTHAND_PORT }
    }
}

impl FromStr for GdbSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let help = || "a gdb server is at tcp::PORT, tcp:HOST:PORT or unix:PATH".to_owned();
        // QEMU's `,server=on,wait=off` says what is the case anyway.
        let address = text.split(',').next().unwrap_or_default();
        if let Some(path) = address.strip_prefix("unix:") {
            return if path.is_empty() { Err(help()) } else { Ok(Self::Unix(path.into())) };
        }
        let (host, port) = address.strip_prefix("tcp:").and_then(|t| t.rsplit_once(':')).ok_or_else(help)?;
        let port = port.parse().map_err(|_| format!("{port:?} is no port; {}", help()))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok(Self::Tcp { host: if host.is_empty() { LOOPBACK } else { host }.into(), port })
    }
}

impl fmt::Display for GdbSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Debugging with gdb.
#[derive(Debug, Default, Args)]
pub struct GdbArgs {
    /// Serve gdb at tcp::PORT (on this machine only), tcp:HOST:PORT or unix:PATH.
    #[arg(long, value_name = "WHERE")]
    pub gdb: Option<GdbSpec>,
    /// The same as --gdb tcp::1234.
    #[arg(short = 's', conflicts_with = "gdb")]
    pub gdb_shorthand: bool,
}

impl GdbArgs {
    /// Where the server is to listen, if there is to be one.
    pub fn server(&self) -> Option<GdbSpec> {
        self.gdb.clone().or_else(|| self.gdb_shorthand.then(GdbSpec::default))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let tcp = |host: &str, port| Ok(GdbSpec::Tcp { host: host.into(), port });
        assert_eq!("tcp::1234".parse(), tcp("127.0.0.1", 1234));
        assert_eq!("tcp:0.0.0.0:99".parse(), tcp("0.0.0.0", 99));
        assert_eq!("tcp:[::1]:99".parse(), tcp("::1", 99));
        assert_eq!("unix:/a/b,server=on,wait=off".parse(), Ok(GdbSpec::Unix("/a/b".into())));
        for wrong in ["", "1234", "tcp:", "tcp::x", "tcp::70000", "unix:"] {
            assert!(wrong.parse::<GdbSpec>().is_err(), "{wrong}");
        }
    }
}
