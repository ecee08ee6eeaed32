//! A kernel developer's session: the real gdb on a recorded boot of Debian's kernel, with the symbols that the
//! kernel exports. A value is found wrong in a function; a watchpoint leads back to its writer. And a session at
//! source level, on a guest of our own.

use dejavm_tests::cli::{Scratch, guest_file, program, record, run};
use dejavm_tests::ksymtab;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long gdb may take for a script.
const PATIENCE: Duration = Duration::from_secs(300);

/// Ends the program with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(journal: &Path, socket: &Path) -> Server {
    let child = Command::new(program())
        .arg("replay")
        .arg(journal)
        .args(["--gdb", &format!("unix:{}", socket.display())])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("dejavm");
    let server = Server(child);
    let start = Instant::now();
    while !socket.exists() {
        assert!(start.elapsed() < PATIENCE, "no socket");
        std::thread::sleep(Duration::from_millis(20));
    }
    server
}

/// What gdb says to a script.
fn gdb(scratch: &Scratch, commands: &str) -> Output {
    let script = scratch.file("script.gdb");
    std::fs::write(&script, commands).expect("a file");
    Command::new("timeout")
        .args([&PATIENCE.as_secs().to_string(), "gdb", "-nx", "-batch", "-x"])
        .arg(&script)
        .stdin(Stdio::null())
        .output()
        .expect("gdb")
}

#[test]
fn a_wrong_value_in_the_kernel_leads_back_to_its_writer() {
    a_kernel_session(1, 500_000_000);
}

#[test]
fn a_wrong_value_in_a_kernel_with_4_vcpus_leads_back_to_its_writer() {
    a_kernel_session(4, 1_200_000_000);
}

/// `until`: by then the kernel has come to the function in which the session begins.
fn a_kernel_session(vcpus: u32, until: u64) {
    if Command::new("gdb").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("SKIPPED: gdb is not installed (apt-get install gdb; .ci/run does)");
        return;
    }
    let scratch = Scratch::new(&format!("gdb-{vcpus}"));
    let (journal, symbols, socket) =
        (scratch.file("boot.dj"), scratch.file("symbols"), scratch.file("g.sock"));
    let vmlinux = std::fs::read(guest_file("vmlinux-cloud")).expect("a kernel");
    std::fs::write(&symbols, ksymtab::symbol_file(&ksymtab::exported(&vmlinux))).expect("a file");
    let append = "console=ttyS0 nokaslr dejavm.mode=poweroff";
    run(record(&journal, "vmlinuz-cloud", vcpus, append).args(["--until", &until.to_string()])).success();
    let _server = serve(&journal, &socket);
    let commands = format!(
        "set pagination off\nset confirm off\nsymbol-file {}\ntarget remote {}\n\
         hbreak securityfs_create_dir\ncontinue\nbacktrace 2\nprint *(long*)&loops_per_jiffy\n\
         watch *(long*)&loops_per_jiffy\ndelete 1\nreverse-continue\nx/i $pc\nbacktrace 2\n\
         monitor info replay\nreverse-stepi\nstepi\nmonitor info replay\nstepi\n\
         print *(long*)&loops_per_jiffy\ninfo threads\ndetach\n",
        symbols.display(),
        socket.display()
    );
    let output = gdb(&scratch, &commands);
    // What the monitor says comes on the other stream.
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let value = between(&text, "$1 = ", "\n");
    assert!(text.contains("#0  0xffffffff") && text.contains("in securityfs_create_dir ()"), "{text}");
    assert_eq!(between(&text, "Old value = ", "\n"), value, "{text}");
    assert_eq!(between(&text, "New value = ", "\n"), "4096", "what Linux begins with\n{text}");
    assert!(text.contains("<loops_per_jiffy>"), "the instruction that wrote it\n{text}");
    let counts: Vec<_> =
        text.split("instruction count = ").skip(1).filter_map(|t| t.lines().next()).collect();
    assert_eq!(counts.len(), 2, "{text}");
    assert_eq!(counts[0], counts[1], "a step back and one forward\n{text}");
    assert_eq!(between(&text, "$2 = ", "\n"), value, "after the writer\n{text}");
    let threads = text.lines().filter(|line| line.contains("Thread ") && line.contains("CPU#"));
    assert_eq!(threads.count(), vcpus as usize, "{text}");
}

