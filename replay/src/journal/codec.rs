//! The one place that knows bincode (FORMAT.md, "Bodies"): varint integers, little-endian, a
//! size limit, no bytes left over.

use super::error::Damage;
use super::limits::MAX_INDEX_BYTES;
use serde::{Serialize, de::DeserializeOwned};

/// No body is longer, so no length inside one may be.
const LIMIT: usize = MAX_INDEX_BYTES as usize;

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<LIMIT>()
}

/// The bytes of `value`.
pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, config()).expect("plain data of bounded size always encodes")
}

/// The value that `bytes`, all of them, encode.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Damage> {
    let (value, used) =
        bincode::serde::decode_from_slice(bytes, config()).map_err(|e| Damage::Encoding(e.to_string()))?;
    if used != bytes.len() {
        return Err(Damage::Encoding(format!("{} bytes left over", bytes.len() - used)));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_take_the_documented_sizes() {
        assert_eq!(encode(&250u64), [250]);
        assert_eq!(encode(&251u64), [251, 251, 0]);
        assert_eq!(encode(&(1u64 << 26)), [252, 0, 0, 0, 4]);
        assert_eq!(encode(&-1i64), [1]);
    }

    #[test]
    fn left_over_bytes_are_refused() {
        assert!(matches!(decode::<u8>(&[1, 2]), Err(Damage::Encoding(_))));
    }

    #[test]
    fn huge_lengths_are_refused_without_allocating() {
        let mut bytes = vec![253];
        bytes.extend((1u64 << 40).to_le_bytes());
        assert!(matches!(decode::<String>(&bytes), Err(Damage::Encoding(_))));
        assert!(matches!(decode::<Vec<u64>>(&bytes), Err(Damage::Encoding(_))));
    }
}
