//! The state hash: one value per part of the machine, equal exactly when the parts are.
//!
//! Memory is hashed page by page, and only pages written since the last time are hashed again:
//! the hash of memory is the wrapping sum over its pages of the hash of (page number, bytes),
//! and a page of zeros counts nothing. So it does not depend on when hashes were taken.

use crate::mem::Memory;
use crate::types::{PAGE_SHIFT, PAGE_SIZE};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

/// A hash of each part of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateHash {
    /// Each vCPU's registers.
    pub vcpus: Vec<u128>,
    /// Each device, by name; the clock and the schedule are among them.
    pub devices: Vec<(String, u128)>,
    /// RAM.
    pub memory: u128,
}

impl StateHash {
    /// All parts as one value.
    pub fn combined(&self) -> u128 {
        let mut bytes = Vec::new();
        for v in &self.vcpus {
            bytes.extend_from_slice(&v.to_le_bytes());
        }
        for (name, v) in &self.devices {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&v.to_le_bytes());
        }
        bytes.extend_from_slice(&self.memory.to_le_bytes());
        xxh3_128(&bytes)
    }
}

/// The hash of anything serialisable.
pub fn hash_of<T: Serialize>(value: &T) -> u128 {
    let bytes = bincode::serde::encode_to_vec(value, bincode::config::standard())
        .expect("plain state always serialises");
    xxh3_128(&bytes)
}

/// The hash of RAM, brought up to date page by page.
pub struct MemoryHash {
    pages: Vec<u128>,
    sum: u128,
}

impl MemoryHash {
    /// For a RAM of zeros of `bytes`.
    pub fn new(bytes: u64) -> Self {
        Self { pages: vec![0; (bytes >> PAGE_SHIFT) as usize], sum: 0 }
    }

    /// The hash now. Every page becomes clean.
    pub fn update(&mut self, mem: &mut Memory) -> u128 {
        for page in mem.take_dirty_pages() {
            let bytes = mem.ram.slice((page as usize) << PAGE_SHIFT, PAGE_SIZE as usize);
            let new =
                if bytes.iter().all(|&b| b == 0) { 0 } else { xxh3_128_with_seed(bytes, u64::from(page)) };
            let old = std::mem::replace(&mut self.pages[page as usize], new);
            self.sum = self.sum.wrapping_sub(old).wrapping_add(new);
        }
        self.sum
    }
}
