//! Waiting for clients, or going to one.

use super::connection::{Socket, Stdio, serve};
use super::{Address, Outbox, Protocol, Report, SocketSpec};
use std::io::{Error, ErrorKind, Result};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// So many clients of one socket have a conversation at a time; others wait.
const MOST_CLIENTS: usize = 16;

/// Removes the socket from the file system when the program ends.
#[derive(Debug)]
pub struct Listening(Option<PathBuf>);

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Someone else may have removed it.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Opens a socket; all that happens on it is told to `report`. With `wait` this returns once
/// the first client is there.
///
/// # Errors
/// If the host refuses.
pub fn open(spec: &SocketSpec, protocol: Protocol, report: &Report) -> Result<Listening> {
    let report = report.clone();
    match (&spec.address, spec.server) {
        (Address::Unix(path), false) => {
            serve(UnixStream::connect(path)?, protocol, report)?;
            Ok(Listening(None))
        }
        (Address::Tcp(host, port), false) => {
            serve(TcpStream::connect((*host, *port))?, protocol, report)?;
            Ok(Listening(None))
        }
        (Address::Unix(path), true) => {
            let listener = bind(path)?;
            let made = Listening(Some(path.clone()));
            listen(spec, protocol, report, move || listener.accept().map(|(socket, _)| socket))?;
            Ok(made)
        }
        (Address::Tcp(host, port), true) => {
            let listener = TcpListener::bind((*host, *port))?;
            listen(spec, protocol, report, move || listener.accept().map(|(socket, _)| socket))?;
            Ok(Listening(None))
        }
    }
}

/// Speaks at stdin and stdout.
///
/// # Errors
/// If the host refuses.
pub fn open_stdio(protocol: Protocol, report: &Report) -> Result<()> {
    serve(Stdio, protocol, report.clone()).map(|_| ())
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
    protocol: Protocol,
    report: Report,
    mut accept: impl FnMut() -> Result<S> + Send + 'static,
) -> Result<()> {
    let mut clients = Vec::new();
    if spec.wait {
        eprintln!("dejavm: waiting for a client at {}", spec.address);
        clients.push(serve(accept()?, protocol, report.clone())?);
    }
    let name = format!("listen {}", spec.address);
    std::thread::Builder::new().name(name).spawn(move || {
        loop {
            match accept() {
                Ok(socket) => match serve(socket, protocol, report.clone()) {
                    Ok(outbox) => clients.push(outbox),
                    Err(error) => tracing::warn!(%error, "a monitor's client cannot be served"),
                },
                Err(error) => {
                    tracing::warn!(%error, "a monitor's socket cannot be listened at");
                    std::thread::sleep(std::time::Duration::from_millis(100));
                }
            }
            while too_many(&mut clients) {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
        }
    })?;
    Ok(())
}

/// Forgets those who are gone. A connection's threads hold its outbox for as long as it is.
fn too_many(clients: &mut Vec<Arc<Outbox>>) -> bool {
    clients.retain(|outbox| Arc::strong_count(outbox) > 1);
    clients.len() >= MOST_CLIENTS
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
        let listening = open(&spec, Protocol::Qmp, &report).unwrap();
        (path, receiver, listening)
    }

    fn next(receiver: &Receiver<Incoming>) -> Incoming {
        receiver.recv_timeout(Duration::from_secs(20)).expect("nothing came")
    }

    #[test]
    fn a_conversation_and_its_end() {
        let (path, receiver, listening) = opened("talk");
        let mut client = UnixStream::connect(&path).unwrap();
        let Incoming::Opened { id, outbox, .. } = next(&receiver) else { panic!("no client") };
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
        let Incoming::Opened { id, outbox, .. } = next(&receiver) else { panic!("no client") };
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
        let report: Report = Arc::new(|_| true);
        assert_eq!(open(&spec, Protocol::Hmp, &report).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(listening);
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a socket outlives the one who made it");
        drop(open(&spec, Protocol::Hmp, &report).unwrap());
    }
}
