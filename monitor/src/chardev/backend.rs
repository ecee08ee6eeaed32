//! What a character device is on the host, as QEMU writes it: `socket,path=P,server=on,wait=off`, `pty`,
//! `pipe,path=P`, `file,path=P`, `ringbuf,size=N`, `null`, `stdio`.

use super::link::{Input, Link};
use super::ring::{self, Ring};
use crate::dump::reason;
use crate::transport::{Place, SocketSpec};
use crossbeam_channel::Sender;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

/// What a character device is on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Nothing: what is sent is gone.
    Null,
    /// Standard output (and input).
    Stdio {
        /// Shared with a monitor, by the escapes of ctrl-a.
        mux: bool,
    },
    /// A file.
    File {
        /// Its path.
        path: PathBuf,
        /// What is in it already stays.
        append: bool,
    },
    /// The last bytes, in memory, for ringbuf_read.
    Ring {
        /// How many.
        size_bytes: u64,
    },
    /// A socket, named pipes or a terminal, with somebody at the other side.
    Remote(Place),
    /// A place that a monitor serves by itself; this is what it is called.
    Monitor(String),
}

/// The backends that can be made while a run goes on, by QEMU's names.
pub const KINDS: [&str; 7] = ["file", "null", "pipe", "pty", "ringbuf", "socket", "stdio"];

/// Where the bytes of a character device go.
#[derive(Debug)]
pub(super) enum Sink {
    Nowhere,
    Stdout,
    File(File),
    Ring(Ring),
    Link(Link),
}

impl Backend {
    /// Reads a backend's name and its properties, of which `id` is left out.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse<'a>(kind: &str, properties: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let properties = properties.filter(|p| !p.is_empty() && !p.starts_with("id="));
        let mut backend = match kind {
            "null" => Self::Null,
            "stdio" => Self::Stdio { mux: false },
            "file" => Self::File { path: PathBuf::new(), append: false },
            "ringbuf" | "memory" => Self::Ring { size_bytes: ring::DEFAULT_BYTES },
            "pty" => Self::Remote(Place::Pty),
            "pipe" => Self::Remote(Place::Pipe(PathBuf::new())),
            "socket" => {
                let spec = SocketSpec::from_properties(properties)?;
                return Ok(Self::Remote(Place::Socket(spec)));
            }
            _ => return Err(lacking(kind)),
        };
        for property in properties {
            let (name, value) = property.split_once('=').unwrap_or((property, "on"));
            backend.set(name, value)?;
        }
        match &backend {
            Self::File { path, .. } if path.as_os_str().is_empty() => {
                Err("chardev: file: no filename given".into())
            }
            Self::Remote(Place::Pipe(path)) if path.as_os_str().is_empty() => {
                Err("chardev: pipe: no device path given".into())
            }
            Self::Ring { size_bytes } => Ring::new(*size_bytes).map(|_| backend),
            _ => Ok(backend),
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match (self, name) {
            (Self::File { path, .. } | Self::Remote(Place::Pipe(path)), "path") => *path = value.into(),
            (_, "mux") => {
                return Err("'mux=on' is for the terminal: -serial mon:stdio shares it with a monitor".into());
            }
            (Self::File { append, .. }, "append") => {
                *append = match value {
                    "on" | "yes" | "true" => true,
                    "off" | "no" | "false" => false,
                    _ => return Err("Parameter 'append' expects 'on' or 'off'".into()),
                }
            }
            (Self::Ring { size_bytes }, "size") => {
                *size_bytes = size(value).ok_or("Parameter 'size' expects a size, as in 65536 or 64K")?;
            }
            _ => return Err(format!("Invalid parameter '{name}'")),
        }
        Ok(())
    }

    /// What QEMU calls it in `info chardev`.
    pub fn filename(&self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Stdio { mux: false } => "stdio".into(),
            Self::Stdio { mux: true } => "mux".into(),
            Self::File { .. } => "file".into(),
            Self::Ring { .. } => "ringbuf".into(),
            Self::Remote(Place::Socket(spec)) => {
                let role = if spec.server { ",server=on" } else { "" };
                format!("{}{role}", spec.address)
            }
            Self::Remote(Place::Pipe(_)) => "pipe".into(),
            Self::Remote(Place::Pty) => "pty".into(),
            Self::Monitor(name) => name.clone(),
        }
    }

    /// The same for one that is opened while a run goes on, which waits for nobody.
    ///
    /// # Errors
    /// If it was to wait for a client.
    pub fn without_waiting(self) -> Result<Self, String> {
        if let Self::Remote(Place::Socket(spec)) = &self
            && spec.server
            && spec.wait
        {
            return Err("a run that goes on waits for no client: say wait=off".into());
        }
        Ok(self)
    }

    /// Opens it; what comes in from there is sent to `inputs`, under the number `id`.
    pub(super) fn open(
        &self,
        id: u64,
        inputs: &Sender<Input>,
        notice: &super::Notice,
    ) -> Result<Sink, String> {
        Ok(match self {
            Self::Null | Self::Monitor(_) => Sink::Nowhere,
            Self::Remote(place) => Sink::Link(
                Link::open(place, id, inputs.clone(), notice.clone())
                    .map_err(|e| format!("Failed to open '{}': {}", self.filename(), reason(&e)))?,
            ),
            Self::Stdio { .. } => Sink::Stdout,
            Self::Ring { size_bytes } => Sink::Ring(Ring::new(*size_bytes)?),
            Self::File { path, append } => {
                let mut options = OpenOptions::new();
                options.create(true).write(true).append(*append).truncate(!append);
                let file = options.open(path);
                let file =
                    file.map_err(|e| format!("Could not open '{}': {}", path.display(), reason(&e)))?;
                Sink::File(file)
            }
        })
    }
}

