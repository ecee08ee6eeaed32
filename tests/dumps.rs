//! Dumps of guest memory, opened with the tools that people open them with: crash, gdb and
//! makedumpfile of Debian, drgn of PyPI.
//!
//! A tool that is not there is left out, and the test says so; `DEJAVM_READERS=required` makes that a failure.

use dejavm_tests::cli::{Scratch, converse, guest_file, on, program, record, run};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Early in the boot: all that is about dejavm alone.
const EARLY_ICOUNT: u64 = 60_000_000;

/// Whether a tool can be used; if not, where it comes from is said.
fn there(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").stdin(Stdio::null()).output().is_ok();
    if !found {
        left_out(&format!("{tool} (a package of Debian)"));
    }
    found
}

/// Says that a tool is missing.
fn left_out(tool: &str) {
    let required = std::env::var("DEJAVM_READERS").is_ok_and(|v| v == "required");
    assert!(!required, "{tool} is missing, and DEJAVM_READERS=required");
    eprintln!("left out: dumps are not opened with {tool}, which is missing here");
}

fn output(tool: &str, arguments: &[&str]) -> Output {
    // crash and makedumpfile can hang on files that they do not understand.
    let mut command = Command::new("timeout");
    command.args(["-k", "1", "120", tool]).args(arguments).stdin(Stdio::null());
    command.output().expect("timeout of coreutils")
}

/// What a tool prints, on both outputs.
fn text(tool: &str, arguments: &[&str]) -> String {
    let output = output(tool, arguments);
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The first word behind `key` in a text.
fn after<'a>(text: &'a str, key: &str) -> &'a str {
    let (_, rest) = text.split_once(key).unwrap_or_else(|| panic!("no {key:?} in\n{text}"));
    rest.split_whitespace().next().unwrap_or_default()
}

fn dump(journal: &Path, output: &Path, options: &[&str]) {
    let mut command = on("dump", journal);
    run(command.args(["--at", &EARLY_ICOUNT.to_string(), "-o"]).arg(output).args(options)).success();
}

fn record_early(journal: &Path) {
    let mut command = record(journal, "vmlinuz-cloud", 2, "console=ttyS0");
    run(command.args(["--until", &(EARLY_ICOUNT + 1_000_000).to_string()])).success();
}

#[test]
fn a_position_has_one_dump() {
    let scratch = Scratch::new("dump-position");
    let [journal, direct, monitor, detached] =
        ["run.dj", "direct", "monitor", "detached"].map(|name| scratch.file(name));
    record_early(&journal);
    // From the beginning, which leaves checkpoints beside the journal; and then from the last of these.
    let checkpoints = scratch.file("run.djc");
    std::fs::remove_file(&checkpoints).expect("those of the recording");
    dump(&journal, &direct, &[]);
    assert!(checkpoints.exists());
    let again = scratch.file("again");
    dump(&journal, &again, &[]);
    assert!(std::fs::read(&again).expect("a dump") == std::fs::read(&direct).expect("a dump"));
    let mut replay = on("replay", &journal);
    replay.args(["--seek", &EARLY_ICOUNT.to_string(), "--monitor", "stdio"]);
    let commands = [
        format!("dump-guest-memory {}\n", monitor.display()),
        format!("dump-guest-memory -d {}\n", detached.display()),
        "dump-guest-memory -d /dev/null\n".to_owned(),
        "quit\n".to_owned(),
    ];
    let script: Vec<_> = commands.iter().map(|line| ("(dejavm) ", &**line)).collect();
    converse(&mut replay, &script).success();
    let bytes = std::fs::read(&direct).expect("a dump");
    assert!(bytes == std::fs::read(&monitor).expect("a dump"), "the monitor dumps something else");
    // The program has waited for it.
    assert!(bytes == std::fs::read(&detached).expect("a dump"), "-d dumps something else");

    let part = scratch.file("part");
    dump(&journal, &part, &["--begin", "1M", "--length", "0x10000"]);
    let ram = bytes.len() - (256 << 20);
    let part = std::fs::read(&part).expect("a dump");
    assert!(part.ends_with(&bytes[ram + (1 << 20)..][..0x10000]), "a range is something else");
}

