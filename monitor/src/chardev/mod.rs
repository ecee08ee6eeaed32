//! Character devices: where serial ports and monitors are on the host, and those that wait for a
//! user. What they hold is outside of the machine, so that they may be changed in a replay, too.

mod backend;
mod link;
pub mod ring;

pub use backend::{Backend, KINDS};

use backend::Sink;
use crossbeam_channel::{Receiver, Sender, unbounded};
use link::Input;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Who uses a character device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// Nobody yet.
    Nobody,
    /// A serial port, by its number.
    Serial(u8),
    /// A monitor.
    Monitor,
}

/// What `info chardev` tells of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its name.
    pub label: String,
    /// What it is, as QEMU writes it.
    pub filename: String,
    /// Who uses it.
    pub user: User,
}

struct Device {
    label: String,
    /// Told apart from all that were there before.
    id: u64,
    backend: Backend,
    user: User,
    sink: Sink,
}

/// What is called when something has come in at a device.
#[derive(Clone, Default)]
pub(crate) struct Notice(Arc<Mutex<Option<Call>>>);

type Call = Arc<dyn Fn() + Send + Sync>;

impl Notice {
    fn give(&self) {
        let call = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(call) = call {
            call();
        }
    }
}

/// All character devices of a run.
pub struct Chardevs {
    devices: Mutex<Devices>,
    sender: Sender<Input>,
    inputs: Receiver<Input>,
    notice: Notice,
}

#[derive(Default)]
struct Devices {
    list: Vec<Device>,
    last_id: u64,
}

impl Default for Chardevs {
    fn default() -> Self {
        let (sender, inputs) = unbounded();
        Self { devices: Mutex::default(), sender, inputs, notice: Notice::default() }
    }
}

