//! QMP: the monitor for programs (QEMU's "QEMU Machine Protocol Specification").
//!
//! A [`Qmp`] is one client's conversation: bytes in, text out. Commands that came in are carried
//! out one by one, by whoever drives the run, when it suits him; those out of band at once.

pub(crate) mod commands;
mod error;
mod event;
mod json;
mod request;
pub(crate) mod schema;

pub(crate) use commands::WATCHDOG_ACTIONS;
pub use commands::execute;
pub use error::{ErrorClass, QmpError};
pub use json::{JsonError, Stream, parse};

use crate::control::{Control, RunEvent};
use crate::services::Services;
use request::{Request, request};
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::rc::Rc;

/// The version of the interface: that of the QEMU whose texts and types these are.
pub(crate) const INTERFACE_VERSION: [u32; 3] = [10, 0, 2];
/// What ends each message.
const LINE_END: &str = "\r\n";

/// Something to be answered in its turn.
struct Waiting {
    id: Option<Value>,
    what: Result<Request, QmpError>,
}

/// One client's conversation.
#[derive(Default)]
pub struct Qmp {
    stream: Stream,
    negotiated: bool,
    oob: bool,
    waiting: VecDeque<Waiting>,
}

/// The version of dejavm and of the interface, as the greeting and `query-version` tell it.
pub(crate) fn version() -> Value {
    let [major, minor, micro] = INTERFACE_VERSION;
    json!({
        "qemu": {"major": major, "minor": minor, "micro": micro},
        "package": concat!("dejavm ", env!("CARGO_PKG_VERSION")),
    })
}

impl Qmp {
    /// What a client is greeted with.
    pub fn greeting() -> String {
        message(&json!({"QMP": {"version": version(), "capabilities": ["oob"]}}))
    }

    /// Takes bytes from the client. What they ask waits for [`Self::execute_next`]; what is out
    /// of band is carried out now, and the answer is returned.
    pub fn feed(&mut self, bytes: &[u8], control: &mut dyn Control, services: &Rc<Services>) -> String {
        let mut out = String::new();
        for text in self.stream.push(bytes) {
            let value = text.and_then(|text| parse(&text));
            let (id, what) = match value {
                Ok(value) => request(value, self.oob),
                Err(error) => (None, Err(QmpError::generic(error.to_string()))),
            };
            match what {
                Ok(request) if request.oob => {
                    let result =
                        commands::execute_oob(&request.command, &request.arguments, control, services);
                    out.push_str(&reply(id, result));
                }
                what => self.waiting.push_back(Waiting { id, what }),
            }
        }
        out
    }

    /// How many requests wait for their turn.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Carries out the request that has waited longest, if there is one, and gives the answer.
    pub fn execute_next(&mut self, control: &mut dyn Control, services: &Rc<Services>) -> Option<String> {
        let Waiting { id, what } = self.waiting.pop_front()?;
        let result = what.and_then(|request| self.execute(&request, control, services));
        Some(reply(id, result))
    }

    fn execute(
        &mut self,
        request: &Request,
        control: &mut dyn Control,
        services: &Rc<Services>,
    ) -> Result<Value, QmpError> {
        let Request { command, arguments, .. } = request;
        match (self.negotiated, command.as_str()) {
            (false, "qmp_capabilities") => self.negotiate(arguments),
            (false, _) => {
                Err(QmpError::not_found("Expecting capabilities negotiation with 'qmp_capabilities'"))
            }
            (true, "qmp_capabilities") => {
                Err(QmpError::not_found("Capabilities negotiation is already complete, command ignored"))
            }
            (true, _) => commands::execute(command, arguments, control, services),
        }
    }

    fn negotiate(&mut self, arguments: &Map<String, Value>) -> Result<Value, QmpError> {
        schema::check_arguments(commands::CAPABILITIES.arguments, arguments)?;
        let enable = arguments.get("enable").and_then(Value::as_array);
        self.oob = enable.is_some_and(|list| !list.is_empty());
        self.negotiated = true;
        Ok(json!({}))
    }

    /// An event as the client is told of it, if he has negotiated.
    pub fn event(&self, event: &RunEvent) -> Option<String> {
        self.negotiated.then(|| message(&event::message(event)))
    }
}

/// The answer to a request.
fn reply(id: Option<Value>, result: Result<Value, QmpError>) -> String {
    let id = id.map(|id| json::text(&id));
    // The order of members is that of QEMU, which some read without a parser.
    match (result, id) {
        (Ok(value), None) => format!("{{\"return\": {}}}{LINE_END}", json::text(&value)),
        (Ok(value), Some(id)) => format!("{{\"return\": {}, \"id\": {id}}}{LINE_END}", json::text(&value)),
        (Err(error), id) => {
            let id = id.map(|id| format!("\"id\": {id}, ")).unwrap_or_default();
            let error = json::text(&json!({"class": error.class.name(), "desc": error.desc}));
            format!("{{{id}\"error\": {error}}}{LINE_END}")
        }
    }
}

fn message(value: &Value) -> String {
    format!("{}{LINE_END}", json::text(value))
}

#[cfg(test)]
pub(crate) mod tests;
