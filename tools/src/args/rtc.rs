//! `-rtc base=…`: what the guest's clock shows at power-on.

use std::str::FromStr;

/// The time at power-on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtcBase {
    /// The host's time, UTC.
    Now,
    /// Seconds since 1970-01-01 UTC.
    Unix(i64),
}

const EXPECTED: &str = "a base is utc, 2026-01-31, 2026-01-31T12:00:00 or @SECONDS (all UTC)";

impl FromStr for RtcBase {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut base = Self::Now;
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("base", value)) => base = parse_base(value).ok_or(EXPECTED)?,
                // The guest's clock always follows virtual time, which is what clock=vm asks for.
                Some(("clock", "vm")) | Some(("driftfix", "none")) => {}
                _ => return Err(format!("'{part}' is not supported: {EXPECTED}")),
            }
        }
        Ok(base)
    }
}

fn parse_base(text: &str) -> Option<RtcBase> {
    if text == "utc" {
        return Some(RtcBase::Now);
    }
    if let Some(seconds) = text.strip_prefix('@') {
        return seconds.parse().ok().map(RtcBase::Unix);
    }
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00"));
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let valid = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    valid.then(|| {
        RtcBase::Unix(days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
    })
}

fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let parts: Vec<i64> = text
        .split(separator)
        .map(|part| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok()).flatten())
        .collect::<Option<_>>()?;
    parts.try_into().ok()
}

fn leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let years: i64 = (1970..year).map(|y| if leap(y) { 366 } else { 365 }).sum();
    let months: i64 = (1..month).map(|m| days_in_month(year, m)).sum();
    years + months + day - 1
}
