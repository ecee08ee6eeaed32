//! The commands that work on recordings, as a user starts them.

mod desk;

use dejavm_tools::demo::elf;
use desk::{Desk, number_after};
use iced_x86::IcedError;
use iced_x86::code_asm::*;

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
    let mut names = std::fs::read_dir(&desk.folder).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(!names.any(|name| name.to_string_lossy().ends_with(".new")), "a draft is left behind");
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
    assert!(!desk.folder.join("end.dj").exists());
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

#[test]
fn diff_finds_where_two_recordings_part() {
    let desk = with_run("diff");
    let end = desk.info("run.dj")["last_icount"].as_u64().unwrap();
    let branch = end / 2;
    let commands = format!("replay_seek {branch}\ngo_live other.dj\nnmi\n");
    desk.converse(&["replay", "run.dj", "--monitor", "stdio"], &commands);
    let at =
        desk.expect(&["events", "other.dj"], 0).split_whitespace().next().unwrap().parse::<u64>().unwrap();
    let text = desk.expect(&["diff", "run.dj", "other.dj"], 3);
    assert!(text.contains("the first 0 are the same") && text.contains("nmi"), "{text}");
    let differs = number_after(&text, "differs from icount ");
    assert!(differs == at + 1, "{at}: {text}");
    assert!(text.contains("vcpu0.rip: 0x"), "{text}");
    // With itself, and with a part of itself.
    assert!(desk.expect(&["diff", "run.dj", "run.dj"], 0).contains("equal from icount 0"));
    desk.expect(&["trim", "run.dj", "--from", "1000", "--to", "200000", "-o", "cut.dj"], 0);
    let text = desk.expect(&["diff", "run.dj", "cut.dj"], 3);
    assert!(text.contains("equal from icount 1000 to 200000"), "{text}");
}

#[test]
fn diff_of_runs_with_other_settings() {
    let desk = with_run("diff-settings");
    let record = |name: &str, memory: &str, seed: &str| {
        let arguments =
            ["record", "-o", name, "-kernel", "kernel", "-m", memory, "-seed", seed, "-rtc", "base=@0"];
        desk.run(&arguments);
    };
    record("seed.dj", "16M", "2");
    let text = desk.expect(&["diff", "run.dj", "seed.dj"], 3);
    assert!(text.contains("setting     seed: 1 | 2"), "{text}");
    assert!(text.contains("not compared") && text.contains("entropy"), "{text}");
    // The guest takes a random number into RCX.
    assert!(text.contains("rdrand") && text.contains("vcpu0.rcx: "), "{text}");
    record("small.dj", "8M", "1");
    let refused = desk.refused(&["diff", "run.dj", "small.dj"], 1);
    assert!(refused.contains("different sizes of RAM in bytes: 16777216 and 8388608"), "{refused}");
    let refused = desk.refused(&["diff", "run.dj", "seed.dj", "--ignore", "floppy"], 1);
    assert!(refused.contains("no such part") && refused.contains("uart_16550.0"), "{refused}");
    let mut kernel = desk.bytes("kernel");
    kernel.push(0);
    std::fs::write(desk.folder.join("kernel"), kernel).unwrap();
    record("image.dj", "16M", "1");
    assert!(desk.refused(&["diff", "run.dj", "image.dj"], 1).contains("different kernel images: kernel ("));
}

/// Puts a guest that does some work and then what `end` assembles where `-kernel NAME` finds it.
fn put_guest(desk: &Desk, name: &str, end: fn(&mut CodeAssembler) -> Result<(), IcedError>) {
    let mut asm = CodeAssembler::new(64).unwrap();
    let mut assemble = || {
        let mut again = asm.create_label();
        asm.mov(ecx, 100_000)?;
        asm.set_label(&mut again)?;
        asm.dec(ecx)?;
        asm.jnz(again)?;
        end(&mut asm)?;
        asm.cli()?;
        asm.hlt()
    };
    assemble().unwrap();
    let code = asm.assemble(0x20_0000).unwrap();
    std::fs::write(desk.folder.join(name), elf::executable(0x20_0000, &code, 0x1000)).unwrap();
}

#[test]
fn only_what_led_up_to_a_crash_is_kept() {
    let desk = Desk::new("crash");
    let record = |kernel: &str, more: &[&str], status: i32| {
        let all = ["record", "--force", "-o", "crash.dj", "-kernel", kernel, "-m", "16M", "--save-on-crash"];
        desk.refused(&[&all, more].concat(), status)
    };
    put_guest(&desk, "panics", |a| {
        a.mov(edx, 0x505)?;
        a.in_(al, dx)?;
        a.and(al, 1)?;
        a.out(dx, al)
    });
    put_guest(&desk, "faults", |a| {
        a.mov(qword_ptr(0x20_0800), 0)?;
        a.mov(qword_ptr(0x20_0808), 0)?;
        a.lidt(ptr(0x20_0800))?;
        a.ud2()
    });
    put_guest(&desk, "halts", |_| Ok(()));
    for ring in [&[][..], &["--ring", "1s"]] {
        let said = record("panics", ring, 6);
        assert!(said.contains("its kernel panicked (pvpanic); what led up to it is in crash.dj"), "{said}");
        assert!(desk.expect(&["verify", "crash.dj"], 0).contains("equal"));
        let said = record("faults", ring, 6);
        assert!(said.contains("triple fault"), "{said}");
        desk.expect(&["verify", "crash.dj"], 0);
        let said = record("halts", ring, 0);
        assert!(said.contains("the guest did not crash: crash.dj is not kept"), "{said}");
        assert!(!desk.folder.join("crash.dj").exists());
    }
    // Where no driver tells, the console does.
    desk.put_kernel();
    let statuses: Vec<_> = (0..8)
        .map(|seed| {
            let regex = "PANIC: .* failed";
            let seed = seed.to_string();
            let all = [
                "record",
                "--force",
                "-o",
                "crash.dj",
                "-kernel",
                "kernel",
                "-m",
                "16M",
                "-seed",
                &seed,
                "--save-on-crash",
                "--save-on-crash-regex",
                regex,
            ];
            let status = desk.run(&all).status.code().unwrap();
            assert_eq!(desk.folder.join("crash.dj").exists(), status == 6);
            status
        })
        .collect();
    assert!(statuses.contains(&6) && statuses.contains(&0), "{statuses:?}");
    assert!(record("kernel", &["--save-on-crash-regex", "("], 2).contains("unclosed group"));
}
