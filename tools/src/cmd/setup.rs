//! The terminal side of `run`, `record` and `replay`: console, monitor, log, trace.

use crate::args::{GdbArgs, MonitorArgs, ObserveArgs, SerialSpec, TerminalMonitor};
use crate::console::monitors::Monitors;
use crate::console::{Console, ConsoleOptions};
use crate::error::Failure;
use crate::exit::Exit;
use crate::hostio::HostEvent;
use crate::hostio::terminal::{self, RawTerminal};
use crate::logging::{self, LogOutput};
use dejavm_core::machine::Machine;
use dejavm_monitor::chardev::{Backend, User};
use dejavm_monitor::services::Services;
use dejavm_replay::journal::EndReason;
use dejavm_trace::event::Registry;
use dejavm_trace::filter::{EventSpec, SpecError, read_list};
use dejavm_trace::sink::{Format, Writer};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

/// What a user sits before. The terminal is raw for as long as this lives.
pub struct Desk {
    /// Serial ports, keyboard, the monitor's terminal.
    pub console: Console,
    /// The monitors.
    pub monitors: Monitors,
    _terminal: Option<RawTerminal>,
}

/// What a desk is made for.
pub struct DeskOptions<'a> {
    /// Where the serial ports go; nothing: COM1 is the console.
    pub serial: &'a [SerialSpec],
    /// Where monitors are.
    pub monitors: &'a MonitorArgs,
    /// Who has the terminal, if the options do not say it.
    pub terminal: Option<TerminalMonitor>,
    /// What is watched.
    pub observe: &'a ObserveArgs,
    /// Whether stdin is read.
    pub interactive: bool,
}

impl Desk {
    /// Opens everything.
    pub fn open(options: &DeskOptions<'_>) -> Result<Self, Failure> {
        let log = logging::start(&options.observe.log)?;
        let trace = trace(options.observe, log.output())?;
        let places = options.monitors.places().map_err(Failure::new)?;
        let terminal = match places.terminal {
            TerminalMonitor::Console => options.terminal.unwrap_or(TerminalMonitor::Console),
            given => given,
        };
        let default = match terminal {
            TerminalMonitor::Qmp => [SerialSpec::Null],
            _ => [SerialSpec::MuxStdio],
        };
        let serial = if options.serial.is_empty() { &default } else { options.serial };
        let serial = backends(serial, options.monitors)?;
        let is_stdio = |backend: &Backend| matches!(backend, Backend::Stdio { .. });
        if serial.iter().filter(|(_, backend)| is_stdio(backend)).count() > 1 {
            return Err(Failure::new("two serial ports cannot both be at stdio")
                .advice("send one of them to file:PATH or null"));
        }
        let for_programs = terminal == TerminalMonitor::Qmp;
        if for_programs && serial.iter().any(|(_, backend)| is_stdio(backend)) {
            return Err(Failure::new("a serial port and a monitor for programs cannot both be at stdio")
                .advice("send the port to file:PATH or null"));
        }
        let escapes = match terminal {
            TerminalMonitor::Hmp => true,
            TerminalMonitor::Console => serial.iter().any(|(_, b)| *b == Backend::Stdio { mux: true }),
            TerminalMonitor::Qmp | TerminalMonitor::None => false,
        };
        let raw_serial = serial.iter().any(|(_, backend)| *backend == Backend::Stdio { mux: false });
        let services = Rc::new(Services::new(trace, Box::new(log), options.monitors.identity()));
        let ports = serial.len();
        add_chardevs(&services, serial, options.monitors)?;
        let mut console = Console::open(ConsoleOptions {
            serial_ports: ports as u8,
            monitor: escapes,
            start_in_monitor: terminal == TerminalMonitor::Hmp,
            services: &services,
        });
        terminal::terminate_on_signals(console.events().clone())
            .map_err(|e| Failure::new(format!("cannot watch for signals: {e}")))?;
        let wants_terminal = escapes || raw_serial;
        let mut raw = None;
        if options.interactive && wants_terminal {
            raw = RawTerminal::enter(!escapes)
                .map_err(|e| Failure::new(format!("cannot put the terminal into raw mode: {e}")))?;
            console.read_stdin()?;
        }
        let events = console.events().clone();
        services.dumps.on_end(move || {
            events.send(HostEvent::DumpEnded);
        });
        let mut monitors = Monitors::new(services);
        monitors.open(&places.remote, &mut console)?;
        if for_programs {
            monitors.open_stdio(places.terminal_label.as_deref().unwrap_or("stdio"), &mut console)?;
        }
        Ok(Self { console, monitors, _terminal: raw })
    }

    /// Starts the gdb server, if one is asked for.
    pub fn serve_gdb(&mut self, args: &GdbArgs) -> Result<(), Failure> {
        let Some(spec) = args.server() else { return Ok(()) };
        let address = self.console.serve_gdb(&spec)?;
        eprintln!("dejavm: gdb server at {address}; in gdb: target remote {address}\r");
        Ok(())
    }
}

