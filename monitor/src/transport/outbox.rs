//! What a client is to be sent, and his leave to send more.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// With so many bytes waiting no further command of the client is carried out.
const FULL_BYTES: usize = 1 << 20;
/// With so many bytes waiting he is told of events no more.
const NO_EVENTS_BYTES: usize = 2 << 20;

/// Bytes of a stream wait together up to so many.
const PIECE_BYTES: usize = 4096;

/// The way to a client.
#[derive(Debug, Default)]
pub struct Outbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Vec<u8>>,
    /// Those in the queue, and those being written.
    bytes: usize,
    may_send: bool,
    closed: bool,
    missed_events: u64,
}

/// Two ways are the same if they lead to the same client.
impl PartialEq for Outbox {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Outbox {}

impl Outbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.changed.notify_all();
        result
    }

    /// Sends an answer.
    pub fn answer(&self, bytes: Vec<u8>) {
        self.change(|state| {
            if !state.closed && !bytes.is_empty() {
                state.bytes += bytes.len();
                state.queue.push_back(bytes);
            }
        });
    }

    /// Tells of something that the client did not ask for, unless too much waits already.
    pub fn event(&self, bytes: Vec<u8>) {
        if self.state().bytes < NO_EVENTS_BYTES {
            self.answer(bytes);
        } else {
            self.change(|state| state.missed_events += 1);
        }
    }

    /// Sends more of a stream, unless too much waits already: then it is lost.
    pub fn stream(&self, bytes: &[u8]) {
        self.change(|state| {
            if state.closed || state.bytes >= NO_EVENTS_BYTES {
                return;
            }
            state.bytes += bytes.len();
            match state.queue.back_mut() {
                Some(last) if last.len() < PIECE_BYTES => last.extend_from_slice(bytes),
                _ => state.queue.push_back(bytes.to_vec()),
            }
        });
    }

    /// Whether the client should first read what he has asked for.
    pub fn is_full(&self) -> bool {
        self.state().bytes >= FULL_BYTES
    }

    /// Lets the client send another piece.
    pub fn allow_sending(&self) {
        self.change(|state| state.may_send = true);
    }

    /// Whether the connection has ended, or is about to.
    pub fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Ends the connection once all is sent.
    pub fn close(&self) {
        self.change(|state| state.closed = true);
    }

    /// Waits until all is sent, or time is up.
    pub fn flush(&self, until: Instant) {
        let mut state = self.state();
        while state.bytes > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// For the thread that reads: waits for leave to; false if the connection ends.
    pub(super) fn wait_to_read(&self) -> bool {
        let mut state = self.state();
        while !state.may_send && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.may_send = false;
        !state.closed
    }

    /// For the thread that writes: waits for something to write; `None` if the connection ends.
    pub(super) fn next(&self) -> Option<Vec<u8>> {
        let mut state = self.state();
        loop {
            if let Some(bytes) = state.queue.pop_front() {
                return Some(bytes);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// For the thread that writes: so many bytes are sent. True if the outbox was full, and is
    /// not any more.
    pub(super) fn written(&self, bytes: usize) -> bool {
        self.change(|state| {
            let was_full = state.bytes >= FULL_BYTES;
            state.bytes = state.bytes.saturating_sub(bytes);
            was_full && state.bytes < FULL_BYTES
        })
    }

    /// Takes all that waits.
    #[cfg(test)]
    pub(crate) fn drain_for_test(&self) -> Vec<Vec<u8>> {
        self.change(|state| {
            state.bytes = 0;
            state.queue.drain(..).collect()
        })
    }

    /// How many events the client missed.
    pub(super) fn missed_events(&self) -> u64 {
        self.state().missed_events
    }

    /// The client is gone; nothing is sent any more.
    pub(super) fn abandon(&self) {
        self.change(|state| {
            state.closed = true;
            state.queue.clear();
            state.bytes = 0;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_wait_without_bound_events_do_not() {
        let outbox = Outbox::default();
        assert!(!outbox.is_full());
        for _ in 0..5 {
            outbox.event(vec![0; FULL_BYTES]);
        }
        assert!(outbox.is_full());
        assert_eq!(outbox.state().bytes, NO_EVENTS_BYTES);
        outbox.answer(vec![1]);
        assert_eq!(outbox.state().bytes, NO_EVENTS_BYTES + 1);
        let first = outbox.next().unwrap().len();
        assert!(!outbox.written(first), "still full");
        let second = outbox.next().unwrap().len();
        assert!(outbox.written(second));
        assert_eq!(outbox.missed_events(), 3);
        outbox.abandon();
        assert_eq!(outbox.next(), None);
    }

    #[test]
    fn a_stream_is_bounded_and_sent_in_larger_pieces() {
        let outbox = Outbox::default();
        (0..PIECE_BYTES).for_each(|_| outbox.stream(b"ab"));
        assert_eq!(outbox.next().unwrap().len(), PIECE_BYTES);
        for _ in 0..100 {
            outbox.stream(&vec![0; NO_EVENTS_BYTES / 10]);
        }
        assert!(outbox.state().bytes < 2 * NO_EVENTS_BYTES);
        outbox.close();
        outbox.stream(b"late");
    }

    #[test]
    fn a_flush_ends_in_time() {
        let outbox = Outbox::default();
        outbox.answer(vec![1]);
        let start = Instant::now();
        outbox.flush(start + Duration::from_millis(20));
        assert!(start.elapsed() >= Duration::from_millis(20));
        outbox.next();
        outbox.written(1);
        outbox.flush(Instant::now() + Duration::from_secs(3600));
    }
}
