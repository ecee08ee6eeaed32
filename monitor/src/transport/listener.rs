//! Waiting for clients, or going to one.

use super::connection::{Socket, Stdio, serve};
use super::{Address, Outbox, Place, Report, SocketSpec};
use super::{duplex, pty};
use std::io::{Error, ErrorKind, Result};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A place where clients are met. When it is dropped no more come, and a socket is removed from the file
/// system.
#[derive(Debug)]
pub struct Listening {
    /// As `info chardev` shows it.
    name: String,
    /// The socket in the file system.
    path: Option<PathBuf>,
    /// Who waits there.
    waits: Option<Address>,
    /// No more clients are wanted.
    over: Arc<AtomicBool>,
}

impl Listening {
    fn new(name: String) -> Self {
        Self { name, path: None, waits: None, over: Arc::default() }
    }

    /// What it is, as QEMU writes it: `unix:PATH,server=on`, `pty:/dev/pts/3`, `pipe`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The terminal that the host has made.
    pub fn terminal(&self) -> Option<&str> {
        self.name.strip_prefix("pty:")
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Who waits for a client gets one, and sees that it is over.
        match &self.waits {
            Some(Address::Unix(path)) => drop(UnixStream::connect(path)),
            Some(Address::Tcp(host, port)) => drop(TcpStream::connect((*host, *port))),
            None => {}
        }
        if let Some(path) = &self.path {
            // Someone else may have removed it.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Opens a place, for so many clients at a time (others wait); all that happens there is told to `report`.
/// With `wait` this returns once the first client is there.
///
/// # Errors
/// If the host refuses.
pub fn open(place: &Place, most_clients: usize, report: &Report) -> Result<Listening> {
    match place {
        Place::Socket(spec) => open_socket(spec, most_clients, report.clone()),
        Place::Pipe(path) => {
            serve(duplex::open_pipe(path)?, report.clone())?;
            Ok(Listening::new("pipe".into()))
        }
        Place::Pty => {
            let terminal = pty::Pty::open()?;
            let listening = Listening::new(format!("pty:{}", terminal.path()));
            terminal.serve(report.clone(), listening.over.clone())?;
            Ok(listening)
        }
    }
}

fn open_socket(spec: &SocketSpec, most_clients: usize, report: Report) -> Result<Listening> {
    let role = if spec.server { ",server=on" } else { "" };
    let mut made = Listening::new(format!("{}{role}", spec.address));
    match (&spec.address, spec.server) {
        (Address::Unix(path), false) => drop(serve(UnixStream::connect(path)?, report)?),
        (Address::Tcp(host, port), false) => drop(serve(TcpStream::connect((*host, *port))?, report)?),
        (Address::Unix(path), true) => {
            let listener = bind(path)?;
            made.path = Some(path.clone());
            let accept = move || listener.accept().map(|(socket, _)| socket);
            listen(spec, most_clients, report, made.over.clone(), accept)?;
            made.waits = Some(spec.address.clone());
        }
        (Address::Tcp(host, port), true) => {
            let listener = TcpListener::bind((*host, *port))?;
            // Port 0 is any that is free.
            let address = Address::Tcp(*host, listener.local_addr()?.port());
            made.name = format!("{address}{role}");
            let accept = move || listener.accept().map(|(socket, _)| socket);
            listen(spec, most_clients, report, made.over.clone(), accept)?;
            made.waits = Some(address);
        }
    }
    Ok(made)
}

/// Speaks at stdin and stdout.
///
/// # Errors
/// If the host refuses.
pub fn open_stdio(report: &Report) -> Result<()> {
    serve(Stdio, report.clone()).map(|_| ())
}

/// Binds to a path; a socket that nobody listens at any more gives way.
fn bind(path: &Path) -> Result<UnixListener> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket());
    if is_socket {
        match UnixStream::connect(path) {
            Ok(_) => return Err(Error::new(ErrorKind::AddrInUse, "another program listens there")),
            Err(_) => std::fs::remove_file(path)?,
        }
    }
    UnixListener::bind(path)
}

fn listen<S: Socket>(
    spec: &SocketSpec,
    most_clients: usize,
    report: Report,
    over: Arc<AtomicBool>,
    mut accept: impl FnMut() -> Result<S> + Send + 'static,
) -> Result<()> {
    let mut clients = Vec::new();
    if spec.wait {
        eprintln!("dejavm: waiting for a client at {}", spec.address);
        clients.push(serve(accept()?, report.clone())?);
    }
    let name = format!("listen {}", spec.address);
    std::thread::Builder::new().name(name).spawn(move || {
        loop {
            while in_talk(&mut clients) >= most_clients && !over.load(Ordering::Relaxed) {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            let accepted = accept();
            if over.load(Ordering::Relaxed) {
                return;
            }
            match accepted {
                Ok(socket) => match serve(socket, report.clone()) {
                    Ok(outbox) => clients.push(outbox),
                    Err(error) => tracing::warn!(%error, "a client at a socket cannot be served"),
                },
                Err(error) => {
                    tracing::warn!(%error, "a socket cannot be listened at");
                    std::thread::sleep(std::time::Duration::from_millis(100));
                }
            }
        }
    })?;
    Ok(())
}

/// Forgets those whose connection has ended, and tells how many are there.
fn in_talk(clients: &mut Vec<Arc<Outbox>>) -> usize {
    clients.retain(|outbox| !outbox.is_closed());
    clients.len()
}

#[cfg(test)]
mod tests {
    use super::super::Incoming;
    use super::*;
    use crossbeam_channel::{Receiver, unbounded};
    use std::io::{Read as _, Write as _};
    use std::time::Duration;

    fn opened(name: &str) -> (PathBuf, Receiver<Incoming>, Listening) {
        let path = std::env::temp_dir().join(format!("dejavm-{}-{name}.sock", std::process::id()));
        let (sender, receiver) = unbounded();
        let report: Report = Arc::new(move |incoming| sender.send(incoming).is_ok());
        let spec = SocketSpec { address: Address::Unix(path.clone()), server: true, wait: false };
        let listening = open(&Place::Socket(spec), 16, &report).unwrap();
        (path, receiver, listening)
    }

    fn next(receiver: &Receiver<Incoming>) -> Incoming {
        receiver.recv_timeout(Duration::from_secs(20)).expect("nothing came")
    }

    #[test]
    fn a_conversation_and_its_end() {
        let (path, receiver, listening) = opened("talk");
        let mut client = UnixStream::connect(&path).unwrap();
        let Incoming::Opened { id, outbox } = next(&receiver) else { panic!("no client") };
        client.write_all(b"hello").unwrap();
        assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err(), "read without leave");
        outbox.allow_sending();
        assert_eq!(next(&receiver), Incoming::Bytes { id, bytes: b"hello".to_vec() });
        outbox.answer(b"world".to_vec());
        let mut answer = [0; 5];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"world");
        outbox.allow_sending();
        drop(client);
        assert_eq!(next(&receiver), Incoming::Closed { id });
        drop(listening);
        assert!(!path.exists());
    }

