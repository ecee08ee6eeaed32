//! What the program says about itself, on stderr, with a filter that the monitor can change.

use crate::error::Failure;
use dejavm_monitor::services::LogControl;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt, reload};

/// Changes the filter of the log.
pub struct LogFilter {
    handle: reload::Handle<EnvFilter, Registry>,
}

/// Starts logging to stderr.
///
/// # Errors
/// If the filter cannot be understood.
pub fn start(filter: &str) -> Result<LogFilter, Failure> {
    let filter = parse(filter)
        .map_err(|e| Failure::new(e).advice("use --log info, or --log warn,dejavm_core=debug"))?;
    // The filter is what can be exchanged: a whole filtered layer cannot be.
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer().with_writer(std::io::stderr).without_time();
    // A second start (in one process, in tests) keeps the first subscriber.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).try_init();
    Ok(LogFilter { handle })
}

fn parse(filter: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(filter).map_err(|e| format!("log filter '{filter}': {e}"))
}

impl LogControl for LogFilter {
    fn set_filter(&self, filter: &str) -> Result<(), String> {
        let filter = parse(filter)?;
        self.handle.reload(filter).map_err(|e| e.to_string())
    }

    fn filter(&self) -> String {
        self.handle.with_current(ToString::to_string).unwrap_or_default()
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
}
