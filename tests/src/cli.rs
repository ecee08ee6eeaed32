//! The program `dejavm` as a user starts it, and the Debian guests: for tests of whole runs.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a single command may take before it counts as hung.
const TIMEOUT: Duration = Duration::from_secs(600);

/// What a command left.
pub struct Finished {
    /// Its standard output: of a run, the guest's console.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: String,
    /// Its exit status; `None` if a signal ended it.
    pub status: Option<i32>,
}

impl Finished {
    /// The console as text.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&self.stdout).replace('\r', "")
    }

    /// Itself, if the exit status is 0.
    ///
    /// # Panics
    /// If it is not.
    pub fn success(self) -> Self {
        let tail: String =
            self.console().chars().rev().take(2000).collect::<Vec<_>>().into_iter().rev().collect();
        assert_eq!(self.status, Some(0), "stderr: {}\nconsole ends: {tail}", self.stderr);
        self
    }
}

/// The program, built for release: `$DEJAVM`, or where cargo puts it.
///
/// # Panics
/// If it has not been built.
pub fn program() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let path = std::env::var_os("DEJAVM").map_or_else(|| target.join("release/dejavm"), PathBuf::from);
    assert!(path.exists(), "{} is missing: `tests/run.sh` builds it (cargo build --release)", path.display());
    path
}

/// A file of the Debian guests: in `$DEJAVM_GUESTS`, or where `guests/debian/build` puts it.
///
/// # Panics
/// If it has not been made.
pub fn guest_file(name: &str) -> PathBuf {
    let folder =
        std::env::var_os("DEJAVM_GUESTS").map_or_else(|| root().join("target/guests"), PathBuf::from);
    let path = folder.join(name);
    assert!(path.exists(), "{} is missing: `guests/debian/build` makes it", path.display());
    path
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

/// A folder of its own for the files of one test, removed when the test is over.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes it.
    ///
    /// # Panics
    /// If the host refuses.
    pub fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("dejavm-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind in the temporary folder does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The command line of a recorded Debian guest; everything that the host could decide is fixed.
pub fn record(journal: &Path, kernel: &str, vcpus: u32, append: &str) -> Command {
    let mut command = Command::new(program());
    command.args(["record", "--force", "-o"]).arg(journal);
    command.arg("--kernel").arg(guest_file(kernel)).arg("--initrd").arg(guest_file("initrd.gz"));
    command.args(["-m", "256M", "--smp", &vcpus.to_string(), "--append", append]);
    command.args(["--seed", "1", "--rtc", "base=2026-01-31T12:00:00"]);
    command
}

/// `dejavm VERB JOURNAL`.
pub fn on(verb: &str, journal: &Path) -> Command {
    let mut command = Command::new(program());
    command.arg(verb).arg(journal);
    command
}

/// Runs a command without input.
///
/// # Panics
/// If it cannot be started, or does not end in time.
pub fn run(command: &mut Command) -> Finished {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    Running::new(child.expect("dejavm")).finish()
}

/// Runs a command with a script: whenever the console has shown what an entry waits for (from
/// where the last one stopped), its text is typed.
///
/// # Panics
/// If it cannot be started, or does not end in time.
pub fn converse(command: &mut Command, script: &[(&str, &str)]) -> Finished {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut running = Running::new(child.expect("dejavm"));
    let mut seen = 0;
    for (expected, typed) in script {
        seen = running.wait_for(expected, seen);
        running.type_text(typed);
    }
    running.finish()
}

struct Running {
    child: Child,
    start: Instant,
    stdout: Vec<u8>,
    output: std::sync::mpsc::Receiver<Vec<u8>>,
    errors: std::thread::JoinHandle<String>,
}

impl Running {
    fn new(mut child: Child) -> Self {
        let mut stdout = child.stdout.take().expect("a pipe");
        let mut stderr = child.stderr.take().expect("a pipe");
        let (sender, output) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n) = stdout.read(&mut buffer) {
                if n == 0 || sender.send(buffer[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        let errors = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Self { child, start: Instant::now(), stdout: Vec::new(), output, errors }
    }

    /// Takes in what comes; false when the output has ended.
    fn take_output(&mut self) -> bool {
        match self.output.recv_timeout(Duration::from_millis(200)) {
            Ok(bytes) => self.stdout.extend(bytes),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return false,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
        }
        if self.start.elapsed() > TIMEOUT {
            let _ = self.child.kill();
            panic!("not finished after {TIMEOUT:?}; console: {}", String::from_utf8_lossy(&self.stdout));
        }
        true
    }

    /// The offset behind the next `text` on the console, from offset `from` on.
    fn wait_for(&mut self, text: &str, from: usize) -> usize {
        loop {
            let found = self.stdout[from..].windows(text.len()).position(|w| w == text.as_bytes());
            if let Some(at) = found {
                return from + at + text.len();
            }
            let more = self.take_output();
            assert!(more, "ended without showing {text:?}: {}", String::from_utf8_lossy(&self.stdout));
        }
    }

    fn type_text(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).expect("dejavm reads its input");
    }

    fn finish(mut self) -> Finished {
        // The input stays open: its end is an event of its own.
        while self.take_output() {}
        let status = self.child.wait().expect("a child").code();
        let stderr = self.errors.join().expect("the reader of stderr");
        Finished { stdout: self.stdout, stderr, status }
    }
}
