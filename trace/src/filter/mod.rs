//! Which events are meant: the globs of `trace-event PATTERN` and `info trace-events PATTERN`, and
//! specifications with filters.

mod spec;

use dejavm_core::boundary::{ProbeRecord, ProbeSettings};

pub use spec::{EventSpec, HELP, SpecError, read_list};

/// Whether a record is one that `settings` switch on.
pub fn wanted(settings: &ProbeSettings, record: &ProbeRecord) -> bool {
    let origin = record.vcpu().map(|vcpu| (vcpu, record.cpl, record.cr3));
    settings.on.get(&record.event.kind()).is_some_and(|rule| rule.admits(&record.event, origin))
}

/// Whether `name` matches a glob: `*` is any text, `?` any one character.
pub fn glob_matches(pattern: &str, name: &str) -> bool {
    matches(pattern.as_bytes(), name.as_bytes())
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // The classic two-pointer match: on a mismatch go back to the last `*` and let it take one more.
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            retry = Some((p + 1, n));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == b'?' || pattern[p] == name[n]) {
            p += 1;
            n += 1;
        } else if let Some((star, taken)) = retry {
            retry = Some((star, taken + 1));
            p = star;
            n = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::glob_matches;

    #[test]
    fn globs() {
        for (pattern, name, expected) in [
            ("*", "uart_write", true),
            ("uart_*", "uart_write", true),
            ("*write", "uart_write", true),
            ("*_w*e", "uart_write", true),
            ("uart_writ?", "uart_write", true),
            ("uart", "uart_write", false),
            ("uart_write?", "uart_write", false),
            ("", "uart_write", false),
            ("*x*", "uart_write", false),
        ] {
            assert_eq!(glob_matches(pattern, name), expected, "{pattern} on {name}");
        }
    }
}
