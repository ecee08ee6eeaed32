//! What a character device is on the host, as QEMU writes it: `file,path=P`, `ringbuf,size=N`,
//! `null`, `stdio`.

use super::ring::{self, Ring};
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
    /// A socket, which someone else serves; this is its address.
    Socket(String),
}

/// Where the bytes of a character device go.
#[derive(Debug)]
pub(super) enum Sink {
    Nowhere,
    Stdout,
    File(File),
    Ring(Ring),
}

impl Backend {
    /// Reads a backend's name and its properties, of which `id` is left out.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse<'a>(kind: &str, properties: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut backend = match kind {
            "null" => Self::Null,
            "stdio" => Self::Stdio { mux: false },
            "file" => Self::File { path: PathBuf::new(), append: false },
            "ringbuf" | "memory" => Self::Ring { size_bytes: ring::DEFAULT_BYTES },
            _ => return Err(format!("'{kind}' is no character device here: null, file or ringbuf")),
        };
        for property in properties.filter(|p| !p.is_empty() && !p.starts_with("id=")) {
            let (name, value) = property.split_once('=').unwrap_or((property, "on"));
            backend.set(name, value)?;
        }
        match &backend {
            Self::File { path, .. } if path.as_os_str().is_empty() => {
                Err("chardev: file: no filename given".into())
            }
            Self::Ring { size_bytes } => Ring::new(*size_bytes).map(|_| backend),
            _ => Ok(backend),
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match (self, name) {
            (Self::File { path, .. }, "path") => *path = value.into(),
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
            Self::Socket(address) => address.clone(),
        }
    }

    /// Opens it.
    pub(super) fn open(&self) -> Result<Sink, String> {
        Ok(match self {
            Self::Null | Self::Socket(_) => Sink::Nowhere,
            Self::Stdio { .. } => Sink::Stdout,
            Self::Ring { size_bytes } => Sink::Ring(Ring::new(*size_bytes)?),
            Self::File { path, append } => {
                let mut options = OpenOptions::new();
                options.create(true).write(true).append(*append).truncate(!append);
                let file = options.open(path).map_err(|error| {
                    let text = error.to_string();
                    let cause = text.split(" (os error").next().unwrap_or_default();
                    format!("Could not open '{}': {cause}", path.display())
                })?;
                Sink::File(file)
            }
        })
    }
}

impl Sink {
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
        }
    }
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
        for (text, error) in [
            ("pty,id=p", "'pty' is no character device here: null, file or ringbuf"),
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