impl Chardevs {
    fn lock(&self) -> MutexGuard<'_, Devices> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls this, on any thread, when something has come in that [`Self::take_input`] gives.
    pub fn on_input(&self, call: impl Fn() + Send + Sync + 'static) {
        *self.notice.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(call));
    }

    /// Opens one, and lets whoever is there speak if a serial port listens.
    fn open(&self, backend: &Backend, user: User) -> Result<(u64, Sink), String> {
        let id = {
            let mut devices = self.lock();
            devices.last_id += 1;
            devices.last_id
        };
        // This may wait for a client.
        let sink = backend.open(id, &self.sender, &self.notice)?;
        if let (Sink::Link(link), User::Serial(_)) = (&sink, user) {
            link.listen();
        }
        Ok((id, sink))
    }

    /// Adds one; gives the terminal that the host made for it, if it is one.
    ///
    /// # Errors
    /// If its name is taken or no name, or it cannot be opened.
    pub fn add(&self, label: &str, backend: Backend, user: User) -> Result<Option<String>, String> {
        let good = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if !label.starts_with(|c: char| c.is_ascii_alphabetic()) || !label.chars().all(good) {
            return Err("Parameter 'id' expects an identifier".into());
        }
        let devices = self.lock();
        if devices.list.iter().any(|device| device.label == label) {
            return Err(format!("Chardev with id '{label}' already exists"));
        }
        if stdio_is_taken(&devices.list, label, &backend) {
            return Err(TWICE_AT_STDIO.into());
        }
        drop(devices);
        let (id, sink) = self.open(&backend, user)?;
        let terminal = sink.terminal();
        self.lock().list.push(Device { label: label.to_owned(), id, backend, user, sink });
        Ok(terminal)
    }

    /// Puts another backend in the place of one; its user does not notice. Gives the terminal that the host
    /// made for it, if it is one.
    ///
    /// # Errors
    /// If there is none of that name, its user is a monitor, or the new one cannot be opened; then
    /// all stays as it was.
    pub fn change(&self, label: &str, backend: Backend) -> Result<Option<String>, String> {
        let devices = self.lock();
        let device = devices.list.iter().find(|device| device.label == label);
        let user = device.ok_or_else(|| format!("Chardev '{label}' does not exist"))?.user;
        if user == User::Monitor {
            return Err("Chardev user does not support chardev hotswap".into());
        }
        if stdio_is_taken(&devices.list, label, &backend) {
            return Err(TWICE_AT_STDIO.into());
        }
        drop(devices);
        let (id, sink) = self.open(&backend, user)?;
        let terminal = sink.terminal();
        if let Some(device) = self.lock().list.iter_mut().find(|device| device.label == label) {
            *device = Device { id, backend, sink, label: label.to_owned(), user };
        }
        Ok(terminal)
    }

    /// Removes one that nobody uses.
    ///
    /// # Errors
    /// If there is none of that name, or it is used.
    pub fn remove(&self, label: &str) -> Result<(), String> {
        let devices = &mut self.lock().list;
        let place = devices.iter().position(|device| device.label == label);
        let place = place.ok_or_else(|| not_found(label))?;
        if devices[place].user != User::Nobody {
            return Err(format!("Chardev '{label}' is busy"));
        }
        devices.remove(place);
        Ok(())
    }

    /// All of them.
    pub fn list(&self) -> Vec<Info> {
        let info = |device: &Device| Info {
            label: device.label.clone(),
            filename: match &device.sink {
                Sink::Link(link) => link.name(),
                _ => device.backend.filename(),
            },
            user: device.user,
        };
        self.lock().list.iter().map(info).collect()
    }

    /// The serial port that uses one.
    ///
    /// # Errors
    /// If there is none of that name, or it is no serial port's.
    pub fn serial_port(&self, label: &str) -> Result<u8, String> {
        let devices = self.lock();
        let device = devices.list.iter().find(|device| device.label == label);
        match device.ok_or_else(|| not_found(label))?.user {
            User::Serial(port) => Ok(port),
            User::Nobody | User::Monitor => Err(format!("Chardev '{label}' is no serial port")),
        }
    }

    /// The serial port that is at standard input and output.
    pub fn port_at_stdio(&self) -> Option<u8> {
        self.lock().list.iter().find_map(|device| match (&device.backend, device.user) {
            (Backend::Stdio { .. }, User::Serial(port)) => Some(port),
            _ => None,
        })
    }

    /// A serial port sends bytes.
    ///
    /// # Errors
    /// If the host cannot write them.
    pub fn write_serial(&self, port: u8, bytes: &[u8]) -> std::io::Result<()> {
        let mut devices = self.lock();
        match devices.list.iter_mut().find(|device| device.user == User::Serial(port)) {
            Some(device) => device.sink.write(bytes),
            None => Ok(()),
        }
    }

    /// What has come in for a serial port, and for which. The next piece comes once that port has all of it:
    /// see [`Self::listen`].
    pub fn take_input(&self) -> Option<(u8, Vec<u8>)> {
        loop {
            let input = self.inputs.try_recv().ok()?;
            let devices = self.lock();
            // One that was changed or removed meanwhile has nothing to say any more.
            let device = devices.list.iter().find(|device| device.id == input.id);
            if let Some(User::Serial(port)) = device.map(|device| device.user) {
                return Some((port, input.bytes));
            }
        }
    }

    /// A serial port has taken all that came in: more may come.
    pub fn listen(&self, port: u8) {
        for device in self.lock().list.iter().filter(|device| device.user == User::Serial(port)) {
            if let Sink::Link(link) = &device.sink {
                link.listen();
            }
        }
    }

    /// Whether somebody outside may still send something to a serial port.
    pub fn may_speak(&self) -> bool {
        let serial = |device: &&Device| matches!(device.user, User::Serial(_));
        self.lock().list.iter().filter(serial).any(|device| matches!(device.sink, Sink::Link(_)))
    }

    /// The program ends: gives those at the other sides a moment to hear the last.
    pub fn flush(&self, until: Instant) {
        for device in &self.lock().list {
            if let Sink::Link(link) = &device.sink {
                link.flush(until);
            }
        }
    }

    /// Does something with the ring buffer of that name.
    ///
    /// # Errors
    /// If there is no device of that name, or it is no ring buffer.
    pub fn with_ring<T>(&self, label: &str, act: impl FnOnce(&mut ring::Ring) -> T) -> Result<T, String> {
        let mut devices = self.lock();
        let device = devices.list.iter_mut().find(|device| device.label == label);
        match device.map(|device| &mut device.sink) {
            None => Err(format!("Device '{label}' not found")),
            Some(Sink::Ring(ring)) => Ok(act(ring)),
            Some(_) => Err(format!("{label} is not a ringbuf device")),
        }
    }
}

const TWICE_AT_STDIO: &str = "cannot use stdio by multiple character devices";

/// Whether a device of another label is at the terminal, where only one can be.
fn stdio_is_taken(list: &[Device], label: &str, backend: &Backend) -> bool {
    let is_stdio = |backend: &Backend| matches!(backend, Backend::Stdio { .. });
    is_stdio(backend) && list.iter().any(|other| is_stdio(&other.backend) && other.label != label)
}