#[test]
fn what_fails_leaves_nothing() {
    let scratch = Scratch::new("dump-failure");
    let (journal, core) = (scratch.file("run.dj"), scratch.file("core"));
    record_early(&journal);
    std::fs::write(&core, "old").expect("a file");
    // No file may become larger than 1 MiB, and the signal that tells so is ignored.
    let limited = "trap '' XFSZ; ulimit -f 2048; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", limited, "sh"]).arg(program()).arg("dump").arg(&journal);
    let failed = run(command.args(["--at", "1000", "-o"]).arg(&core));
    assert_eq!(failed.status, Some(1), "{}", failed.stderr);
    assert!(failed.stderr.contains("failed to save memory: File too large"), "{}", failed.stderr);
    assert_eq!(std::fs::read(&core).expect("the old file"), b"old");
    let names = std::fs::read_dir(scratch.file("")).expect("the folder");
    let names = names.map(|e| e.expect("an entry").file_name().into_string().expect("a plain name"));
    // The journal, and the checkpoints beside it, are not the dump's.
    let left: Vec<_> = names.filter(|name| !name.starts_with("run.dj")).collect();
    assert_eq!(left, ["core"]);

    let refused = |options: &[&str], message: &str| {
        let failed = run(on("dump", &journal).arg("-o").arg(&core).args(options));
        assert_eq!(failed.status, Some(1), "{options:?}: {}", failed.stderr);
        assert!(failed.stderr.contains(message), "{options:?}: {}", failed.stderr);
    };
    refused(&["--paging", "--format", "kdump-zlib"], "doesn't support paging or filter");
    refused(&["--begin", "1G", "--length", "1M"], "no guest memory to dump");
    refused(&["--at", "1000000000000"], "beyond the end of the journal");
    refused(&["--at", "1000", "--format", "win-dmp"], "the guest has no driver for vmcoreinfo");
    let nowhere = run(on("dump", &journal).args(["--at", "1000", "-o", "/nonexistent/core"]));
    assert!(nowhere.stderr.contains("Could not create '/nonexistent/core'"), "{}", nowhere.stderr);
}

/// A disk that is full: a small tmpfs, mounted where nobody else sees it.
#[test]
fn a_full_disk_leaves_nothing() {
    let mounts = "mount -t tmpfs -o size=1m none \"$0\" && exec \"$@\"";
    let scratch = Scratch::new("dump-full");
    let disk = scratch.file("disk");
    std::fs::create_dir(&disk).expect("a folder");
    let on_disk = |command: &[&str]| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "sh", "-c", mounts]).arg(&disk).args(command);
        unshare
    };
    if !on_disk(&["true"]).output().is_ok_and(|output| output.status.success()) {
        eprintln!("left out: no tmpfs can be mounted here (that takes root, and unshare of util-linux)");
        return;
    }
    let journal = scratch.file("run.dj");
    record_early(&journal);
    let core = disk.join("core");
    let (journal, core) = (journal.to_str().expect("a path"), core.to_str().expect("a path"));
    let script = "for detach in '' '-d '; do for f in '' '-z ' '-z -R '; do \
                  echo dump-guest-memory $detach$f$1; done; done; echo 'info dump'; echo quit";
    let session = format!(
        "( {script} ) | \"$2\" replay \"$3\" --seek 1000 --monitor stdio; ls -A \"$4\" | sed 's/^/left: /'"
    );
    let program = program();
    let arguments = ["sh", "-c", &session, "sh", core, program.to_str().expect("a path"), journal];
    let output = on_disk(&[&arguments[..], &[disk.to_str().expect("a path")]].concat()).output().expect("sh");
    let said = String::from_utf8_lossy(&output.stdout);
    // Three at once, and at least the first of those that go on beside the monitor.
    let failures = said.matches("No space left on device").count();
    assert!(failures >= 3, "{said}");
    assert!(!said.contains("left: "), "{said}");
}

