//! Where a socket is, as QEMU writes it: `unix:PATH,server=on,wait=off`,
//! `tcp:127.0.0.1:4444,server,nowait`; or a pipe, `pipe:PATH`, or a terminal, `pty`.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;

/// Where a socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// In the file system.
    Unix(PathBuf),
    /// At a port of this host, and not to be reached from others.
    Tcp(IpAddr, u16),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(host, port) => write!(f, "tcp:{host}:{port}"),
        }
    }
}

/// Where clients are met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At a socket.
    Socket(SocketSpec),
    /// At the named pipes PATH.in and PATH.out; or, if they are not there, at PATH, for both ways.
    Pipe(PathBuf),
    /// At a terminal that the host makes.
    Pty,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "pty" => Ok(Self::Pty),
            Some(("pipe", "")) => Err("a pipe is pipe:PATH".into()),
            Some(("pipe", path)) => Ok(Self::Pipe(path.into())),
            Some(("unix" | "tcp", _)) => text.parse().map(Self::Socket),
            _ => Err(format!("'{text}' is not unix:PATH, tcp:HOST:PORT, pipe:PATH or pty")),
        }
    }
}

/// A socket, and who comes to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketSpec {
    /// Where.
    pub address: Address,
    /// We wait for clients; else we go to the one who waits there.
    pub server: bool,
    /// The machine starts once a client is there.
    pub wait: bool,
}

impl FromStr for SocketSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let place = parts.next().unwrap_or_default();
        let address = match place.split_once(':') {
            Some(("unix", path)) => unix(path)?,
            Some(("tcp", rest)) => {
                let (host, port) = rest.rsplit_once(':').ok_or("a TCP socket is tcp:HOST:PORT")?;
                tcp(host, port)?
            }
            _ => return Err(format!("'{place}' is neither unix:PATH nor tcp:HOST:PORT")),
        };
        let mut spec = Self { address, server: false, wait: true };
        for option in parts {
            spec.option(option)?;
        }
        Ok(spec)
    }
}

impl SocketSpec {
    /// A socket made of an option's properties: `path`, or `host` and `port`, and those of
    /// [`Self::option`].
    ///
    /// # Errors
    /// What is missing or wrong.
    pub fn from_properties<'a>(properties: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let (mut path, mut host, mut port, mut rest) = (None, None, None, Vec::new());
        for property in properties {
            match property.split_once('=') {
                Some(("path", value)) => path = Some(value),
                Some(("host", value)) => host = Some(value),
                Some(("port", value)) => port = Some(value),
                _ => rest.push(property),
            }
        }
        let address = match (path, port) {
            (Some(path), None) => unix(path)?,
            (None, Some(port)) => tcp(host.unwrap_or_default(), port)?,
            _ => return Err("a socket has a path=, or a port=".into()),
        };
        let mut spec = Self { address, server: false, wait: true };
        rest.into_iter().try_for_each(|option| spec.option(option))?;
        Ok(spec)
    }

    fn option(&mut self, option: &str) -> Result<(), String> {
        let on = |value: &str| match value {
            "on" | "yes" | "true" => Ok(true),
            "off" | "no" | "false" => Ok(false),
            _ => Err(format!("'{option}': on or off is expected")),
        };
        match option.split_once('=').unwrap_or((option, "on")) {
            ("server", value) => self.server = on(value)?,
            ("wait", value) => self.wait = on(value)?,
            ("nowait", "on") => self.wait = false,
            ("nodelay" | "ipv4", value) => drop(on(value)?),
            _ => return Err(format!("'{option}' is no option of a socket here: server=on, wait=off")),
        }
        Ok(())
    }
}

fn unix(path: &str) -> Result<Address, String> {
    match path {
        "" => Err("a Unix socket is unix:PATH".into()),
        _ => Ok(Address::Unix(path.into())),
    }
}

/// Only this host: whoever reaches a monitor can do with the program what he likes.
fn tcp(host: &str, port: &str) -> Result<Address, String> {
    let port = port.parse().map_err(|_| format!("'{port}' is not the number of a port"))?;
    let host = match host.trim_matches(['[', ']']) {
        "" | "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        host => host.parse().map_err(|_| format!("'{host}' is not 127.0.0.1, ::1 or localhost"))?,
    };
    if !host.is_loopback() {
        return Err(format!("only this host can be reached, which needs no password: 127.0.0.1, not {host}"));
    }
    Ok(Address::Tcp(host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        let unix = Address::Unix("q.sock".into());
        for (text, address, server, wait) in [
            ("unix:q.sock,server=on,wait=off", unix.clone(), true, false),
            ("unix:q.sock,server,nowait", unix.clone(), true, false),
            ("unix:q.sock", unix.clone(), false, true),
            ("tcp:127.0.0.1:44,server=on", Address::Tcp(Ipv4Addr::LOCALHOST.into(), 44), true, true),
            ("tcp::44,server", Address::Tcp(Ipv4Addr::LOCALHOST.into(), 44), true, true),
            ("tcp:[::1]:44", Address::Tcp("::1".parse().unwrap(), 44), false, true),
        ] {
            assert_eq!(text.parse(), Ok(SocketSpec { address, server, wait }), "{text}");
        }
        let made = SocketSpec::from_properties("path=q.sock,server=on,wait=off".split(','));
        assert_eq!(made, "unix:q.sock,server,nowait".parse());
        let made = SocketSpec::from_properties("host=localhost,port=44".split(','));
        assert_eq!(made, "tcp::44".parse());
    }

    #[test]
    fn places() {
        assert_eq!("pty".parse(), Ok(Place::Pty));
        assert_eq!("pipe:a".parse(), Ok(Place::Pipe("a".into())));
        assert_eq!("unix:a".parse(), Ok(Place::Socket("unix:a".parse().unwrap())));
        for text in ["", "pty:x", "pipe:", "pipe", "unix:", "vc"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong() {
        for text in [
            "",
            "unix:",
            "tcp:44",
            "tcp:x:y",
            "tcp:0.0.0.0:44",
            "tcp:10.1.1.1:44",
            "vc",
            "unix:a,foo",
            "unix:a,server=x",
        ] {
            assert!(text.parse::<SocketSpec>().is_err(), "{text}");
        }
        for text in ["server=on", "path=a,port=1", "port=x"] {
            assert!(SocketSpec::from_properties(text.split(',')).is_err(), "{text}");
        }
    }
}
