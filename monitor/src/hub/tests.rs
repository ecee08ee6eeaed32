//! Several clients at once, without sockets.

use super::*;
use crate::control::fake::Fake;
use crate::control::{Arrival, Execution as _, Mode, RunState};
use crate::qmp::tests::services;
use crate::transport::Protocol;

struct Room {
    hub: Hub,
    control: Fake,
    outboxes: Vec<Arc<Outbox>>,
}

impl Room {
    /// A room with a client of each kind that is asked for.
    fn with(protocols: &[Protocol]) -> Self {
        let mut control = Fake::replay();
        let mut hub = Hub::new(services());
        let outboxes: Vec<Arc<Outbox>> = protocols.iter().map(|_| Arc::default()).collect();
        for (id, (&protocol, outbox)) in protocols.iter().zip(&outboxes).enumerate() {
            hub.receive(protocol, Incoming::Opened { id: id as u64, outbox: outbox.clone() }, &mut control);
        }
        let mut room = Self { hub, control, outboxes };
        for (id, protocol) in protocols.iter().enumerate() {
            if *protocol == Protocol::Qmp {
                room.say(id, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}");
            }
            room.heard(id);
        }
        room
    }

    fn say(&mut self, id: usize, text: &str) {
        let bytes = text.as_bytes().to_vec();
        self.hub.receive(Protocol::Qmp, Incoming::Bytes { id: id as u64, bytes }, &mut self.control);
        while self.hub.serve(&mut self.control) {}
    }

    fn heard(&mut self, id: usize) -> String {
        let bytes: Vec<u8> = self.outboxes[id].drain_for_test().concat();
        String::from_utf8(bytes).unwrap()
    }
}

#[test]
fn each_has_a_state_of_its_own() {
    let mut room = Room::with(&[Protocol::Hmp, Protocol::Hmp]);
    room.say(0, "x/1xb 0\r");
    room.say(1, "x 0\r");
    assert!(room.heard(0).contains("0000000000000000: 0x00\r\n(qemu) "));
    assert!(room.heard(1).contains("0000000000000000: 0x00000000\r\n(qemu) "));
}

#[test]
fn programs_hear_of_events_before_the_answer_people_of_arrivals() {
    let mut room = Room::with(&[Protocol::Qmp, Protocol::Hmp, Protocol::Qmp]);
    room.control.events.push(RunEvent::Resume);
    room.control.events.push(RunEvent::Arrived { icount: 9, why: Arrival::Seek });
    room.say(0, "{\"execute\":\"query-name\"}");
    let first = room.heard(0);
    let names: Vec<_> =
        ["RESUME", "REPLAY_ARRIVED", "return"].iter().map(|n| first.find(n).unwrap()).collect();
    assert!(names.is_sorted(), "{first}");
    assert_eq!(room.heard(1), "\r\narrived: instruction count = 9\r\n(qemu) ");
    assert!(room.heard(2).contains("\"icount\": 9"));
}

#[test]
fn who_does_not_read_is_not_served_but_out_of_band() {
    let mut room = Room::with(&[Protocol::Qmp, Protocol::Qmp]);
    for _ in 0..200 {
        room.say(0, "{\"execute\":\"query-qmp-schema\"}");
    }
    assert!(room.outboxes[0].is_full());
    let waiting = room.hub.clients[&0].talk.waiting();
    assert!(waiting > 0, "all was answered");
    assert!(!room.hub.serve(&mut room.control), "nothing can be done until he reads");
    room.control.resume().unwrap();
    room.say(0, "{\"exec-oob\":\"stop\"}");
    assert_eq!(room.control.run_state(), RunState::Paused);
    room.say(1, "{\"execute\":\"query-name\",\"id\":1}");
    assert!(room.heard(1).contains("\"id\": 1"));
    room.heard(0);
    room.hub.receive(Protocol::Qmp, Incoming::Drained { id: 0 }, &mut room.control);
    room.hub.serve(&mut room.control);
    assert_eq!(room.hub.clients[&0].talk.waiting(), waiting - 1);
}

#[test]
fn who_leaves_is_forgotten() {
    let mut room = Room::with(&[Protocol::Qmp]);
    room.hub.receive(Protocol::Qmp, Incoming::Closed { id: 0 }, &mut room.control);
    assert!(room.hub.is_empty());
    room.say(0, "{\"execute\":\"query-name\"}");
    assert_eq!(room.heard(0), "");
}

#[test]
fn who_has_said_all_still_gets_his_answers() {
    let mut room = Room::with(&[Protocol::Qmp]);
    let bytes = b"{\"execute\":\"query-name\",\"id\":1}{\"execute\":\"query-uuid\",\"id\":2}".to_vec();
    room.hub.receive(Protocol::Qmp, Incoming::Bytes { id: 0, bytes }, &mut room.control);
    room.hub.receive(Protocol::Qmp, Incoming::Closed { id: 0 }, &mut room.control);
    assert!(!room.hub.is_empty() && !room.outboxes[0].is_closed());
    while room.hub.serve(&mut room.control) {}
    assert!(room.hub.is_empty() && room.outboxes[0].is_closed());
    let heard = room.heard(0);
    assert!(heard.contains("\"id\": 1") && heard.contains("\"id\": 2"), "{heard}");
}

#[test]
fn a_live_run_has_several_monitors_too() {
    let mut room = Room::with(&[Protocol::Qmp, Protocol::Hmp]);
    room.control.mode = Mode::Live;
    room.say(1, "info replay\r");
    assert!(room.heard(1).contains("Record/replay is not active\r\n"));
}
