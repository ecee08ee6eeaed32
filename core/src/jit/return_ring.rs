//! Where returns are expected to go: a ring of return addresses and code, one per call.
//!
//! A call puts its return address there, and the address of a jump of its own block that is linked
//! to the code behind the call. A return that finds its target on top goes to that jump. What is
//! wrong about it costs time, nothing else: the target is compared, and the jump leads to a checked
//! entry point, or out.

/// One call.
#[repr(C)]
#[derive(Clone, Copy)]
struct Entry {
    linear: u64,
    code: u64,
}

/// The size of the ring in bytes: a position is a byte, so that it wraps by itself.
const BYTES: usize = 256;
/// The size of an entry.
pub const ENTRY_BYTES: u8 = size_of::<Entry>() as u8;
/// Offset of the code in an entry; the linear address comes first.
pub const CODE: i32 = std::mem::offset_of!(Entry, code) as i32;

/// The ring.
pub struct ReturnRing(Box<[Entry; BYTES / ENTRY_BYTES as usize]>);

impl ReturnRing {
    /// No call was seen: whoever returns to address 0 goes to `lost`.
    pub fn new(lost: usize) -> Self {
        Self(Box::new([Entry { linear: 0, code: lost as u64 }; _]))
    }

    /// Its host address.
    pub fn address(&self) -> u64 {
        self.0.as_ptr() as u64
    }

    /// Forgets every call.
    pub fn clear(&mut self, lost: usize) {
        self.0.fill(Entry { linear: 0, code: lost as u64 });
    }
}