/// Name and kind of the character device of each serial port.
fn backends(serial: &[SerialSpec], args: &MonitorArgs) -> Result<Vec<(String, Backend)>, Failure> {
    let one = |(n, spec): (usize, &SerialSpec)| match (spec, spec.backend()) {
        (SerialSpec::Chardev(id), _) => {
            let backend = args.backend(id).map_err(|e| {
                Failure::new(e)
                    .advice("name one, as in --chardev ringbuf,id=log,size=64K --serial chardev:log")
            })?;
            Ok((id.clone(), backend))
        }
        (_, backend) => Ok((format!("serial{n}"), backend.unwrap_or(Backend::Null))),
    };
    serial.iter().enumerate().map(one).collect()
}

/// Opens the character devices: those of the serial ports, and those that nobody uses yet.
fn add_chardevs(
    services: &Services,
    serial: Vec<(String, Backend)>,
    args: &MonitorArgs,
) -> Result<(), Failure> {
    let chardevs = &services.chardevs;
    for (n, (label, backend)) in serial.into_iter().enumerate() {
        let terminal = chardevs.add(&label, backend, User::Serial(n as u8)).map_err(Failure::new)?;
        tell_terminal(&label, terminal);
    }
    for (label, backend) in args.free_backends() {
        if chardevs.list().iter().all(|there| there.label != label) && !args.has_monitor_at(label) {
            tell_terminal(label, chardevs.add(label, backend, User::Nobody).map_err(Failure::new)?);
        }
    }
    Ok(())
}

/// Says which terminal the host has made for a character device.
fn tell_terminal(label: &str, terminal: Option<String>) {
    if let Some(path) = terminal {
        eprintln!("dejavm: char device redirected to {path} (label {label})");
    }
}

fn trace(observe: &ObserveArgs, log: LogOutput) -> Result<Arc<Registry>, Failure> {
    let output: Box<dyn Write + Send> = match &observe.trace_file {
        Some(path) => {
            let file = File::create(path).map_err(|e| Failure::file("create", path, &e))?;
            Box::new(BufWriter::new(file))
        }
        None => Box::new(log),
    };
    let registry = Registry::new(Writer::new(Format::Text, output));
    for spec in event_specs(&observe.trace)? {
        registry.apply(&spec).map_err(|e| unknown_event(&e.into()))?;
    }
    Ok(Arc::new(registry))
}

/// Events as they are given on the command line; `events=FILE` names a file with a list of them.
///
/// # Errors
/// What is wrong with one of them.
pub fn event_specs(given: &[String]) -> Result<Vec<EventSpec>, Failure> {
    let mut specs = Vec::new();
    for text in given {
        let Some(path) = text.strip_prefix("events=") else {
            specs.push(text.parse().map_err(|e| unknown_event(&e))?);
            continue;
        };
        let path = Path::new(path);
        let list = std::fs::read_to_string(path).map_err(|e| Failure::file("read", path, &e))?;
        for line in read_list(&list) {
            specs.push(line.parse().map_err(|e| unknown_event(&e))?);
        }
    }
    Ok(specs)
}

fn unknown_event(error: &SpecError) -> Failure {
    Failure::new(error.to_string()).advice("`dejavm trace --list` lists all events")
}

/// The exit status of a live run that ended so; `None`: the user ended it.
pub fn exit_of(reason: Option<EndReason>) -> Exit {
    match reason {
        Some(EndReason::DebugExit(code)) => Exit::Guest(code),
        Some(
            EndReason::PowerOff
            | EndReason::UserQuit
            | EndReason::Reset
            | EndReason::Limit
            | EndReason::Halted
            | EndReason::Crashed,
        )
        | None => Exit::Success,
    }
}

/// Says why a live run ended, unless the guest switched itself off.
pub fn report_end(reason: Option<EndReason>) {
    match reason {
        Some(EndReason::PowerOff) | None => {}
        Some(reason) => eprintln!("dejavm: the run ended: {reason}"),
    }
}

/// Tells which instructions raised #UD because the virtual CPU lacks them, if any did.
pub fn report_unimplemented(machine: &Machine) {
    if let Some(line) = unimplemented_line(&machine.unimplemented()) {
        eprintln!("dejavm: {line}");
    }
}

fn unimplemented_line(counts: &BTreeMap<String, u64>) -> Option<String> {
    let total: u64 = counts.values().sum();
    let what = match total {
        0 => return None,
        1 => "1 instruction".to_owned(),
        n => format!("{n} instructions"),
    };
    let list: Vec<_> = counts.iter().map(|(mnemonic, count)| format!("{mnemonic} x{count}")).collect();
    Some(format!("{what} that the virtual CPU lacks raised #UD: {}", list.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lacking_instructions_are_listed_only_if_there_were_any() {
        let line = |list: &[(&str, u64)]| {
            unimplemented_line(&list.iter().map(|&(name, count)| (name.to_owned(), count)).collect())
        };
        assert_eq!(line(&[]), None);
        assert_eq!(
            line(&[("VZEROUPPER", 3)]).unwrap(),
            "3 instructions that the virtual CPU lacks raised #UD: VZEROUPPER x3"
        );
        assert_eq!(
            line(&[("ANDN", 1)]).unwrap(),
            "1 instruction that the virtual CPU lacks raised #UD: ANDN x1"
        );
    }
}
