//! Every command of QEMU's monitor is known, and docs/monitor.md says what becomes of it.

use super::{check, monitor, on_replay};
use crate::control::Mode;
use crate::control::fake::Fake;
use crate::hmp::absent::{self, Absent};
use crate::hmp::commands::{self, Command};
use std::fmt::Write as _;
use std::path::PathBuf;

const QEMU: &str = include_str!("qemu-6.2-commands.txt");

/// What QEMU's help shows of a command before its purpose, and what is expected here.
fn lines() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = QEMU.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once(" => ").unwrap_or((line, line)))
}

/// What follows `info`, if a line is about that.
fn of_info(line: &str) -> Option<&str> {
    line.strip_prefix("info ").filter(|rest| !rest.starts_with('['))
}

/// The name that stands first, without its short ones.
fn name(syntax: &str) -> &str {
    syntax.split([' ', '|']).next().unwrap_or_default()
}

#[test]
fn every_command_of_qemu_is_there_or_says_what_is_missing() {
    assert_eq!(lines().filter(|(line, _)| of_info(line).is_none()).count(), 104);
    assert_eq!(lines().filter(|(line, _)| of_info(line).is_some()).count(), 55);
    for (theirs, ours) in lines() {
        let (before, table, lacking) = match of_info(theirs) {
            Some(_) => ("info ", commands::INFO, absent::INFO),
            None => ("", commands::ALL, absent::COMMANDS),
        };
        let name = name(of_info(theirs).unwrap_or(theirs));
        let there = commands::find(table, name).is_some();
        let absent = absent::find(lacking, name);
        assert!(there != absent.is_some(), "{before}{name} is there: {there}");
        // Of `info` itself, as in QEMU, the list of all commands tells; `help info` shows what comes after it.
        let help = if (before, name) == ("", "info") {
            let all = on_replay("help").0;
            all.lines().find(|line| line.starts_with("info [")).unwrap_or_default().to_owned()
        } else {
            on_replay(&format!("help {before}{name}")).0
        };
        let (syntax, _) = help.split_once(" -- ").unwrap_or_else(|| panic!("{before}{name}: {help}"));
        assert_eq!(syntax.split_whitespace().collect::<Vec<_>>().join(" "), ours, "{help}");
        if let Some(absent) = absent {
            check(&format!("{before}{name}"), &format!("{}\n", absent.lacks.text()));
        }
    }
}

#[test]
fn every_command_survives_bad_input() {
    let lines = [
        "",
        " x y z w",
        " -q",
        " $nosuch",
        " 99999999999999999999999",
        " ((((",
        " 1/0",
        " /zzz 1",
        " \u{1F600}",
    ];
    for mode in [Mode::Live, Mode::Replay { file: "run.dj".into() }] {
        for (before, table) in [("", commands::ALL), ("info ", commands::INFO)] {
            // Dumps take any word as the path of a file.
            for command in table.iter().filter(|command| command.names[0] != "dump-guest-memory") {
                for rest in lines {
                    let line = format!("{before}{}{rest}", command.names[0]);
                    let out = monitor().execute(&line, &mut Fake::new(mode.clone()));
                    assert!(out.is_empty() || out.ends_with('\n'), "{line}: {out}");
                }
            }
        }
    }
}

fn rows(table: &mut Vec<(String, String)>, before: &str, there: &[Command], absent: &[Absent]) {
    for command in there {
        let name =
            format!("{before}{} {}", command.names.join("\\|"), command.parameters.replace('|', "\\|"));
        table.push((name.trim().to_owned(), command.about.to_owned()));
    }
    for command in absent {
        let name = format!("{before}{}", command.name);
        table.push((name, format!("*{}*", command.lacks.text())));
    }
}

fn table() -> String {
    let mut text = String::from("| command | what it does here |\n|---|---|\n");
    for (before, there, absent) in
        [("", commands::ALL, absent::COMMANDS), ("info ", commands::INFO, absent::INFO)]
    {
        let mut lines = Vec::new();
        rows(&mut lines, before, there, absent);
        lines.sort();
        for (name, about) in lines {
            let _ = writeln!(text, "| `{name}` | {about} |");
        }
    }
    text
}

/// With DEJAVM_BLESS set the table is put into the document.
#[test]
fn the_document_has_the_table() {
    const MARK: &str = "<!-- the table: made from the commands -->\n";
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/monitor.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let (before, after) = document.split_once(MARK).expect("the mark is in docs/monitor.md");
    if std::env::var_os("DEJAVM_BLESS").is_some() {
        std::fs::write(&path, format!("{before}{MARK}{}", table())).unwrap();
    } else {
        assert!(after == table(), "docs/monitor.md has another table: run this test with DEJAVM_BLESS=1");
    }
}
