//! The tables of a Linux guest: they hold what `dejavm syscalls` and `ps` tell, and answer the queries of
//! `docs/cookbook.md` in DuckDB.

use super::guest::{Guest, text};
use dejavm_trace::export::rows_of;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::process::Command;

/// What the scripts exit with where a package is missing.
const MISSING: i32 = 77;

pub fn tables_hold_the_calls_and_who_made_them(guest: &Guest) {
    guest.ask("sql", &["--build", "console,syscalls,processes"]).success();
    let rows = |table: &str| {
        let path = guest.journal.with_extension("djq").join(table).join(format!("{table}.parquet"));
        rows_of(File::open(&path).expect("a table")).expect("Parquet")
    };
    assert_eq!(rows("syscalls"), guest.calls.len() as u64);
    let comms: BTreeSet<(String, String)> =
        guest.calls.iter().map(|call| (call["pid"].to_string(), text(call, "comm").to_owned())).collect();
    assert!(rows("processes") >= comms.len() as u64, "{comms:?}");
}

pub fn the_cookbook_is_right(guest: &Guest) {
    let place = guest.place_of_ps();
    let stretch = |tables: &str, before: u64| {
        let (from, to) = ((place - before).to_string(), (place + 1).to_string());
        guest.ask("sql", &["--build", tables, "--from", &from, "--to", &to]).success();
    };
    stretch("events,calls,interrupts", 12_000_000);
    stretch("instructions,memory", 0);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let python = std::env::var_os("DEJAVM_PYTHON").unwrap_or_else(|| "python3".into());
    let mut command = Command::new(python);
    command.arg(root.join("tests/python/cookbook.py")).arg(root.join("docs/cookbook.md"));
    let output = command.arg(guest.journal.with_extension("djq")).output().expect("python3");
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.code() == Some(MISSING) {
        let required = std::env::var("DEJAVM_READERS").is_ok_and(|v| v == "required");
        assert!(!required, "{} is missing, and DEJAVM_READERS=required", said.trim());
        eprintln!("SKIPPED: no {} (of PyPI; DEJAVM_PYTHON is a Python that has it)", said.trim());
        return;
    }
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
