//! What the guest, its kernel's file and strace say.

use super::guest::{Guest, address, text};
use dejavm_tests::cli::guest_file;
use dejavm_tests::ksymtab::exported;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

pub fn symbols_are_those_of_the_kernel(guest: &Guest) {
    let symbols = guest.json("symbols", &[]);
    let mut known: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    let mut lines = BTreeSet::new();
    for symbol in &symbols {
        known.entry(text(symbol, "name")).or_default().insert(address(symbol, "address"));
        lines.insert((address(symbol, "address"), text(symbol, "kind"), text(symbol, "name")));
    }
    let said = guest.said("kallsyms");
    assert_eq!(said.len(), 50, "{said:?}");
    for line in said {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let at = u64::from_str_radix(words[0], 16).unwrap_or_else(|_| panic!("{line}"));
        assert!(lines.contains(&(at, words[1], words[2])), "not among {} symbols: {line}", symbols.len());
    }
    // Thousands more, from the kernel's file, which knows nothing of where KASLR puts it.
    let slide = known["_text"].first().expect("an address").wrapping_sub(0xFFFF_FFFF_8100_0000);
    assert_ne!(slide, 0, "KASLR is on");
    let file = std::fs::read(guest_file("vmlinux-cloud")).expect("a kernel");
    let exported = exported(&file);
    assert!(exported.len() > 5000);
    for (name, at) in exported {
        // Those of per-CPU variables are offsets.
        let at = if at < 1 << 32 { at } else { at.wrapping_add(slide) };
        assert!(
            known[name.as_str()].contains(&at),
            "{name} is at {at:#x}, not at {:#x?}",
            known[name.as_str()]
        );
    }
    let found =
        guest.json("symbols", &["vfs_read", &format!("{:#x}", known["vfs_read"].first().unwrap() + 5)]);
    assert_eq!((text(&found[1], "name"), &found[1]["offset"]), ("vfs_read", &Value::from(5)));
}

pub fn processes_are_those_that_ps_shows(guest: &Guest) {
    let place = guest.place_of_ps().to_string();
    let processes = guest.json("ps", &["--at", &place]);
    let mut here: BTreeMap<i64, &Value> = BTreeMap::new();
    for process in &processes {
        here.insert(process["pid"].as_i64().expect("a pid"), process);
    }
    let said = guest.said("processes");
    assert_eq!(said.len() - 1, here.len(), "{said:#?}");
    for line in &said[1..] {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let process =
            here.get(&words[0].parse().expect("a pid")).unwrap_or_else(|| panic!("missing: {line}"));
        assert_eq!(process["ppid"].to_string(), words[1], "{line}");
        let comm = words.last().expect("a name");
        // Of a worker ps tells also what it works at.
        let same = text(process, "comm") == *comm
            || comm.strip_prefix(text(process, "comm")).is_some_and(|rest| rest.starts_with(['-', '+']));
        assert!(same, "{line}: {process}");
        if !process["kernel_thread"].as_bool().expect("a truth") {
            assert_eq!(text(process, "state"), &words[2][..1], "{line}");
        }
    }
    let ps = here.values().find(|process| text(process, "comm") == "ps").expect("ps itself");
    assert!(ps["vcpu"].is_u64(), "it runs: {ps}");
    assert_eq!(ps["command_line"], serde_json::json!(["/bin/ps", "-o", "pid,ppid,stat,comm"]));
    let table = guest.ask("ps", &["--at", &place, "--threads"]).success().console();
    assert!(table.contains(" /bin/ps -o pid,ppid,stat,comm\n") && table.contains(" [kthreadd]\n"), "{table}");
}

pub fn modules_are_those_of_proc_modules(guest: &Guest) {
    let modules = guest.json("modules", &[]);
    let here: BTreeSet<(String, u64)> =
        modules.iter().map(|module| (text(module, "name").to_owned(), address(module, "address"))).collect();
    let said = guest.said("modules");
    let line = |line: &&str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        (words[0].to_owned(), u64::from_str_radix(words[5].trim_start_matches("0x"), 16).expect("an address"))
    };
    let said: BTreeSet<(String, u64)> = said.iter().map(line).collect();
    assert!(said.iter().any(|(name, _)| name == "qemu_fw_cfg"), "{said:?}");
    assert_eq!(here, said);
}

