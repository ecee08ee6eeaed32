//! How much a flight recorder keeps: `30s`, `5min`, or `2G`.

use dejavm_replay::session::RingSize;
use std::str::FromStr;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingSpec(pub RingSize);

impl FromStr for RingSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let number: u64 = digits.parse().map_err(|_| HELP.to_owned())?;
        let size = match &text[digits.len()..] {
            "ms" => RingSize::Time(number.saturating_mul(1_000_000)),
            "s" => RingSize::Time(number.saturating_mul(1_000_000_000)),
            "min" => RingSize::Time(number.saturating_mul(60_000_000_000)),
            "M" | "MiB" => RingSize::Bytes(number.saturating_mul(1 << 20)),
            "G" | "GiB" => RingSize::Bytes(number.saturating_mul(1 << 30)),
            _ => return Err(HELP.to_owned()),
        };
        if number == 0 { Err("a ring of nothing keeps nothing".to_owned()) } else { Ok(Self(size)) }
    }
}

const HELP: &str = "give a stretch of the guest's time, as 30s or 5min, or a size on disk, as 500M or 2G";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes() {
        let parse = |text: &str| text.parse::<RingSpec>().map(|spec| spec.0);
        assert_eq!(parse("30s"), Ok(RingSize::Time(30_000_000_000)));
        assert_eq!(parse("2min"), Ok(RingSize::Time(120_000_000_000)));
        assert_eq!(parse("2G"), Ok(RingSize::Bytes(2 << 30)));
        for wrong in ["", "30", "s", "0s", "2T", "-1s", "1.5s"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
