//! What identifies an image: SHA-256 and size.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// The SHA-256 and the size of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageHash {
    /// SHA-256 (FIPS 180-4).
    pub sha256: [u8; 32],
    /// The size in bytes.
    pub size_bytes: u64,
}

impl ImageHash {
    /// The hash of `image`.
    pub fn of(image: &[u8]) -> Self {
        Self { sha256: Sha256::digest(image).into(), size_bytes: image.len() as u64 }
    }
}

impl fmt::Display for ImageHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.sha256 {
            write!(f, "{byte:02x}")?;
        }
        write!(f, " ({} bytes)", self.size_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answer() {
        let shown = ImageHash::of(b"abc").to_string();
        assert_eq!(shown, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad (3 bytes)");
    }
}