fn frames(trace: &Value) -> Vec<&Value> {
    trace["frames"].as_array().expect("frames").iter().collect()
}

/// The kernel walks the stack of a task by its own means for /proc/PID/stack.
pub fn stacks_are_those_that_the_kernel_and_the_program_have(guest: &Guest) {
    let trace = deep(guest);
    let (kernel, user): (Vec<&Value>, Vec<&Value>) =
        frames(&trace).into_iter().partition(|frame| frame["kernel"] == true);
    let said = guest.said("stack");
    let said: Vec<&str> = said.iter().map(|line| line.trim_start_matches("[<0>] ")).collect();
    assert!(said.len() >= 3, "{said:?}");
    // A size follows the kernel's offsets.
    let said: Vec<&str> =
        said.iter().map(|name| name.rsplit_once('/').map_or(*name, |(name, _)| name)).collect();
    // The kernel leaves out what is in the section of its scheduler.
    let bounds = guest.json("symbols", &["__sched_text_start", "__sched_text_end"]);
    let sleeps = address(&bounds[0], "address")..address(&bounds[1], "address");
    let awake = kernel.iter().filter(|frame| !sleeps.contains(&address(frame, "address")));
    assert_eq!(awake.map(|frame| text(frame, "symbol")).collect::<Vec<_>>(), said, "{trace:#}");
    assert!(kernel.iter().skip(1).all(|frame| frame["found_by"] == "orc"), "{trace:#}");

    let names = user.iter().map(|frame| text(frame, "symbol").split('+').next().expect("a name"));
    assert_eq!(names.collect::<Vec<_>>(), ["inner", "middle", "outer", "_start"], "{trace:#}");
    assert_eq!(user[0]["interrupted"], 35, "by nanosleep");
    assert!(user[1..].iter().all(|frame| frame["found_by"] == "frame_pointer"), "{trace:#}");
    assert_eq!(trace["broken"], Value::Null, "the chain ends where the program begins");
}

/// The backtrace of the program that waits.
fn deep(guest: &Guest) -> Value {
    let calls = guest.calls_of("deep");
    let pid = calls.first().expect("it makes calls")["tid"].to_string();
    let file = guest.scratch.file("deep");
    let file = file.to_str().expect("a plain path");
    let place = guest.place_of_ps().to_string();
    guest.json("bt", &["--at", &place, "--pid", &pid, "--user-symbols", file]).remove(0)
}

pub fn calls_of_32_bit_programs_are_decoded(guest: &Guest) {
    let calls = guest.calls_of("deep");
    let getpid = calls.iter().find(|call| text(call, "abi") == "i386").expect("INT 80h");
    assert_eq!((text(getpid, "name"), &getpid["result"]), ("getpid", &getpid["pid"]));
    let wait = calls.last().expect("a call");
    assert_eq!((text(wait, "name"), &wait["result"]), ("nanosleep", &Value::Null), "it never returns");
    assert_eq!(wait["arguments"][0], "{tv_sec=100000, tv_nsec=0}");
}

pub fn calls_are_chosen(guest: &Guest) {
    let from = guest.place_of_ps();
    let stretch = [from.to_string(), (from + 2_000_000).to_string()];
    let calls =
        guest.syscalls(&["--from", &stretch[0], "--to", &stretch[1], "--comm", "p?", "-e", "getdents*"]);
    let within = |call: &&&Value| {
        call["name"] == "getdents64" && call["return_icount"].as_u64() < Some(from + 2_000_000)
    };
    let all = guest.calls_of("ps");
    let expected: Vec<&Value> = all.iter().filter(within).copied().collect();
    assert_eq!(calls.iter().filter(|call| call["result"] != Value::Null).collect::<Vec<_>>(), expected);
    assert!(!expected.is_empty());
}

