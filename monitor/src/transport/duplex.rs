//! Two ways that are no socket: named pipes, a terminal.

use super::connection::Socket;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Result, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that is read and a file that is written, neither of which blocks; whoever waits for one can be
/// woken.
#[derive(Clone)]
pub(super) struct Duplex {
    input: Arc<File>,
    output: Arc<File>,
    /// Readable once the connection ends.
    ended: Arc<OwnedFd>,
}

impl Duplex {
    /// Both files must have been opened with `O_NONBLOCK`.
    pub fn new(input: Arc<File>, output: Arc<File>) -> Result<Self> {
        let ended = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        Ok(Self { input, output, ended })
    }

    /// Waits until `file` is ready; false if the connection ends before.
    fn ready(&self, file: &File, wish: PollFlags) -> Result<bool> {
        loop {
            let mut both = [PollFd::new(file, wish), PollFd::new(&*self.ended, PollFlags::IN)];
            match poll(&mut both, None) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) if !both[1].revents().is_empty() => return Ok(false),
                Ok(_) => return Ok(true),
            }
        }
    }
}

impl Read for Duplex {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while self.ready(&self.input, PollFlags::IN)? {
            match (&*self.input).read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The other side of a terminal is closed.
                Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => return Ok(0),
                done => return done,
            }
        }
        Ok(0)
    }
}

impl Write for Duplex {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        while self.ready(&self.output, PollFlags::OUT)? {
            match (&*self.output).write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
        Err(ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Socket for Duplex {
    fn duplicate(&self) -> Result<Self> {
        Ok(self.clone())
    }

    fn end(&self) {
        // That counter is nowhere near its limit.
        let _ = rustix::io::write(&*self.ended, &1u64.to_ne_bytes());
    }
}

/// Opens PATH.in and PATH.out, or PATH for both. Each is opened for both ways, so that nobody needs to be
/// there yet, and somebody may leave and come back.
pub(super) fn open_pipe(path: &Path) -> Result<Duplex> {
    let half = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        open_both_ways(&name.into())
    };
    match (half(".in"), half(".out")) {
        (Ok(input), Ok(output)) => Duplex::new(Arc::new(input), Arc::new(output)),
        _ => {
            let both = Arc::new(open_both_ways(&path.to_owned())?);
            Duplex::new(both.clone(), both)
        }
    }
}

fn open_both_ways(path: &PathBuf) -> Result<File> {
    let flags = OFlags::NONBLOCK.bits() as i32;
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)
}

#[cfg(test)]
mod tests {
    use super::super::{Incoming, Place, Report, open};
    use super::*;
    use crossbeam_channel::unbounded;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::time::Duration;

    #[test]
    fn named_pipes_carry_both_ways() {
        let path = std::env::temp_dir().join(format!("dejavm-{}-pipe", std::process::id()));
        let half = |suffix: &str| PathBuf::from(format!("{}{suffix}", path.display()));
        for name in [half(".in"), half(".out")] {
            let _ = std::fs::remove_file(&name);
            mknodat(CWD, &name, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        }
        let (sender, receiver) = unbounded();
        let report: Report = Arc::new(move |incoming| sender.send(incoming).is_ok());
        let place = Place::Pipe(path.clone());
        let listening = open(&place, 1, &report).unwrap();
        assert_eq!(listening.name(), "pipe");
        let next = || receiver.recv_timeout(Duration::from_secs(20)).expect("nothing came");
        let Incoming::Opened { id, outbox } = next() else { panic!("no client") };
        outbox.allow_sending();
        // Two who come and go.
        for word in [&b"one"[..], b"two"] {
            std::fs::write(half(".in"), word).unwrap();
            assert_eq!(next(), Incoming::Bytes { id, bytes: word.to_vec() });
            outbox.allow_sending();
            outbox.stream(word);
            let mut answer = [0; 3];
            File::open(half(".out")).unwrap().read_exact(&mut answer).unwrap();
            assert_eq!(answer, word);
        }
        // One that is full and never read can be ended.
        while !outbox.is_full() {
            outbox.stream(&[b' '; 4096]);
        }
        outbox.abandon();
        assert_eq!(next(), Incoming::Closed { id });
        for name in [half(".in"), half(".out")] {
            std::fs::remove_file(name).unwrap();
        }
        assert_eq!(open(&place, 1, &report).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
