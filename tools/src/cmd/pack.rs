//! `dejavm pack` and `dejavm unpack`: kernel and initrd into a journal, and out of it.
//!
//! The new journal is written beside the old one, read back and compared, and only then put in
//! its place.

use super::verify::{given_images, journal_failure, reader};
use crate::args::{ImageArgs, PackArgs, UnpackArgs};
use crate::error::Failure;
use crate::exit::Exit;
use crate::output_file::{OutputFile, folder_of, lock};
use crate::say;
use dejavm_core::boundary::Images;
use dejavm_replay::journal::{Header, ImageRole, JournalError, Reader, rewrite_images};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

/// `dejavm pack`
pub fn pack(args: &PackArgs) -> Result<Exit, Failure> {
    let mut reader = reader(&args.journal)?;
    if args.output.is_none() && reader.header().images.iter().all(|image| image.embedded) {
        say!("{}: the images are in it already", args.journal.display());
        return Ok(Exit::Success);
    }
    let given = given_images(&args.journal, &args.images, reader.header())?;
    let images = reader.read_images(given).map_err(|e| journal_failure(&args.journal, &e))?;
    let target = Target { journal: &args.journal, output: args.output.as_deref(), force: args.force };
    let (before, after) = target.rewrite(&mut reader, images, true)?;
    say!("{}: holds its images now; {before} bytes before, {after} now", target.path().display());
    Ok(Exit::Success)
}

/// `dejavm unpack`
pub fn unpack(args: &UnpackArgs) -> Result<Exit, Failure> {
    let mut reader = reader(&args.journal)?;
    let given = given_images(&args.journal, &ImageArgs::default(), reader.header())?;
    let images = reader.read_images(given).map_err(|e| journal_failure(&args.journal, &e))?;
    let folder = args.directory.as_deref().unwrap_or(folder_of(&args.journal));
    std::fs::create_dir_all(folder).map_err(|e| Failure::file("create", folder, &e))?;
    for (path, image) in files(reader.header(), &images, folder)? {
        extract(&path, image, args.force)?;
    }
    if args.keep {
        return Ok(Exit::Success);
    }
    let target = Target { journal: &args.journal, output: args.output.as_deref(), force: args.force };
    let (before, after) = target.rewrite(&mut reader, images, false)?;
    say!("{}: only refers to its images now; {before} bytes before, {after} now", target.path().display());
    Ok(Exit::Success)
}

/// The images with the files that they go to.
fn files<'i>(
    header: &Header,
    images: &'i Images,
    folder: &Path,
) -> Result<Vec<(PathBuf, &'i [u8])>, Failure> {
    let mut files: Vec<(PathBuf, &[u8])> = Vec::new();
    for record in &header.images {
        let bytes = match record.role {
            ImageRole::Kernel => &images.kernel[..],
            ImageRole::Initrd => images.initrd.as_deref().unwrap_or_default(),
        };
        // The name in a journal is somebody else's: only its last part counts.
        let name = Path::new(&record.file_name).file_name();
        let mut path = folder.join(name.unwrap_or(record.role.to_string().as_ref()));
        if files.iter().any(|(other, _)| *other == path) {
            path = folder.join(record.role.to_string());
        }
        files.push((path, bytes));
    }
    Ok(files)
}

/// Writes an image, unless it is there already.
fn extract(path: &Path, image: &[u8], force: bool) -> Result<(), Failure> {
    if std::fs::read(path).is_ok_and(|there| there == image) {
        say!("{}: is there already", path.display());
        return Ok(());
    }
    let out = OutputFile::create(path, force)?;
    out.file().write_all(image).map_err(|e| Failure::file("write", path, &e))?;
    out.keep()?;
    say!("{}: {} bytes", path.display(), image.len());
    Ok(())
}

/// Where a rewritten journal goes.
struct Target<'a> {
    journal: &'a Path,
    output: Option<&'a Path>,
    force: bool,
}

impl Target<'_> {
    fn path(&self) -> &Path {
        self.output.unwrap_or(self.journal)
    }

    /// Writes the journal with or without its images; gives its sizes before and after.
    fn rewrite(&self, reader: &mut Reader<File>, images: Images, embed: bool) -> Result<(u64, u64), Failure> {
        let old = File::open(self.journal).map_err(|e| Failure::file("open", self.journal, &e))?;
        if self.output.is_none() {
            lock(&old, self.journal)?;
        }
        let out = OutputFile::create(self.path(), self.force || self.output.is_none())?;
        let failed = |e: &JournalError| Failure::new(format!("{}: {e}", self.path().display()));
        let buffered = BufWriter::new(out.file());
        let written = rewrite_images(reader, images.clone(), embed, buffered).map_err(|e| failed(&e))?;
        written.into_inner().map_err(|e| Failure::file("write", self.path(), e.error()))?;
        compare(reader, out.file(), &images).map_err(|e| failed(&e))?;
        let bytes = |file: &File| file.metadata().map_or(0, |data| data.len());
        let sizes = (bytes(&old), bytes(out.file()));
        out.keep()?;
        Ok(sizes)
    }
}

/// Reads a rewritten journal back: the same run, the same images.
fn compare(old: &mut Reader<File>, new: &File, images: &Images) -> Result<(), JournalError> {
    let mut new = Reader::new(new)?;
    new.check_all()?;
    let read = new.read_images(images.clone())?;
    assert!(read == *images, "the images of a rewritten journal are those of the old one");
    assert!(new.read_start()? == old.read_start()?, "a rewritten journal begins in the same state");
    assert!(
        new.last() == old.last() && new.ending() == old.ending(),
        "a rewritten journal is of the same run"
    );
    let chunks: Vec<_> = old.events_chunks().copied().collect();
    let copies: Vec<_> = new.events_chunks().copied().collect();
    assert_eq!(chunks.len(), copies.len(), "a rewritten journal has the same chunks");
    for (chunk, copy) in chunks.iter().zip(&copies) {
        let (chunk, copy) = (old.read_events(chunk)?, new.read_events(copy)?);
        let same = (chunk.events, chunk.last, chunk.hash) == (copy.events, copy.last, copy.hash);
        assert!(same, "a rewritten journal has the same events");
    }
    Ok(())
}
