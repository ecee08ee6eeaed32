//! Conversations, and what must hold for every command.

use super::commands::{Command, all};
use super::schema::{Type, check_value};
use super::*;
use crate::control::fake::Fake;
use crate::control::{Arrival, Mode};
use crate::services::{Identity, LogControl};
use dejavm_trace::event::Registry;
use dejavm_trace::sink::{Format, Writer};
use std::collections::BTreeSet;
use std::sync::Arc;

struct NoLog;
impl LogControl for NoLog {
    fn set_filter(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
    fn filter(&self) -> String {
        String::new()
    }
    fn set_file(&self, _: Option<&std::path::Path>) -> Result<(), String> {
        Ok(())
    }
}

pub(crate) fn services() -> Rc<Services> {
    let trace = Arc::new(Registry::new(Writer::new(Format::Text, Box::new(std::io::sink()))));
    let uuid = std::array::from_fn(|n| n as u8 * 0x11);
    Rc::new(Services::new(trace, Box::new(NoLog), Identity { name: Some("box".into()), uuid }))
}

/// All that one feeding gives: what is out of band first, then the rest in its turn.
fn said(qmp: &mut Qmp, control: &mut Fake, services: &Rc<Services>, bytes: &[u8]) -> String {
    let mut out = qmp.feed(bytes, control, services);
    while let Some(text) = qmp.execute_next(control, services) {
        out.push_str(&text);
    }
    out
}

fn negotiated(control: &mut Fake, services: &Rc<Services>) -> Qmp {
    let mut qmp = Qmp::default();
    let hello = br#"{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}"#;
    assert_eq!(said(&mut qmp, control, services, hello), "{\"return\": {}}\r\n");
    qmp
}

/// Each line `-> ` is sent, each line `<- ` must come.
fn play(transcript: &str, mut qmp: Qmp, mut control: Fake, services: &Rc<Services>) {
    let mut got = String::new();
    for line in transcript.lines() {
        if let Some(input) = line.strip_prefix("-> ") {
            got = said(&mut qmp, &mut control, services, input.as_bytes());
        } else if let Some(expected) = line.strip_prefix("<- ") {
            let (first, rest) = got.split_once("\r\n").expect(line);
            assert_eq!(first, expected);
            got = rest.to_owned();
        }
    }
    assert_eq!(got, "");
}

#[test]
fn negotiation() {
    let transcript = include_str!("transcripts/negotiation.txt");
    play(transcript, Qmp::default(), Fake::new(Mode::Live), &services());
}

#[test]
fn requests_good_and_bad() {
    let (services, mut control) = (services(), Fake::replay());
    let qmp = negotiated(&mut control, &services);
    play(include_str!("transcripts/requests.txt"), qmp, control, &services);
}

#[test]
fn a_live_machine() {
    let (services, mut control) = (services(), Fake::new(Mode::Live));
    let qmp = negotiated(&mut control, &services);
    play(include_str!("transcripts/live.txt"), qmp, control, &services);
}

#[test]
fn what_is_around_the_machine() {
    let (services, mut control) = (services(), Fake::replay());
    let qmp = negotiated(&mut control, &services);
    play(include_str!("transcripts/outside.txt"), qmp, control, &services);
}

#[test]
fn a_replay() {
    let (services, mut control) = (services(), Fake::replay());
    let qmp = negotiated(&mut control, &services);
    play(include_str!("transcripts/replay.txt"), qmp, control, &services);
}

#[test]
fn the_greeting_is_one_line() {
    let greeting = Qmp::greeting();
    assert!(greeting.starts_with("{\"QMP\": {\"capabilities\": [\"oob\"], \"version\": "), "{greeting}");
    assert!(greeting.ends_with("}\r\n") && greeting.lines().count() == 1, "{greeting}");
}

#[test]
fn after_bad_input_the_next_command_is_understood() {
    let (services, mut control) = (services(), Fake::replay());
    let mut qmp = negotiated(&mut control, &services);
    for bad in [&b"}"[..], b"{]}", b"{\"execute\": \"qu", b"\xFF", b"nonsense ", b"{{{{}}}}", b"[\"\x01\"]"] {
        said(&mut qmp, &mut control, &services, bad);
        let out = said(&mut qmp, &mut control, &services, b"\xFF{\"execute\": \"query-status\", \"id\": 9}");
        let answer = "{\"return\": {\"running\": false, \"status\": \"paused\"}, \"id\": 9}\r\n";
        assert!(out.ends_with(answer), "{bad:?}: {out}");
    }
}

#[test]
fn events_wait_for_the_negotiation() {
    let arrived = RunEvent::Arrived { icount: 7, why: Arrival::Seek };
    assert_eq!(Qmp::default().event(&arrived), None);
    let (services, mut control) = (services(), Fake::replay());
    let text = negotiated(&mut control, &services).event(&arrived).unwrap();
    let event = parse(text.as_bytes()).unwrap();
    assert_eq!(event["event"], "REPLAY_ARRIVED");
    assert_eq!(event["data"], json!({"icount": 7, "reason": "seek"}));
    assert!(event["timestamp"]["seconds"].as_u64() > Some(1_600_000_000));
}

/// Some value of a type.
fn some(kind: &Type) -> Value {
    match kind {
        // Nothing can be created there.
        Type::Str | Type::Any => json!("/nonexistent/x"),
        Type::Int => json!(0),
        Type::Bool => json!(true),
        Type::Enum(words) => json!(words[0]),
        Type::Array(item) => json!([some(item)]),
        Type::Object(members) => members.iter().map(|m| (m.name.to_owned(), some(&m.kind))).collect(),
        Type::Union { base, tag, variants } => {
            let (case, more) = variants[0];
            let members = base.iter().chain(more);
            let mut value: Value = members.map(|m| (m.name.to_owned(), some(&m.kind))).collect();
            value[tag] = json!(case);
            value
        }
    }
}

/// A value that is not of the type; any value is of some.
fn wrong(kind: &Type) -> Option<Value> {
    match kind {
        Type::Any => None,
        Type::Bool => Some(json!(1)),
        _ => Some(json!(true)),
    }
}

fn run(command: &Command, arguments: &Value) -> Result<Value, QmpError> {
    let arguments = arguments.as_object().unwrap();
    execute(command.name, arguments, &mut Fake::replay(), &services())
}

#[test]
fn every_result_is_of_the_type_that_the_schema_says() {
    for command in all() {
        for mode in [Mode::Live, Mode::Replay { file: "run.dj".into() }] {
            let arguments = some(&Type::Object(command.arguments));
            let arguments = arguments.as_object().unwrap();
            if let Ok(value) = execute(command.name, arguments, &mut Fake::new(mode), &services()) {
                assert_eq!(check_value(&command.returns, &value, command.name), Ok(()), "{value}");
            }
        }
    }
}

#[test]
fn every_command_refuses_bad_arguments() {
    for command in all() {
        let good = some(&Type::Object(command.arguments));
        let refused = |arguments: &Value, why: &str| {
            let error = run(command, arguments).expect_err(command.name);
            assert!(error.desc.contains(why), "{}: {arguments}: {error}", command.name);
        };
        let mut more = good.clone();
        more["nosuch"] = json!(1);
        refused(&more, "Parameter 'nosuch' is unexpected");
        for member in command.arguments {
            if let Some(value) = wrong(&member.kind) {
                let mut arguments = good.clone();
                arguments[member.name] = value;
                refused(&arguments, "Invalid parameter type for");
            }
            if !member.optional {
                let mut arguments = good.clone();
                arguments.as_object_mut().unwrap().remove(member.name);
                refused(&arguments, &format!("Parameter '{}' is missing", member.name));
            }
        }
    }
}

#[test]
fn the_schema_is_closed() {
    let schema = execute("query-qmp-schema", &Map::new(), &mut Fake::replay(), &services()).unwrap();
    let entries = schema.as_array().unwrap();
    let names: BTreeSet<&str> = entries.iter().map(|e| e["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), entries.len(), "a name stands twice");
    let known = |name: &Value| assert!(names.contains(name.as_str().unwrap()), "{name} is not there");
    for entry in entries {
        for key in ["arg-type", "ret-type", "element-type"] {
            entry.get(key).iter().for_each(|name| known(name));
        }
        for list in ["members", "variants"] {
            let list = entry.get(list).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(|m| m.get("type")).for_each(&known);
        }
    }
    for command in all() {
        assert!(names.contains(command.name), "{}", command.name);
    }
}
