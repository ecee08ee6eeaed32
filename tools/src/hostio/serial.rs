//! The bytes that a serial port sends, with a time before each line if the user wants it.

use dejavm_monitor::chardev::Chardevs;
use std::sync::Arc;
use std::time::Instant;

/// The output of one serial port.
pub struct SerialOutput {
    port: u8,
    chardevs: Arc<Chardevs>,
    timestamps: Option<Timestamps>,
}

/// A time before each line, as ctrl-a t asks for.
struct Timestamps {
    start: Instant,
    at_line_start: bool,
}

impl SerialOutput {
    /// That of a port; where it goes the character devices know.
    pub fn new(port: u8, chardevs: Arc<Chardevs>) -> Self {
        Self { port, chardevs, timestamps: None }
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
        match &mut self.timestamps {
            Some(timestamps) => self.chardevs.write_serial(self.port, &timestamps.stamp(bytes)),
            None => self.chardevs.write_serial(self.port, bytes),
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
    use dejavm_monitor::chardev::{Backend, User};

    #[test]
    fn each_line_is_stamped_once() {
        let chardevs = Arc::new(Chardevs::default());
        chardevs.add("serial0", Backend::Ring { size_bytes: 4096 }, User::Serial(0)).unwrap();
        let mut output = SerialOutput::new(0, chardevs.clone());
        output.write(b"a\n").unwrap();
        output.toggle_timestamps();
        output.write(b"b").unwrap();
        output.write(b"c\nd").unwrap();
        let bytes = chardevs.with_ring("serial0", |ring| ring.read(4096)).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "a");
        assert!(lines[1].starts_with("[00:00:") && lines[1].ends_with("] bc"), "{text}");
        assert!(lines[2].ends_with("] d"), "{text}");
    }
}
