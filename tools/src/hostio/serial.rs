//! Where the bytes of a serial port go.

use crate::args::SerialSpec;
use crate::error::Failure;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Instant;

/// The output of one serial port.
pub struct SerialOutput {
    target: Target,
    timestamps: Option<Timestamps>,
}

enum Target {
    Stdout,
    File(BufWriter<File>),
    Null,
    #[cfg(test)]
    Memory(Vec<u8>),
}

/// A time before each line, as ctrl-a t asks for.
struct Timestamps {
    start: Instant,
    at_line_start: bool,
}

impl SerialOutput {
    /// Opens what `spec` says.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn open(spec: &SerialSpec) -> Result<Self, Failure> {
        let target = match spec {
            SerialSpec::Stdio | SerialSpec::MuxStdio => Target::Stdout,
            SerialSpec::Null => Target::Null,
            SerialSpec::File(path) => {
                let file = File::create(path).map_err(|e| Failure::file("create", path, &e))?;
                Target::File(BufWriter::new(file))
            }
        };
        Ok(Self { target, timestamps: None })
    }

    /// Switches the timestamps of lines on or off.
    pub fn toggle_timestamps(&mut self) {
        self.timestamps = match self.timestamps {
            Some(_) => None,
            None => Some(Timestamps { start: Instant::now(), at_line_start: true }),
        };
    }

    /// Writes and flushes.
    ///
    /// # Errors
    /// If the host cannot write.
    pub fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let stamped;
        let bytes = match &mut self.timestamps {
            Some(timestamps) => {
                stamped = timestamps.stamp(bytes);
                &stamped
            }
            None => bytes,
        };
        match &mut self.target {
            Target::Null => Ok(()),
            Target::Stdout => {
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()
            }
            Target::File(file) => {
                file.write_all(bytes)?;
                file.flush()
            }
            #[cfg(test)]
            Target::Memory(memory) => {
                memory.extend_from_slice(bytes);
                Ok(())
            }
        }
    }
}

impl Timestamps {
    fn stamp(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut stamped = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            if std::mem::take(&mut self.at_line_start) {
                let ms = self.start.elapsed().as_millis();
                let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
                stamped.extend_from_slice(format!("[{h:02}:{m:02}:{s:02}.{:03}] ", ms % 1000).as_bytes());
            }
            stamped.push(byte);
            self.at_line_start = byte == b'\n';
        }
        stamped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_stamped_once() {
        let mut output = SerialOutput { target: Target::Memory(Vec::new()), timestamps: None };
        output.write(b"a\n").unwrap();
        output.toggle_timestamps();
        output.write(b"b").unwrap();
        output.write(b"c\nd").unwrap();
        let Target::Memory(bytes) = output.target else { unreachable!() };
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "a");
        assert!(lines[1].starts_with("[00:00:") && lines[1].ends_with("] bc"), "{text}");
        assert!(lines[2].ends_with("] d"), "{text}");
    }
}
