//! What run a session replays, as one number: for files that are made of it and kept beside it.

use super::RunMachine;
use super::replay::ReplaySession;
use std::io::{Read, Seek};
use xxhash_rust::xxh3::xxh3_128;

impl<M: RunMachine, F: Read + Seek> ReplaySession<M, F> {
    /// Identifies the run: the machine at its beginning, all that came in, and where it ends. Two
    /// journals of one run, as with and without its images, have the same.
    pub fn fingerprint(&self) -> u128 {
        let inputs = &self.travel.inputs;
        let count = inputs.events().len() as u64;
        let mut bytes = self.travel.binding.to_vec();
        bytes.extend(count.to_le_bytes());
        bytes.extend(inputs.hash(count).unwrap_or_default().to_le_bytes());
        let last = self.last();
        bytes.extend(last.icount.to_le_bytes());
        bytes.extend(last.now_ns.to_le_bytes());
        xxh3_128(&bytes)
    }
}