pub fn before_there_is_a_kernel_that_is_said(guest: &Guest) {
    for verb in ["ps", "bt", "modules", "symbols"] {
        let failed = guest.ask(verb, &["--at", "1000"]);
        assert_eq!(failed.status, Some(1), "{verb}: {}", failed.stderr);
        assert!(failed.stderr.contains("no Linux kernel with symbols"), "{verb}: {}", failed.stderr);
    }
    let failed = guest.ask("syscalls", &["--to", "1000"]);
    assert!(failed.status == Some(1) && failed.stderr.contains("no Linux kernel"), "{}", failed.stderr);
    let failed = guest.ask("bt", &["--pid", "4000"]);
    assert!(failed.stderr.contains("there is no task with pid 4000"), "{}", failed.stderr);
    let failed = guest.ask("syscalls", &["-e", "nothing"]);
    assert!(failed.stderr.contains("there is no system call 'nothing'"), "{}", failed.stderr);
}

/// A call without what differs from run to run: addresses, pids, what lies in the folder.
fn normal(line: &str) -> String {
    let line = line.split(" (").next().expect("a part");
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("0x") {
        out.push_str(before);
        out.push_str("ADDRESS");
        rest = after.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    }
    (out + rest).split(" = ").map(str::trim).collect::<Vec<_>>().join(" = ")
}

/// `ls` of an empty folder on the host, under strace; None if that cannot be.
fn strace(guest: &Guest) -> Option<Vec<String>> {
    let (folder, ls) = (guest.scratch.file("root"), guest.scratch.file("ls"));
    std::fs::create_dir(&folder).expect("a folder");
    std::os::unix::fs::symlink(guest_file("busybox"), &ls).expect("a link");
    let log = guest.scratch.file("strace");
    let mut command = Command::new("strace");
    command.arg("-o").arg(&log).arg(&ls).arg(&folder).current_dir(&folder);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let required = std::env::var("DEJAVM_READERS").is_ok_and(|v| v == "required");
    if !status.is_ok_and(|status| status.success()) {
        assert!(!required, "strace is missing or of no use, and DEJAVM_READERS=required");
        eprintln!(
            "left out: system calls are not compared with those that strace (a package of Debian) shows"
        );
        return None;
    }
    let text = std::fs::read_to_string(log).expect("a log");
    let folder = folder.to_str().expect("a plain path");
    let here = |line: &str| normal(&line.replace(folder, "/root"));
    Some(text.lines().filter(|line| !line.starts_with("+++")).map(here).collect())
}

pub fn system_calls_are_those_that_strace_shows(guest: &Guest) {
    let execve = guest
        .calls
        .iter()
        .find(|call| text(call, "text").contains("[\"/bin/ls\", \"/root\"]"))
        .expect("ls is run");
    let ls: Vec<String> = guest
        .calls
        .iter()
        .filter(|call| call["pid"] == execve["pid"])
        .map(|call| normal(text(call, "text")))
        .collect();
    let start = ls.iter().position(|call| call.starts_with("execve")).expect("it");
    let Some(host) = strace(guest) else { return };
    // Who is what and where differs.
    let differs = |call: &&String| {
        [
            "execve",
            "set_tid_address",
            "readlink",
            "getrandom",
            "newfstatat",
            "getdents64",
            "prctl",
            "prlimit64",
            "getuid",
        ]
        .iter()
        .any(|name| call.starts_with(name))
    };
    let (here, there): (Vec<&String>, Vec<&String>) = (ls[start..].iter().collect(), host.iter().collect());
    let name = |call: &&String| call.split('(').next().expect("a name").to_owned();
    assert_eq!(here.iter().map(name).collect::<Vec<_>>(), there.iter().map(name).collect::<Vec<_>>());
    for (here, there) in here.iter().zip(&there).filter(|(here, _)| !differs(here)) {
        assert_eq!(here, there);
    }
    for wanted in [
        "newfstatat(AT_FDCWD, \"/root\", {st_mode=S_IFDIR|0",
        "openat(AT_FDCWD, \"/root\", O_RDONLY|O_NONBLOCK|O_CLOEXEC|O_DIRECTORY) = 3",
    ] {
        for calls in [&here, &there] {
            assert!(calls.iter().any(|call| call.starts_with(wanted)), "{wanted}: {calls:#?}");
        }
    }
}
