//! Sockets, pipes and terminals for monitors and serial ports. Each connection has a thread that reads and
//! one that writes, so that whoever drives the run never waits for a client: what a client sends comes as
//! [`Incoming`] in pieces of which the next is read only once the last is dealt with, and what he is sent
//! waits in a bounded [`Outbox`].

mod address;
mod connection;
mod duplex;
mod listener;
mod outbox;
mod pty;

pub use address::{Address, Place, SocketSpec};
pub use listener::{Listening, open, open_stdio};
pub use outbox::Outbox;

use crate::descriptors::Passed;
use std::sync::Arc;

/// What a monitor speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// With people.
    Hmp,
    /// With programs.
    Qmp,
}

/// Names a connection; no other ever has the same name.
pub type ConnectionId = u64;

/// What happens at a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A client is there.
    Opened {
        /// The connection.
        id: ConnectionId,
        /// The way to the client.
        outbox: Arc<Outbox>,
    },
    /// The client sent something.
    Bytes {
        /// The connection.
        id: ConnectionId,
        /// What he sent.
        bytes: Vec<u8>,
    },
    /// The client passed file descriptors, with the bytes that follow.
    Passed {
        /// The connection.
        id: ConnectionId,
        /// They.
        descriptors: Vec<Passed>,
    },
    /// There is room in the outbox again.
    Drained {
        /// The connection.
        id: ConnectionId,
    },
    /// The client has said all. Once he has his answers, the outbox is to be closed.
    Closed {
        /// The connection.
        id: ConnectionId,
    },
}

/// Takes what happens, from any thread; false if nobody cares any more.
pub type Report = Arc<dyn Fn(Incoming) -> bool + Send + Sync>;