    #[test]
    fn a_client_who_never_reads_and_leaves_is_noticed() {
        let (path, receiver, _listening) = opened("deaf");
        let client = UnixStream::connect(&path).unwrap();
        let Incoming::Opened { id, outbox } = next(&receiver) else { panic!("no client") };
        while !outbox.is_full() {
            outbox.answer(vec![b' '; 1 << 16]);
        }
        drop(client);
        assert_eq!(next(&receiver), Incoming::Closed { id });
        assert!(!outbox.is_full());
    }

    #[test]
    fn a_path_in_use_is_not_taken_a_stale_one_is() {
        let (path, _receiver, listening) = opened("stale");
        let spec = SocketSpec { address: Address::Unix(path.clone()), server: true, wait: false };
        let (report, place): (Report, _) = (Arc::new(|_| true), Place::Socket(spec));
        assert_eq!(open(&place, 16, &report).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(listening);
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a socket outlives the one who made it");
        drop(open(&place, 16, &report).unwrap());
    }

    #[test]
    fn clients_beyond_the_most_wait_and_a_place_that_is_left_serves_nobody() {
        let spec = "tcp:127.0.0.1:0,server=on,wait=off".parse().unwrap();
        let (sender, receiver) = unbounded();
        let report: Report = Arc::new(move |incoming| sender.send(incoming).is_ok());
        let listening = open(&Place::Socket(spec), 1, &report).unwrap();
        let address = listening.name().strip_prefix("tcp:").unwrap().strip_suffix(",server=on").unwrap();
        let first = TcpStream::connect(address).unwrap();
        let Incoming::Opened { id, outbox } = next(&receiver) else { panic!("no client") };
        let _second = TcpStream::connect(address).unwrap();
        assert!(receiver.recv_timeout(Duration::from_millis(100)).is_err(), "two at a time");
        outbox.allow_sending();
        drop(first);
        assert_eq!(next(&receiver), Incoming::Closed { id });
        assert!(receiver.recv_timeout(Duration::from_millis(100)).is_err(), "the first may wait for answers");
        outbox.close();
        let Incoming::Opened { .. } = next(&receiver) else { panic!("no second client") };
        let address = address.to_owned();
        drop(listening);
        let start = std::time::Instant::now();
        while TcpStream::connect(&address).is_ok() {
            assert!(start.elapsed() < Duration::from_secs(20), "it still listens");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
