//! All monitors of a run: the one on this terminal, and those at sockets.

use super::Console;
use crate::error::Failure;
use crate::hostio::{HostEvent, HostEvents};
use dejavm_monitor::chardev::{Backend, User};
use dejavm_monitor::control::{Control, RunEvent};
use dejavm_monitor::gdb;
use dejavm_monitor::hmp::Hmp;
use dejavm_monitor::hub::Hub;
use dejavm_monitor::profile::Site;
use dejavm_monitor::services::Services;
use dejavm_monitor::transport::{self, Incoming, Listening, Place, Protocol, Report};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest that monitors are served before the machine runs on.
const SERVE_AT_MOST: Duration = Duration::from_millis(5);

/// So many clients of one monitor have a conversation at a time; others wait.
const MOST_CLIENTS: usize = 16;

/// How long the end of the program waits for those at serial ports to take what they are sent.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A monitor at a socket, a pipe or a terminal, as the command line asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteMonitor {
    /// The name of its character device.
    pub label: String,
    /// Where it is.
    pub place: Place,
    /// What it speaks.
    pub protocol: Protocol,
}

/// All monitors of a run.
pub struct Monitors {
    services: Rc<Services>,
    /// The one on this terminal.
    hmp: Hmp,
    /// The one that gdb's `monitor` reaches.
    gdb_hmp: Hmp,
    hub: Hub,
    _listening: Vec<Listening>,
}

impl Monitors {
    /// The one on the terminal; none at sockets yet.
    pub fn new(services: Rc<Services>) -> Self {
        let (hmp, gdb_hmp) = (Hmp::new(services.clone()), Hmp::new(services.clone()));
        let hub = Hub::new(services.clone());
        Self { services, hmp, gdb_hmp, hub, _listening: Vec::new() }
    }

    /// Opens those that are elsewhere than on this terminal.
    ///
    /// # Errors
    /// If the host refuses one.
    pub fn open(&mut self, monitors: &[RemoteMonitor], console: &mut Console) -> Result<(), Failure> {
        for RemoteMonitor { label, place, protocol } in monitors {
            let report = report(*protocol, console.events().clone());
            let listening = transport::open(place, MOST_CLIENTS, &report).map_err(|e| {
                let place = match place {
                    Place::Socket(spec) => format!("socket {}", spec.address),
                    Place::Pipe(path) => format!("pipe {}", path.display()),
                    Place::Pty => "terminal".to_owned(),
                };
                Failure::new(format!("cannot open the monitor's {place}: {e}"))
                    .advice("choose another path or port, or end the program that has it")
            })?;
            console.expect_sockets();
            if let Some(path) = listening.terminal() {
                eprintln!("dejavm: char device redirected to {path} (label {label})\r");
            }
            let backend = Backend::Monitor(listening.name().to_owned());
            self.services.chardevs.add(label, backend, User::Monitor).map_err(Failure::new)?;
            self._listening.push(listening);
        }
        Ok(())
    }

    /// Puts a monitor for programs at stdin and stdout.
    ///
    /// # Errors
    /// If the host refuses.
    pub fn open_stdio(&mut self, label: &str, console: &mut Console) -> Result<(), Failure> {
        transport::open_stdio(&report(Protocol::Qmp, console.events().clone()))
            .map_err(|e| Failure::new(format!("cannot open a monitor at stdio: {e}")))?;
        console.expect_sockets();
        let backend = Backend::Stdio { mux: false };
        self.services.chardevs.add(label, backend, User::Monitor).map_err(Failure::new)?;
        Ok(())
    }

    /// Carries out a line from the terminal; gives what it prints.
    pub fn execute(&mut self, line: &str, control: &mut dyn Control) -> String {
        let profile = self.services.profile.clone();
        let text = profile.time(Site::Monitor, || self.hmp.execute(line, control));
        self.hub.tell(&self.services.take_events(control));
        text
    }

    /// Serves the clients at sockets for a moment; true if they ask for more.
    pub fn serve(
        &mut self,
        control: &mut dyn Control,
        incoming: impl IntoIterator<Item = (Protocol, Incoming)>,
    ) -> bool {
        self.hub.tell(&self.services.take_events(control));
        for (protocol, incoming) in incoming {
            self.hub.receive(protocol, incoming, control);
        }
        let start = Instant::now();
        let mut more = self.hub.serve(control);
        while more && start.elapsed() < SERVE_AT_MOST {
            more = self.hub.serve(control);
        }
        self.services.profile.note(Site::Monitor, start.elapsed());
        more
    }

    /// Answers what a client of the gdb server asks.
    pub fn answer(&mut self, request: gdb::Request, control: &mut dyn Control) -> gdb::Reply {
        let reply = gdb::serve(request, control, &mut self.gdb_hmp);
        self.hub.tell(&control.take_events());
        reply
    }

    /// Tells the clients what happened.
    pub fn tell(&self, events: &[RunEvent]) {
        self.hub.tell(events);
    }

    /// Tells the last, and says good-bye.
    pub fn close(&mut self, console: &mut Console) {
        self.tell(&console.take_run_events());
        self.hub.close();
        self.services.chardevs.flush(Instant::now() + LAST_WORDS);
    }
}

fn report(protocol: Protocol, events: HostEvents) -> Report {
    Arc::new(move |incoming| events.send(HostEvent::Monitor(protocol, incoming)))
}
