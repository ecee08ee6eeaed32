//! The commands that work on recordings, as a user starts them.

mod desk;

use desk::{Desk, number_after};

/// A desk with a recording of the demo's guest, whose images are beside it.
fn with_run(name: &str) -> Desk {
    let desk = Desk::new(name);
    desk.put_kernel();
    let record =
        ["record", "-o", "run.dj", "-kernel", "kernel", "-m", "16M", "-seed", "1", "-rtc", "base=@0"];
    let status = desk.run(&record).status.code();
    assert!(matches!(status, Some(0 | 15)), "{status:?}");
    desk
}

#[test]
fn images_go_out_of_a_journal_and_in_again() {
    let desk = with_run("pack");
    let (packed, kernel) = (desk.bytes("run.dj"), desk.bytes("kernel"));
    std::fs::remove_file(desk.folder.join("kernel")).unwrap();
    let console = desk.expect(&["replay", "run.dj"], 0);
    desk.expect(&["unpack", "run.dj"], 0);
    assert_eq!(desk.bytes("kernel"), kernel);
    assert!(desk.bytes("run.dj").len() < packed.len());
    assert_eq!(desk.info("run.dj")["images"][0]["embedded"], false);
    // Found beside the journal, and not without it.
    assert_eq!(desk.expect(&["replay", "run.dj"], 0), console);
    std::fs::rename(desk.folder.join("kernel"), desk.folder.join("elsewhere")).unwrap();
    assert!(desk.refused(&["verify", "run.dj"], 1).contains("--kernel FILE"));
    assert!(desk.refused(&["pack", "run.dj"], 1).contains("does not hold the kernel image"));
    std::fs::write(desk.folder.join("other"), "no kernel").unwrap();
    assert!(desk.refused(&["pack", "run.dj", "--kernel", "other"], 1).contains("wrong kernel image"));
    desk.expect(&["pack", "run.dj", "--kernel", "elsewhere"], 0);
    assert_eq!(desk.bytes("run.dj"), packed);
    assert!(desk.expect(&["pack", "run.dj"], 0).contains("in it already"));
    let left = std::fs::read_dir(&desk.folder).unwrap().count();
    assert_eq!(left, 3, "no drafts are left behind");
}

#[test]
fn unpack_overwrites_nothing_unasked() {
    let desk = with_run("unpack");
    let packed = desk.bytes("run.dj");
    std::fs::write(desk.folder.join("kernel"), "precious").unwrap();
    assert!(desk.refused(&["unpack", "run.dj"], 1).contains("--force"));
    assert_eq!((desk.bytes("run.dj"), desk.bytes("kernel")), (packed.clone(), b"precious".to_vec()));
    desk.expect(&["unpack", "run.dj", "--keep", "-d", "images"], 0);
    desk.expect(&["unpack", "run.dj", "-o", "small.dj", "-d", "images"], 0);
    assert_eq!(desk.bytes("run.dj"), packed);
    desk.expect(&["verify", "small.dj", "--kernel", "images/kernel"], 0);
}

#[test]
fn a_journal_that_is_being_recorded_is_left_alone() {
    use rustix::fs::{FlockOperation, flock};
    let desk = with_run("busy");
    let recorder = std::fs::File::open(desk.folder.join("run.dj")).unwrap();
    flock(&recorder, FlockOperation::LockExclusive).unwrap();
    assert!(desk.refused(&["unpack", "run.dj"], 1).contains("is being written by another dejavm"));
    let again = ["record", "--force", "-o", "run.dj", "-kernel", "kernel", "-m", "16M"];
    assert!(desk.refused(&again, 1).contains("is being written by another dejavm"));
    assert!(!desk.bytes("run.dj").is_empty());
}

/// Registers and code at a place.
fn place(desk: &Desk, journal: &str, icount: u64) -> String {
    desk.expect(&["replay", journal, "--seek", &icount.to_string()], 0)
}

