//! One client's conversation, in either protocol.

use crate::control::{Arrival, Control, RunEvent};
use crate::hmp::Hmp;
use crate::line_editor::LineEditor;
use crate::qmp::Qmp;
use crate::services::Services;
use crate::transport::Protocol;
use std::collections::VecDeque;
use std::rc::Rc;

/// What stands before a command at a socket: the programs there wait for QEMU's.
const PROMPT: &str = "(qemu) ";

pub(super) enum Conversation {
    Hmp { hmp: Box<Hmp>, editor: LineEditor, lines: VecDeque<String> },
    Qmp(Box<Qmp>),
}

impl Conversation {
    pub fn new(protocol: Protocol, services: &Rc<Services>) -> Self {
        match protocol {
            Protocol::Qmp => Self::Qmp(Box::default()),
            Protocol::Hmp => Self::Hmp {
                hmp: Box::new(Hmp::new(services.clone())),
                editor: LineEditor::new(PROMPT),
                lines: VecDeque::new(),
            },
        }
    }

    pub fn greeting(&self) -> String {
        match self {
            Self::Qmp(_) => Qmp::greeting(),
            Self::Hmp { .. } => terminal(&format!("{}{PROMPT}", Hmp::banner())),
        }
    }

    pub fn is_for_programs(&self) -> bool {
        matches!(self, Self::Qmp(_))
    }

    /// Takes bytes from the client; gives what is to be sent at once.
    pub fn feed(&mut self, bytes: &[u8], control: &mut dyn Control, services: &Rc<Services>) -> String {
        match self {
            Self::Qmp(qmp) => qmp.feed(bytes, control, services),
            Self::Hmp { editor, lines, .. } => {
                let mut echo = String::new();
                let complete = |line: &str| Hmp::complete(line, &services.words);
                for &byte in bytes {
                    let edit = editor.push(byte, &complete);
                    echo.push_str(&edit.echo);
                    lines.extend(edit.line);
                }
                echo
            }
        }
    }

    pub fn waiting(&self) -> usize {
        match self {
            Self::Qmp(qmp) => qmp.waiting(),
            Self::Hmp { lines, .. } => lines.len(),
        }
    }

    /// Carries out the next request, if there is one; gives the answer.
    pub fn execute_next(&mut self, control: &mut dyn Control, services: &Rc<Services>) -> Option<String> {
        match self {
            Self::Qmp(qmp) => qmp.execute_next(control, services),
            Self::Hmp { hmp, lines, .. } => {
                let text = hmp.execute(&lines.pop_front()?, control);
                Some(terminal(&format!("{text}{PROMPT}")))
            }
        }
    }

    /// What the client is told of an event.
    pub fn event(&self, event: &RunEvent) -> Option<String> {
        match (self, event) {
            (Self::Qmp(qmp), event) => qmp.event(event),
            (Self::Hmp { .. }, RunEvent::Arrived { icount, why }) => {
                Some(terminal(&format!("\n{}{PROMPT}", arrival_text(*icount, *why))))
            }
            (Self::Hmp { .. }, _) => None,
        }
    }
}

/// The line that tells people where a replay stands.
pub fn arrival_text(icount: u64, why: Arrival) -> String {
    let what = match why {
        Arrival::Seek => "arrived",
        Arrival::Breakpoint => "replay breakpoint",
        Arrival::End => "end of the recording",
    };
    format!("{what}: instruction count = {icount}\n")
}

/// Line ends as a terminal needs them.
fn terminal(text: &str) -> String {
    text.replace('\n', "\r\n")
}
