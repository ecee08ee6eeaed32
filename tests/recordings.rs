//! Work on recordings of a real guest: a Debian kernel that finds no init and panics.

use dejavm_tests::cli::{Finished, Scratch, on, record, run};
use std::path::Path;

/// What the guest is told: the panic comes at the end of the boot.
const APPEND: &str = "console=ttyS0 rdinit=/nowhere panic=-1";
/// The exit status of `record --save-on-crash` when the guest crashes.
const CRASHED: i32 = 6;

fn info(journal: &Path, key: &str) -> u64 {
    let out = run(on("info", journal).arg("--json")).success();
    let info: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
    info[key].as_u64().expect("a number")
}

fn number_after(text: &str, before: &str) -> u64 {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("{before:?} is not in {text}")).1;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}

fn place(journal: &Path, icount: u64) -> String {
    run(on("replay", journal).args(["--seek", &icount.to_string()])).success().console()
}

fn crashed(finished: &Finished) {
    assert_eq!(finished.status, Some(CRASHED), "{}\n{}", finished.stderr, finished.console());
    assert!(finished.console().contains("Kernel panic - not syncing"), "{}", finished.console());
}

/// One recording of the panic, looked at in every way.
#[test]
fn a_panic_is_kept_found_cut_out_and_continued() {
    let scratch = Scratch::new("panic");
    let journal = scratch.file("crash.dj");
    let mut command = record(&journal, "vmlinuz-cloud", 2, APPEND);
    crashed(&run(command.args(["--idle", "jump", "--save-on-crash"])));
    let end = info(&journal, "last_icount");
    // Found.
    let when = ["--when", "console ~ /Kernel panic - not syncing/"];
    let panic = number_after(&run(on("bisect", &journal).args(when)).success().console(), "first at icount ");
    assert!(panic < end, "{panic} {end}");
    // Cut out.
    let cut = scratch.file("cut.dj");
    let from = (panic - 20_000_000).to_string();
    let mut trim = on("trim", &journal);
    run(trim.args(["--from", &from, "-o"]).arg(&cut)).success();
    run(&mut on("verify", &cut)).success();
    assert_eq!(place(&cut, panic), place(&journal, panic));
    // Continued: without other input it does the same again, and then goes on to its reset.
    let branch = scratch.file("branch.dj");
    let mut live = on("replay", &cut);
    live.args(["--seek", &(panic + 1).to_string(), "--go-live", "--no-reboot", "-o"]).arg(&branch);
    run(&mut live).success();
    run(&mut on("verify", &branch)).success();
    let same = run(on("diff", &cut).arg(&branch));
    assert!(same.console().contains("state       equal from icount"), "{}", same.console());
}

/// The flight recorder keeps the panic, and not the boot before it.
#[test]
fn the_flight_recorder_keeps_what_led_up_to_a_panic() {
    let scratch = Scratch::new("flight");
    let journal = scratch.file("crash.dj");
    let mut command = record(&journal, "vmlinuz-cloud", 1, APPEND);
    crashed(&run(command.args(["--idle", "jump", "--ring", "100ms", "--save-on-crash"])));
    assert!(info(&journal, "first_icount") > 0, "it holds the whole boot");
    assert!(info(&journal, "length_ns") >= 100_000_000);
    run(&mut on("verify", &journal)).success();
    let when = ["--when", "console ~ /Kernel panic - not syncing/"];
    run(on("bisect", &journal).args(when)).success();
}
