//! A kernel developer's session: the real gdb on a recorded boot of Debian's kernel, with the symbols that the
//! kernel exports. A value is found wrong in a function; a watchpoint leads back to its writer.

use dejavm_tests::cli::{Scratch, guest_file, program, record, run};
use dejavm_tests::ksymtab;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long gdb may take for a script.
const PATIENCE: Duration = Duration::from_secs(300);
/// By then the kernel has come to the function in which the session begins.
const UNTIL: &str = "500000000";

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

#[test]
fn a_wrong_value_in_the_kernel_leads_back_to_its_writer() {
    if Command::new("gdb").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("SKIPPED: gdb is not installed (apt-get install gdb; .ci/run does)");
        return;
    }
    let scratch = Scratch::new("gdb");
    let (journal, symbols, socket) =
        (scratch.file("boot.dj"), scratch.file("symbols"), scratch.file("g.sock"));
    let vmlinux = std::fs::read(guest_file("vmlinux-cloud")).expect("a kernel");
    std::fs::write(&symbols, ksymtab::symbol_file(&ksymtab::exported(&vmlinux))).expect("a file");
    let append = "console=ttyS0 nokaslr dejavm.mode=poweroff";
    run(record(&journal, "vmlinuz-cloud", 1, append).args(["--until", UNTIL])).success();
    let _server = serve(&journal, &socket);
    let script = scratch.file("script.gdb");
    let commands = format!(
        "set pagination off\nset confirm off\nsymbol-file {}\ntarget remote {}\n\
         hbreak securityfs_create_dir\ncontinue\nbacktrace 2\nprint *(long*)&loops_per_jiffy\n\
         watch *(long*)&loops_per_jiffy\ndelete 1\nreverse-continue\nx/i $pc\nbacktrace 2\n\
         monitor info replay\nreverse-stepi\nstepi\nmonitor info replay\nstepi\n\
         print *(long*)&loops_per_jiffy\ndetach\n",
        symbols.display(),
        socket.display()
    );
    std::fs::write(&script, commands).expect("a file");
    let output = Command::new("timeout")
        .args([&PATIENCE.as_secs().to_string(), "gdb", "-nx", "-batch", "-x"])
        .arg(&script)
        .stdin(Stdio::null())
        .output()
        .expect("gdb");
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
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("{before:?} is not in\n{text}")).1;
    rest.split(after).next().unwrap_or(rest)
}
