//! Where monitors are: `-monitor`, `-qmp`, and what both are short for, `-chardev` and `-mon`.

use crate::console::monitors::RemoteMonitor;
use clap::Args;
use dejavm_monitor::chardev::Backend;
use dejavm_monitor::services::Identity;
use dejavm_monitor::transport::{Place, Protocol};
use std::str::FromStr;

/// Monitors.
#[derive(Debug, Default, Args)]
pub struct MonitorArgs {
    /// A monitor for people: on this terminal from the start (stdio), none, at a socket
    /// (unix:PATH,server=on,wait=off or tcp:127.0.0.1:PORT,server=on,wait=off), at a terminal that the host
    /// makes (pty), or at named pipes (pipe:PATH). May be repeated.
    #[arg(long, value_name = "WHERE")]
    pub monitor: Vec<MonitorSpec>,
    /// A monitor for programs (QMP), at a place as above. May be repeated.
    #[arg(long, value_name = "WHERE")]
    pub qmp: Vec<MonitorSpec>,
    /// A character device for --mon or --serial: socket,id=ID,path=PATH,server=on,wait=off (or host=,port=),
    /// pty,id=ID or pipe,id=ID,path=PATH or stdio,id=ID; or for --serial only, ringbuf,id=ID,size=64K or
    /// file,id=ID,path=PATH or null,id=ID.
    #[arg(long, value_name = "WHAT")]
    pub chardev: Vec<ChardevSpec>,
    /// A monitor at a character device: chardev=ID,mode=control (QMP) or mode=readline.
    #[arg(long, value_name = "WHERE")]
    pub mon: Vec<MonSpec>,
    /// Stand still at the start, until a monitor says `cont`, or gdb `continue`.
    #[arg(short = 'S', id = "stand_still")]
    pub stopped: bool,
    /// What the machine is called.
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub name: Option<String>,
    /// The UUID of the machine, for monitors.
    #[arg(long, value_name = "UUID", value_parser = uuid)]
    pub uuid: Option<[u8; 16]>,
}

/// Where a monitor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MonitorSpec {
    /// On this terminal, from the start.
    Stdio,
    /// Nowhere.
    None,
    /// Elsewhere.
    Remote(Place),
}

impl FromStr for MonitorSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "stdio" | "mon:stdio" => Ok(Self::Stdio),
            "none" | "null" => Ok(Self::None),
            _ => text.parse().map(Self::Remote).map_err(|why| {
                format!("{why}; a monitor is at stdio, none, unix:PATH,server=on,wait=off, tcp:127.0.0.1:PORT,server=on,wait=off, pipe:PATH or pty")
            }),
        }
    }
}

/// A character device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChardevSpec {
    id: String,
    backend: Backend,
}

impl FromStr for ChardevSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, properties) = text.split_once(',').unwrap_or((text, ""));
        let id = properties.split(',').find_map(|p| p.strip_prefix("id="));
        let id = id.filter(|id| !id.is_empty()).ok_or("a character device needs an id=")?.to_owned();
        Ok(Self { id, backend: Backend::parse(kind, properties.split(','))? })
    }
}

/// A monitor at a character device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonSpec {
    chardev: String,
    protocol: Protocol,
}

impl FromStr for MonSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut chardev = None;
        let mut protocol = Protocol::Hmp;
        for property in text.split(',') {
            match property.split_once('=') {
                Some(("chardev", id)) => chardev = Some(id),
                Some(("mode", "control")) => protocol = Protocol::Qmp,
                Some(("mode", "readline")) => protocol = Protocol::Hmp,
                Some(("pretty", _)) => {}
                None if chardev.is_none() => chardev = Some(property),
                _ => return Err(format!("'{property}' is no option of a monitor: chardev=ID, mode=control")),
            }
        }
        let chardev = chardev.filter(|id| !id.is_empty()).ok_or("a monitor needs a chardev=ID")?.to_owned();
        Ok(Self { chardev, protocol })
    }
}

/// Who has the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TerminalMonitor {
    /// The console; ctrl-a c opens a monitor, if its serial port allows it.
    Console,
    /// A monitor for people, from the start.
    Hmp,
    /// A monitor for programs.
    Qmp,
    /// No monitor.
    None,
}

/// Where all monitors are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonitorPlaces {
    /// Who has the terminal.
    pub terminal: TerminalMonitor,
    /// The name of the character device of a monitor for programs that has the terminal.
    pub terminal_label: Option<String>,
    /// Those elsewhere.
    pub remote: Vec<RemoteMonitor>,
}

