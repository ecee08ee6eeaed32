//! Bodies as zstd frames (RFC 8878), each independent of all others.

use super::error::Damage;

/// For events: they are few and small, so the time does not count.
pub(super) const LEVEL_EVENTS: i32 = 12;
/// For images: kernels and initrds are mostly compressed already, and a recording should start
/// at once: at this level zstd gives up early where nothing shrinks.
pub(super) const LEVEL_IMAGE: i32 = -1;
/// For start states: the guest waits while one is written.
pub(super) const LEVEL_START: i32 = 1;

/// `raw` as one zstd frame.
pub(super) fn compress(raw: &[u8], level: i32) -> Vec<u8> {
    zstd::bulk::compress(raw, level).expect("zstd compresses any bytes into a buffer of its own bound")
}

/// The `raw_len` bytes in the zstd frame `stored`; `raw_len` was checked against its limit.
pub(super) fn decompress(stored: &[u8], raw_len: u32) -> Result<Vec<u8>, Damage> {
    let raw =
        zstd::bulk::decompress(stored, raw_len as usize).map_err(|e| Damage::Compression(e.to_string()))?;
    if raw.len() != raw_len as usize {
        let found = raw.len();
        return Err(Damage::Compression(format!("{found} bytes instead of {raw_len}")));
    }
    Ok(raw)
}
