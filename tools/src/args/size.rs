//! Sizes of memory as QEMU has them: `512M`, `2G`, and plain numbers in MiB.

use std::str::FromStr;

/// A size of RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemorySize {
    /// In bytes.
    pub bytes: u64,
}

/// The smallest RAM that a kernel can be loaded into, in bytes.
const LEAST_BYTES: u64 = 8 << 20;
/// The most RAM, in bytes: what 40 bits of physical address leave room for.
const MOST_BYTES: u64 = 512 << 30;

impl FromStr for MemorySize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_prefix("size=").unwrap_or(text);
        let digits = number.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let shift = match &number[digits.len()..] {
            "" | "M" | "m" | "MB" | "MiB" => 20,
            "b" | "B" => 0,
            "K" | "k" | "KB" | "KiB" => 10,
            "G" | "g" | "GB" | "GiB" => 30,
            "T" | "t" | "TB" | "TiB" => 40,
            other => return Err(format!("unknown suffix '{other}': use K, M or G, as in 512M")),
        };
        let count: u64 =
            digits.parse().map_err(|_| "a size is a number and a suffix, as in 512M or 2G".to_owned())?;
        let bytes = count.checked_mul(1 << shift).filter(|b| (LEAST_BYTES..=MOST_BYTES).contains(b));
        bytes.map(|bytes| Self { bytes }).ok_or_else(|| "RAM is 8M to 512G".to_owned())
    }
}