/// What gdb is told, and what it says to that, in order.
const SOURCE_LEVEL: [(&str, &[&str]); 22] = [
    ("break book if amount < 0", &["Breakpoint 1 at"]),
    ("continue", &["book (amount=-5)"]),
    ("backtrace", &["#1 ", "round_of (n=3)", "#2 ", "run ()"]),
    ("continue", &["book (amount=-5)"]),
    ("continue", &["book (amount=-5)"]),
    ("delete", &[]),
    ("reverse-finish", &["round_of (n=17)", "book(amount);"]),
    ("reverse-finish", &["run ()", "round_of(n);"]),
    ("print n", &["= 17"]),
    ("reverse-next", &["round_of(n);"]),
    ("reverse-next", &["n < 40"]),
    ("print n", &["= 16"]),
    ("tbreak round_of", &[]),
    ("continue", &["round_of (n=17)", "fee_of(n);"]),
    ("next", &["book(amount);"]),
    ("next", &["return balance;"]),
    // Over the call, not into it.
    ("reverse-next", &["book(amount);"]),
    ("watch balance if balance == 14", &[]),
    ("reverse-continue", &["Old value = 16", "New value = 14", "book (amount=2)", "balance += amount"]),
    ("monitor mark here", &[]),
    ("monitor seek 100", &[]),
    ("monitor seek here", &[]),
];

#[test]
fn a_session_at_source_level() {
    let there = |tool: &str| Command::new(tool).arg("--version").stdout(Stdio::null()).status().is_ok();
    if !there("gdb") || !there("gcc") {
        eprintln!("SKIPPED: gdb or gcc is not installed (apt-get install gdb gcc; .ci/run does)");
        return;
    }
    let scratch = Scratch::new("gdb-source");
    let (journal, guest, socket) = (scratch.file("run.dj"), scratch.file("ledger"), scratch.file("g.sock"));
    let built = Command::new("gcc")
        .args(["-g", "-O0", "-ffreestanding", "-fcf-protection=none", "-fno-stack-protector"])
        .args(["-fno-asynchronous-unwind-tables", "-nostdlib", "-static", "-no-pie"])
        .args(["-Wl,-Ttext=0x201000,--build-id=none", "-o"])
        .arg(&guest)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("gdb_guest/ledger.c"))
        .status();
    assert!(built.expect("gcc").success());
    let mut command = Command::new(program());
    command.args(["record", "-nographic", "-m", "16M", "-kernel"]).arg(&guest).arg("-o").arg(&journal);
    assert_eq!(run(&mut command).status, Some(33), "the guest's own exit status");
    let _server = serve(&journal, &socket);
    let mut commands = format!(
        "set pagination off\nset confirm off\nfile {}\ntarget remote {}\n",
        guest.display(),
        socket.display()
    );
    for (command, _) in SOURCE_LEVEL {
        commands += &format!("echo \\n>>> {command}\\n\n{command}\n");
    }
    commands += "maintenance flush register-cache\nbacktrace 1\ndetach\n";
    let output = gdb(&scratch, &commands);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut rest = text.as_str();
    for (command, answers) in SOURCE_LEVEL {
        for part in std::iter::once(&format!(">>> {command}\n").as_str()).chain(answers) {
            let found = rest.split_once(part);
            rest = found.unwrap_or_else(|| panic!("{part:?}, after {command:?}, is not in\n{text}")).1;
        }
    }
    assert!(rest.contains("#0  0x") && rest.contains("in book (amount=2)"), "back at the mark\n{text}");
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("{before:?} is not in\n{text}")).1;
    rest.split(after).next().unwrap_or(rest)
}
