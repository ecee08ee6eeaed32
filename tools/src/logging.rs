//! What the program says about itself, on stderr or in a file, with a filter; a monitor can change
//! both.

use crate::error::Failure;
use dejavm_monitor::services::LogControl;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt, reload};

/// Where the log goes: to stderr, or to a file that can be exchanged.
#[derive(Clone, Debug, Default)]
pub struct LogOutput(Arc<Mutex<Option<File>>>);

impl LogOutput {
    fn with<T>(&self, act: impl FnOnce(&mut dyn Write) -> io::Result<T>) -> io::Result<T> {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(file) => act(file),
            None => act(&mut io::stderr()),
        }
    }

    fn set(&self, file: Option<File>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = file;
    }
}

impl Write for LogOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.with(|output| output.write(bytes))
    }
    fn flush(&mut self) -> io::Result<()> {
        self.with(|output| output.flush())
    }
}

impl MakeWriter<'_> for LogOutput {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Changes the filter and the output of the log.
pub struct Log {
    handle: reload::Handle<EnvFilter, Registry>,
    output: LogOutput,
}

/// Starts logging, to stderr at first.
///
/// # Errors
/// If the filter cannot be understood.
pub fn start(filter: &str) -> Result<Log, Failure> {
    let filter = parse(filter)
        .map_err(|e| Failure::new(e).advice("use --log info, or --log warn,dejavm_core=debug"))?;
    // The filter is what can be exchanged: a whole filtered layer cannot be.
    let (filter, handle) = reload::Layer::new(filter);
    let output = LogOutput::default();
    let lines = fmt::layer().with_writer(output.clone()).without_time();
    // A second start (in one process, in tests) keeps the first subscriber.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).try_init();
    Ok(Log { handle, output })
}

fn parse(filter: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(filter).map_err(|e| format!("log filter '{filter}': {e}"))
}

impl Log {
    /// Where it goes, for what is to go there too.
    pub fn output(&self) -> LogOutput {
        self.output.clone()
    }
}

impl LogControl for Log {
    fn set_filter(&self, filter: &str) -> Result<(), String> {
        let filter = parse(filter)?;
        self.handle.reload(filter).map_err(|e| e.to_string())
    }

    fn filter(&self) -> String {
        self.handle.with_current(ToString::to_string).unwrap_or_default()
    }

    fn set_file(&self, path: Option<&Path>) -> Result<(), String> {
        let open = |path: &Path| {
            File::create(path).map_err(|e| {
                let text = e.to_string();
                let cause = text.split(" (os error").next().unwrap_or_default();
                format!("Error opening logfile {}: {cause}", path.display())
            })
        };
        self.output.set(path.map(open).transpose()?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_can_be_exchanged() {
        let log = start("warn").unwrap();
        assert_eq!(log.filter(), "warn");
        log.set_filter("info,dejavm_core=debug").unwrap();
        assert!(log.filter().contains("dejavm_core=debug"), "{}", log.filter());
        assert!(log.set_filter("=bogus=").is_err());
        assert!(start("=bogus=").is_err());
    }

    #[test]
    fn the_output_can_be_exchanged() {
        let log = start("warn").unwrap();
        let path = std::env::temp_dir().join(format!("dejavm-log-{}", std::process::id()));
        log.set_file(Some(&path)).unwrap();
        log.output().write_all(b"a line\n").unwrap();
        let nowhere = log.set_file(Some(Path::new("/nonexistent/log"))).unwrap_err();
        assert_eq!(nowhere, "Error opening logfile /nonexistent/log: No such file or directory");
        log.output().write_all(b"another\n").unwrap();
        log.set_file(None).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a line\nanother\n");
        std::fs::remove_file(path).unwrap();
    }
}
