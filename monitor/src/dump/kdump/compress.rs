//! Compression of one page.

use super::lzo::Lzo;
use crate::dump::Compression;
use flate2::{Compress, FlushCompress, Status};

/// Flags of a page descriptor, and of the file as a whole: how data are compressed.
const FLAG_ZLIB: u32 = 1;
const FLAG_LZO: u32 = 2;
const FLAG_SNAPPY: u32 = 4;

/// A compressor with what it keeps from page to page: memory, no contents.
pub struct Compressor {
    kind: Kind,
    buffer: Vec<u8>,
}

enum Kind {
    Zlib(Box<Compress>),
    Lzo(Box<Lzo>),
    Snappy(Box<snap::raw::Encoder>),
}

impl Compressor {
    /// One of that kind.
    pub fn new(compression: Compression) -> Self {
        let kind = match compression {
            // The fastest level, and the header of zlib.
            Compression::Zlib => Kind::Zlib(Box::new(Compress::new(flate2::Compression::fast(), true))),
            Compression::Lzo => Kind::Lzo(Box::default()),
            Compression::Snappy => Kind::Snappy(Box::new(snap::raw::Encoder::new())),
        };
        Self { kind, buffer: Vec::new() }
    }

    /// Its flag.
    pub fn flag(&self) -> u32 {
        match self.kind {
            Kind::Zlib(_) => FLAG_ZLIB,
            Kind::Lzo(_) => FLAG_LZO,
            Kind::Snappy(_) => FLAG_SNAPPY,
        }
    }

    /// The data to be stored for a page, and their flag: 0 if they are the page itself, since
    /// nothing was gained.
    pub fn compress<'a>(&'a mut self, page: &'a [u8]) -> (&'a [u8], u32) {
        self.buffer.clear();
        let smaller = match &mut self.kind {
            Kind::Zlib(zlib) => {
                zlib.reset();
                self.buffer.reserve(page.len());
                // The end does not come if it does not fit.
                let status = zlib.compress_vec(page, &mut self.buffer, FlushCompress::Finish);
                matches!(status, Ok(Status::StreamEnd))
            }
            Kind::Lzo(lzo) => {
                lzo.compress(page, &mut self.buffer);
                true
            }
            Kind::Snappy(snappy) => {
                self.buffer.resize(snap::raw::max_compress_len(page.len()), 0);
                let length = snappy.compress(page, &mut self.buffer);
                self.buffer.truncate(length.as_ref().copied().unwrap_or(0));
                length.is_ok()
            }
        };
        let flag = self.flag();
        if smaller && self.buffer.len() < page.len() { (&self.buffer, flag) } else { (page, 0) }
    }
}
