//! What tests of the program share: a folder with journals in it, and the program run there.
// Each test program uses its part of this.
#![allow(dead_code)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A folder of this test's own, with the journal of a demo in it.
pub struct Desk {
    pub folder: PathBuf,
}

impl Desk {
    pub fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder }
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_dejavm"))
            .args(arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Runs, expects an exit status, gives stdout.
    pub fn expect(&self, arguments: &[&str], status: i32) -> String {
        let output = self.run(arguments);
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}\n{stdout}\n{stderr}");
        stdout
    }

    /// A journal of a run that failed.
    pub fn demo(&self) -> String {
        self.expect(&["demo", "--seed", "1"], 0)
    }

    /// A journal, under the same name, of the same guest while nobody types: all of it is the same each time.
    pub fn ledger(&self) {
        self.put_kernel();
        let record = ["record", "-o", "demo.dj", "-kernel", "kernel", "-m", "16M", "--seed", "1"];
        self.expect(&[&record[..], &["-display", "none", "-serial", "null"]].concat(), 0);
    }

    /// Puts the demo's guest where `-kernel kernel` finds it.
    pub fn put_kernel(&self) {
        let guest = dejavm_tools::demo::guest::build().unwrap();
        std::fs::write(self.folder.join("kernel"), guest.kernel).unwrap();
    }

    /// Runs, expects an error, gives stderr.
    pub fn refused(&self, arguments: &[&str], status: i32) -> String {
        let output = self.run(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}\n{stderr}");
        stderr
    }

    /// Runs with something to read on stdin; gives stdout.
    pub fn converse(&self, arguments: &[&str], input: &str) -> String {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dejavm"))
            .args(arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned()
    }

    /// Runs with nobody to read stdout.
    pub fn unread(&self, arguments: &[&str]) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dejavm"))
            .args(arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        child.wait_with_output().unwrap()
    }

    /// The bytes of a file.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.join(name)).unwrap()
    }

    /// `dejavm info` as JSON.
    pub fn info(&self, journal: &str) -> serde_json::Value {
        serde_json::from_str(&self.expect(&["info", journal, "--json"], 0)).unwrap()
    }
}

/// The number after `before`.
pub fn number_after(text: &str, before: &str) -> u64 {
    let at = text.find(before).unwrap_or_else(|| panic!("{before:?} is not in {text}")) + before.len();
    let digits: String = text[at..].chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}
