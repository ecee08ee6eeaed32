//! The tables of a recording: what is in them, how they are kept, and that other engines read them.

mod desk;

use dejavm_trace::export::{SEGMENT_ICOUNT, rows_of};
use desk::Desk;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The file of a table for a segment.
fn part(desk: &Desk, folder: &str, table: &str, segment: u64) -> PathBuf {
    desk.folder.join(folder).join(table).join(format!("segment={segment}")).join(format!("{table}.parquet"))
}

fn rows(path: &Path) -> u64 {
    rows_of(File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).unwrap()
}

/// How many segments the run has: how long it is depends on when the demo typed.
fn segments(desk: &Desk) -> u64 {
    desk.info("demo.dj")["length_icount"].as_u64().unwrap() / SEGMENT_ICOUNT + 1
}

/// How many lines a trace has.
fn traced(desk: &Desk, event: &str) -> u64 {
    desk.expect(&["trace", "demo.dj", "-e", event], 0).lines().count() as u64
}

#[test]
fn a_table_has_a_row_for_each_event_in_the_segment_where_it_happened() {
    let desk = Desk::new("tables-rows");
    desk.demo();
    desk.expect(&["sql", "demo.dj", "--build", "calls,interrupts,console"], 0);
    for (table, events) in
        [("calls", ["cpu_call", "cpu_return"]), ("interrupts", ["cpu_exception", "cpu_interrupt"])]
    {
        let there: u64 =
            (0..segments(&desk)).map(|segment| rows(&part(&desk, "demo.djq", table, segment))).sum();
        assert_eq!(there, events.iter().map(|event| traced(&desk, event)).sum::<u64>(), "{table}");
        assert!(!part(&desk, "demo.djq", table, segments(&desk)).exists(), "the run ends before");
    }
    let console = desk.folder.join("demo.djq/console/console.parquet");
    let said = desk.run(&["replay", "demo.dj", "-serial", "stdio"]).stdout;
    assert_eq!(rows(&console), String::from_utf8_lossy(&said).lines().count() as u64, "lines of the ledger");
}

#[test]
fn files_are_the_same_however_many_make_them() {
    let desk = Desk::new("tables-jobs");
    desk.demo();
    desk.expect(&["sql", "demo.dj", "--build", "calls,memory", "-j", "1", "--cache", "one"], 0);
    desk.expect(&["sql", "demo.dj", "--build", "calls,memory", "-j", "3", "--cache", "three"], 0);
    for table in ["calls", "memory"] {
        for segment in 0..segments(&desk) {
            let [one, three] = ["one", "three"].map(|f| fs::read(part(&desk, f, table, segment)).unwrap());
            assert!(one == three, "{table}, segment {segment}");
        }
    }
}

#[test]
fn tables_are_kept_for_their_recording_only_and_made_again_if_damaged() {
    let desk = Desk::new("tables-kept");
    desk.demo();
    let build = ["sql", "demo.dj", "--build", "interrupts", "--from", "0", "--to", "1000"];
    desk.expect(&build, 0);
    let path = part(&desk, "demo.djq", "interrupts", 0);
    let good = fs::read(&path).unwrap();
    assert!(!part(&desk, "demo.djq", "interrupts", 1).exists(), "what nobody asked for");
    // What is good stays.
    let made = fs::metadata(&path).unwrap().modified().unwrap();
    desk.expect(&build, 0);
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), made);
    // Every kind of damage is found, also where Parquet itself would not notice.
    let mut flipped = good.clone();
    flipped[10] ^= 1;
    for damaged in [flipped, good[..good.len() / 2].to_vec(), Vec::new(), b"no parquet".to_vec()] {
        fs::write(&path, damaged).unwrap();
        desk.expect(&build, 0);
        assert!(fs::read(&path).unwrap() == good);
    }
    // Another recording under the same name.
    fs::rename(desk.folder.join("demo.dj"), desk.folder.join("first.dj")).unwrap();
    desk.expect(&["trim", "first.dj", "--to", "100000", "-o", "demo.dj"], 0);
    let calls = ["sql", "demo.dj", "--build", "calls"];
    desk.expect(&calls, 0);
    assert!(!path.exists(), "a table of another recording");
    assert!(part(&desk, "demo.djq", "calls", 0).exists());
}

#[test]
fn a_trace_may_be_a_folder_of_parquet_made_by_several() {
    let desk = Desk::new("tables-trace");
    desk.demo();
    let trace = |more: &[&str]| {
        let events = ["trace", "demo.dj", "-e", "cpu_interrupt", "-e", "uart_write"];
        desk.expect(&[&events, more].concat(), 0)
    };
    trace(&["-o", "all.parquet"]);
    trace(&["--format", "parquet", "-o", "shared", "--segment", "1/2"]);
    trace(&["--format", "parquet", "-o", "shared", "--segment", "2/2"]);
    let file = |folder: &str, segment: u64| {
        let folder = desk.folder.join(folder).join(format!("segment={segment}"));
        folder.join("events.parquet")
    };
    let mut there = 0;
    for segment in 0..segments(&desk) {
        let [all, shared] = ["all.parquet", "shared"].map(|folder| fs::read(file(folder, segment)).unwrap());
        assert!(all == shared, "segment {segment}");
        there += rows(&file("shared", segment));
    }
    assert_eq!(there, trace(&[]).lines().count() as u64);
    let again = ["trace", "demo.dj", "-e", "cpu_interrupt", "-o", "all.parquet"];
    let said = desk.refused(&again, 1);
    assert!(said.contains("there already") && said.contains("--force"), "{said}");
    desk.expect(&[&again[..], &["--force"]].concat(), 0);
    let said = desk.refused(&["trace", "demo.dj", "-e", "cpu_interrupt", "--format", "parquet"], 1);
    assert!(said.contains("-o FOLDER"), "{said}");
}

