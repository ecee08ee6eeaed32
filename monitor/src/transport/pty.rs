//! A terminal that the host makes (pty(7)): a client is there for as long as somebody has its other side
//! open.

use super::Report;
use super::connection::serve;
use super::duplex::Duplex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How soon it is seen that somebody comes.
const LOOK: Duration = Duration::from_millis(50);

/// A terminal that nobody has open yet.
pub(super) struct Pty {
    master: Arc<File>,
    path: String,
}

impl Pty {
    /// Makes one that passes every byte as it is.
    pub fn open() -> Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let path = ptsname(&master, Vec::new())?;
        // Once its other side was open and is closed, it is seen that nobody is there.
        let slave = open(&path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        let mut modes = tcgetattr(&slave)?;
        modes.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &modes)?;
        fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK)?;
        let path = path.to_string_lossy().into_owned();
        Ok(Self { master: Arc::new(File::from(master)), path })
    }

    /// Where its other side is.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Serves whoever has it open, one after another, until it is over.
    pub fn serve(self, report: Report, over: Arc<AtomicBool>) -> Result<()> {
        std::thread::Builder::new().name(format!("terminal {}", self.path)).spawn(move || {
            while !over.load(Ordering::Relaxed) {
                if self.has_client()
                    && let Err(error) = self.serve_one(&report, &over)
                {
                    tracing::warn!(%error, path = self.path, "a terminal cannot be served");
                }
                std::thread::sleep(LOOK);
            }
        })?;
        Ok(())
    }

    fn serve_one(&self, report: &Report, over: &AtomicBool) -> Result<()> {
        let both = Duplex::new(self.master.clone(), self.master.clone())?;
        let outbox = serve(both, report.clone())?;
        while !outbox.is_closed() {
            // Whoever is not allowed to send is not read from, and that he leaves not noticed there.
            if over.load(Ordering::Relaxed) || !self.has_client() {
                outbox.abandon();
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Whether somebody has it open, or has left something to be read.
    fn has_client(&self) -> bool {
        let mut master = [PollFd::new(&*self.master, PollFlags::IN)];
        let looked = poll(&mut master, Some(&Timespec::default()));
        let seen = master[0].revents();
        looked.is_ok() && (!seen.contains(PollFlags::HUP) || seen.contains(PollFlags::IN))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Incoming, Place, open};
    use super::*;
    use crossbeam_channel::unbounded;
    use std::fs::OpenOptions;
    use std::io::{Read as _, Write as _};

    #[test]
    fn who_opens_it_is_a_client() {
        let (sender, receiver) = unbounded();
        let report: Report = Arc::new(move |incoming| sender.send(incoming).is_ok());
        let listening = open(&Place::Pty, 1, &report).unwrap();
        let path = listening.terminal().expect("a path").to_owned();
        let next = || receiver.recv_timeout(Duration::from_secs(20)).expect("nothing came");
        for _ in 0..2 {
            let mut client = OpenOptions::new().read(true).write(true).open(&path).unwrap();
            let Incoming::Opened { id, outbox } = next() else { panic!("no client") };
            outbox.allow_sending();
            client.write_all(b"a\r\x03").unwrap();
            assert_eq!(next(), Incoming::Bytes { id, bytes: b"a\r\x03".to_vec() });
            outbox.stream(b"b\n");
            let mut answer = [0; 2];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"b\n");
            drop(client);
            assert_eq!(next(), Incoming::Closed { id });
        }
        // As `echo stop > /dev/pts/3` does.
        std::fs::write(&path, "stop\n").unwrap();
        let Incoming::Opened { id, outbox } = next() else { panic!("no client") };
        outbox.allow_sending();
        assert_eq!(next(), Incoming::Bytes { id, bytes: b"stop\n".to_vec() });
        drop(listening);
        let start = std::time::Instant::now();
        while std::path::Path::new(&path).exists() {
            assert!(start.elapsed() < Duration::from_secs(20), "it is still there");
            std::thread::sleep(LOOK);
        }
    }
}
