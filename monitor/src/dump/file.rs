//! The file that a dump goes into: complete under its name, or not there.
//!
//! A regular file is written under a temporary name beside the final one, synchronised, and
//! renamed. A path that is something else already (a pipe, a device) is written as it is.

use super::{Destination, DumpError};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// An output of which any part can be written, or, if it is a pipe, the next.
pub struct Output {
    file: File,
    /// Where the next byte goes, if the file cannot seek.
    stream: Option<u64>,
    rename: Option<Rename>,
}

/// A file under its temporary name.
struct Rename {
    temporary: PathBuf,
    path: PathBuf,
    done: bool,
}

impl Drop for Rename {
    fn drop(&mut self) {
        if !self.done {
            // If even this fails, a file is left that nobody takes for a dump.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

impl Output {
    /// Opens it.
    ///
    /// # Errors
    /// If the host refuses.
    pub fn open(destination: Destination) -> Result<Self, DumpError> {
        match destination {
            Destination::Open(file) => {
                let stream = !file.metadata().is_ok_and(|m| m.is_file());
                Ok(Self { file, stream: stream.then_some(0), rename: None })
            }
            Destination::Path(path) => Self::create(&path).map_err(|error| DumpError::Create { path, error }),
        }
    }

    fn create(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        // A dump holds all secrets of the guest.
        options.write(true).mode(0o600);
        match std::fs::metadata(path) {
            Ok(m) if m.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(m) if !m.is_file() => {
                let seeks = m.file_type().is_block_device();
                let file = options.open(path)?;
                return Ok(Self { file, stream: (!seeks).then_some(0), rename: None });
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        // Through a symbolic link, the file that it names is replaced, not the link.
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.{}.partial", std::process::id()));
        let file = options.create_new(true).open(&temporary)?;
        Ok(Self { file, stream: None, rename: Some(Rename { temporary, path, done: false }) })
    }

    /// Writes at an offset.
    ///
    /// # Errors
    /// The host's, or that a pipe cannot go back.
    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let Some(at) = self.stream else { return self.file.write_all_at(bytes, offset) };
        self.pad(at, offset)?;
        self.file.write_all(bytes)?;
        self.stream = Some(offset + bytes.len() as u64);
        Ok(())
    }

    /// Makes the file end at an offset.
    ///
    /// # Errors
    /// The host's.
    pub fn end_at(&mut self, offset: u64) -> io::Result<()> {
        match self.stream {
            Some(at) => self.pad(at, offset),
            None => self.file.set_len(offset),
        }
    }

    /// Writes zeros from one offset to another.
    fn pad(&mut self, from: u64, to: u64) -> io::Result<()> {
        let missing = to.checked_sub(from).ok_or(io::ErrorKind::NotSeekable)?;
        io::copy(&mut io::repeat(0).take(missing), &mut self.file)?;
        self.stream = Some(to);
        Ok(())
    }

    /// Makes it durable, and gives it its name.
    ///
    /// # Errors
    /// The host's.
    pub fn commit(mut self) -> Result<(), DumpError> {
        let Some(rename) = &mut self.rename else { return Ok(()) };
        self.file.sync_all()?;
        std::fs::rename(&rename.temporary, &rename.path)?;
        rename.done = true;
        // The name, too; a folder that cannot be synchronised has it all the same.
        if let Some(folder) = rename.path.parent().and_then(|f| File::open(f).ok()) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("dejavm-dump-file-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
        fn names(&self) -> Vec<String> {
            let entries = std::fs::read_dir(&self.0).unwrap();
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_name_appears_at_the_end() {
        let folder = Folder::new("end");
        let path = folder.0.join("core");
        std::fs::write(&path, "old").unwrap();
        let mut output = Output::open(Destination::Path(path.clone())).unwrap();
        output.write_at(4, b"data").unwrap();
        output.end_at(10).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        output.commit().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"\0\0\0\0data\0\0");
        assert_eq!(folder.names(), ["core"]);
    }

    #[test]
    fn what_is_not_completed_is_gone() {
        let folder = Folder::new("gone");
        let mut output = Output::open(Destination::Path(folder.0.join("core"))).unwrap();
        output.write_at(0, b"data").unwrap();
        assert_eq!(folder.names().len(), 1);
        drop(output);
        assert_eq!(folder.names(), [""; 0]);
    }

    #[test]
    fn what_cannot_be_created_is_said() {
        let folder = Folder::new("said");
        let no_folder = folder.0.join("none/core");
        for path in [no_folder.clone(), folder.0.clone()] {
            assert!(matches!(Output::open(Destination::Path(path)), Err(DumpError::Create { .. })));
        }
        let error = Output::open(Destination::Path(no_folder.clone())).err().unwrap().to_string();
        let expected = format!("Could not create '{}': No such file or directory", no_folder.display());
        assert_eq!(error, expected);
    }

    #[test]
    fn a_device_is_written_and_a_full_one_refuses() {
        let mut output = Output::open(Destination::Path("/dev/full".into())).unwrap();
        assert_eq!(output.write_at(0, b"data").unwrap_err().kind(), io::ErrorKind::StorageFull);
        let mut output = Output::open(Destination::Path("/dev/null".into())).unwrap();
        output.write_at(100, b"data").unwrap();
        assert_eq!(output.write_at(50, b"data").unwrap_err().kind(), io::ErrorKind::NotSeekable);
        output.commit().unwrap();
        assert!(Path::new("/dev/null").exists());
    }
}
