//! Two recordings side by side: the first place where their machines differ.
//!
//! By the law of the house, machines that are equal stay equal until other input comes in, so the
//! first different input is looked at first. Then come the hashes in the journals, which cost no
//! replay, and between the last that is equal and the first that is not, halves.

use super::machine::RunMachine;
use super::{Observer, ReplaySession, ReplayStop, SessionError};
use crate::journal::{ChunkHash, Reader, StateDigest};
use dejavm_core::boundary::{Inbound, Position};
use dejavm_core::types::Icount;
use std::collections::BTreeMap;
use std::io::{Read, Seek};

/// An input, and where it came in.
pub type Input = (Position, Inbound);

/// The first input that is not the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherInput {
    /// How many inputs before it are the same.
    pub same: usize,
    /// What comes in next in each recording.
    pub next: [Option<Input>; 2],
}

impl OtherInput {
    /// Where the runs part: at the earlier of the two.
    pub fn icount(&self) -> Icount {
        self.next.iter().flatten().map(|(at, _)| at.icount).min().unwrap_or(Icount::MAX)
    }
}

/// The first icount at which machines differ, if they do, and in which parts.
pub type OtherState = Option<(Icount, Vec<String>)>;

/// What a comparison shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// The parts that differ from the beginning, or are not to be compared.
    pub left_out: Vec<String>,
    /// The first different input, if there is one in what both recordings cover.
    pub input: Option<OtherInput>,
    /// The first icount at which the machines differ in another part, and in which.
    pub state: OtherState,
    /// What both recordings cover.
    pub first: Icount,
    /// The last icount that both have.
    pub last: Icount,
}

/// Two recordings of machines with the same parts.
pub struct Pair<M, F> {
    /// They.
    pub sessions: [ReplaySession<M, F>; 2],
    left_out: Vec<String>,
}

