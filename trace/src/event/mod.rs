//! The registry of trace events: which there are, which are on and how, and where they go.
//!
//! Each event is a probe of the machine under a name, with its arguments and their types. While
//! it is off, the machine does not look for it.

mod catalog;
mod packed;
mod values;

pub use catalog::{ArgumentType, Description, all, description, of_the_engine};
pub use packed::{MOST_ARGUMENTS, pack, unpack, words};
pub use values::{Value, Values};

use crate::filter::{EventSpec, SpecError, glob_matches};
use crate::sink::Writer;
use dejavm_core::boundary::{ProbeFilter, ProbeKind, ProbeRecord, ProbeRule, ProbeSettings};
use dejavm_core::types::VcpuId;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// No event of that name or pattern.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown event \"{0}\"")]
pub struct UnknownEvent(pub String);

/// Which events are on, and where they are written.
pub struct Registry {
    settings: Mutex<ProbeSettings>,
    writer: Mutex<Writer>,
}

impl Registry {
    /// All events off, to be written by `writer` once they are on.
    pub fn new(writer: Writer) -> Self {
        Self { settings: Mutex::default(), writer: Mutex::new(writer) }
    }

    /// What is on: what a machine is to be told.
    pub fn settings(&self) -> ProbeSettings {
        self.lock().clone()
    }

    /// Name and state of the events that match a pattern; all of them without one.
    ///
    /// # Errors
    /// If a name without `*` or `?` is no event.
    pub fn list(&self, pattern: Option<&str>) -> Result<Vec<(&'static str, bool)>, UnknownEvent> {
        let settings = self.lock();
        let found = matching(pattern.unwrap_or("*"))?;
        Ok(found
            .into_iter()
            .map(|event| (event.name.as_str(), settings.on.contains_key(&event.kind)))
            .collect())
    }

    /// As [`Self::list`], for one vCPU.
    ///
    /// # Errors
    /// As there.
    pub fn list_on(&self, pattern: &str, vcpu: VcpuId) -> Result<Vec<(&'static str, bool)>, UnknownEvent> {
        let settings = self.lock();
        let on = |kind: ProbeKind| settings.on.get(&kind).is_some_and(|rule| rule.has_vcpu(vcpu));
        Ok(matching(pattern)?.into_iter().map(|event| (event.name.as_str(), on(event.kind))).collect())
    }

    /// Switches the events that match a pattern, everywhere and without filters.
    ///
    /// # Errors
    /// If a name without `*` or `?` is no event.
    pub fn set(&self, pattern: &str, on: bool) -> Result<(), UnknownEvent> {
        let mut settings = self.lock();
        for event in matching(pattern)? {
            if on {
                settings.on.insert(event.kind, ProbeRule::default());
            } else {
                settings.on.remove(&event.kind);
            }
        }
        Ok(())
    }

    /// Switches the events that match a pattern on one vCPU.
    ///
    /// # Errors
    /// If a name without `*` or `?` is no event.
    pub fn set_on(&self, pattern: &str, on: bool, vcpu: VcpuId) -> Result<(), UnknownEvent> {
        let mut settings = self.lock();
        for event in matching(pattern)? {
            let off = ProbeRule { vcpus: 0, filter: ProbeFilter::default() };
            let rule = settings.on.entry(event.kind).or_insert(off);
            if on {
                rule.vcpus |= 1 << vcpu
            } else {
                rule.vcpus &= !(1 << vcpu)
            }
            if rule.vcpus == 0 {
                settings.on.remove(&event.kind);
            }
        }
        Ok(())
    }

    /// Switches events as a specification says.
    ///
    /// # Errors
    /// If it names no event.
    pub fn apply(&self, spec: &EventSpec) -> Result<(), UnknownEvent> {
        spec.apply(&mut self.lock())
    }

    /// Writes what the probes of a machine saw.
    pub fn write(&self, records: &[ProbeRecord]) {
        if records.is_empty() {
            return;
        }
        // A trace that cannot be written must not stop the run that it watches; it says so once.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = writer.write(records) {
            tracing::warn!(%error, "the trace cannot be written; it ends here");
            writer.abandon();
        }
    }

    fn lock(&self) -> MutexGuard<'_, ProbeSettings> {
        // Whole between statements, even if somebody panicked elsewhere.
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the specifications switch on, from nothing.
///
/// # Errors
/// What is wrong with one of them.
pub fn settings_of<'a>(specs: impl IntoIterator<Item = &'a str>) -> Result<ProbeSettings, SpecError> {
    let mut settings = ProbeSettings::default();
    for text in specs {
        text.parse::<EventSpec>()?.apply(&mut settings)?;
    }
    Ok(settings)
}

/// The events that match a pattern.
pub(crate) fn matching(pattern: &str) -> Result<Vec<&'static Description>, UnknownEvent> {
    let known = all().iter().chain(of_the_engine());
    let found: Vec<_> = known.filter(|event| glob_matches(pattern, &event.name)).collect();
    if found.is_empty() && !pattern.contains(['*', '?']) {
        return Err(UnknownEvent(pattern.to_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::Format;

    fn registry() -> Registry {
        Registry::new(Writer::new(Format::Text, Box::new(std::io::sink())))
    }

    #[test]
    fn an_unknown_name_is_an_error_and_an_empty_pattern_match_is_not() {
        let registry = registry();
        assert_eq!(registry.set("nosuch", true), Err(UnknownEvent("nosuch".into())));
        assert_eq!(registry.set("nosuch*", true), Ok(()));
        assert_eq!(registry.list(Some("uart_write")).unwrap(), [("uart_write", false)]);
        assert_eq!(registry.list(None).unwrap().len(), all().len() + of_the_engine().len());
    }

    #[test]
    fn an_event_is_on_where_it_was_switched_on() {
        let registry = registry();
        registry.set_on("cpu_interrupt", true, 2).unwrap();
        assert_eq!(registry.list_on("cpu_interrupt", 2).unwrap(), [("cpu_interrupt", true)]);
        assert_eq!(registry.list_on("cpu_interrupt", 0).unwrap(), [("cpu_interrupt", false)]);
        assert_eq!(registry.list(Some("cpu_interrupt")).unwrap(), [("cpu_interrupt", true)]);
        registry.set_on("cpu_*", false, 2).unwrap();
        assert_eq!(registry.settings(), ProbeSettings::default());
    }
}
