//! Where a trace goes: stdout, a file that appears when it is complete, or a folder.

use crate::args::TraceArgs;
use crate::error::Failure;
use crate::exit::Exit;
use crate::output_file::OutputFile;
use crate::output_folder::OutputFolder;
use dejavm_trace::sink::{Encoded, Ends, Format, Writer, ctf_metadata};
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, IsTerminal as _, Write};
use std::path::Path;

/// The output of `dejavm trace`.
pub struct Output {
    writer: Writer,
    place: Place,
    error: Option<io::Error>,
}

enum Place {
    Stdout,
    File(OutputFile),
    Folder(OutputFolder),
}

impl Output {
    /// As the options say.
    ///
    /// # Errors
    /// If it cannot be there.
    pub fn create(args: &TraceArgs, format: Format, ends: Ends) -> Result<Self, Failure> {
        let (place, output): (Place, Box<dyn Write + Send>) = match args.output.as_deref() {
            None if format.is_folder() => {
                return Err(Failure::new("this format is a folder, which needs a name")
                    .advice("say where it goes with -o FOLDER"));
            }
            None if !is_text(format) && io::stdout().is_terminal() => {
                return Err(Failure::new("this format is not for a terminal")
                    .advice("say where it goes with -o FILE"));
            }
            None => (Place::Stdout, Box::new(BufWriter::with_capacity(1 << 16, io::stdout()))),
            Some(path) if format.is_folder() => folder(path, args.force)?,
            Some(path) => {
                let file = OutputFile::create(path, args.force)?;
                let handle = file.file().try_clone().map_err(|e| Failure::file("write", path, &e))?;
                (Place::File(file), Box::new(BufWriter::new(handle)))
            }
        };
        Ok(Self { writer: Writer::part(format, ends, output), place, error: None })
    }

    /// Writes some records; false if that is of no use any more.
    pub fn write(&mut self, encoded: Encoded) -> bool {
        if self.error.is_none() {
            self.error = self.writer.write_encoded(encoded).err();
        }
        self.error.is_none()
    }

    /// Closes it, and puts it into its place.
    ///
    /// # Errors
    /// Of the output. Who reads from a pipe and has seen enough is none.
    pub fn finish(self) -> Result<Exit, Failure> {
        let Self { mut writer, place, mut error } = self;
        match error {
            None => error = writer.finish().err(),
            Some(_) => writer.abandon(),
        }
        match error {
            Some(error) if error.kind() == ErrorKind::BrokenPipe && matches!(place, Place::Stdout) => {
                Ok(Exit::Success)
            }
            Some(error) => Err(Failure::new(format!("the trace cannot be written: {error}"))),
            None => place.keep().map(|()| Exit::Success),
        }
    }
}

fn is_text(format: Format) -> bool {
    matches!(format, Format::Text | Format::Json | Format::Chrome)
}

fn folder(path: &Path, replace: bool) -> Result<(Place, Box<dyn Write + Send>), Failure> {
    let is_ours =
        |path: &Path| fs::read(path.join("metadata")).is_ok_and(|text| text.starts_with(b"/* CTF 1.8 */"));
    let folder = OutputFolder::create(path, replace, is_ours)?;
    let fill = || {
        fs::write(folder.path().join("metadata"), ctf_metadata())?;
        File::create_new(folder.path().join("stream"))
    };
    let stream = fill().map_err(|e| Failure::file("write", path, &e))?;
    Ok((Place::Folder(folder), Box::new(BufWriter::new(stream))))
}

impl Place {
    fn keep(self) -> Result<(), Failure> {
        match self {
            Self::Stdout => Ok(()),
            Self::File(file) => file.keep(),
            Self::Folder(folder) => folder.keep(),
        }
    }
}