#[test]
fn a_trimmed_journal_is_complete_in_itself() {
    let desk = with_run("trim");
    let end = desk.info("run.dj")["last_icount"].as_u64().unwrap();
    let (from, to) = (end / 3, end / 3 * 2);
    let (a, b) = (from.to_string(), to.to_string());
    desk.expect(&["trim", "run.dj", "--from", &a, "--to", &b, "-o", "cut.dj"], 0);
    std::fs::rename(desk.folder.join("kernel"), desk.folder.join("elsewhere")).unwrap();
    assert!(desk.expect(&["verify", "cut.dj"], 0).contains("equal"));
    let info = desk.info("cut.dj");
    assert_eq!((&info["first_icount"], &info["last_icount"]), (&from.into(), &to.into()), "{info}");
    assert_eq!((&info["clean"], &info["length_icount"]), (&true.into(), &(to - from).into()), "{info}");
    // Icounts keep their numbers.
    for icount in [from, from + 1, (from + to) / 2, to - 1, to] {
        assert_eq!(place(&desk, "cut.dj", icount), place(&desk, "run.dj", icount), "at {icount}");
    }
    let before = (from - 1).to_string();
    assert!(desk.refused(&["replay", "cut.dj", "--seek", &before], 1).contains("before the beginning"));
    // The console of the parts is the console of the whole.
    desk.expect(&["trim", "run.dj", "--to", &a, "-o", "first.dj"], 0);
    desk.expect(&["trim", "run.dj", "--from", &b, "-o", "last.dj"], 0);
    let console = |journal: &str| desk.expect(&["replay", journal], 0);
    assert_eq!(["first.dj", "cut.dj", "last.dj"].map(console).concat(), console("run.dj"));
    assert_eq!(desk.info("last.dj")["ending"], desk.info("run.dj")["ending"]);
    // A part of a part; images out of it and in again.
    let middle = ((from + to) / 2).to_string();
    desk.expect(&["trim", "cut.dj", "--from", &middle, "-o", "small.dj"], 0);
    desk.expect(&["trim", "run.dj", "--from", &middle, "--to", &b, "-o", "same.dj"], 0);
    assert_eq!(desk.bytes("small.dj"), desk.bytes("same.dj"));
    desk.expect(&["unpack", "small.dj"], 0);
    desk.expect(&["pack", "small.dj"], 0);
    assert_eq!(desk.bytes("small.dj"), desk.bytes("same.dj"));
}

#[test]
fn a_stretch_that_is_not_there_is_refused() {
    let desk = with_run("trim-refused");
    let end = desk.info("run.dj")["last_icount"].as_u64().unwrap();
    let beyond = (end + 1).to_string();
    for (arguments, message) in [
        (["--from", "5", "--to", "5"], "nothing lies between"),
        (["--from", "9", "--to", "5"], "nothing lies between"),
        (["--from", "5", "--to", &beyond], "beyond the end"),
    ] {
        let all = [&["trim", "run.dj", "-o", "cut.dj"], &arguments[..]].concat();
        assert!(desk.refused(&all, 1).contains(message), "{arguments:?}");
        assert!(!desk.folder.join("cut.dj").exists());
    }
}

