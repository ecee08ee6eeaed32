//! Things you start: the `dejavm` program, and the host side of the door.

pub mod args;
pub mod cmd;
pub mod console;
pub mod demo;
pub mod error;
pub mod exit;
pub mod export;
pub mod hostio;
pub mod logging;
pub mod output;
pub mod output_file;
pub mod output_folder;
pub mod perf_map;
pub mod progress;
#[cfg(feature = "sql")]
pub mod sql;
