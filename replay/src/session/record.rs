//! A live run that is taken down in a journal.

use super::SessionError;
use super::live::{LiveOptions, LiveSession, Log};
use super::machine::{RunMachine, cpu_model};
use crate::journal::{
    DEFAULT_INTERVAL_ICOUNT, End, EndReason, Header, ImageHash, ImageRecord, ImageRole, JournalError, Start,
    StateDigest, Writer,
};
use dejavm_core::boundary::{Images, Inbound, MachineConfig, Position};
use dejavm_core::types::Icount;
use dejavm_core::vcpu::Engine;
use std::io::Write;

/// How to keep a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordOptions {
    /// Instructions between two state hashes.
    pub interval_icount: Icount,
    /// Leave the images out, and only note their hashes.
    pub reference_images: bool,
    /// The name of the kernel's file, for messages.
    pub kernel_file_name: String,
    /// The name of the initrd's file, for messages.
    pub initrd_file_name: String,
}

impl Default for RecordOptions {
    fn default() -> Self {
        Self {
            interval_icount: DEFAULT_INTERVAL_ICOUNT,
            reference_images: false,
            kernel_file_name: "kernel".to_owned(),
            initrd_file_name: "initrd".to_owned(),
        }
    }
}

impl RecordOptions {
    /// The header of a journal of a machine with these `parts` of its state hash.
    pub(super) fn header(&self, config: &MachineConfig, images: &Images, parts: Vec<String>) -> Header {
        let record = |role, image: &[u8], file_name: &String| ImageRecord {
            role,
            hash: ImageHash::of(image),
            embedded: !self.reference_images,
            file_name: file_name.clone(),
        };
        let kernel = record(ImageRole::Kernel, &images.kernel, &self.kernel_file_name);
        let initrd =
            images.initrd.as_ref().map(|image| record(ImageRole::Initrd, image, &self.initrd_file_name));
        Header {
            dejavm_version: env!("CARGO_PKG_VERSION").to_owned(),
            config: config.clone(),
            cpu_model: cpu_model(),
            images: [kernel].into_iter().chain(initrd).collect(),
            interval_icount: self.interval_icount,
            part_names: parts,
        }
    }
}

/// A live run that is taken down in a journal.
pub type RecordSession<M, W> = LiveSession<M, Writer<W>>;

impl<W: Write> RecordSession<Engine, W> {
    /// Begins a journal in `out` with the state that the machine is in: it stands settled where a
    /// replay left it, of the journal with this `header`, and goes on live.
    pub fn go_live(
        mut engine: Engine,
        header: &Header,
        images: &Images,
        out: W,
        live: LiveOptions,
    ) -> Result<Self, SessionError> {
        let machine = engine.machine();
        let header = Header { dejavm_version: env!("CARGO_PKG_VERSION").to_owned(), ..header.clone() };
        let writer = if machine.position() == Position::default() {
            Writer::new(out, &header, images)?
        } else {
            Writer::from_state(out, &header, images, &Start::of(machine))?
        };
        Ok(Self::with_log(engine, writer, live))
    }
}

impl<M: RunMachine, W: Write> RecordSession<M, W> {
    /// Begins a journal in `out` for `machine`, which is at power-on and was made of `config` and
    /// `images`.
    pub fn start(
        mut machine: M,
        config: &MachineConfig,
        images: &Images,
        out: W,
        options: &RecordOptions,
        live: LiveOptions,
    ) -> Result<Self, SessionError> {
        assert_eq!(machine.position(), Position::default(), "a recording begins at power-on");
        let header = options.header(config, images, machine.digest().part_names());
        let writer = Writer::in_background(out, &header, images)?;
        Ok(Self::with_log(machine, writer, live))
    }

    /// Ends the journal where the machine stands: because the run is over, or else because the
    /// user says so.
    pub fn finish(mut self) -> Result<(M, W), SessionError> {
        self.settle();
        let reason = self.ended().unwrap_or(EndReason::UserQuit);
        let (mut machine, writer) = self.into_parts();
        let end = End { reason, position: machine.position(), hash: machine.digest() };
        Ok((machine, writer.finish(&end)?))
    }
}

impl<W: Write> Log for Writer<W> {
    fn boundary(&self) -> Icount {
        self.next_boundary()
    }

    fn is_due(&self, at: Position, flush_due: bool) -> bool {
        Writer::is_due(self, at, flush_due)
    }

    fn has_pending(&self) -> bool {
        Writer::has_pending(self)
    }

    fn tend(&mut self) -> Result<(), JournalError> {
        self.put_images_when_ready()
    }

    fn append(&mut self, at: Position, event: &Inbound) -> Result<(), JournalError> {
        Writer::append(self, at, event)
    }

    fn end_chunk(&mut self, at: Position, hash: &StateDigest) -> Result<(), JournalError> {
        Writer::end_chunk(self, at, hash)
    }
}
