//! The one who sits before the machine: its serial ports on the host, the keys that are typed,
//! the monitor. [`live`] and [`replay`] drive a session with it.

pub mod crash;
pub mod debugger;
pub mod live;
pub mod look;
pub mod marks;
pub mod monitors;
pub mod replay;

use crate::args::GdbSpec;
use crate::error::Failure;
use crate::hostio::gdb::{self, Call, Calls};
use crate::hostio::serial::SerialOutput;
use crate::hostio::{HostEvent, HostEvents};
use crash::{CrashSign, CrashWatch};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use debugger::Debugger;
use dejavm_core::boundary::{Inbound, Outbound, ResetCause};
use dejavm_monitor::chardev::Chardevs;
use dejavm_monitor::control::{ControlError, RunEvent};
use dejavm_monitor::gdb::{Reply, Request};
use dejavm_monitor::hmp::{Hmp, PROMPT, Words};
use dejavm_monitor::line_editor::LineEditor;
use dejavm_monitor::mux::{self, Mux, MuxEvent};
use dejavm_monitor::profile::{Profile, Site};
use dejavm_monitor::services::Services;
use dejavm_monitor::transport::{Incoming, Protocol};
use dejavm_trace::event::Registry;
use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long what happened may be missing from the journal's file. A host that runs more than some
/// 75 MIPS reaches the next regular chunk before.
const FLUSH_AFTER: Duration = Duration::from_millis(900);

/// How long the program waits for a client of a gdb server to hear that it ends.
const PARTING: Duration = Duration::from_millis(500);

/// What the console is made of.
pub struct ConsoleOptions<'a> {
    /// How many serial ports go anywhere.
    pub serial_ports: u8,
    /// The keys of ctrl-a are understood, and there is a monitor.
    pub monitor: bool,
    /// The monitor has the terminal from the start.
    pub start_in_monitor: bool,
    /// What the monitors share.
    pub services: &'a Services,
}

/// The serial ports, the keyboard and the monitor's terminal.
pub struct Console {
    events: HostEvents,
    receiver: Receiver<HostEvent>,
    outputs: Vec<SerialOutput>,
    chardevs: Arc<Chardevs>,
    profile: Arc<Profile>,
    escapes: bool,
    mux: Mux,
    editor: LineEditor,
    typed: VecDeque<u8>,
    /// What has come in for serial ports from elsewhere than the terminal.
    arrived: BTreeMap<u8, VecDeque<u8>>,
    requests: VecDeque<Inbound>,
    commands: VecDeque<String>,
    call_sender: Sender<Call>,
    calls: Receiver<Call>,
    /// Where gdb is served.
    gdb_server: Option<gdb::Server>,
    debugger: Debugger,
    /// Stdin is read, or is not to be.
    reads_stdin: bool,
    input_open: bool,
    quit: bool,
    flushed_at: Instant,
    trace: Arc<Registry>,
    words: Arc<Words>,
    /// What happened at the sockets of monitors.
    incoming: VecDeque<(Protocol, Incoming)>,
    /// Someone may speak to a monitor at a socket.
    has_sockets: bool,
    /// What happened to the run that the monitors are to be told of.
    run_events: Vec<RunEvent>,
    crash_watch: Option<CrashWatch>,
}

impl Console {
    /// Opens the outputs. Nothing is read yet: see [`Self::read_stdin`].
    pub fn open(options: ConsoleOptions<'_>) -> Self {
        let (sender, receiver) = unbounded();
        let (call_sender, calls) = unbounded();
        let services = options.services;
        let chardevs = services.chardevs.clone();
        let output = |port| SerialOutput::new(port, chardevs.clone());
        let events = HostEvents::new(sender);
        let heard = events.clone();
        chardevs.on_input(move || {
            heard.send(HostEvent::Serial);
        });
        // Somebody may have been faster.
        events.send(HostEvent::Serial);
        Self {
            events,
            receiver,
            outputs: (0..options.serial_ports).map(output).collect(),
            profile: services.profile.clone(),
            escapes: options.monitor,
            mux: Mux::new(options.monitor && options.start_in_monitor),
            editor: LineEditor::new(PROMPT),
            typed: VecDeque::new(),
            arrived: BTreeMap::new(),
            requests: VecDeque::new(),
            commands: VecDeque::new(),
            call_sender,
            calls,
            gdb_server: None,
            debugger: Debugger::default(),
            reads_stdin: chardevs.port_at_stdio().is_some(),
            chardevs,
            input_open: false,
            quit: false,
            flushed_at: Instant::now(),
            trace: services.trace.clone(),
            words: services.words.clone(),
            incoming: VecDeque::new(),
            has_sockets: false,
            run_events: Vec::new(),
            crash_watch: None,
        }
    }

