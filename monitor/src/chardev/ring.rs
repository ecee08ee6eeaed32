//! The ring buffer: a character device that keeps the last bytes that it was sent.

use std::collections::VecDeque;

/// The size of a ring buffer that is not told another.
pub const DEFAULT_BYTES: u64 = 65536;
/// The largest.
pub const MOST_BYTES: u64 = 1 << 28;

/// The last bytes that came, up to its size.
#[derive(Debug)]
pub struct Ring {
    bytes: VecDeque<u8>,
    size: usize,
}

impl Ring {
    /// An empty one.
    ///
    /// # Errors
    /// If `size_bytes` is no power of two, or too large.
    pub fn new(size_bytes: u64) -> Result<Self, String> {
        if !size_bytes.is_power_of_two() {
            return Err("size of ringbuf chardev must be power of two".into());
        }
        if size_bytes > MOST_BYTES {
            return Err(format!("size of ringbuf chardev must be at most {MOST_BYTES}"));
        }
        Ok(Self { bytes: VecDeque::new(), size: size_bytes as usize })
    }

    /// More bytes come; the oldest make room.
    pub fn write(&mut self, bytes: &[u8]) {
        let newest = &bytes[bytes.len().saturating_sub(self.size)..];
        let surplus = (self.bytes.len() + newest.len()).saturating_sub(self.size);
        self.bytes.drain(..surplus);
        self.bytes.extend(newest);
    }

    /// Takes the oldest bytes out, at most `count`.
    pub fn read(&mut self, count: u64) -> Vec<u8> {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(self.bytes.len());
        self.bytes.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_kept_and_read_once() {
        let mut ring = Ring::new(4).unwrap();
        ring.write(b"ab");
        ring.write(b"cde");
        assert_eq!(ring.read(1), b"b");
        assert_eq!(ring.read(100), b"cde");
        assert_eq!(ring.read(100), b"");
        ring.write(b"0123456789");
        assert_eq!(ring.read(u64::MAX), b"6789");
    }

    #[test]
    fn sizes() {
        assert!(Ring::new(1).is_ok() && Ring::new(MOST_BYTES).is_ok());
        for size in [0, 3, 65535, MOST_BYTES * 2, u64::MAX] {
            assert!(Ring::new(size).is_err(), "{size}");
        }
    }
}
