//! The gdb server's sockets: one client at a time, on threads of their own, which ask the one who
//! drives the machine for all that they want of it.

use super::{HostEvent, HostEvents};
use crate::args::GdbSpec;
use crate::error::Failure;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use dejavm_monitor::control::Stopped;
use dejavm_monitor::gdb::{Link, Reply, Request, Stub};
use std::convert::Infallible;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A client that has come.
pub struct Client {
    /// It is told here where the machine stopped.
    pub stops: Sender<Stopped>,
    /// Disconnected once the client has been told all, and is gone.
    pub gone: Receiver<Infallible>,
}

/// A request for the one who drives the machine.
pub struct Call {
    /// What is asked.
    pub request: Request,
    /// Where the answer goes.
    pub reply: Sender<Reply>,
    /// With [`Request::Attach`]: who comes.
    pub client: Option<Client>,
}

/// The way to the one who drives the machine.
#[derive(Clone)]
pub struct Calls {
    sender: Sender<Call>,
    events: HostEvents,
}

impl Calls {
    /// Calls go to `sender`; `events` are what makes the machine stop to look.
    pub fn new(sender: Sender<Call>, events: HostEvents) -> Self {
        Self { sender, events }
    }
}

/// A client's link to the machine.
struct CallLink {
    calls: Calls,
    client: Option<Client>,
}

impl Link for CallLink {
    fn ask(&mut self, request: Request) -> Option<Reply> {
        let client = if request == Request::Attach { self.client.take() } else { None };
        let (reply, answer) = bounded(1);
        self.calls.sender.send(Call { request, reply, client }).ok()?;
        self.calls.events.send(HostEvent::Call);
        answer.recv().ok()
    }
}

/// A gdb server. It ends when this is dropped: a client that is there is sent away.
pub struct Server {
    address: String,
    door: Arc<Door>,
    wake: Wake,
}

/// What lets the thread that waits for clients look up.
enum Wake {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// What the server's threads share.
#[derive(Default)]
struct Door {
    /// Nobody is let in any more.
    closed: AtomicBool,
    /// A client is there.
    busy: AtomicBool,
    /// Listens to that client no more.
    turn_away: Mutex<Option<Box<dyn Fn() + Send>>>,
}

impl Door {
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The client that is there is heard no more. It is sent away once it has the answer to what it
    /// asked last.
    fn send_away(&self) {
        if let Ok(mut slot) = self.turn_away.lock()
            && let Some(turn_away) = slot.take()
        {
            turn_away();
        }
    }

    /// Remembers how to send a client away; does so at once if the door has been closed meanwhile.
    fn let_in<S: Stream>(&self, stream: &S) {
        if let (Ok(second), Ok(mut slot)) = (stream.second(), self.turn_away.lock()) {
            *slot = Some(Box::new(move || second.turn_away()));
        }
        if self.is_closed() {
            self.send_away();
        }
    }
}

impl Server {
    /// Where it is, as gdb is told.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.door.closed.store(true, Ordering::Release);
        self.door.send_away();
        // What becomes of this connection does not matter, only that it comes.
        match &self.wake {
            Wake::Tcp(address) => drop(TcpStream::connect_timeout(address, WAKE_TIMEOUT)),
            Wake::Unix(path) => {
                drop(UnixStream::connect(path));
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// How long the server is waited for when it ends.
const WAKE_TIMEOUT: Duration = Duration::from_millis(200);

/// Starts to listen.
///
/// # Errors
/// If the host does not allow that.
pub fn listen(spec: &GdbSpec, calls: Calls) -> Result<Server, Failure> {
    let door = Arc::new(Door::default());
    let failed = |e: &std::io::Error| Failure::new(format!("gdb server at {spec}: {e}"));
    match spec {
        GdbSpec::Tcp { host, port } => {
            let listener = TcpListener::bind((host.as_str(), *port)).map_err(|e| {
                let advice = match e.kind() {
                    ErrorKind::AddrInUse => "another program has this port; tcp::0 takes any that is free",
                    ErrorKind::PermissionDenied => "ports below 1024 are for root",
                    _ => "an address is tcp::PORT, tcp:HOST:PORT or unix:PATH",
                };
                failed(&e).advice(advice)
            })?;
            let address = listener.local_addr().map_err(|e| failed(&e))?;
            if !address.ip().is_loopback() {
                eprintln!("dejavm: warning: whoever reaches {address} can read and change the guest");
            }
            serve(move || listener.accept().map(|(stream, _)| stream), calls, door.clone())
                .map_err(|e| failed(&e))?;
            let wake = Wake::Tcp(reachable(address));
            Ok(Server { address: address.to_string(), door, wake })
        }
        GdbSpec::Unix(path) => {
            let listener = bind_unix(path).map_err(|e| failed(&e))?;
            serve(move || listener.accept().map(|(stream, _)| stream), calls, door.clone())
                .map_err(|e| failed(&e))?;
            Ok(Server { address: path.display().to_string(), door, wake: Wake::Unix(path.clone()) })
        }
    }
}

/// Where a server that listens at `address` can be reached from here.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Binds a socket, in place of one that nobody listens at any more.
fn bind_unix(path: &Path) -> std::io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(e) if e.kind() == ErrorKind::AddrInUse => match UnixStream::connect(path) {
            Err(refused) if refused.kind() == ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)?;
                UnixListener::bind(path)
            }
            _ => Err(e),
        },
        other => other,
    }
}