/// An archive as the kernel unpacks it behind the first one, with one file in /lib.
fn cpio(name: &str, content: &[u8]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, content) in [(name, content), ("TRAILER!!!", &[][..])] {
        archive.extend_from_slice(b"070701");
        let fields = [0, 0o10_0644, 0, 0, 1, 0, content.len(), 0, 0, 0, 0, name.len() + 1, 0];
        fields.iter().for_each(|field| archive.extend_from_slice(format!("{field:08X}").as_bytes()));
        for bytes in [&[name.as_bytes(), b"\0"].concat(), content] {
            archive.extend_from_slice(bytes);
            archive.resize(archive.len().next_multiple_of(4), 0);
        }
    }
    archive
}

/// The dumps of one moment of a recording.
struct Dumps {
    scratch: Scratch,
    /// What the monitor says of the registers then.
    registers: String,
}

impl Dumps {
    fn path(&self, name: &str) -> String {
        let path: PathBuf = self.scratch.file(name);
        path.to_str().expect("a plain path").to_owned()
    }
}

const FILES: [(&str, &str); 7] = [
    ("elf", ""),
    ("elf-paging", "-p "),
    ("zlib", "-z -R "),
    ("lzo", "-l -R "),
    ("snappy", "-s -R "),
    ("flattened", "-l "),
    ("detached", "-d "),
];

/// Records Linux up to its shell, where the driver of the vmcoreinfo device is loaded; dumps it there, before and after.
fn dumps_of_a_shell() -> Dumps {
    let scratch = Scratch::new("dump-readers");
    let (journal, initrd) = (scratch.file("run.dj"), scratch.file("initrd"));
    let read = |name| std::fs::read(guest_file(name)).expect("a guest's file");
    let mut archives = read("initrd.gz");
    archives.resize(archives.len().next_multiple_of(4), 0);
    archives.extend_from_slice(&cpio("bin/qemu_fw_cfg.ko", &read("qemu_fw_cfg-cloud.ko")));
    std::fs::write(&initrd, archives).expect("an initrd");
    let undriven = scratch.file("undriven");
    let mut script = vec![
        // First without the driver: VMCOREINFO is found in memory.
        ("/root # ".to_owned(), "\x01c".to_owned()),
        ("(dejavm) ".to_owned(), "stop\n".to_owned()),
        ("(dejavm) ".to_owned(), format!("dump-guest-memory {}\n", undriven.display())),
        ("(dejavm) ".to_owned(), "cont\n".to_owned()),
        ("(dejavm) ".to_owned(), "\x01c".to_owned()),
        ("\r\n".to_owned(), "insmod /bin/qemu_fw_cfg.ko; echo vmcoreinfo=$(cat /sys/firmware/qemu_fw_cfg/by_name/etc/vmcoreinfo/size)\n".to_owned()),
        ("vmcoreinfo=16".to_owned(), "\x01c".to_owned()),
        ("(dejavm) ".to_owned(), "stop\n".to_owned()),
    ];
    for (name, options) in FILES {
        let path = scratch.file(name);
        script.push(("(dejavm) ".to_owned(), format!("dump-guest-memory {options}{}\n", path.display())));
    }
    script.push(("(dejavm) ".to_owned(), "info registers -a\n".to_owned()));
    script.push(("CPU#1".to_owned(), String::new()));
    // Then it crashes, which is for another test.
    script.push(("(dejavm) ".to_owned(), "cont\n".to_owned()));
    script.push(("(dejavm) ".to_owned(), "\x01c".to_owned()));
    script.push(("\r\n".to_owned(), "echo c > /proc/sysrq-trigger\n".to_owned()));
    script.push(("end Kernel panic".to_owned(), "\x01c".to_owned()));
    script.push(("(dejavm) ".to_owned(), "savevm panic\n".to_owned()));
    script.push(("(dejavm) ".to_owned(), "quit\n".to_owned()));
    let script: Vec<_> = script.iter().map(|(wait, typed)| (&**wait, &**typed)).collect();
    let mut command = Command::new(program());
    command.args(["record", "-m", "256M", "--smp", "2", "--append", "console=ttyS0 quiet", "--idle", "jump"]);
    command.arg("-o").arg(&journal).arg("--initrd").arg(&initrd);
    command.arg("--kernel").arg(guest_file("vmlinuz-cloud"));
    let run = converse(&mut command, &script).success();
    Dumps { scratch, registers: run.console() }
}

