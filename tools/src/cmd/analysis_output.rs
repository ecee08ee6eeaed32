//! Where the result of an analysis goes: a file that appears complete or not at all, or stdout.

use crate::args::ResultArgs;
use crate::error::Failure;
use crate::output_file::OutputFile;
use std::io::{ErrorKind, Write as _};

/// Writes it.
///
/// # Errors
/// If it cannot be; a reader of stdout that has seen enough is no error.
pub fn write(args: &ResultArgs, bytes: &[u8]) -> Result<(), Failure> {
    match &args.output {
        Some(path) => {
            let file = OutputFile::create(path, args.force)?;
            file.file().write_all(bytes).map_err(|e| Failure::file("write", path, &e))?;
            file.keep()
        }
        None => {
            let mut stdout = std::io::stdout().lock();
            match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
                Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                    Err(Failure::new(format!("stdout cannot be written: {error}")))
                }
                _ => Ok(()),
            }
        }
    }
}