fn not_found(label: &str) -> String {
    format!("Chardev '{label}' not found")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Place;
    use std::fs::OpenOptions;
    use std::io::{Read, Write as _};
    use std::net::TcpStream;
    use std::time::Duration;

    #[test]
    fn a_serial_port_goes_where_its_device_goes() {
        let ring = |size_bytes| Backend::Ring { size_bytes };
        let chardevs = Chardevs::default();
        chardevs.add("serial0", ring(16), User::Serial(0)).unwrap();
        chardevs.write_serial(0, b"hello").unwrap();
        chardevs.write_serial(1, b"nobody hears").unwrap();
        assert_eq!(chardevs.with_ring("serial0", |ring| ring.read(2)), Ok(b"he".to_vec()));
        // One that cannot be opened changes nothing.
        let bad = Backend::File { path: "/nonexistent/file".into(), append: false };
        let error = chardevs.change("serial0", bad).unwrap_err();
        assert_eq!(error, "Could not open '/nonexistent/file': No such file or directory");
        assert_eq!(chardevs.with_ring("serial0", |ring| ring.read(9)), Ok(b"llo".to_vec()));
        chardevs.change("serial0", Backend::Null).unwrap();
        chardevs.write_serial(0, b"gone").unwrap();
        assert!(chardevs.with_ring("serial0", |_| ()).is_err());
        chardevs.change("serial0", ring(4)).unwrap();
        assert_eq!(chardevs.with_ring("serial0", |ring| ring.read(9)), Ok(Vec::new()));
    }

    #[test]
    fn names_and_users() {
        let chardevs = Chardevs::default();
        chardevs.add("mon", Backend::Monitor("unix:q".into()), User::Monitor).unwrap();
        chardevs.add("con", Backend::Stdio { mux: true }, User::Serial(1)).unwrap();
        chardevs.add("free", Backend::Null, User::Nobody).unwrap();
        for bad in ["", "1a", "a b", "\u{E9}"] {
            assert!(chardevs.add(bad, Backend::Null, User::Nobody).is_err(), "{bad}");
        }
        assert!(chardevs.add("free", Backend::Null, User::Nobody).is_err());
        assert!(chardevs.change("mon", Backend::Null).is_err());
        assert!(chardevs.change("nosuch", Backend::Null).is_err());
        assert!(chardevs.change("free", Backend::Stdio { mux: false }).is_err());
        assert_eq!(chardevs.remove("con"), Err("Chardev 'con' is busy".into()));
        assert_eq!(chardevs.remove("free"), Ok(()));
        assert_eq!(chardevs.remove("free"), Err("Chardev 'free' not found".into()));
        assert_eq!((chardevs.serial_port("con"), chardevs.port_at_stdio()), (Ok(1), Some(1)));
        assert!(chardevs.serial_port("mon").is_err());
        chardevs.change("con", Backend::Null).unwrap();
        assert_eq!(chardevs.port_at_stdio(), None);
        assert_eq!(chardevs.list().len(), 2);
        chardevs.change("con", Backend::Stdio { mux: false }).unwrap();
        assert_eq!(chardevs.port_at_stdio(), Some(1));
        assert_eq!(
            chardevs.add("two", Backend::Stdio { mux: false }, User::Nobody),
            Err(TWICE_AT_STDIO.into())
        );
    }

    /// Reads as many bytes as are expected.
    fn read(client: &mut impl Read, expected: &[u8]) {
        let mut bytes = vec![0; expected.len()];
        client.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, expected);
    }

    #[test]
    fn who_is_at_the_other_side_is_heard_piece_by_piece() {
        let chardevs = Chardevs::default();
        let (sender, called) = unbounded();
        chardevs.on_input(move || sender.send(()).unwrap());
        let called = || called.recv_timeout(Duration::from_secs(20)).expect("a call");
        let place = Backend::parse("socket", "host=127.0.0.1,port=0,server=on,wait=off".split(',')).unwrap();
        assert_eq!(chardevs.add("serial0", place.clone(), User::Serial(0)), Ok(None));
        chardevs.write_serial(0, b"nobody hears").unwrap();
        let name = chardevs.list()[0].filename.clone();
        let address = name.strip_prefix("disconnected:tcp:").unwrap().strip_suffix(",server=on").unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"one").unwrap();
        called();
        assert_eq!(chardevs.list()[0].filename, format!("tcp:{address},server=on"));
        assert_eq!(chardevs.take_input(), Some((0, b"one".to_vec())));
        chardevs.write_serial(0, b"hello").unwrap();
        read(&mut client, b"hello");
        client.write_all(b"two").unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(chardevs.take_input(), None, "nobody has listened");
        chardevs.listen(0);
        called();
        assert!(chardevs.may_speak());
        // Another takes its place: who was there is gone, and what he said, too.
        let terminal = chardevs.change("serial0", Backend::Remote(Place::Pty)).unwrap().expect("a terminal");
        assert_eq!(chardevs.take_input(), None);
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        assert_eq!(chardevs.list()[0].filename, format!("pty:{terminal}"));
        let mut client = OpenOptions::new().read(true).write(true).open(terminal).unwrap();
        client.write_all(b"three").unwrap();
        called();
        assert_eq!(chardevs.take_input(), Some((0, b"three".to_vec())));
        chardevs.write_serial(0, b"good-bye").unwrap();
        chardevs.flush(Instant::now() + Duration::from_secs(20));
        read(&mut client, b"good-bye");
        chardevs.change("serial0", Backend::Null).unwrap();
        assert!(!chardevs.may_speak());
    }
}
