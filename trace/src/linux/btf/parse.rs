//! The records of BTF.

/// What it begins with.
pub const MAGIC: [u8; 2] = [0x9F, 0xEB];

/// No kernel has more.
const MOST_BYTES: usize = 64 << 20;

/// Why it is no BTF.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BtfError {
    /// It begins otherwise.
    #[error("no BTF, or a version that is not known")]
    Header,
    /// A part lies outside.
    #[error("the BTF is cut off, or its sizes are wrong")]
    Size,
    /// A type of a kind that is not known.
    #[error("BTF type {0} is of kind {1}, which is not known")]
    Kind(u32, u8),
}

/// A member of a structure or union.
pub struct Member {
    /// Where its name is.
    pub name: u32,
    /// Its type.
    pub id: u32,
    /// Where it begins, in bits.
    pub bit_offset: u32,
    /// How many bits it has, if it is a bit field; else 0.
    pub bits: u8,
}

/// A type, as far as layouts go.
pub enum Kind<'a> {
    /// A structure or union.
    Structure { name: &'a str, size: u32, members: Members<'a> },
    /// An array of so many of a type.
    Array { element: u32, count: u32 },
    /// A pointer.
    Pointer,
    /// A typedef or qualifier of a type.
    Alias(u32),
    /// A number or enumeration of so many bytes.
    Sized(u32),
    /// Functions, variables and the like.
    Other,
}

/// All types; type N is at place N, and 0 is void.
#[derive(Debug)]
pub struct Records {
    bytes: Vec<u8>,
    /// Where each record begins.
    offsets: Vec<u32>,
    strings: std::ops::Range<usize>,
}

mod kind {
    pub const INT: u8 = 1;
    pub const POINTER: u8 = 2;
    pub const ARRAY: u8 = 3;
    pub const STRUCTURE: u8 = 4;
    pub const UNION: u8 = 5;
    pub const ENUM: u8 = 6;
    pub const FORWARD: u8 = 7;
    pub const TYPEDEF: u8 = 8;
    pub const VOLATILE: u8 = 9;
    pub const CONST: u8 = 10;
    pub const RESTRICT: u8 = 11;
    pub const FUNCTION: u8 = 12;
    pub const PROTOTYPE: u8 = 13;
    pub const VARIABLE: u8 = 14;
    pub const SECTION: u8 = 15;
    pub const FLOAT: u8 = 16;
    pub const DECLARATION_TAG: u8 = 17;
    pub const TYPE_TAG: u8 = 18;
    pub const ENUM64: u8 = 19;
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// How many words follow the three that every record has.
fn further_words(kind: u8, count: usize) -> Option<usize> {
    Some(match kind {
        kind::INT | kind::VARIABLE | kind::DECLARATION_TAG => 1,
        kind::ARRAY => 3,
        kind::STRUCTURE | kind::UNION | kind::SECTION | kind::ENUM64 => 3 * count,
        kind::ENUM | kind::PROTOTYPE => 2 * count,
        kind::POINTER
        | kind::FORWARD
        | kind::TYPEDEF
        | kind::VOLATILE
        | kind::CONST
        | kind::RESTRICT
        | kind::FUNCTION
        | kind::FLOAT
        | kind::TYPE_TAG => 0,
        _ => return None,
    })
}

impl Records {
    /// Reads them.
    pub fn read(bytes: Vec<u8>) -> Result<Self, BtfError> {
        if bytes.get(..3) != Some(&[MAGIC[0], MAGIC[1], 1]) {
            return Err(BtfError::Header);
        }
        let field = |at| word(&bytes, at).map(|value| value as usize).ok_or(BtfError::Size);
        let header = field(4)?;
        let part = |offset: usize, length: usize| {
            let start = header.checked_add(offset).ok_or(BtfError::Size)?;
            let end = start.checked_add(length).filter(|end| *end <= bytes.len().min(MOST_BYTES));
            end.map(|end| start..end).ok_or(BtfError::Size)
        };
        let types = part(field(8)?, field(12)?)?;
        let strings = part(field(16)?, field(20)?)?;
        let mut offsets = vec![0];
        let mut at = types.start;
        while at < types.end {
            let info = word(&bytes, at + 4).ok_or(BtfError::Size)?;
            let kind = (info >> 24 & 31) as u8;
            let further = further_words(kind, (info & 0xFFFF) as usize);
            let further = further.ok_or(BtfError::Kind(offsets.len() as u32, kind))?;
            offsets.push(at as u32);
            at += 4 * (3 + further);
            if at > types.end {
                return Err(BtfError::Size);
            }
        }
        Ok(Self { bytes, offsets, strings })
    }

    /// The number behind the last type.
    pub fn len(&self) -> u32 {
        self.offsets.len() as u32
    }

    /// A name.
    pub fn text(&self, at: u32) -> &str {
        let strings = &self.bytes[self.strings.clone()];
        let rest = strings.get(at as usize..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == 0).unwrap_or(0);
        str::from_utf8(&rest[..end]).unwrap_or_default()
    }

    /// A type; None of void, and if there is none of that number.
    pub fn kind(&self, id: u32) -> Option<Kind<'_>> {
        let at = *self.offsets.get(id as usize).filter(|_| id != 0)? as usize;
        let (name, info) = (word(&self.bytes, at)?, word(&self.bytes, at + 4)?);
        let last = word(&self.bytes, at + 8)?;
        Some(match (info >> 24 & 31) as u8 {
            kind::STRUCTURE | kind::UNION => Kind::Structure {
                name: self.text(name),
                size: last,
                members: Members {
                    bytes: &self.bytes,
                    at: at + 12,
                    left: info & 0xFFFF,
                    fields: info >> 31 != 0,
                },
            },
            kind::ARRAY => {
                Kind::Array { element: word(&self.bytes, at + 12)?, count: word(&self.bytes, at + 20)? }
            }
            kind::POINTER => Kind::Pointer,
            kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                Kind::Alias(last)
            }
            kind::INT | kind::ENUM | kind::ENUM64 | kind::FLOAT => Kind::Sized(last),
            _ => Kind::Other,
        })
    }
}

/// The members of a structure.
pub struct Members<'a> {
    bytes: &'a [u8],
    at: usize,
    left: u32,
    /// Offsets have the sizes of bit fields with them.
    fields: bool,
}

impl Iterator for Members<'_> {
    type Item = Member;

    fn next(&mut self) -> Option<Member> {
        self.left = self.left.checked_sub(1)?;
        let at = self.at;
        self.at += 12;
        let (name, id) = (word(self.bytes, at)?, word(self.bytes, at + 4)?);
        let place = word(self.bytes, at + 8)?;
        let (bit_offset, bits) =
            if self.fields { (place & 0xFF_FFFF, (place >> 24) as u8) } else { (place, 0) };
        Some(Member { name, id, bit_offset, bits })
    }
}
