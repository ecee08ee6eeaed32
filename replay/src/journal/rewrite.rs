//! A journal with its images taken in or left out: everything else is copied as it is.

use super::error::JournalError;
use super::frame::ChunkKind;
use super::{Ending, Reader, Writer};
use dejavm_core::boundary::Images;
use std::io::{Read, Seek, Write};

/// Copies a journal to `out`, with the `images` embedded or only referred to.
///
/// A journal that did not end cleanly stays one; only what is torn is left out.
///
/// # Errors
/// If the journal is damaged, the images are not the recorded ones, or `out` cannot be written.
pub fn rewrite_images<R: Read + Seek, W: Write>(
    reader: &mut Reader<R>,
    images: Images,
    embed: bool,
    out: W,
) -> Result<W, JournalError> {
    let images = reader.read_images(images)?;
    let mut header = reader.header().clone();
    header.images.iter_mut().for_each(|image| image.embedded = embed);
    let mut writer = match reader.read_start()? {
        Some(start) => Writer::from_state(out, &header, &images, &start)?,
        None => Writer::new(out, &header, &images)?,
    };
    for chunk in reader.chunks().to_vec() {
        if !matches!(chunk.kind, ChunkKind::Header | ChunkKind::Image | ChunkKind::Start) {
            writer.copy_chunk(&chunk, &reader.read_stored(&chunk)?)?;
        }
    }
    match reader.ending() {
        Ending::Clean(_) => writer.finish_copy(),
        Ending::Unclean { .. } => Ok(writer.into_inner()),
    }
}
