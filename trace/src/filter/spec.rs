//! Specifications of events with filters: `memory_store,address=0x1000-0x1fff,cpl=3`.

use crate::event::{UnknownEvent, matching};
use dejavm_core::boundary::{ProbeFilter, ProbeRule, ProbeSettings};
use dejavm_core::types::MAX_VCPUS;
use std::str::FromStr;

/// How specifications are written, for help texts.
pub const HELP: &str = "\
An event is named by NAME, or several by a pattern with * and ?; filters may follow:
  vcpu=N              only on that vCPU (several times for several)
  address=A[-B]       addresses from A to B: linear or physical ones of accesses, ports, MSRs, of code
  value=A[-B]         values: what is read or written, the number of a system call, a vector
  cpl=N               only at that privilege level
  cr3=N               only in that address space
as in 'memory_store,address=0x7c00-0x7dff,cpl=3'. Numbers are decimal, or hexadecimal with 0x.
A leading '-' switches events off again.";

/// What is wrong with a specification.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SpecError {
    /// It names no event.
    #[error(transparent)]
    Unknown(#[from] UnknownEvent),
    /// A filter that there is not, or not so.
    #[error("'{0}' is no filter (vcpu=N, address=A-B, value=A-B, cpl=N, cr3=N)")]
    Filter(String),
}

/// Events, and what of them is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSpec {
    pattern: String,
    /// None: they are switched off.
    rule: Option<ProbeRule>,
}

impl EventSpec {
    /// Switches the events in `settings`.
    ///
    /// # Errors
    /// If it names no event.
    pub fn apply(&self, settings: &mut ProbeSettings) -> Result<(), UnknownEvent> {
        for event in matching(&self.pattern)? {
            match self.rule {
                Some(rule) => settings.on.insert(event.kind, rule),
                None => settings.on.remove(&event.kind),
            };
        }
        Ok(())
    }
}

impl FromStr for EventSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let (off, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let mut parts = text.split(',');
        let pattern = parts.next().unwrap_or_default();
        let pattern = pattern.strip_prefix("enable=").unwrap_or(pattern).to_owned();
        matching(&pattern)?;
        let mut rule = ProbeRule::default();
        for part in parts {
            filter(&mut rule, part).ok_or_else(|| SpecError::Filter(part.to_owned()))?;
        }
        Ok(Self { pattern, rule: (!off).then_some(rule) })
    }
}

fn filter(rule: &mut ProbeRule, part: &str) -> Option<()> {
    let (key, value) = part.split_once('=')?;
    let ProbeFilter { address, value: values, privilege, cr3 } = &mut rule.filter;
    match key {
        "vcpu" => {
            let id = usize::try_from(number(value)?).ok().filter(|&id| id < MAX_VCPUS)?;
            let others = if rule.vcpus == ProbeRule::EVERYWHERE { 0 } else { rule.vcpus };
            rule.vcpus = others | 1 << id;
        }
        "address" => *address = Some(range(value)?),
        "value" => *values = Some(range(value)?),
        "cpl" => *privilege = Some(u8::try_from(number(value)?).ok().filter(|&cpl| cpl <= 3)?),
        "cr3" => *cr3 = Some(number(value)?),
        _ => return None,
    }
    Some(())
}

fn range(text: &str) -> Option<(u64, u64)> {
    let Some((first, last)) = text.split_once('-') else {
        let one = number(text)?;
        return Some((one, one));
    };
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// The specifications in an events file: one on a line, `#` begins a comment.
pub fn read_list(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::settings_of;
    use dejavm_core::boundary::ProbeKind;

    #[test]
    fn filters_are_read() {
        let settings = settings_of(["memory_store,address=0x10-0x1f,cpl=3,vcpu=1,vcpu=2,value=7"]).unwrap();
        let rule = settings.on[&ProbeKind::Store];
        assert_eq!(rule.vcpus, 0b110);
        let expected =
            ProbeFilter { address: Some((0x10, 0x1F)), value: Some((7, 7)), privilege: Some(3), cr3: None };
        assert_eq!(rule.filter, expected);
    }

    #[test]
    fn a_list_has_comments_and_switches_off() {
        let list = "# stores\nmemory_*\n-memory_load # not these\n\n";
        let settings = settings_of(read_list(list)).unwrap();
        assert_eq!(settings, settings_of(["memory_store"]).unwrap());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |text: &str| text.parse::<EventSpec>().unwrap_err().to_string();
        assert_eq!(wrong("nosuch"), "unknown event \"nosuch\"");
        for part in ["cpl=4", "address=5-4", "vcpu=64", "size=1", "value", "cr3=x"] {
            assert!(wrong(&format!("memory_load,{part}")).starts_with(&format!("'{part}' is no filter")));
        }
    }
}