impl Sink {
    /// The terminal that the host has made for it.
    pub fn terminal(&self) -> Option<String> {
        match self {
            Self::Link(link) => link.terminal().map(str::to_owned),
            _ => None,
        }
    }

    pub fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Nowhere => Ok(()),
            Self::Stdout => {
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()
            }
            Self::File(file) => file.write_all(bytes),
            Self::Ring(ring) => {
                ring.write(bytes);
                Ok(())
            }
            Self::Link(link) => {
                link.send(bytes);
                Ok(())
            }
        }
    }
}

/// Why there is no backend of that kind.
fn lacking(kind: &str) -> String {
    let why = match kind {
        "vc" | "spicevmc" | "spiceport" | "qemu-vdagent" | "dbus" => "this machine has no display",
        "msmouse" | "wctablet" | "braille" => "this machine has no such device",
        "parallel" => "this machine has no parallel port",
        "udp" => "a stream that may lose its bytes is no console",
        "mux" | "hub" => "-serial mon:stdio shares the terminal with a monitor",
        "serial" | "tty" => "a terminal of the host is reached by its program at a pty",
        "" => "",
        _ => "not known",
    };
    let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
    format!("'{kind}' is no character device here{why}: {}", KINDS.join(", "))
}

/// A number of bytes, with K, M or G behind it.
fn size(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 10),
        b'M' | b'm' => (&text[..text.len() - 1], 20),
        b'G' | b'g' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Backend, String> {
        let (kind, rest) = text.split_once(',').unwrap_or((text, ""));
        Backend::parse(kind, rest.split(','))
    }

    #[test]
    fn backends_and_what_is_wrong_with_them() {
        assert_eq!(parse("null,id=n"), Ok(Backend::Null));
        assert_eq!(parse("ringbuf,id=r"), Ok(Backend::Ring { size_bytes: 65536 }));
        assert_eq!(parse("ringbuf,size=4K,id=r"), Ok(Backend::Ring { size_bytes: 4096 }));
        let file = Backend::File { path: "a".into(), append: true };
        assert_eq!(parse("file,id=f,path=a,append=on"), Ok(file));
        assert_eq!(parse("pty,id=p"), Ok(Backend::Remote(Place::Pty)));
        assert_eq!(parse("pipe,id=p,path=a"), Ok(Backend::Remote(Place::Pipe("a".into()))));
        let socket = parse("socket,id=s,path=a,server=on").unwrap();
        assert_eq!(socket.filename(), "unix:a,server=on");
        assert!(socket.without_waiting().is_err());
        assert!(
            parse("socket,id=s,host=127.0.0.1,port=1,server=on,wait=off").unwrap().without_waiting().is_ok()
        );
        for (text, error) in [
            (
                "udp,id=p",
                "'udp' is no character device here (a stream that may lose its bytes is no console): file, null, \
                 pipe, pty, ringbuf, socket, stdio",
            ),
            ("pipe,id=p", "chardev: pipe: no device path given"),
            ("pty,path=x", "Invalid parameter 'path'"),
            ("socket,id=s", "a socket has a path=, or a port="),
            ("stdio,mux=on", "'mux=on' is for the terminal: -serial mon:stdio shares it with a monitor"),
            ("file,id=f", "chardev: file: no filename given"),
            ("ringbuf,size=3", "size of ringbuf chardev must be power of two"),
            ("ringbuf,size=many", "Parameter 'size' expects a size, as in 65536 or 64K"),
            ("ringbuf,size=99999999999999999999", "Parameter 'size' expects a size, as in 65536 or 64K"),
            ("null,path=a", "Invalid parameter 'path'"),
            ("file,path=a,append=maybe", "Parameter 'append' expects 'on' or 'off'"),
        ] {
            assert_eq!(parse(text), Err(error.to_owned()), "{text}");
        }
    }
}
