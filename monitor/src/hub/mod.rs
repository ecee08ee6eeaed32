//! All monitors at sockets: each client's conversation, and what all of them are told.

mod conversation;

use crate::control::{Control, RunEvent};
use crate::services::Services;
use crate::transport::{ConnectionId, Incoming, Outbox, Protocol};
use conversation::Conversation;
pub use conversation::arrival_text;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So many requests of a client may wait before he is read from again.
const MOST_WAITING: usize = 8;
/// How long the end of the program waits for clients to take what they are sent.
const LAST_WORDS: Duration = Duration::from_millis(500);

struct Client {
    outbox: Arc<Outbox>,
    talk: Conversation,
    /// He has sent something that is not dealt with yet.
    heard: bool,
    /// He has said all, and goes once he has his answers.
    leaves: bool,
}

/// All monitors at sockets.
pub struct Hub {
    services: Rc<Services>,
    clients: BTreeMap<ConnectionId, Client>,
    /// Of those who have said all, and may not have taken all their answers yet.
    parting: Vec<Arc<Outbox>>,
}

impl Hub {
    /// Without clients yet.
    pub fn new(services: Rc<Services>) -> Self {
        Self { services, clients: BTreeMap::new(), parting: Vec::new() }
    }

    /// Takes in what happened at a connection, on which `protocol` is spoken.
    pub fn receive(&mut self, protocol: Protocol, incoming: Incoming, control: &mut dyn Control) {
        match incoming {
            Incoming::Opened { id, outbox } => {
                let talk = Conversation::new(protocol, &self.services);
                outbox.answer(talk.greeting().into_bytes());
                outbox.allow_sending();
                self.clients.insert(id, Client { outbox, talk, heard: false, leaves: false });
            }
            Incoming::Bytes { id, bytes } => {
                let Some(client) = self.clients.get_mut(&id) else { return };
                client.heard = true;
                self.services.descriptors.borrow_mut().set_speaker(Some(id));
                let out = client.talk.feed(&bytes, control, &self.services);
                self.services.descriptors.borrow_mut().set_speaker(None);
                self.tell_others(id, &self.services.take_events(control));
                self.answer(id, out);
                self.listen_again(id);
            }
            Incoming::Passed { id, descriptors } => {
                self.services.descriptors.borrow_mut().receive(id, descriptors);
            }
            Incoming::Drained { id: _ } => {}
            Incoming::Closed { id } => {
                if let Some(client) = self.clients.get_mut(&id) {
                    client.leaves = true;
                }
                self.let_go(id);
            }
        }
    }

    /// Carries out the next request of each client; true if there are more.
    pub fn serve(&mut self, control: &mut dyn Control) -> bool {
        let ids: Vec<_> = self.clients.keys().copied().collect();
        for &id in &ids {
            let Some(client) = self.clients.get_mut(&id) else { continue };
            if client.outbox.is_full() {
                continue;
            }
            self.services.descriptors.borrow_mut().set_speaker(Some(id));
            let out = client.talk.execute_next(control, &self.services);
            self.services.descriptors.borrow_mut().set_speaker(None);
            let Some(out) = out else { continue };
            self.tell_others(id, &self.services.take_events(control));
            self.answer(id, out);
            self.listen_again(id);
            self.let_go(id);
        }
        self.clients.values().any(|client| client.talk.waiting() > 0 && !client.outbox.is_full())
    }

    /// Tells all clients what happened to the run.
    pub fn tell(&self, events: &[RunEvent]) {
        self.tell_some(events, |_| true);
    }

    /// Whether anyone is connected.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Says good-bye: waits a moment until the clients have what they were sent.
    pub fn close(&mut self) {
        let until = Instant::now() + LAST_WORDS;
        self.parting.drain(..).for_each(|outbox| outbox.flush(until));
        for client in self.clients.values() {
            client.outbox.flush(until);
            client.outbox.close();
        }
        self.clients.clear();
    }

    /// As [`Self::tell`]; but who has brought it about by hand sees it anyway.
    fn tell_others(&self, by: ConnectionId, events: &[RunEvent]) {
        self.tell_some(events, |(&id, client)| id != by || client.talk.is_for_programs());
    }

    fn tell_some(&self, events: &[RunEvent], whom: impl Fn((&ConnectionId, &Client)) -> bool) {
        for event in events {
            for (id, client) in &self.clients {
                if whom((id, client))
                    && let Some(text) = client.talk.event(event)
                {
                    client.outbox.event(text.into_bytes());
                }
            }
        }
    }

    fn answer(&mut self, id: ConnectionId, text: String) {
        if let Some(client) = self.clients.get(&id) {
            client.outbox.answer(text.into_bytes());
        }
    }

    /// Takes leave of a client who has said all, and has all his answers.
    fn let_go(&mut self, id: ConnectionId) {
        if self.clients.get(&id).is_some_and(|client| client.leaves && client.talk.waiting() == 0) {
            if let Some(client) = self.clients.remove(&id) {
                client.outbox.close();
                self.parting.retain(|outbox| Arc::strong_count(outbox) > 1);
                self.parting.push(client.outbox);
            }
            self.services.descriptors.borrow_mut().forget(id);
        }
    }

    /// Reads on from a client of whom not too much waits.
    fn listen_again(&mut self, id: ConnectionId) {
        if let Some(client) = self.clients.get_mut(&id)
            && client.heard
            && client.talk.waiting() < MOST_WAITING
        {
            client.heard = false;
            client.outbox.allow_sending();
        }
    }
}

#[cfg(test)]
mod tests;