impl MonitorArgs {
    /// Where all monitors are.
    ///
    /// # Errors
    /// If two are at the terminal, or one at a device that is not there.
    pub fn places(&self) -> Result<MonitorPlaces, String> {
        let terminal = TerminalMonitor::Console;
        let mut places = MonitorPlaces { terminal, terminal_label: None, remote: Vec::new() };
        let short = self.monitor.iter().map(|spec| (spec, Protocol::Hmp));
        let short = short.chain(self.qmp.iter().map(|spec| (spec, Protocol::Qmp)));
        for (n, (spec, protocol)) in short.enumerate() {
            places.add(format!("compat_monitor{n}"), spec, protocol)?;
        }
        for mon in &self.mon {
            let chardev = self.chardev.iter().find(|chardev| chardev.id == mon.chardev);
            let chardev =
                chardev.ok_or_else(|| format!("there is no --chardev with the id '{}'", mon.chardev))?;
            let spec = match &chardev.backend {
                Backend::Remote(place) => MonitorSpec::Remote(place.clone()),
                Backend::Stdio { .. } => MonitorSpec::Stdio,
                Backend::Null => MonitorSpec::None,
                other => {
                    return Err(format!("a monitor cannot be at the {} '{}'", other.filename(), chardev.id));
                }
            };
            places.add(chardev.id.clone(), &spec, mon.protocol)?;
        }
        Ok(places)
    }

    /// The character device of that name, for a serial port.
    ///
    /// # Errors
    /// If there is none.
    pub fn backend(&self, id: &str) -> Result<Backend, String> {
        let chardev = self.chardev.iter().find(|chardev| chardev.id == id);
        let backend = chardev.map(|chardev| chardev.backend.clone());
        backend.ok_or_else(|| format!("there is no --chardev with the id '{id}'"))
    }

    /// The character devices by name, but for stdio.
    pub fn free_backends(&self) -> impl Iterator<Item = (&str, Backend)> {
        let free = self.chardev.iter().filter(|chardev| !matches!(chardev.backend, Backend::Stdio { .. }));
        free.map(|chardev| (chardev.id.as_str(), chardev.backend.clone()))
    }

    /// Whether a monitor is at the character device of that name.
    pub fn has_monitor_at(&self, id: &str) -> bool {
        self.mon.iter().any(|mon| mon.chardev == id)
    }

    /// What the machine is called.
    pub fn identity(&self) -> Identity {
        Identity { name: self.name.clone(), uuid: self.uuid.unwrap_or_default() }
    }
}

impl MonitorPlaces {
    fn add(&mut self, label: String, spec: &MonitorSpec, protocol: Protocol) -> Result<(), String> {
        match (spec, protocol) {
            (MonitorSpec::Remote(place), _) => {
                self.remote.push(RemoteMonitor { label, place: place.clone(), protocol });
                Ok(())
            }
            (MonitorSpec::Stdio, Protocol::Hmp) => self.take_terminal(TerminalMonitor::Hmp),
            (MonitorSpec::Stdio, Protocol::Qmp) => {
                self.take_terminal(TerminalMonitor::Qmp)?;
                self.terminal_label = Some(label);
                Ok(())
            }
            (MonitorSpec::None, Protocol::Hmp) => self.take_terminal(TerminalMonitor::None),
            (MonitorSpec::None, Protocol::Qmp) => Ok(()),
        }
    }

    fn take_terminal(&mut self, by: TerminalMonitor) -> Result<(), String> {
        match self.terminal {
            TerminalMonitor::Hmp | TerminalMonitor::Qmp if by != TerminalMonitor::None => {
                Err("two monitors cannot both be at stdio".into())
            }
            TerminalMonitor::Hmp | TerminalMonitor::Qmp => Ok(()),
            TerminalMonitor::Console | TerminalMonitor::None => {
                self.terminal = by;
                Ok(())
            }
        }
    }
}

/// `NAME`, or QEMU's `guest=NAME,debug-threads=on`.
fn name(text: &str) -> Result<String, String> {
    let first = text.split(',').find(|part| part.starts_with("guest=") || !part.contains('='));
    let name = first.map(|part| part.strip_prefix("guest=").unwrap_or(part));
    name.filter(|name| !name.is_empty()).map(str::to_owned).ok_or_else(|| "the name is empty".into())
}