    /// Starts reading stdin, if anything on this console wants it.
    ///
    /// # Errors
    /// If the host cannot start a thread.
    pub fn read_stdin(&mut self) -> Result<(), Failure> {
        if self.stdio_port().is_none() && !self.escapes {
            return Ok(());
        }
        self.reads_stdin = true;
        self.input_open = true;
        crate::hostio::keyboard::read_stdin(self.events.clone())
            .map_err(|e| Failure::new(format!("cannot read stdin: {e}")))
    }

    /// The port that what is typed goes to.
    fn stdio_port(&self) -> Option<u8> {
        self.chardevs.port_at_stdio()
    }

    /// What host events are reported to.
    pub fn events(&self) -> &HostEvents {
        &self.events
    }

    /// Whether something may still come: from the keyboard, a monitor at a socket, or gdb.
    pub fn input_open(&self) -> bool {
        self.input_open || self.has_sockets || self.gdb_server.is_some() || self.chardevs.may_speak()
    }

    /// Whether something waits to be given to serial ports.
    pub fn has_backlog(&self) -> bool {
        !self.typed.is_empty() || !self.arrived.is_empty()
    }

    /// Drops what was sent to serial ports: this machine takes nothing in.
    pub fn drop_input(&mut self) {
        self.typed.clear();
        for port in std::mem::take(&mut self.arrived).into_keys() {
            self.chardevs.listen(port);
        }
    }

    /// From now on monitors at sockets are waited for, too.
    pub fn expect_sockets(&mut self) {
        self.has_sockets = true;
    }

    /// Whether a monitor is there for when a replay comes to its end.
    pub fn has_monitor(&self) -> bool {
        self.in_monitor() || self.has_sockets || self.debugger.attached()
    }

    /// Notes what happened to the run, for the monitors.
    pub fn note(&mut self, event: RunEvent) {
        self.run_events.push(event);
    }

    /// What happened to the run since the last call.
    pub fn take_run_events(&mut self) -> Vec<RunEvent> {
        std::mem::take(&mut self.run_events)
    }

    /// What happened at the sockets of monitors since the last call.
    pub fn take_incoming(&mut self) -> VecDeque<(Protocol, Incoming)> {
        std::mem::take(&mut self.incoming)
    }

    /// Whether the user wants to end.
    pub fn quit_asked(&self) -> bool {
        self.quit
    }

    /// Whether the monitor has the terminal.
    pub fn in_monitor(&self) -> bool {
        self.mux.in_monitor()
    }

    /// Whether something waits that the one who drives the machine must look at.
    pub fn wants_attention(&mut self) -> bool {
        self.pump();
        self.quit || !self.commands.is_empty() || !self.incoming.is_empty() || !self.calls.is_empty()
    }

    /// Serves gdb from now on; gives the address.
    ///
    /// # Errors
    /// If the host does not allow that.
    pub fn serve_gdb(&mut self, spec: &GdbSpec) -> Result<&str, Failure> {
        // The old one may be at the very place.
        self.gdb_server = None;
        let calls = Calls::new(self.call_sender.clone(), self.events.clone());
        let server = gdb::listen(spec, calls)?;
        Ok(self.gdb_server.insert(server).address())
    }

    /// Does what the monitor's `gdbserver` asks.
    ///
    /// # Errors
    /// If `device` is no place for a server, or the host does not allow it.
    pub fn serve_gdb_at(&mut self, device: Option<&str>) -> Result<(), ControlError> {
        let Some(device) = device else {
            self.gdb_server = None;
            return Ok(());
        };
        let spec: GdbSpec = device.parse().map_err(ControlError::Failed)?;
        self.serve_gdb(&spec).map(|_| ()).map_err(|e| ControlError::Failed(e.to_string()))
    }

    /// Whether gdb is there.
    pub fn is_debugged(&self) -> bool {
        self.debugger.attached()
    }