impl<M, F> Pair<M, F>
where
    M: RunMachine + Send,
    F: Read + Seek + Send,
{
    /// Compares in all parts but `left_out`.
    pub fn new(sessions: [ReplaySession<M, F>; 2], left_out: Vec<String>) -> Self {
        Self { sessions, left_out }
    }

    /// The first place where the two differ. None if the observer interrupted it.
    ///
    /// # Errors
    /// If they have no stretch in common, or one of them cannot be replayed.
    pub fn compare(
        &mut self,
        observer: &mut (dyn Observer + Send),
    ) -> Result<Option<Comparison>, SessionError> {
        let [a, b] = &self.sessions;
        let first = a.first().icount.max(b.first().icount);
        let last = a.last().icount.min(b.last().icount);
        if first > last {
            return Err(SessionError::EmptyStretch { from: first, to: last });
        }
        if !self.go(first, observer)? {
            return Ok(None);
        }
        let left_out = self.differing();
        self.left_out.extend(left_out);
        let input = self.other_input(first)?.filter(|input| input.icount() <= last);
        let Some(state) = self.other_state(first, last, input.as_ref(), observer)? else { return Ok(None) };
        Ok(Some(Comparison { left_out: self.left_out.clone(), input, state, first, last }))
    }

    /// Both go to an icount, at the same time; false if interrupted.
    pub fn go(&mut self, icount: Icount, observer: &mut (dyn Observer + Send)) -> Result<bool, SessionError> {
        let [a, b] = &mut self.sessions;
        let (a, b) = std::thread::scope(|scope| {
            let other = scope.spawn(|| b.seek(icount, &mut ()));
            let a = a.seek(icount, observer);
            (a, other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        Ok(a? != ReplayStop::Interrupted && b? != ReplayStop::Interrupted)
    }

    /// In which parts the machines differ here, but for those left out.
    pub fn differing(&mut self) -> Vec<String> {
        let [a, b] = &mut self.sessions;
        let (a, b) = (a.machine().digest(), b.machine().digest());
        differing(&a, &b).into_iter().filter(|name| !self.left_out.contains(name)).collect()
    }

    fn inputs(&mut self, which: usize, first: Icount) -> Result<Vec<Input>, SessionError> {
        let session = &mut self.sessions[which];
        let mut inputs = Vec::new();
        for entry in session.events_chunks().to_vec() {
            inputs.extend(session.read_events(&entry)?.events);
        }
        inputs.retain(|(at, _)| at.icount >= first);
        Ok(inputs)
    }

    fn other_input(&mut self, first: Icount) -> Result<Option<OtherInput>, SessionError> {
        let (a, b) = (self.inputs(0, first)?, self.inputs(1, first)?);
        let same = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
        let next = [a.get(same).cloned(), b.get(same).cloned()];
        Ok(next.iter().any(Option::is_some).then_some(OtherInput { same, next }))
    }

    /// None if interrupted.
    fn other_state(
        &mut self,
        first: Icount,
        last: Icount,
        input: Option<&OtherInput>,
        observer: &mut (dyn Observer + Send),
    ) -> Result<Option<OtherState>, SessionError> {
        // Equal machines with equal input are equal: nothing to replay before it.
        let equal_so_far = self.left_out.is_empty();
        let (mut same, mut other) = self.journalled(first, last)?;
        if let Some(at) = input.map(|input| input.icount().max(first)) {
            if equal_so_far && at > same {
                same = at;
            }
            let after = at.saturating_add(1).min(last);
            if after > same && other.is_none_or(|other| other > after) {
                if !self.go(after, observer)? {
                    return Ok(None);
                }
                if self.differing().is_empty() { same = after } else { other = Some(after) }
            }
        } else if equal_so_far && other.is_none() && same >= last {
            return Ok(Some(None));
        }
        let mut other = match other {
            Some(other) => other,
            None => {
                if !self.go(last, observer)? {
                    return Ok(None);
                }
                if self.differing().is_empty() {
                    return Ok(Some(None));
                }
                last
            }
        };
        while other - same > 1 {
            let middle = self.sessions[0].middle_of(same, other);
            if !self.go(middle, observer)? {
                return Ok(None);
            }
            if self.differing().is_empty() { same = middle } else { other = middle }
        }
        if !self.go(other, observer)? {
            return Ok(None);
        }
        Ok(Some(Some((other, self.differing()))))
    }

    /// By the hashes in the journals: the last icount at which they are equal before the first at
    /// which they are not, and that one.
    fn journalled(&mut self, first: Icount, last: Icount) -> Result<(Icount, Option<Icount>), SessionError> {
        let names = self.sessions[0].journal().header().part_names.clone();
        let (a, b) = (hashes(&mut self.sessions[0])?, hashes(&mut self.sessions[1])?);
        let mut same = first;
        // The icounts at which both have a hash; the times may differ, and then the clocks do.
        for (icount, a) in a.range(first..=last) {
            let Some(b) = b.get(icount) else { continue };
            let differ =
                a.differing(b, &names).into_iter().any(|name| !self.left_out.iter().any(|out| out == name));
            if differ || (self.left_out.is_empty() && a != b) {
                return Ok((same, Some(*icount)));
            }
            same = *icount;
        }
        Ok((same, None))
    }
}

/// The hashes of a journal that were taken where an icount is first reached and before any input
/// there, by icount: the state that a seek to it leads to.
fn hashes<M: RunMachine, F: Read + Seek>(
    session: &mut ReplaySession<M, F>,
) -> Result<BTreeMap<Icount, ChunkHash>, SessionError> {
    let mut hashes = BTreeMap::new();
    let mut before = None;
    for entry in session.events_chunks().to_vec() {
        let chunk = session.read_events(&entry)?;
        let input_there = chunk.events.iter().any(|(at, _)| at.icount == chunk.last.icount);
        if before != Some(chunk.last.icount) && !input_there && entry.first.icount != chunk.last.icount {
            hashes.insert(chunk.last.icount, chunk.hash);
        }
        before = Some(chunk.last.icount);
    }
    Ok(hashes)
}

/// The names of the parts that differ.
fn differing(a: &StateDigest, b: &StateDigest) -> Vec<String> {
    let pairs = a.parts.iter().zip(&b.parts);
    pairs.filter(|(a, b)| a != b).map(|((name, _), _)| name.clone()).collect()
}

/// In what the machines of two recordings differ so that they cannot be compared; the text is for
/// the user.
pub fn incomparable<F: Read + Seek, G: Read + Seek>(a: &Reader<F>, b: &Reader<G>) -> Option<String> {
    let (a, b) = (a.header(), b.header());
    let model = |header: &crate::journal::Header| {
        format!("{} version {}", header.cpu_model.name, header.cpu_model.version)
    };
    let checks = [
        ("CPU models", model(a), model(b)),
        ("numbers of vCPUs", a.config.vcpus.to_string(), b.config.vcpus.to_string()),
        ("sizes of RAM in bytes", a.config.ram_bytes.to_string(), b.config.ram_bytes.to_string()),
        ("sets of devices", a.part_names.join(" "), b.part_names.join(" ")),
    ];
    let other = checks.into_iter().find(|(_, a, b)| a != b);
    if let Some((what, a, b)) = other {
        return Some(format!("different {what}: {a} and {b}"));
    }
    let image = |header: &crate::journal::Header, role| {
        header.image(role).map_or("none".to_owned(), |image| format!("{} ({})", image.file_name, image.hash))
    };
    use crate::journal::ImageRole::{Initrd, Kernel};
    let roles = [Kernel, Initrd].into_iter();
    let hash = |header: &crate::journal::Header, role| header.image(role).map(|image| image.hash);
    let other = roles.into_iter().find(|role| hash(a, *role) != hash(b, *role))?;
    Some(format!("different {other} images: {} and {}", image(a, other), image(b, other)))
}
