//! What could stand in the place of the last word of a line: commands, what comes after `info` and
//! `help`, registers, keys, trace events, files.

use super::commands::{ALL, INFO};
use super::{absent, registers};
use crate::keys;
use dejavm_trace::event;

/// All lines that the line could become; empty if nothing fits.
pub(super) fn candidates(line: &str) -> Vec<String> {
    let start = line.rfind([' ', '$', '-', ',']).map_or(0, |at| at + 1);
    let command = line.split_whitespace().next().unwrap_or_default();
    let command = command.split('/').next().unwrap_or_default();
    let (before, last) = match (command, line.as_bytes().get(start.wrapping_sub(1))) {
        // Only in these do `-` and `,` part words.
        ("sendkey", _) | (_, Some(b' ' | b'$')) => line.split_at(start),
        _ => line.split_at(line.rfind([' ', '$']).map_or(0, |at| at + 1)),
    };
    let words = match command {
        _ if before.trim().is_empty() => names(ALL, absent::COMMANDS),
        _ if before.ends_with('$') => registers::names(),
        "info" | "help" | "?" if before.trim() == "info" || before.trim().ends_with(" info") => {
            names(INFO, absent::INFO)
        }
        "help" | "?" => names(ALL, absent::COMMANDS),
        "sendkey" => keys::names(last),
        "trace-event" => event::all().iter().map(|event| event.name.clone()).collect(),
        "memsave" | "pmemsave" | "dump-guest-memory" | "go_live" | "logfile" | "symbols" => files(last),
        _ => Vec::new(),
    };
    words.into_iter().filter(|word| word.starts_with(last)).map(|word| format!("{before}{word}")).collect()
}

fn names(there: &[super::Command], absent: &[absent::Absent]) -> Vec<String> {
    let there = there.iter().flat_map(|command| command.names).copied().filter(|name| name.len() > 1);
    let mut names: Vec<_> = there.chain(absent.iter().map(|a| a.name)).map(str::to_owned).collect();
    names.sort_unstable();
    names
}

/// The files whose paths start so; folders end with a slash.
fn files(prefix: &str) -> Vec<String> {
    let folder = &prefix[..prefix.rfind('/').map_or(0, |at| at + 1)];
    let entries = std::fs::read_dir(if folder.is_empty() { "." } else { folder });
    let mut files: Vec<_> = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| {
            let slash = if entry.path().is_dir() { "/" } else { "" };
            format!("{folder}{}{slash}", entry.file_name().to_string_lossy())
        })
        .collect();
    files.sort_unstable();
    files
}
