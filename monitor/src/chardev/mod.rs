//! Character devices: where serial ports and monitors are on the host, and those that wait for a
//! user. What they hold is outside of the machine, so that they may be changed in a replay, too.

mod backend;
pub mod ring;

pub use backend::Backend;

use backend::Sink;
use std::sync::{Mutex, MutexGuard, PoisonError};

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
    backend: Backend,
    user: User,
    sink: Sink,
}

/// All character devices of a run.
#[derive(Default)]
pub struct Chardevs(Mutex<Vec<Device>>);

impl Chardevs {
    fn lock(&self) -> MutexGuard<'_, Vec<Device>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one.
    ///
    /// # Errors
    /// If its name is taken or no name, or it cannot be opened.
    pub fn add(&self, label: &str, backend: Backend, user: User) -> Result<(), String> {
        let good = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if !label.starts_with(|c: char| c.is_ascii_alphabetic()) || !label.chars().all(good) {
            return Err("Parameter 'id' expects an identifier".into());
        }
        if self.lock().iter().any(|device| device.label == label) {
            return Err(format!("Chardev with id '{label}' already exists"));
        }
        let sink = backend.open()?;
        self.lock().push(Device { label: label.to_owned(), backend, user, sink });
        Ok(())
    }

    /// Puts another backend in the place of one; its user does not notice.
    ///
    /// # Errors
    /// If there is none of that name, its user is a monitor, or the new one cannot be opened; then
    /// all stays as it was.
    pub fn change(&self, label: &str, backend: Backend) -> Result<(), String> {
        let mut devices = self.lock();
        let taken = devices.iter().any(|other| {
            matches!((&other.backend, &backend), (Backend::Stdio { .. }, Backend::Stdio { .. }))
                && other.label != label
        });
        let device = devices.iter_mut().find(|device| device.label == label);
        let device = device.ok_or_else(|| format!("Chardev '{label}' does not exist"))?;
        if device.user == User::Monitor {
            return Err("Chardev user does not support chardev hotswap".into());
        }
        if taken {
            return Err("cannot use stdio by multiple character devices".into());
        }
        device.sink = backend.open()?;
        device.backend = backend;
        Ok(())
    }

    /// Removes one that nobody uses.
    ///
    /// # Errors
    /// If there is none of that name, or it is used.
    pub fn remove(&self, label: &str) -> Result<(), String> {
        let mut devices = self.lock();
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
            filename: device.backend.filename(),
            user: device.user,
        };
        self.lock().iter().map(info).collect()
    }

    /// The serial port that uses one.
    ///
    /// # Errors
    /// If there is none of that name, or it is no serial port's.
    pub fn serial_port(&self, label: &str) -> Result<u8, String> {
        let devices = self.lock();
        let device = devices.iter().find(|device| device.label == label).ok_or_else(|| not_found(label))?;
        match device.user {
            User::Serial(port) => Ok(port),
            User::Nobody | User::Monitor => Err(format!("Chardev '{label}' is no serial port")),
        }
    }

    /// The serial port that is at standard input and output.
    pub fn port_at_stdio(&self) -> Option<u8> {
        self.lock().iter().find_map(|device| match (&device.backend, device.user) {
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
        match devices.iter_mut().find(|device| device.user == User::Serial(port)) {
            Some(device) => device.sink.write(bytes),
            None => Ok(()),
        }
    }

    /// Does something with the ring buffer of that name.
    ///
    /// # Errors
    /// If there is no device of that name, or it is no ring buffer.
    pub fn with_ring<T>(&self, label: &str, act: impl FnOnce(&mut ring::Ring) -> T) -> Result<T, String> {
        let mut devices = self.lock();
        match devices.iter_mut().find(|device| device.label == label).map(|device| &mut device.sink) {
            None => Err(format!("Device '{label}' not found")),
            Some(Sink::Ring(ring)) => Ok(act(ring)),
            Some(_) => Err(format!("{label} is not a ringbuf device")),
        }
    }
}

fn not_found(label: &str) -> String {
    format!("Chardev '{label}' not found")
}

#[cfg(test)]
mod tests {
    use super::*;

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
        chardevs.add("mon", Backend::Socket("unix:q".into()), User::Monitor).unwrap();
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
    }
}