/// All in one test, since the guest takes its time to boot.
#[test]
fn readers_open_dumps() {
    let dumps = dumps_of_a_shell();
    assert!(
        std::fs::read(dumps.path("elf")).expect("it") == std::fs::read(dumps.path("detached")).expect("it")
    );
    if there("makedumpfile") {
        makedumpfile(&dumps);
    }
    if there("crash") {
        for (name, _) in FILES {
            let release = text("crash", &["--osrelease", &dumps.path(name)]);
            assert!(release.starts_with("6.") && release.contains("-cloud-amd64"), "{name}: {release}");
        }
    }
    if there("gdb") {
        gdb(&dumps);
    }
    let python = std::env::var("DEJAVM_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let drgn = Command::new(&python).args(["-c", "import drgn"]).output();
    if drgn.is_ok_and(|output| output.status.success()) {
        drgn_reads_all_pages(&dumps, &python);
    } else {
        left_out("drgn (of PyPI; DEJAVM_PYTHON is a Python that has it)");
    }
    a_session_about_the_crash(&dumps);
}

/// The recording of the crash is gone through in the monitor: to the panic, a step back, and a dump from there.
/// `tests/panic_session.sh` does the same with the kernel's symbols, and has crash show the call chain.
fn a_session_about_the_crash(dumps: &Dumps) {
    let (journal, core) = (dumps.path("run.dj"), dumps.path("panic-core"));
    let mut replay = on("replay", Path::new(&journal));
    replay.args(["-S", "--monitor", "stdio", "--serial", "null"]);
    let dump = format!("dump-guest-memory {core}\n");
    let lines = [
        "loadvm panic\n",
        "symbols\n",
        "x/10i $rip\n",
        "x/2i panic\n",
        "bt\n",
        "cpu 1\n",
        "bt\n",
        "cpu 0\n",
        "reverse_step\n",
        "info registers -a\n",
        &dump,
        "quit\n",
    ];
    let script: Vec<_> = lines.iter().map(|line| ("(dejavm) ", *line)).collect();
    let said = converse(&mut replay, &script).success().console();
    let code = said.lines().filter(|line| line.starts_with("0xffffffff") && line.contains(":  "));
    assert!(code.count() >= 10, "{said}");
    // The panicked kernel's own symbols name its functions.
    assert!(said.contains(" symbols\n") && !said.contains("unknown symbol"), "{said}");
    let chain = ["panic+0x", "sysrq_handle_crash+0x", "write_sysrq_trigger+0x", "vfs_write+0x"];
    assert!(chain.iter().all(|name| said.contains(name)), "{said}");
    let (_, registers) = said.split_once("CPU#0").expect("the first vCPU");
    let rip = u64::from_str_radix(after(registers, "RIP="), 16).expect("a number");
    if there("gdb") {
        let said = text("gdb", &["-nx", "-batch", "-ex", &format!("core-file {core}"), "-ex", "p/x $rip"]);
        assert!(said.contains(&format!("$1 = {rip:#x}\n")), "{rip:#x}: {said}");
    }
    if there("makedumpfile") {
        let log = dumps.path("panic-log");
        text("makedumpfile", &["--dump-dmesg", &core, &log]);
        let log = std::fs::read_to_string(&log).expect("the kernel's log");
        assert!(log.contains("Kernel panic - not syncing: sysrq triggered crash"), "{log}");
    }
}

/// It finds what it needs by VMCOREINFO, and the log of the kernel by that.
fn makedumpfile(dumps: &Dumps) {
    for name in ["undriven", "elf", "elf-paging", "zlib", "lzo"] {
        let log = dumps.path("log");
        let said = text("makedumpfile", &["--dump-dmesg", &dumps.path(name), &log]);
        let log = std::fs::read_to_string(&log).unwrap_or_else(|e| panic!("{name}: {e}: {said}"));
        assert!(
            log.contains("Linux version 6.") && log.contains("Run /init as init process"),
            "{name}: {log}"
        );
        std::fs::remove_file(dumps.path("log")).expect("the log");
    }
    let flattened = std::fs::File::open(dumps.path("flattened")).expect("it");
    let raw = dumps.path("unflattened");
    let status = Command::new("makedumpfile").args(["-R", &raw]).stdin(flattened).output().expect("it runs");
    assert!(status.status.success(), "{status:?}");
    assert!(std::fs::read(raw).expect("it") == std::fs::read(dumps.path("lzo")).expect("it"));
    // It can write its own files from ours.
    for name in ["elf", "zlib"] {
        let small = dumps.path("small");
        let made = output("makedumpfile", &["-c", "-d", "31", &dumps.path(name), &small]);
        assert!(made.status.success(), "{name}: {made:?}");
        std::fs::remove_file(small).expect("it");
    }
}

/// Both vCPUs stand where the monitor says; virtual memory is there with -p.
fn gdb(dumps: &Dumps) {
    let (_, first) = dumps.registers.split_once("CPU#0").expect("the first vCPU");
    let (first, second) = first.split_once("CPU#1").expect("the second vCPU");
    let registers =
        ["-ex", "info registers rip rsp rbx", "-ex", "thread 2", "-ex", "info registers rip rsp rbx"];
    for name in ["elf", "elf-paging"] {
        let core = format!("core-file {}", dumps.path(name));
        let said = text("gdb", &[&["-nx", "-batch", "-ex", &core][..], &registers].concat());
        let values: Vec<_> = said
            .lines()
            .filter_map(|line| line.split_whitespace().collect::<Vec<_>>()[..].get(..2).map(<[_]>::to_vec))
            .filter(|words| ["rip", "rsp", "rbx"].contains(&words[0]))
            .map(|words| u64::from_str_radix(words[1].trim_start_matches("0x"), 16).expect("a number"))
            .collect();
        let expected: Vec<_> = [first, second]
            .iter()
            .flat_map(|cpu| ["RIP=", "RSP=", "RBX="].map(|key| after(cpu, key)))
            .map(|hex| u64::from_str_radix(hex, 16).expect("a number"))
            .collect();
        assert_eq!(values, expected, "{name}: {said}");
    }
    let bytes = std::fs::read(dumps.path("elf-paging")).expect("it");
    let info = String::from_utf8_lossy(&bytes[..16 << 20]);
    let symbol = u64::from_str_radix(after(&info, "SYMBOL(init_uts_ns)="), 16).expect("an address");
    let offset: u64 = after(&info, "OFFSET(uts_namespace.name)=").parse().expect("a number");
    let core = format!("core-file {}", dumps.path("elf-paging"));
    let said = text("gdb", &["-nx", "-batch", "-ex", &core, "-ex", &format!("x/s {}", symbol + offset)]);
    assert!(said.contains("\"Linux\""), "{said}");
}

/// It reads every page of each format, and gets the same.
fn drgn_reads_all_pages(dumps: &Dumps, python: &str) {
    let script = "import drgn, hashlib, sys\n\
                  program = drgn.Program()\n\
                  program.set_core_dump(sys.argv[1])\n\
                  pages = hashlib.sha256()\n\
                  for mib in range(256):\n\
                  \x20   pages.update(program.read(mib << 20, 1 << 20, physical=True))\n\
                  print(program['UTS_RELEASE'].string_().decode(), pages.hexdigest())\n";
    let read = |name: &str| text(python, &["-c", script, &dumps.path(name)]);
    let elf = read("elf");
    assert!(elf.starts_with("6.") && elf.contains("-cloud-amd64"), "{elf}");
    for name in ["elf-paging", "zlib", "lzo", "snappy"] {
        assert_eq!(read(name), elf, "{name}");
    }
}
