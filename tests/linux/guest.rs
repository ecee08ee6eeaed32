//! The recording.

use super::program::build;
use dejavm_tests::cli::{Finished, Scratch, converse, guest_file, on, program, run};
use dejavm_tests::cpio::archive;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// What is typed, each when the shell asks for it. The quotes keep what is looked for out of the
/// echo.
const SCRIPT: [(&str, &str); 8] = [
    ("# ", "echo 0 >/proc/sys/kernel/kptr_restrict; /bin/deep & sleep 1\n"),
    ("# ", "cd /root; /bin/ls /root </dev/null >/dev/null 2>&1; insmod /bin/qemu_fw_cfg.ko\n"),
    ("# ", "echo sta''ck; cat /proc/$!/stack\n"),
    ("# ", "echo kall''syms; head -n 1000 /proc/kallsyms | tail -n 50\n"),
    ("# ", "echo mod''ules; cat /proc/modules\n"),
    ("# ", "echo pro''cesses; /bin/ps -o pid,ppid,stat,comm\n"),
    ("# ", "echo end''\n"),
    ("# ", "exit\n"),
];

/// A recorded guest.
pub struct Guest {
    pub journal: PathBuf,
    pub console: String,
    /// All its system calls.
    pub calls: Vec<Value>,
    pub scratch: Scratch,
}

impl Guest {
    pub fn record() -> Self {
        let scratch = Scratch::new("linux");
        let (journal, initrd) = (scratch.file("run.dj"), scratch.file("initrd"));
        let read = |name| std::fs::read(guest_file(name)).expect("a guest's file");
        let mut archives = read("initrd.gz");
        archives.resize(archives.len().next_multiple_of(4), 0);
        let deep = build(&scratch);
        let module = read("qemu_fw_cfg-cloud.ko");
        archives.extend(archive(&[("bin/deep", &deep), ("bin/qemu_fw_cfg.ko", &module)]));
        std::fs::write(&initrd, archives).expect("an initrd");
        let mut command = Command::new(program());
        command.args([
            "record",
            "-m",
            "256M",
            "--smp",
            "2",
            "--append",
            "console=ttyS0 quiet",
            "--idle",
            "jump",
        ]);
        command.args(["--seed", "1", "--accel", "jit", "-o"]).arg(&journal).arg("--initrd").arg(&initrd);
        command.arg("--kernel").arg(guest_file("vmlinuz-cloud"));
        let finished = converse(&mut command, &SCRIPT).success();
        let mut guest = Self { console: finished.console(), journal, calls: Vec::new(), scratch };
        guest.calls = guest.syscalls(&[]);
        guest
    }

    /// The lines of the console between `title` and the next prompt.
    pub fn said(&self, title: &str) -> Vec<&str> {
        let start = format!("\n{title}\n");
        let (_, rest) =
            self.console.split_once(&start).unwrap_or_else(|| panic!("no {title}: {}", self.console));
        rest.lines().take_while(|line| !line.contains("# ")).collect()
    }

    pub fn ask(&self, verb: &str, arguments: &[&str]) -> Finished {
        run(on(verb, &self.journal).args(arguments))
    }

    /// What a command says as JSON.
    pub fn json(&self, verb: &str, arguments: &[&str]) -> Vec<Value> {
        let finished = self.ask(verb, &[arguments, &["--json"]].concat()).success();
        let value: Value = serde_json::from_slice(&finished.stdout).expect("JSON");
        value.as_array().expect("a list").clone()
    }

    /// What `dejavm syscalls` tells.
    pub fn syscalls(&self, arguments: &[&str]) -> Vec<Value> {
        let finished = self.ask("syscalls", &[arguments, &["--json", "--accel", "jit"]].concat()).success();
        finished.console().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// The calls of programs of a name.
    pub fn calls_of(&self, comm: &str) -> Vec<&Value> {
        self.calls.iter().filter(|call| call["comm"] == comm).collect()
    }

    /// Before the call by which `ps` begins to look at the processes.
    pub fn place_of_ps(&self) -> u64 {
        let calls = self.calls_of("ps");
        let call = calls.iter().find(|call| call["name"] == "getdents64").expect("ps looks at /proc");
        call["icount"].as_u64().expect("an icount")
    }
}

/// A field that is text.
pub fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

/// A field that is an address.
pub fn address(value: &Value, field: &str) -> u64 {
    let digits = text(value, field).trim_start_matches("0x");
    u64::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{field} of {value}"))
}
