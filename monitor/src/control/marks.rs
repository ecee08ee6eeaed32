//! Named places of a recording, and how they are written down beside it.

use dejavm_core::boundary::Position;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// A named place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Where it is.
    pub at: Position,
    /// When it was set, by the host's clock: seconds since 1970-01-01 UTC.
    pub made_unix_s: u64,
}

impl Mark {
    /// A mark that is set now.
    pub fn now(at: Position) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { at, made_unix_s: since.as_secs() }
    }
}

/// Named places, by name.
pub type Marks = BTreeMap<String, Mark>;

/// Whether a place can have this name: one that is no number, and stands in a line.
pub fn is_mark_name(name: &str) -> bool {
    name.starts_with(char::is_alphabetic) && !name.contains(char::is_control)
}

const HEAD: &str = "dejavm marks 1: icount, virtual time in ns, when it was set, name";

/// The marks as text: a head line, then a line each.
pub fn marks_text(marks: &Marks) -> String {
    let mut text = format!("{HEAD}\n");
    for (name, Mark { at, made_unix_s }) in marks {
        let _ = writeln!(text, "{} {} {made_unix_s} {name}", at.icount, at.now_ns);
    }
    text
}

/// Reads what [`marks_text`] has written.
///
/// # Errors
/// The number of the first line that is none.
pub fn read_marks(text: &str) -> Result<Marks, usize> {
    let mut lines = text.lines();
    if lines.next() != Some(HEAD) {
        return Err(1);
    }
    lines.enumerate().map(|(n, line)| mark(line).ok_or(n + 2)).collect()
}

fn mark(line: &str) -> Option<(String, Mark)> {
    let mut words = line.splitn(4, ' ');
    let mut number = || words.next()?.parse().ok();
    let at = Position { icount: number()?, now_ns: number()? };
    let made_unix_s = number()?;
    let name = words.next().filter(|name| !name.is_empty())?;
    Some((name.to_owned(), Mark { at, made_unix_s }))
}

/// A moment as `2026-11-28 10:44:00` (UTC).
pub fn date_text(unix_s: u64) -> String {
    let (days, second) = ((unix_s / 86_400).min(10_000_000), unix_s % 86_400);
    // The civil calendar, from eras of 400 years that begin in March.
    let day = days + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day_of_month:02} {h:02}:{m:02}:{s:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_as_they_were_written() {
        let at = Position { icount: 242_055_189, now_ns: 30_983_000_000 };
        let marks: Marks = [("mid", 7), ("a name", 1_795_366_211)]
            .map(|(name, made_unix_s)| (name.to_owned(), Mark { at, made_unix_s }))
            .into();
        assert_eq!(read_marks(&marks_text(&marks)), Ok(marks));
        assert_eq!(read_marks(""), Err(1));
        for bad in ["1 2 3", "1 2 3 ", "x 2 3 name", "1 2 99999999999999999999 n", ""] {
            assert_eq!(read_marks(&format!("{HEAD}\n1 2 3 name\n{bad}\n")), Err(3), "{bad:?}");
        }
    }

    #[test]
    fn names_stand_in_a_line() {
        for (name, fits) in [("here", true), ("Ä 2", true), ("2", false), ("", false), ("a\nb", false)] {
            assert_eq!(is_mark_name(name), fits, "{name:?}");
        }
    }

    #[test]
    fn dates() {
        assert_eq!(date_text(0), "1970-01-01 00:00:00");
        assert_eq!(date_text(951_826_154), "2000-02-29 12:09:14");
        assert_eq!(date_text(1_795_366_211), "2026-11-22 16:50:11");
        assert_eq!(date_text(4_102_444_799), "2099-12-31 23:59:59");
        assert!(!date_text(u64::MAX).is_empty());
    }
}