#[test]
fn a_trimmed_journal_that_is_cut_off_never_passes_for_one_from_power_on() {
    let desk = with_run("trim-torn");
    desk.expect(&["trim", "run.dj", "--from", "100000", "-o", "cut.dj"], 0);
    let whole = desk.bytes("cut.dj");
    for length in (16..whole.len()).step_by(whole.len() / 40) {
        std::fs::write(desk.folder.join("torn.dj"), &whole[..length]).unwrap();
        let output = desk.run(&["verify", "torn.dj"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(1) => assert!(text.contains("cut short before the run begins"), "{text}"),
            // Whole but for its index, or known up to somewhere.
            Some(0 | 4) => assert_eq!(desk.info("torn.dj")["first_icount"], 100_000),
            other => panic!("cut at {length}: {other:?} {text}"),
        }
    }
}

#[test]
fn a_replay_goes_on_live_as_a_new_recording() {
    let desk = with_run("go-live");
    let end = desk.info("run.dj")["last_icount"].as_u64().unwrap();
    let seek = (end / 2).to_string();
    // Without other input the guest does the same again.
    let status = if desk.expect(&["replay", "run.dj"], 0).contains("PANIC") { 15 } else { 0 };
    let live = desk.expect(&["replay", "run.dj", "--seek", &seek, "--go-live", "-o", "branch.dj"], status);
    assert!(desk.expect(&["verify", "branch.dj"], 0).contains("equal"));
    assert!(live.contains(&format!("live from icount {seek} on, recording into branch.dj")), "{live}");
    assert!(live.ends_with(&desk.expect(&["replay", "branch.dj"], 0)), "{live}");
    assert_eq!(desk.info("branch.dj")["ending"], desk.info("run.dj")["ending"]);
    assert_eq!(desk.info("branch.dj")["last_icount"], end);
    assert_eq!(place(&desk, "branch.dj", end), place(&desk, "run.dj", end));
    // With other input it does not, and a branch can be left again.
    let commands = format!("replay_seek {seek}\ngo_live other.dj\nnmi\n");
    let text = desk.converse(&["replay", "branch.dj", "--monitor", "stdio"], &commands);
    assert!(text.contains("recording into other.dj"), "{text}");
    assert_eq!(desk.info("other.dj")["events"]["nmi"]["count"], 1);
    assert!(desk.expect(&["verify", "other.dj"], 0).contains("equal"));
    assert!(
        desk.refused(&["replay", "run.dj", "--go-live", "-o", "end.dj"], 1).contains("the machine is off")
    );
    assert!(desk.refused(&["replay", "run.dj", "--go-live"], 2).contains("--output"));
}

/// Runs a search; gives the icount that it finds.
fn bisect(desk: &Desk, arguments: &[&str]) -> u64 {
    let found = desk.expect(&[&["bisect", "run.dj"], arguments].concat(), 0);
    number_after(&found, "first at icount ")
}

#[test]
fn bisect_finds_the_first_instruction_after_which_something_holds() {
    let desk = with_run("bisect");
    // What the teller has paid in, in the demo's guest: it only grows.
    let teller = format!("[{:#x}]:8 >= 7", dejavm_tools::demo::guest::TELLER);
    let found = bisect(&desk, &["--when", &teller, "--monotonic"]);
    assert_eq!(bisect(&desk, &["--when", &teller, "--from", "1000"]), found);
    let text = desk.expect(&["bisect", "run.dj", "--monotonic", "--when", &teller], 0);
    assert!(text.contains("after") && text.contains("incq     0x208008"), "{text}");
    // It does not stay: a scan finds the very first time.
    let entered = bisect(&desk, &["--when", "rip == 0x200000"]);
    assert_eq!(entered, 0);
    let total = format!("[{:#x}]:8 == 3 && rip@0 != 0 && icount > 1000", dejavm_tools::demo::guest::TOTAL);
    let third = bisect(&desk, &["--when", &total]);
    assert!(place(&desk, "run.dj", third).contains(&format!("icount {third},")));
    assert!(bisect(&desk, &["--when", &total, "--from", &(third + 1).to_string()]) == third + 1);
}

#[test]
fn bisect_reads_the_console() {
    let desk = with_run("bisect-console");
    let found = bisect(&desk, &["--when", "console ~ /^ledger: open for b/"]);
    let shown = desk.expect(&["replay", "run.dj", "--until", &found.to_string()], 0);
    let before = desk.expect(&["replay", "run.dj", "--until", &(found - 1).to_string()], 0);
    assert!(
        shown.starts_with("ledger: open for b\n") || shown.starts_with("ledger: open for b\r"),
        "{shown}"
    );
    assert!(
        before.starts_with("ledger: open for \n") || before.starts_with("ledger: open for \r"),
        "{before}"
    );
    // Only from there on is the rest looked for.
    let later = bisect(&desk, &["--when", "console ~ /open for business/ && rax >= 0"]);
    assert!(later > found);
    desk.expect(&["bisect", "run.dj", "--when", "console ~ /no such line/"], 5);
    desk.expect(&["bisect", "run.dj", "--when", "[0x208008]:8 > 1000000", "--monotonic"], 5);
}

#[test]
fn a_wrong_expression_is_pointed_at() {
    let desk = with_run("bisect-wrong");
    let said = desk.refused(&["bisect", "run.dj", "--when", "[0x1000]:8 == foo"], 1);
    assert!(said.contains("'foo' is no register") && said.contains("\n                ^"), "{said}");
    let beyond = desk.refused(&["bisect", "run.dj", "--when", "1", "--to", "999999999999"], 1);
    assert!(beyond.contains("beyond the end"), "{beyond}");
}