fn uuid(text: &str) -> Result<[u8; 16], String> {
    let wrong = || format!("'{text}' is no UUID, as in 12345678-9abc-def0-1234-56789abcdef0");
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    let hex: String = text.split('-').collect();
    if groups != [8, 4, 4, 4, 12] || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let number = u128::from_str_radix(&hex, 16).map_err(|_| wrong())?;
    Ok(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(args: MonitorArgs) -> Result<Vec<(String, Protocol)>, String> {
        Ok(args.places()?.remote.into_iter().map(|m| (m.label, m.protocol)).collect())
    }

    #[test]
    fn the_short_and_the_long_way() {
        let socket = || "unix:q.sock,server=on,wait=off".parse().unwrap();
        let args = MonitorArgs {
            monitor: vec![socket()],
            qmp: vec![socket()],
            chardev: vec!["socket,id=c,path=q,server=on,wait=off".parse().unwrap()],
            mon: vec!["chardev=c,mode=control,pretty=on".parse().unwrap()],
            ..MonitorArgs::default()
        };
        let terminal = MonitorArgs { chardev: vec!["pty,id=p".parse().unwrap()], ..MonitorArgs::default() };
        let terminal = MonitorArgs { mon: vec!["p".parse().unwrap()], ..terminal };
        assert_eq!(places(terminal).unwrap(), [("p".to_owned(), Protocol::Hmp)]);
        let expected = [
            ("compat_monitor0".to_owned(), Protocol::Hmp),
            ("compat_monitor1".to_owned(), Protocol::Qmp),
            ("c".to_owned(), Protocol::Qmp),
        ];
        assert_eq!(places(args).unwrap(), expected);
    }

    #[test]
    fn one_terminal() {
        let args = |monitor: &[&str], qmp: &[&str]| MonitorArgs {
            monitor: monitor.iter().map(|m| m.parse().unwrap()).collect(),
            qmp: qmp.iter().map(|m| m.parse().unwrap()).collect(),
            ..MonitorArgs::default()
        };
        let terminal = |args: MonitorArgs| args.places().map(|places| places.terminal);
        assert_eq!(terminal(args(&[], &[])), Ok(TerminalMonitor::Console));
        assert_eq!(terminal(args(&["none"], &["stdio"])), Ok(TerminalMonitor::Qmp));
        assert_eq!(terminal(args(&["stdio"], &["none"])), Ok(TerminalMonitor::Hmp));
        assert!(terminal(args(&["stdio"], &["stdio"])).is_err());
    }

    #[test]
    fn serial_ports_at_character_devices() {
        let chardev = ["ringbuf,id=r,size=4K", "socket,id=s,path=q", "null,id=n", "stdio,id=t"];
        let args = MonitorArgs {
            chardev: chardev.map(|text| text.parse().unwrap()).into(),
            ..MonitorArgs::default()
        };
        assert_eq!(args.backend("r"), Ok(Backend::Ring { size_bytes: 4096 }));
        assert_eq!(args.backend("t"), Ok(Backend::Stdio { mux: false }));
        assert!(matches!(args.backend("s"), Ok(Backend::Remote(_))) && args.backend("nosuch").is_err());
        let free: Vec<_> = args.free_backends().map(|(id, _)| id).collect();
        assert_eq!(free, ["r", "s", "n"]);
        let args = MonitorArgs { mon: vec!["r".parse().unwrap()], ..args };
        assert_eq!(args.places(), Err("a monitor cannot be at the ringbuf 'r'".into()));
    }

    #[test]
    fn what_is_wrong() {
        for text in ["socket,path=q", "vc,id=c", "socket,id=c", "pipe,id=c", ""] {
            assert!(text.parse::<ChardevSpec>().is_err(), "{text}");
        }
        for text in ["", "mode=control", "chardev=c,mode=x"] {
            assert!(text.parse::<MonSpec>().is_err(), "{text}");
        }
        let args = MonitorArgs { mon: vec!["nosuch".parse().unwrap()], ..MonitorArgs::default() };
        assert!(args.places().is_err());
        assert!(uuid("00112233-4455-6677-8899-aabbccddeeff").is_ok());
        for text in ["", "00112233445566778899aabbccddeeff", "0011223g-4455-6677-8899-aabbccddeeff"] {
            assert!(uuid(text).is_err(), "{text}");
        }
        assert_eq!(name("guest=a,debug-threads=on"), Ok("a".into()));
        assert_eq!(name("a"), Ok("a".into()));
    }
}