    /// Answers the calls of gdb servers' clients.
    pub fn answer_calls(&mut self, mut serve: impl FnMut(&mut Self, Request) -> Reply) {
        while let Ok(call) = self.calls.try_recv() {
            if let Some(client) = call.client {
                self.debugger.attach(client);
            }
            let leaves = matches!(call.request, Request::Detach { .. });
            let reply = serve(self, call.request);
            if leaves {
                self.debugger.detach();
            }
            // A client that has gone meanwhile does not wait for it.
            let _ = call.reply.send(reply);
        }
    }

    /// Ends the gdb server; its client goes once it has the answer to what it asked last.
    pub fn dismiss_debugger(&mut self) {
        self.gdb_server = None;
        self.part_from_debugger();
    }

    /// Gives the client of a gdb server a moment to hear the last.
    pub fn part_from_debugger(&mut self) {
        let Some(client) = self.debugger.detach() else { return };
        let deadline = Instant::now() + PARTING;
        loop {
            crossbeam_channel::select! {
                recv(self.calls) -> call => drop(call),
                recv(client.gone) -> _ => return,
                default(deadline.saturating_duration_since(Instant::now())) => return,
            }
        }
    }

    /// The next command line for the monitor.
    pub fn next_command(&mut self) -> Option<String> {
        self.commands.pop_front()
    }

    /// Ends the program, as a command of a monitor asks.
    pub fn ask_to_quit(&mut self) {
        self.end("host-qmp-quit");
    }

    fn end(&mut self, reason: &'static str) {
        if !std::mem::replace(&mut self.quit, true) {
            self.note(RunEvent::Shutdown { guest: false, reason });
        }
    }

    /// Gives an event to the machine as soon as it looks.
    pub fn request(&mut self, event: Inbound) {
        self.requests.push_back(event);
    }

    /// Writes to the terminal, line ends as raw mode needs them.
    pub fn print(&self, text: &str) {
        let mut stdout = std::io::stdout().lock();
        // A terminal that is gone is noticed where the console itself is written.
        let _ = stdout.write_all(text.replace('\n', "\r\n").as_bytes()).and_then(|()| stdout.flush());
    }

    /// Greets, when the monitor gets the terminal.
    pub fn greet(&self) {
        self.print(&format!("{}{PROMPT}", Hmp::banner()));
    }

    /// Tells on the terminal that the run stands somewhere. The monitor gets the terminal, but
    /// not if it is at a socket.
    pub fn announce(&mut self, text: &str) {
        if self.in_monitor() {
            self.print(&format!("\n{text}"));
            self.prompt();
        } else if self.escapes && !self.has_sockets && !self.debugger.attached() {
            self.print(&format!("\n{text}"));
            self.mux.focus_monitor(true);
            self.greet();
        }
    }

    /// Asks for the next command.
    pub fn prompt(&self) {
        if self.mux.in_monitor() {
            self.print(PROMPT);
        }
    }

    /// Ends the run when the guest crashes.
    pub fn watch_for_crashes(&mut self, watch: CrashWatch) {
        self.crash_watch = Some(watch);
    }

    /// How the guest crashed, if it is watched and did.
    pub fn crash(&self) -> Option<CrashSign> {
        self.crash_watch.as_ref().and_then(CrashWatch::sign)
    }

    /// Takes in all that happened on the host.
    pub fn pump(&mut self) {
        while let Ok(event) = self.receiver.try_recv() {
            self.take(event);
        }
        // A monitor has put a serial port there.
        if !self.reads_stdin
            && self.stdio_port().is_some()
            && let Err(error) = self.read_stdin()
        {
            tracing::warn!(%error, "what is typed is not read");
        }
    }

    /// Waits, while the machine stands still, until something happens on the host.
    fn pause(&mut self) {
        let profile = self.profile.clone();
        profile.time(Site::Paused, || self.block(None));
    }

