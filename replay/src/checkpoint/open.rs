//! The side file of a journal: finding out whether what is there is of this run, taking it in, and
//! writing on.

use super::entry::Head;
use super::entry::Manifest;
use super::machine::PAGE_BYTES;
use super::pages::{Body, GROUP_PAGES};
use super::side_file::{Frame, FrameKind, SideFile, budget_of, scan};
use super::store::{Store, StoreError};
use dejavm_core::types::Icount;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the checkpoints of the journal at `path` are kept: `F.djc` beside `F.dj`.
pub fn side_path(journal: &Path) -> PathBuf {
    match journal.extension() {
        Some(extension) if extension == "dj" => journal.with_extension("djc"),
        _ => {
            let mut name = journal.as_os_str().to_owned();
            name.push(".djc");
            name.into()
        }
    }
}

/// What a side file holds, whatever run it is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SideSummary {
    /// Its size.
    pub bytes: u64,
    /// How many checkpoints.
    pub count: usize,
    /// What it may take, if it says so: what the last who wrote to it was told.
    pub budget_bytes: Option<u64>,
    /// The first and the last icount.
    pub range: Option<(Icount, Icount)>,
}

/// What the side file at `path` may take, in bytes, if there is one and it says so.
pub fn noted_budget(path: &Path) -> Option<u64> {
    budget_of(&File::open(path).ok()?).ok().filter(|bytes| *bytes > 0)
}

/// Looks into the side file at `path`.
///
/// # Errors
/// If there is none, or it is none.
pub fn inspect(path: &Path) -> Result<SideSummary, StoreError> {
    let file = File::open(path)?;
    let (frames, bytes) = scan(&file)?;
    let budget_bytes = budget_of(&file).ok().filter(|bytes| *bytes > 0);
    let mut summary = SideSummary { bytes, budget_bytes, ..SideSummary::default() };
    for frame in frames.iter().filter(|frame| frame.kind == FrameKind::Checkpoint) {
        let raw = frame.read(FrameKind::Checkpoint, |bytes, at| file.read_exact_at(bytes, at))?;
        let icount = decode(&raw)?.icount;
        let (first, last) = summary.range.unwrap_or((icount, icount));
        summary.range = Some((first.min(icount), last.max(icount)));
        summary.count += 1;
    }
    Ok(summary)
}

impl Store {
    /// Begins a new side file at `path` for the run that `binding` identifies; what is there is
    /// overwritten.
    ///
    /// # Errors
    /// If the host refuses; checkpoints stay in memory then.
    pub fn create_side_file(&self, path: &Path, binding: &[u8; 16]) -> Result<(), StoreError> {
        let mut inner = self.lock();
        inner.side = Some(SideFile::create(path, binding, inner.budget_bytes)?);
        Ok(())
    }

    /// Takes in the checkpoints that the side file at `path` holds of the run that `binding`
    /// identifies, as far as `belongs` agrees, and goes on writing to it. If another process does
    /// so, or it is read-only, new checkpoints stay in memory.
    ///
    /// # Errors
    /// If there is none (an I/O error of the kind `NotFound`) or it is of no use.
    pub fn load_side_file(
        &self,
        path: &Path,
        binding: &[u8; 16],
        belongs: impl FnMut(&Head) -> bool,
    ) -> Result<usize, StoreError> {
        // Locked before it is read: nobody else may add to it in between.
        let (file, ours) = match File::options().read(true).write(true).open(path) {
            Ok(file) => {
                let ours = file.try_lock().is_ok();
                (Arc::new(file), ours)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(error.into()),
            Err(_) => (Arc::new(File::open(path)?), false),
        };
        let (frames, end) = scan(&file)?;
        let (first, frames) = frames.split_first().ok_or(StoreError::Damaged("it is empty"))?;
        let found = first.read(FrameKind::Binding, |bytes, at| file.read_exact_at(bytes, at))?;
        if found != binding {
            return Err(StoreError::Stale("it is of another run or another dejavm"));
        }
        for frame in frames {
            // What else is good stays.
            if let Err(error) = self.load_frame(&file, frame) {
                tracing::warn!(path = %path.display(), %error, "something in the checkpoint file is ignored");
            }
        }
        self.retain(belongs);
        if ours {
            let mut inner = self.lock();
            let mut side = SideFile::resume(file, path, binding, end)?;
            side.set_budget(inner.budget_bytes)?;
            inner.side = Some(side);
        }
        Ok(self.summary().count)
    }

    fn load_frame(&self, file: &Arc<File>, frame: &Frame) -> Result<(), StoreError> {
        match frame.kind {
            FrameKind::Binding => Err(StoreError::Damaged("a second beginning")),
            FrameKind::Pages => {
                let count = frame.raw_len as usize / PAGE_BYTES;
                if count == 0 || count > GROUP_PAGES || count * PAGE_BYTES != frame.raw_len as usize {
                    return Err(StoreError::Damaged("a group of pages of no possible length"));
                }
                self.lock().pages.add(frame.tag, count as u32, Body::File(file.clone(), *frame))
            }
            FrameKind::Checkpoint => {
                let raw = frame.read(FrameKind::Checkpoint, |bytes, at| file.read_exact_at(bytes, at))?;
                self.load_entry(decode(&raw)?)
            }
            FrameKind::Footprint => {
                self.load_footprint(frame.tag, Body::File(file.clone(), *frame));
                Ok(())
            }
        }
    }
}

fn decode(raw: &[u8]) -> Result<Manifest, StoreError> {
    let config = bincode::config::standard().with_limit::<{ super::side_file::MAX_MANIFEST_BYTES }>();
    match bincode::serde::decode_from_slice(raw, config) {
        Ok((manifest, used)) if used == raw.len() => Ok(manifest),
        _ => Err(StoreError::Damaged("a checkpoint that does not decode")),
    }
}
