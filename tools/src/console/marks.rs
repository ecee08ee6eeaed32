//! The named places of a recording, in a file beside its journal: FILE.marks.

use crate::error::Failure;
use crate::output_file::{OutputFile, beside};
use dejavm_monitor::control::{ControlError, Marks, marks_text, read_marks};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

/// The marks beside a journal; none if they cannot be read, which is said.
pub fn load(journal: &Path) -> Marks {
    let path = beside(journal, "marks");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Marks::new(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the marks cannot be read");
            return Marks::new();
        }
    };
    read_marks(&text).unwrap_or_else(|line| {
        tracing::warn!(path = %path.display(), line, "the marks are damaged; they are left out");
        Marks::new()
    })
}

/// Writes the marks beside a journal; without marks there is no file.
///
/// # Errors
/// If the host refuses.
pub fn keep(journal: &Path, marks: &Marks) -> Result<(), ControlError> {
    let path = beside(journal, "marks");
    if marks.is_empty() {
        forget(journal);
        return Ok(());
    }
    let write = || -> Result<(), Failure> {
        let output = OutputFile::create(&path, true)?;
        let written = output.file().write_all(marks_text(marks).as_bytes());
        written.map_err(|e| Failure::file("write", &path, &e))?;
        output.keep()
    };
    write().map_err(|e| ControlError::Failed(e.to_string()))
}

/// A new journal begins there: marks of an older one are of no use.
pub fn forget(journal: &Path) {
    // That there is none is as well.
    let _ = std::fs::remove_file(beside(journal, "marks"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use dejavm_core::boundary::Position;
    use dejavm_monitor::control::Mark;

    #[test]
    fn marks_are_kept_beside_the_journal() {
        let journal = std::env::temp_dir().join(format!("dejavm-marks-{}.dj", std::process::id()));
        assert_eq!(load(&journal), Marks::new());
        let mark = Mark { at: Position { icount: 5, now_ns: 7 }, made_unix_s: 9 };
        let marks = Marks::from([("here".to_owned(), mark)]);
        keep(&journal, &marks).unwrap();
        assert_eq!(load(&journal), marks);
        std::fs::write(beside(&journal, "marks"), "nonsense").unwrap();
        assert_eq!(load(&journal), Marks::new());
        keep(&journal, &Marks::new()).unwrap();
        assert!(!beside(&journal, "marks").exists());
        assert!(keep(Path::new("/nonexistent/a.dj"), &marks).is_err());
    }
}