    /// Waits until something happens on the host; false if nothing ever will, or time is up.
    pub fn block(&mut self, at_most: Option<Duration>) -> bool {
        let event = match at_most {
            Some(time) => self.receiver.recv_timeout(time),
            None => self.receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let happened = event.is_ok();
        if let Ok(event) = event {
            self.take(event);
        }
        self.pump();
        happened
    }

    fn take(&mut self, event: HostEvent) {
        match event {
            HostEvent::Input(bytes) => bytes.into_iter().for_each(|byte| self.key(byte)),
            HostEvent::InputEnded => self.input_open = false,
            HostEvent::Call => {}
            HostEvent::Terminate => self.end("host-signal"),
            // The monitors will notice.
            HostEvent::DumpEnded => {}
            HostEvent::Monitor(protocol, incoming) => self.incoming.push_back((protocol, incoming)),
            HostEvent::Serial => self.take_serial(),
        }
    }

    fn key(&mut self, byte: u8) {
        let event = if self.escapes { self.mux.push(byte) } else { Some(MuxEvent::Byte(byte)) };
        match event {
            None => {}
            Some(MuxEvent::Byte(byte)) if self.mux.in_monitor() => self.edit(byte),
            Some(MuxEvent::Byte(byte)) => self.typed.push_back(byte),
            Some(MuxEvent::SwitchFocus) if self.mux.in_monitor() => self.greet(),
            Some(MuxEvent::SwitchFocus) => self.print("\n"),
            Some(MuxEvent::Help) => self.print(&format!("\n{}\n", mux::HELP.join("\n"))),
            Some(MuxEvent::Quit) => self.end("host-ui"),
            Some(MuxEvent::Break) => {
                let port = self.stdio_port().unwrap_or(0);
                self.requests.push_back(Inbound::SerialBreak { port });
            }
            Some(MuxEvent::ToggleTimestamps) => {
                let port = usize::from(self.stdio_port().unwrap_or(0));
                if let Some(output) = self.outputs.get_mut(port) {
                    output.toggle_timestamps();
                }
            }
        }
    }

    fn edit(&mut self, byte: u8) {
        let complete = |line: &str| Hmp::complete(line, &self.words);
        let edit = self.editor.push(byte, &complete);
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(edit.echo.as_bytes()).and_then(|()| stdout.flush());
        drop(stdout);
        self.commands.extend(edit.line);
    }

    /// The next event for the machine; `room` says how many bytes a port takes.
    fn next_for_machine(&mut self, room: &mut dyn FnMut(u8) -> usize) -> Option<Inbound> {
        if let Some(event) = self.requests.pop_front() {
            return Some(event);
        }
        self.next_typed(room).or_else(|| self.next_arrived(room))
    }

    /// The next of what was typed.
    fn next_typed(&mut self, room: &mut dyn FnMut(u8) -> usize) -> Option<Inbound> {
        if self.typed.is_empty() {
            return None;
        }
        let Some(port) = self.stdio_port() else {
            // A monitor has put the port elsewhere.
            self.typed.clear();
            return None;
        };
        let count = self.typed.len().min(room(port));
        let bytes: Vec<u8> = self.typed.drain(..count).collect();
        (!bytes.is_empty()).then_some(Inbound::Serial { port, bytes })
    }

    /// The next of what came from elsewhere. Whoever sent it may send more once a port has it all.
    fn next_arrived(&mut self, room: &mut dyn FnMut(u8) -> usize) -> Option<Inbound> {
        let port = self.arrived.keys().copied().find(|port| room(*port) > 0)?;
        let waiting = self.arrived.get_mut(&port)?;
        let count = waiting.len().min(room(port));
        let bytes: Vec<u8> = waiting.drain(..count).collect();
        if waiting.is_empty() {
            self.arrived.remove(&port);
            self.chardevs.listen(port);
        }
        Some(Inbound::Serial { port, bytes })
    }

    fn take_serial(&mut self) {
        while let Some((port, bytes)) = self.chardevs.take_input() {
            self.arrived.entry(port).or_default().extend(bytes);
        }
    }

    fn show(&mut self, event: &Outbound) {
        if let Some(watch) = &mut self.crash_watch {
            watch.see(event);
        }
        match event {
            Outbound::Serial { port, byte } => self.serial_byte(*port, *byte),
            Outbound::DebugConsole(_) => {}
            Outbound::GuestPanic(_) => self.note(RunEvent::GuestPanicked),
            Outbound::Reset(cause) => {
                let guest = *cause != ResetCause::Button;
                let reason = if guest { "guest-reset" } else { "host-qmp-system-reset" };
                self.note(RunEvent::Reset { guest, reason });
            }
            Outbound::PowerOff | Outbound::DebugExit(_) => {
                self.note(RunEvent::Shutdown { guest: true, reason: "guest-shutdown" });
            }
        }
    }

    fn serial_byte(&mut self, port: u8, byte: u8) {
        let Some(output) = self.outputs.get_mut(usize::from(port)) else { return };
        if let Err(error) = output.write(&[byte]) {
            tracing::warn!(port, %error, "the serial port's output cannot be written; ending");
            self.quit = true;
        }
    }
}
