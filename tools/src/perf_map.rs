//! The translated code by name for `perf report`: `/tmp/perf-PID.map`, written at the end of a run
//! if the environment has [`SWITCH`].

use dejavm_core::machine::Machine;
use std::fmt::Write;

/// The environment variable that asks for the map.
pub const SWITCH: &str = "DEJAVM_PERF_MAP";

/// Writes the map where perf looks for it, if it is wanted. That it cannot be written is no failure
/// of the run.
pub fn write_if_wanted(machine: &Machine) {
    if std::env::var_os(SWITCH).is_none() {
        return;
    }
    let path = format!("/tmp/perf-{}.map", std::process::id());
    if let Err(error) = std::fs::write(&path, map(machine)) {
        tracing::warn!(path, %error, "no map of the translated code");
    }
}

/// One line per block: start, size, name.
fn map(machine: &Machine) -> String {
    let mut lines = String::new();
    for block in machine.translated_blocks() {
        let _ = writeln!(lines, "{:x} {:x} guest_{:x}", block.host, block.bytes, block.linear);
    }
    lines
}
