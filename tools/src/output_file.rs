//! Files that appear complete or not at all, and journals that one process at a time writes.

use crate::error::Failure;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

/// A file that is written beside its place, and put there when it is complete. Dropped before
/// that, it leaves what was there as it was.
pub struct OutputFile {
    place: PathBuf,
    draft: PathBuf,
    file: File,
    kept: bool,
}

impl OutputFile {
    /// Begins a file that goes to `place`. Unless `replace`, nothing may be there yet.
    ///
    /// # Errors
    /// If something is there, or the host refuses.
    pub fn create(place: &Path, replace: bool) -> Result<Self, Failure> {
        if !replace && place.symlink_metadata().is_ok() {
            return Err(Failure::new(format!("{} is there already", place.display()))
                .advice("choose another name, or overwrite it with --force"));
        }
        // What a link points to is replaced, not the link.
        let place = place.canonicalize().unwrap_or_else(|_| place.to_path_buf());
        let draft = beside(&place, &format!("{}.new", std::process::id()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&draft);
        let file = file.map_err(|e| Failure::file("create", &place, &e))?;
        Ok(Self { place, draft, file, kept: false })
    }

    /// What is written to, and read again to check it.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where it is until it is complete.
    pub fn path(&self) -> &Path {
        &self.draft
    }

    /// Puts the file into its place, with the permissions of what was there.
    ///
    /// # Errors
    /// If the host refuses; what was there is still there then.
    pub fn keep(mut self) -> Result<(), Failure> {
        let put = || {
            if let Ok(old) = std::fs::metadata(&self.place) {
                self.file.set_permissions(old.permissions())?;
            }
            self.file.sync_all()?;
            std::fs::rename(&self.draft, &self.place)?;
            // The new name is on disk when the folder is.
            File::open(folder_of(&self.place))?.sync_all()
        };
        put().map_err(|e| Failure::file("write", &self.place, &e))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if !self.kept {
            // A draft that stays behind does no harm.
            let _ = std::fs::remove_file(&self.draft);
        }
    }
}

/// The folder that a file is in.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A name beside `path`: that with something appended.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// Takes a journal for writing, so that no other dejavm writes or replaces it meanwhile. The
/// lock goes with the file.
///
/// # Errors
/// If another process has it.
pub fn lock(file: &File, path: &Path) -> Result<(), Failure> {
    flock(file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        Failure::new(format!("{} is being written by another dejavm", path.display()))
            .advice("end that recording first")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn what_was_there_stays_until_the_new_file_is_complete() {
        let folder = std::env::temp_dir().join(format!("dejavm-output-file-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a.dj");
        std::fs::write(&path, "old").unwrap();
        assert!(OutputFile::create(&path, false).is_err());
        let draft = OutputFile::create(&path, true).unwrap();
        draft.file().write_all(b"half").unwrap();
        drop(draft);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        let draft = OutputFile::create(&path, true).unwrap();
        draft.file().write_all(b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        draft.keep().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
