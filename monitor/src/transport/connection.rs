//! One connection: a thread that reads, a thread that writes.

use super::{ConnectionId, Incoming, Outbox, Report};
use crate::descriptors::Passed;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The most bytes of a piece.
const PIECE_BYTES: usize = 4096;
/// A client that sends so many pieces within [`FLOOD_TIME`] is read from more slowly, so that
/// the run is not stopped for nothing else.
const FLOOD_PIECES: u32 = 64;
const FLOOD_TIME: Duration = Duration::from_millis(100);
const FLOOD_PAUSE: Duration = Duration::from_millis(20);

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A socket of either family.
pub(super) trait Socket: Read + Write + Send + Sized + 'static {
    fn duplicate(&self) -> std::io::Result<Self>;
    fn end(&self);
    /// Reads, and takes the file descriptors that come along.
    fn receive(&mut self, buffer: &mut [u8], _passed: &mut Vec<Passed>) -> std::io::Result<usize> {
        self.read(buffer)
    }
}

/// So many descriptors are taken with one piece; the host closes those beyond.
const MOST_DESCRIPTORS: usize = 16;

impl Socket for UnixStream {
    fn duplicate(&self) -> std::io::Result<Self> {
        self.try_clone()
    }
    fn end(&self) {
        // It may be gone already.
        let _ = self.shutdown(Shutdown::Both);
    }
    fn receive(&mut self, buffer: &mut [u8], passed: &mut Vec<Passed>) -> std::io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received =
            recvmsg(&*self, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                passed.extend(descriptors.map(|descriptor| Passed(Arc::new(descriptor))));
            }
        }
        Ok(received.bytes)
    }
}

/// Stdin and stdout as one way.
pub(super) struct Stdio;

impl Read for Stdio {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        std::io::stdin().read(buffer)
    }
}

impl Write for Stdio {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::io::stdout().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stdout().flush()
    }
}

impl Socket for Stdio {
    fn duplicate(&self) -> std::io::Result<Self> {
        Ok(Self)
    }
    fn end(&self) {}
}

impl Socket for TcpStream {
    fn duplicate(&self) -> std::io::Result<Self> {
        self.set_nodelay(true)?;
        self.try_clone()
    }
    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

/// Starts both threads; the outbox tells whether the connection still is.
pub(super) fn serve<S: Socket>(socket: S, report: Report) -> std::io::Result<Arc<Outbox>> {
    let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
    let outbox = Arc::new(Outbox::default());
    let (reader, writer) = (socket.duplicate()?, socket);
    report(Incoming::Opened { id, outbox: outbox.clone() });
    let (read_end, read_report) = (outbox.clone(), report.clone());
    std::thread::Builder::new()
        .name(format!("monitor {id} in"))
        .spawn(move || read(reader, id, &read_end, &read_report))?;
    let write_end = outbox.clone();
    std::thread::Builder::new()
        .name(format!("monitor {id} out"))
        .spawn(move || write(writer, id, &write_end, &report))?;
    Ok(outbox)
}

fn read<S: Socket>(mut socket: S, id: ConnectionId, outbox: &Outbox, report: &Report) {
    let mut buffer = [0; PIECE_BYTES];
    let mut pace = Pace::default();
    while outbox.wait_to_read() {
        let mut descriptors = Vec::new();
        match socket.receive(&mut buffer, &mut descriptors) {
            // He has said all, and may still wait for answers: whoever gives them closes the outbox.
            Ok(0) => break,
            Ok(n) => {
                if !descriptors.is_empty() && !report(Incoming::Passed { id, descriptors }) {
                    break;
                }
                if !report(Incoming::Bytes { id, bytes: buffer[..n].to_vec() }) {
                    break;
                }
                pace.keep();
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => outbox.allow_sending(),
            Err(_) => {
                outbox.abandon();
                socket.end();
                break;
            }
        }
    }
    let missed = outbox.missed_events();
    if missed > 0 {
        tracing::warn!(id, missed, "a monitor's client did not read, and missed events");
    }
    if !report(Incoming::Closed { id }) {
        outbox.abandon();
    }
}

fn write<S: Socket>(mut socket: S, id: ConnectionId, outbox: &Outbox, report: &Report) {
    while let Some(bytes) = outbox.next() {
        if socket.write_all(&bytes).and_then(|()| socket.flush()).is_err() {
            outbox.abandon();
            break;
        }
        if outbox.written(bytes.len()) {
            report(Incoming::Drained { id });
        }
    }
    // The thread that reads sits in a call that ends with the socket.
    socket.end();
}

/// Slows down a client that floods.
#[derive(Default)]
struct Pace {
    pieces: u32,
    since: Option<Instant>,
}

impl Pace {
    fn keep(&mut self) {
        let since = *self.since.get_or_insert_with(Instant::now);
        self.pieces += 1;
        if self.pieces >= FLOOD_PIECES {
            if since.elapsed() < FLOOD_TIME {
                std::thread::sleep(FLOOD_PAUSE);
            }
            *self = Self::default();
        }
    }
}
