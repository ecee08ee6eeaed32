//! A character device with somebody at its other side: a socket, named pipes, a terminal.

use super::Notice;
use crate::transport::{Incoming, Listening, Outbox, Place, Report, open};
use crossbeam_channel::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many clients of a character device have their turn at a time; others wait.
const MOST_CLIENTS: usize = 1;

/// Bytes that came in at a character device.
#[derive(Debug)]
pub struct Input {
    /// The number of the device.
    pub id: u64,
    /// What was sent.
    pub bytes: Vec<u8>,
}

/// The way to whoever is there.
#[derive(Debug)]
pub struct Link {
    client: Arc<Mutex<Client>>,
    listening: Listening,
}

/// Who is there.
#[derive(Debug, Default)]
struct Client {
    outbox: Option<Arc<Outbox>>,
    /// He may speak, as somebody listens.
    wanted: bool,
}

fn lock(client: &Mutex<Client>) -> MutexGuard<'_, Client> {
    client.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    /// Opens it.
    ///
    /// # Errors
    /// If the host refuses.
    pub fn open(place: &Place, id: u64, inputs: Sender<Input>, notice: Notice) -> std::io::Result<Self> {
        let client: Arc<Mutex<Client>> = Arc::default();
        let here = client.clone();
        let report: Report = Arc::new(move |incoming| {
            match incoming {
                Incoming::Opened { outbox, .. } => {
                    let mut client = lock(&here);
                    if client.wanted {
                        outbox.allow_sending();
                    }
                    client.outbox = Some(outbox);
                }
                Incoming::Bytes { bytes, .. } => {
                    let sent = inputs.send(Input { id, bytes }).is_ok();
                    notice.give();
                    return sent;
                }
                Incoming::Closed { .. } => {
                    if let Some(outbox) = lock(&here).outbox.take() {
                        outbox.close();
                    }
                }
                // Serial lines carry no descriptors, and what does not fit is lost.
                Incoming::Passed { .. } | Incoming::Drained { .. } => {}
            }
            true
        });
        let listening = open(place, MOST_CLIENTS, &report)?;
        Ok(Self { client, listening })
    }

    /// What it is, as QEMU writes it.
    pub fn name(&self) -> String {
        let there = lock(&self.client).outbox.is_some() || !self.listening.name().contains(':');
        let before = if there || self.listening.terminal().is_some() { "" } else { "disconnected:" };
        format!("{before}{}", self.listening.name())
    }

    /// The terminal that the host has made for it.
    pub fn terminal(&self) -> Option<&str> {
        self.listening.terminal()
    }

    /// Sends bytes; if nobody is there, or does not read, they are lost.
    pub fn send(&self, bytes: &[u8]) {
        if let Some(outbox) = &lock(&self.client).outbox {
            outbox.stream(bytes);
        }
    }

    /// Somebody takes what comes in: the next piece may come.
    pub fn listen(&self) {
        let mut client = lock(&self.client);
        client.wanted = true;
        if let Some(outbox) = &client.outbox {
            outbox.allow_sending();
        }
    }

    /// Says good-bye: waits until all is sent, or time is up.
    pub fn flush(&self, until: std::time::Instant) {
        let outbox = lock(&self.client).outbox.clone();
        if let Some(outbox) = outbox {
            outbox.flush(until);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(outbox) = lock(&self.client).outbox.take() {
            outbox.close();
        }
    }
}