/// A connection to a client.
trait Stream: Read + Write + Send + Sized + 'static {
    fn second(&self) -> std::io::Result<Self>;
    fn turn_away(&self);
    fn hang_up(&self);
    fn limit_waits(&self) -> std::io::Result<()>;
    fn send_at_once(&self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A client that takes nothing for so long is lost.
const MOST_WAIT: Duration = Duration::from_secs(30);

impl Stream for TcpStream {
    fn second(&self) -> std::io::Result<Self> {
        self.try_clone()
    }
    fn turn_away(&self) {
        // It may be closed already.
        let _ = self.shutdown(Shutdown::Read);
    }
    fn hang_up(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
    fn limit_waits(&self) -> std::io::Result<()> {
        self.set_write_timeout(Some(MOST_WAIT))
    }
    fn send_at_once(&self) -> std::io::Result<()> {
        self.set_nodelay(true)
    }
}

impl Stream for UnixStream {
    fn second(&self) -> std::io::Result<Self> {
        self.try_clone()
    }
    fn turn_away(&self) {
        let _ = self.shutdown(Shutdown::Read);
    }
    fn hang_up(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
    fn limit_waits(&self) -> std::io::Result<()> {
        self.set_write_timeout(Some(MOST_WAIT))
    }
}

/// Takes clients on a thread, one at a time: who comes while there is one is sent away.
fn serve<S: Stream>(
    accept: impl Fn() -> std::io::Result<S> + Send + 'static,
    calls: Calls,
    door: Arc<Door>,
) -> std::io::Result<()> {
    let take = move || {
        loop {
            let Ok(stream) = accept() else { return };
            if door.is_closed() {
                return;
            }
            if door.busy.swap(true, Ordering::AcqRel) {
                tracing::warn!("gdb: a second client came and was sent away");
                stream.hang_up();
                continue;
            }
            let (calls, its) = (calls.clone(), door.clone());
            let client = std::thread::Builder::new().name("gdb".into()).spawn(move || {
                its.let_in(&stream);
                client(stream, calls, &its);
                its.send_away();
                its.busy.store(false, Ordering::Release);
            });
            if let Err(error) = client {
                tracing::warn!(%error, "gdb: a client cannot be served");
                door.busy.store(false, Ordering::Release);
            }
        }
    };
    std::thread::Builder::new().name("gdb-listen".into()).spawn(take)?;
    Ok(())
}

/// Serves one client until it goes, or is sent away.
fn client<S: Stream>(mut stream: S, calls: Calls, door: &Door) {
    if let Err(error) = stream.send_at_once().and_then(|()| stream.limit_waits()) {
        tracing::debug!(%error, "gdb: packets may wait for others");
    }
    let Ok(reader) = stream.second() else { return };
    let (stop_sender, stops) = unbounded();
    let (_here, gone) = bounded(0);
    let (bytes_sender, bytes) = unbounded();
    let link = CallLink { calls, client: Some(Client { stops: stop_sender, gone }) };
    let Some(mut stub) = Stub::attach(link) else { return };
    let started =
        std::thread::Builder::new().name("gdb-read".into()).spawn(move || read(reader, &bytes_sender));
    if started.is_err() {
        stub.hang_up();
        return;
    }
    loop {
        let pushed = crossbeam_channel::select! {
            recv(bytes) -> chunk => match chunk {
                Ok(chunk) => stub.push(&chunk),
                Err(_) => {
                    stub.hang_up();
                    break;
                }
            },
            recv(stops) -> stopped => match stopped {
                Ok(stopped) => stub.stopped(stopped),
                Err(_) => break,
            },
        };
        let sent = stream.write_all(&stub.take_output()).and_then(|()| stream.flush());
        if pushed.is_err() || sent.is_err() {
            break;
        }
        if door.is_closed() {
            stub.hang_up();
            break;
        }
    }
    stream.hang_up();
}

/// Hands on what a client sends, until it closes.
fn read(mut stream: impl Read, bytes: &Sender<Vec<u8>>) {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(len) => {
                if bytes.send(buffer[..len].to_vec()).is_err() {
                    return;
                }
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
