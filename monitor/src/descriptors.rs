//! File descriptors that clients pass over their sockets (SCM_RIGHTS): `getfd` gives the oldest of
//! them a name, under which a dump can be written to it (`fd:NAME`), and `closefd` forgets it. Each
//! client has names of his own.

use crate::transport::ConnectionId;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// So many that have no name yet are kept of a client.
const MOST_NAMELESS: usize = 16;

/// A descriptor on its way from a client.
#[derive(Clone, Debug)]
pub struct Passed(pub Arc<OwnedFd>);

/// The same one.
impl PartialEq for Passed {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Passed {}

#[derive(Debug, Default)]
struct OfClient {
    nameless: VecDeque<Passed>,
    named: BTreeMap<String, Passed>,
}

/// The descriptors of all clients.
#[derive(Debug, Default)]
pub struct Descriptors {
    clients: BTreeMap<ConnectionId, OfClient>,
    /// Whose commands are being carried out; `None`: those of the terminal.
    speaker: Option<ConnectionId>,
}

impl Descriptors {
    /// The commands that follow are of this client.
    pub fn set_speaker(&mut self, client: Option<ConnectionId>) {
        self.speaker = client;
    }

    /// A client passes some; those beyond what is kept are closed, the oldest first.
    pub fn receive(&mut self, client: ConnectionId, passed: Vec<Passed>) {
        let nameless = &mut self.clients.entry(client).or_default().nameless;
        nameless.extend(passed);
        let surplus = nameless.len().saturating_sub(MOST_NAMELESS);
        nameless.drain(..surplus);
    }

    /// A client is gone, and all that he passed.
    pub fn forget(&mut self, client: ConnectionId) {
        self.clients.remove(&client);
    }

    fn own(&mut self) -> Option<&mut OfClient> {
        self.clients.get_mut(&self.speaker?)
    }

    /// Gives the oldest one without a name this name; one that had it is closed.
    ///
    /// # Errors
    /// If the name is none, or nothing was passed.
    pub fn name(&mut self, name: &str) -> Result<(), String> {
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err("Parameter 'fdname' expects a name not starting with a digit".into());
        }
        let passed = self.own().and_then(|own| own.nameless.pop_front());
        let passed = passed.ok_or("No file descriptor supplied via SCM_RIGHTS")?;
        if let Some(own) = self.own() {
            own.named.insert(name.to_owned(), passed);
        }
        Ok(())
    }

    /// Closes the one of that name.
    ///
    /// # Errors
    /// If there is none.
    pub fn close(&mut self, name: &str) -> Result<(), String> {
        match self.own().and_then(|own| own.named.remove(name)) {
            Some(_) => Ok(()),
            None => Err(format!("File descriptor named '{name}' not found")),
        }
    }

    /// The one of that name, as a file; the name is gone then.
    ///
    /// # Errors
    /// If there is none, or the host refuses.
    pub fn take(&mut self, name: &str) -> Result<File, String> {
        let passed = self.own().and_then(|own| own.named.remove(name));
        let passed = passed.ok_or_else(|| format!("File descriptor named '{name}' has not been found"))?;
        passed.0.try_clone().map(File::from).map_err(|e| format!("File descriptor '{name}': {e}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    fn pipe() -> (std::io::PipeReader, Passed) {
        let (reader, writer) = std::io::pipe().unwrap();
        (reader, Passed(Arc::new(writer.into())))
    }

    #[test]
    fn a_name_is_of_one_client_and_good_for_one_use() {
        let mut all = Descriptors::default();
        let (mut reader, passed) = pipe();
        all.receive(7, vec![passed]);
        assert!(all.name("a").is_err(), "the terminal passes nothing");
        all.set_speaker(Some(8));
        assert!(all.name("a").is_err());
        all.set_speaker(Some(7));
        assert_eq!(all.name("1"), Err("Parameter 'fdname' expects a name not starting with a digit".into()));
        all.name("a").unwrap();
        assert_eq!(all.name("b"), Err("No file descriptor supplied via SCM_RIGHTS".into()));
        all.set_speaker(Some(8));
        assert!(all.take("a").is_err());
        all.set_speaker(Some(7));
        let mut file = all.take("a").unwrap();
        file.write_all(b"there").unwrap();
        drop(file);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "there");
        assert_eq!(all.close("a"), Err("File descriptor named 'a' not found".into()));
    }

    #[test]
    fn what_nobody_names_is_closed() {
        let mut all = Descriptors::default();
        let (mut first, passed) = pipe();
        all.receive(1, vec![passed]);
        for _ in 0..MOST_NAMELESS {
            all.receive(1, vec![pipe().1]);
        }
        assert_eq!(first.read(&mut [0]).unwrap(), 0, "the oldest is closed");
        let (mut last, passed) = pipe();
        all.receive(1, vec![passed]);
        all.forget(1);
        assert_eq!(last.read(&mut [0]).unwrap(), 0, "a client takes his along");
    }
}
