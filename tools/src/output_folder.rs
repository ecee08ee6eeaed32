//! Folders that appear complete or not at all.

use crate::error::Failure;
use crate::output_file::beside;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A folder that is filled beside its place, and put there when it is complete. Dropped before that,
/// it leaves what was there as it was.
pub struct OutputFolder {
    place: PathBuf,
    draft: PathBuf,
    kept: bool,
}

impl OutputFolder {
    /// Begins a folder that goes to `place`. If something is there, it must be `replace`able: a folder
    /// of which `is_ours` says that it may be removed.
    ///
    /// # Errors
    /// If something else is there, or the host refuses.
    pub fn create(place: &Path, replace: bool, is_ours: impl Fn(&Path) -> bool) -> Result<Self, Failure> {
        if place.symlink_metadata().is_ok() {
            let there = Failure::new(format!("{} is there already", place.display()));
            if !is_ours(place) {
                return Err(there.advice("it is no folder that this replaces; choose another name"));
            }
            if !replace {
                return Err(there.advice("choose another name, or overwrite it with --force"));
            }
        }
        let draft = beside(place, &format!("{}.new", std::process::id()));
        fs::create_dir(&draft).map_err(|e| Failure::file("create", place, &e))?;
        Ok(Self { place: place.to_owned(), draft, kept: false })
    }

    /// Where it is while it is filled.
    pub fn path(&self) -> &Path {
        &self.draft
    }

    /// Puts the folder into its place.
    ///
    /// # Errors
    /// If the host refuses.
    pub fn keep(mut self) -> Result<(), Failure> {
        let put = || -> io::Result<()> {
            if self.place.symlink_metadata().is_ok() {
                fs::remove_dir_all(&self.place)?;
            }
            fs::rename(&self.draft, &self.place)
        };
        put().map_err(|e| Failure::file("write", &self.place, &e))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for OutputFolder {
    fn drop(&mut self) {
        if !self.kept {
            // A draft that stays behind does no harm.
            let _ = fs::remove_dir_all(&self.draft);
        }
    }
}
