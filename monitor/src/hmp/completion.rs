//! What could stand in the place of the last word of a line: commands, what comes after `info` and
//! `help`, registers, symbols, keys, trace events, log items, marks, character devices, files.

use super::commands::{ALL, INFO, log};
use super::{absent, registers};
use crate::chardev::{Chardevs, KINDS};
use crate::keys;
use crate::qmp::WATCHDOG_ACTIONS;
use dejavm_trace::event;
use dejavm_trace::linux::Symbols;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What lines are completed with that is not always the same. Any thread may ask.
#[derive(Default)]
pub struct Words {
    chardevs: Arc<Chardevs>,
    of_run: Mutex<OfRun>,
}

#[derive(Default)]
struct OfRun {
    marks: Vec<String>,
    symbols: Option<Arc<Symbols>>,
}

impl Words {
    /// The names of character devices, and none of the run yet.
    pub fn new(chardevs: Arc<Chardevs>) -> Self {
        Self { chardevs, ..Self::default() }
    }

    /// Takes over the names of the run's marks, and the symbols that are loaded.
    pub fn take(&self, marks: Vec<String>, symbols: Option<Arc<Symbols>>) {
        *self.of_run() = OfRun { marks, symbols };
    }

    fn of_run(&self) -> MutexGuard<'_, OfRun> {
        self.of_run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn marks(&self) -> Vec<String> {
        self.of_run().marks.clone()
    }

    fn chardevs(&self, fits: impl Fn(&str) -> bool) -> Vec<String> {
        let list = self.chardevs.list().into_iter();
        list.filter(|device| fits(&device.filename)).map(|device| device.label).collect()
    }

    /// The symbols that are loaded; to look for them in the guest takes a command.
    fn symbols(&self, prefix: &str) -> Vec<String> {
        let symbols = self.of_run().symbols.clone().filter(|_| !prefix.is_empty());
        let names = symbols.iter().flat_map(|symbols| symbols.names_with_prefix(prefix));
        names.take(MOST_SYMBOLS).map(str::to_owned).collect()
    }
}

/// More symbols than this are not listed.
const MOST_SYMBOLS: usize = 200;

/// What an expression's words are parted by.
const OPERATORS: [char; 11] = [' ', '$', '(', '+', '-', '*', '/', '%', '&', '|', '^'];

/// All lines that the line could become; empty if nothing fits.
pub(super) fn candidates(line: &str, own: &Words) -> Vec<String> {
    let command = line.split_whitespace().next().unwrap_or_default();
    let command = command.split('/').next().unwrap_or_default();
    let separators: &[char] = match command {
        "sendkey" => &[' ', '-'],
        "log" => &[' ', ','],
        "x" | "xp" | "print" | "p" | "sum" | "gva2gpa" | "gpa2hva" | "last_write" | "reverse_continue"
        | "memsave" | "pmemsave"
            if expects_number(command, line) =>
        {
            &OPERATORS
        }
        _ => &[' ', '$'],
    };
    let (before, last) = line.split_at(line.rfind(separators).map_or(0, |at| at + 1));
    let word = before.split_whitespace().count();
    let words = match command {
        _ if before.trim().is_empty() => names(ALL, absent::COMMANDS),
        _ if before.ends_with('$') => registers::names(),
        "info" | "help" | "?" if before.trim() == "info" || before.trim().ends_with(" info") => {
            names(INFO, absent::INFO)
        }
        "help" | "?" => names(ALL, absent::COMMANDS),
        "info" => after_info(before, last, own),
        "sendkey" => keys::names(last),
        "trace-event" if word == 1 => events(),
        "trace-event" => texts(&["off", "on"]),
        "log" => log::items().chain(events().into_iter().map(|name| format!("trace:{name}"))).collect(),
        "one-insn-per-tb" | "singlestep" => texts(&["off", "on"]),
        "sync-profile" => texts(&["off", "on", "reset"]),
        "watchdog_action" => texts(&WATCHDOG_ACTIONS),
        "replay_seek" => [own.marks(), texts(&["end"])].concat(),
        "loadvm" | "delvm" | "mark" => own.marks(),
        "chardev-add" => texts(&KINDS),
        "chardev-change" if word == 2 => texts(&KINDS),
        "chardev-change" | "chardev-remove" | "chardev-send-break" => own.chardevs(|_| true),
        "ringbuf_read" | "ringbuf_write" if word == 1 => own.chardevs(|kind| kind == "ringbuf"),
        _ if separators == OPERATORS => own.symbols(last),
        "memsave" | "pmemsave" | "dump-guest-memory" | "go_live" | "logfile" | "symbols" => files(last),
        _ => Vec::new(),
    };
    words.into_iter().filter(|word| word.starts_with(last)).map(|word| format!("{before}{word}")).collect()
}

/// Whether the last word of a line is a number: `memsave` has two before its file.
fn expects_number(command: &str, line: &str) -> bool {
    let words = line.split_whitespace().count() + usize::from(line.ends_with(' '));
    !command.ends_with("memsave") || words <= 3
}

/// What follows a subcommand of `info`.
fn after_info(before: &str, last: &str, own: &Words) -> Vec<String> {
    match before.split_whitespace().nth(1) {
        Some("symbol") => own.symbols(last),
        Some("trace-events") => events(),
        _ => Vec::new(),
    }
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn events() -> Vec<String> {
    event::all().iter().chain(event::of_the_engine()).map(|event| event.name.clone()).collect()
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