#[test]
fn a_guest_that_is_no_linux_has_no_table_of_system_calls() {
    let desk = Desk::new("tables-no-linux");
    desk.demo();
    let said = desk.refused(&["sql", "demo.dj", "--build", "syscalls"], 1);
    assert!(said.contains("Linux") && said.starts_with("dejavm: "), "{said}");
}

#[test]
fn a_folder_that_holds_something_else_is_left_alone() {
    let desk = Desk::new("tables-folder");
    desk.demo();
    fs::create_dir(desk.folder.join("demo.djq")).unwrap();
    fs::write(desk.folder.join("demo.djq/letter"), "dear").unwrap();
    let said = desk.refused(&["sql", "demo.dj", "--build", "calls"], 1);
    assert!(
        said.contains("demo.djq is not a folder of dejavm's tables") && said.contains("--no-cache"),
        "{said}"
    );
    assert_eq!(fs::read(desk.folder.join("demo.djq/letter")).unwrap(), b"dear");
    let said = desk.refused(&["sql", "demo.dj", "--build", "cals"], 2);
    assert!(said.contains("there are events, instructions, memory, calls"), "{said}");
}

#[test]
fn a_full_disk_leaves_nothing_incomplete() {
    let desk = Desk::new("tables-full");
    desk.demo();
    // A file of this process may not grow beyond that, which fails as a full disk does.
    let limited = format!(
        "ulimit -f 8; trap '' XFSZ; exec {} sql demo.dj --build instructions",
        env!("CARGO_BIN_EXE_dejavm")
    );
    let output =
        std::process::Command::new("sh").args(["-c", &limited]).current_dir(&desk.folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot write demo.djq/instructions/segment=0/instructions.parquet"), "{said}");
    let folder = part(&desk, "demo.djq", "instructions", 0);
    let left = fs::read_dir(folder.parent().unwrap()).unwrap().count();
    assert_eq!(left, 0, "files of an export that failed");
}

/// The Python with DuckDB and pyarrow, if there is one.
fn readers(script: &Path, arguments: &[&str], folder: &Path) {
    let of_suite = std::env::var_os("DEJAVM_PYTHON").map(PathBuf::from);
    let python = of_suite.unwrap_or_else(|| "python3".into());
    let output = Command::new(python).arg(script).args(arguments).current_dir(folder).output();
    let output = output.expect("python3");
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.code() == Some(MISSING) {
        let required = std::env::var("DEJAVM_READERS").is_ok_and(|v| v == "required");
        assert!(!required, "{} is missing, and DEJAVM_READERS=required", said.trim());
        eprintln!("SKIPPED: no {} (of PyPI; DEJAVM_PYTHON is a Python that has it)", said.trim());
        return;
    }
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

/// What the script exits with where a package is missing.
const MISSING: i32 = 77;

#[test]
fn two_workers_make_what_one_makes_and_other_engines_read_it() {
    let desk = Desk::new("tables-workers");
    desk.demo();
    let build = |folder: &'static str, share: Option<&'static str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dejavm"));
        command.args(["sql", "demo.dj", "--build", "events,console", "-j", "1", "--cache", folder]);
        command.args(share.iter().flat_map(|share| ["--segment", share]));
        command.current_dir(&desk.folder).stdout(Stdio::null()).spawn().unwrap()
    };
    // Both at once, into one folder; a third that comes too late finds all there.
    let workers = [build("shared", Some("1/2")), build("shared", Some("2/2"))];
    for mut worker in workers.into_iter().chain([build("alone", None)]) {
        assert!(worker.wait().unwrap().success());
    }
    for segment in 0..segments(&desk) {
        let [shared, alone] =
            ["shared", "alone"].map(|f| fs::read(part(&desk, f, "events", segment)).unwrap());
        assert!(shared == alone, "segment {segment}");
    }
    assert!(fs::read(desk.folder.join("shared/console/console.parquet")).is_ok());
    let few = ["-cpu_instruction", "-cpu_block", "-memory_*", "-cpu_call", "-cpu_return"];
    let on: Vec<&str> = ["*"].iter().chain(&few).flat_map(|event| ["-e", event]).collect();
    let trace = [&["trace", "demo.dj", "--format", "json", "-o", "events.json"], on.as_slice()].concat();
    desk.expect(&trace, 0);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python/tables.py");
    readers(&script, &["events.json", "shared/events/*/*.parquet"], &desk.folder);
    let said = desk.refused(&["sql", "demo.dj", "--build", "calls", "--segment", "3/2"], 2);
    assert!(said.contains("K from 1 to N"), "{said}");
}

#[cfg(not(feature = "sql"))]
#[test]
fn without_the_engine_it_says_how_to_get_it() {
    let desk = Desk::new("tables-no-engine");
    desk.demo();
    let said = desk.refused(&["sql", "demo.dj", "select 1"], 1);
    assert!(said.contains("without SQL") && said.contains("--features sql"), "{said}");
    let schema = desk.expect(&["sql", "--schema"], 0);
    assert!(schema.contains("memory:") && schema.contains("  icount       BIGINT UNSIGNED\n"), "{schema}");
}
