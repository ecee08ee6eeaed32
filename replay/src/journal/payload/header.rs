//! The body of the header chunk: everything that the machine is made of, but for the images'
//! bytes.

use crate::journal::ImageHash;
use crate::journal::error::{Damage, JournalError};
use crate::journal::limits::{
    MAX_COMMAND_LINE_BYTES, MAX_IMAGE_BYTES, MAX_IMAGES, MAX_NAME_BYTES, MAX_PARTS, MAX_RAM_BYTES,
};
use dejavm_core::boundary::MachineConfig;
use dejavm_core::types::MAX_VCPUS;
use serde::{Deserialize, Serialize};
use std::fmt;
use xxhash_rust::xxh3::xxh3_128;

/// The virtual CPU that a run was recorded with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuModel {
    /// Its name.
    pub name: String,
    /// Raised whenever the same instructions would give other results.
    pub version: u32,
}

/// What an image is for. New roles are added at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageRole {
    /// The kernel.
    Kernel,
    /// The initial RAM disk.
    Initrd,
}

impl fmt::Display for ImageRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "kernel",
            Self::Initrd => "initrd",
        })
    }
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// What it is for.
    pub role: ImageRole,
    /// What identifies it.
    pub hash: ImageHash,
    /// Whether the image chunks hold it; if not, whoever replays has to bring it.
    pub embedded: bool,
    /// The name of the file that it came from, for messages only.
    pub file_name: String,
}

/// The body of the header chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the dejavm that recorded; for messages only.
    pub dejavm_version: String,
    /// The machine; seed and start time are part of it.
    pub config: MachineConfig,
    /// The virtual CPU.
    pub cpu_model: CpuModel,
    /// The images, in the order of their chunks.
    pub images: Vec<ImageRecord>,
    /// A chunk ends at each multiple of this icount (and elsewhere, where input was written out).
    pub interval_icount: u64,
    /// The names of the parts of the state hash, in their order.
    pub part_names: Vec<String>,
}

impl Header {
    /// Seeds all randomness of the machine.
    pub fn seed(&self) -> u64 {
        self.config.seed
    }

    /// What the machine's clock showed at power-on: seconds since 1970-01-01 UTC.
    pub fn start_unix_s(&self) -> i64 {
        self.config.rtc_start_unix_s
    }

    /// What the run depends on, as a hash: the machine and its images, wherever these are kept.
    pub(crate) fn identity(&self) -> u128 {
        let images: Vec<_> = self.images.iter().map(|image| (image.role, image.hash)).collect();
        xxh3_128(&crate::journal::codec::encode(&(&self.config, &self.cpu_model, images)))
    }

    /// The record of the image for `role`.
    pub fn image(&self, role: ImageRole) -> Option<&ImageRecord> {
        self.images.iter().find(|image| image.role == role)
    }

    /// The first limit that this header exceeds (for the writer).
    pub(in crate::journal) fn check_writable(&self) -> Result<(), JournalError> {
        match self.exceeded() {
            Some((what, _, limit)) => Err(JournalError::TooLarge { what, limit }),
            None => Ok(()),
        }
    }

    /// Refuses what no writer writes (for the reader).
    pub(in crate::journal) fn check_read(&self) -> Result<(), Damage> {
        if let Some((what, found, limit)) = self.exceeded() {
            return Err(Damage::TooLong { what, found, limit });
        }
        if self.config.vcpus == 0 || self.config.quantum_icount == 0 || self.interval_icount == 0 {
            return Err(Damage::Value("a number of vCPUs, quantum or interval of 0"));
        }
        let twice = |k: usize| self.images[..k].iter().any(|other| other.role == self.images[k].role);
        if (0..self.images.len()).any(twice) {
            return Err(Damage::Value("two images for one role"));
        }
        Ok(())
    }

    fn exceeded(&self) -> Option<(&'static str, u64, u64)> {
        let Self { dejavm_version, config, cpu_model, images, interval_icount: _, part_names } = self;
        let names = [dejavm_version, &cpu_model.name].into_iter().chain(part_names);
        let names = names.chain(images.iter().map(|image| &image.file_name));
        let longest_name = names.map(String::len).max().unwrap_or(0);
        let largest_image = images.iter().map(|image| image.hash.size_bytes).max().unwrap_or(0);
        [
            ("the number of vCPUs", config.vcpus.into(), MAX_VCPUS as u64),
            ("the RAM size", config.ram_bytes, MAX_RAM_BYTES),
            ("the command line's length", config.command_line.len() as u64, MAX_COMMAND_LINE_BYTES as u64),
            ("a name's length", longest_name as u64, MAX_NAME_BYTES as u64),
            ("an image's size", largest_image, MAX_IMAGE_BYTES),
            ("the number of images", images.len() as u64, MAX_IMAGES as u64),
            ("the number of state hash parts", part_names.len() as u64, MAX_PARTS as u64),
        ]
        .into_iter()
        .find(|(_, found, limit)| found > limit)
    }
}
