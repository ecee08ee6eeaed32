//! The tables that were made of a journal, kept beside it: `F.djq/` for `F.dj`. It is a folder of
//! plain Parquet, safe to delete at any time. A file named `run` says what run it is of; next to
//! each file of a table, a hidden one holds its checksum.

use super::places::{Place, file_of};
use crate::error::Failure;
use crate::output_file::OutputFile;
use dejavm_trace::export::Table;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

/// What the tables look like; another number for other columns or other files.
const VERSION: u32 = 1;

/// What the file `run` begins with.
const MARK: &str = "dejavm tables, version";

/// What was found in the place of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// The file, as it was written.
    Good,
    /// None.
    Missing,
    /// Something else than was written.
    Damaged,
}

/// A folder of tables of one run.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    /// It goes with the program.
    temporary: bool,
}

impl Cache {
    /// Where the tables of the journal at `path` are kept.
    pub fn path_of(journal: &Path) -> PathBuf {
        match journal.extension() {
            Some(extension) if extension == "dj" => journal.with_extension("djq"),
            _ => {
                let mut name = journal.as_os_str().to_owned();
                name.push(".djq");
                name.into()
            }
        }
    }

    /// The folder at `folder`, for the run that `fingerprint` identifies. Tables of another run, or
    /// of another dejavm, are thrown away.
    ///
    /// # Errors
    /// If something else is there, or the host refuses.
    pub fn open(folder: &Path, fingerprint: u128) -> Result<Self, Failure> {
        let cannot = |e: io::Error| Failure::file("keep tables in", folder, &e);
        fs::create_dir_all(folder).map_err(cannot)?;
        let lock = File::open(folder).map_err(cannot)?;
        // Two that find tables of another run throw them away one after the other.
        flock(&lock, FlockOperation::LockExclusive).map_err(|e| cannot(e.into()))?;
        let mark = folder.join("run");
        let wanted = format!("{MARK} {VERSION}\nrun {fingerprint:032x}\n");
        match fs::read_to_string(&mark) {
            Ok(found) if found == wanted => {}
            Ok(found) if found.starts_with(MARK) => {
                forget(folder).map_err(cannot)?;
                write_whole(&mark, wanted.as_bytes())?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound && is_empty(folder).map_err(cannot)? => {
                write_whole(&mark, wanted.as_bytes())?;
            }
            _ => {
                let what = format!("{} is not a folder of dejavm's tables", folder.display());
                return Err(Failure::new(what).advice("move it away, or work without it: --no-cache"));
            }
        }
        Ok(Self { folder: folder.to_path_buf(), temporary: false })
    }

    /// A folder that is gone when the program ends.
    ///
    /// # Errors
    /// If the host refuses.
    pub fn temporary() -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("dejavm-tables-{}", std::process::id()));
        fs::create_dir(&folder).map_err(|e| Failure::file("create", &folder, &e))?;
        Ok(Self { folder, temporary: true })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the file of a table is.
    pub fn place(&self, table: Table, place: Place) -> PathBuf {
        file_of(&self.folder.join(table.name()), table.name(), place)
    }

    /// Whether the file of a table is there, and what was written.
    pub fn check(&self, table: Table, place: Place) -> Checked {
        let path = self.place(table, place);
        if !path.exists() {
            return Checked::Missing;
        }
        let expected = fs::read_to_string(checksum_path(&path));
        match (expected, checksum(&path)) {
            (Ok(expected), Ok(found)) if expected == found => Checked::Good,
            _ => Checked::Damaged,
        }
    }

    /// Puts a file of a table that is complete into its place.
    ///
    /// # Errors
    /// If the host refuses; then there is no such file, or the one that was there.
    pub fn keep(&self, file: OutputFile, path: &Path) -> Result<(), Failure> {
        let sum = checksum(file.path()).map_err(|e| Failure::file("read", file.path(), &e))?;
        // With the checksum first there is never a file that passes for another.
        write_whole(&checksum_path(path), sum.as_bytes())?;
        file.keep()
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        if self.temporary {
            // What stays behind is in the folder for temporary files.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Removes all tables; what else somebody put there stays.
fn forget(folder: &Path) -> io::Result<()> {
    for table in Table::ALL {
        match fs::remove_dir_all(folder.join(table.name())) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn is_empty(folder: &Path) -> io::Result<bool> {
    // Drafts of who died in the middle are no more than that.
    let is_draft = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("run.");
    Ok(fs::read_dir(folder)?.flatten().all(|entry| is_draft(&entry)))
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let output = OutputFile::create(path, true)?;
    output.file().write_all(bytes).map_err(|e| Failure::file("write", path, &e))?;
    output.keep()
}

/// A hidden file beside it, which engines pass over.
fn checksum_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.xxh3"))
}

fn checksum(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let (mut hash, mut length) = (Xxh3::new(), 0u64);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(format!("{:032x} {length}\n", hash.digest128()));
        }
        hash.update(&buffer[..count]);
        length += count as u64;
    }
}
