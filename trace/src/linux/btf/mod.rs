//! BTF: the types of a Linux kernel, which it carries in its read-only data (Linux,
//! Documentation/bpf/btf.rst).
//!
//! Only what is asked for here is read: where the fields of structures lie.

mod parse;

use parse::Kind;
pub use parse::{BtfError, MAGIC};
use std::collections::BTreeMap;

/// Structures in structures, typedefs of typedefs and the like: no deeper than this.
const MOST_DEPTH: usize = 32;

/// So many members are looked at to find one.
const MOST_MEMBERS: u32 = 1 << 16;

/// The types of a kernel.
#[derive(Debug)]
pub struct Types {
    records: parse::Records,
    /// Structures and unions that are defined, by name.
    structures: BTreeMap<String, u32>,
}

/// Where a field of a structure lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Bytes from the beginning of the structure.
    pub offset: u64,
    /// Its size in bytes; of a bit field, of the bytes that hold it.
    pub size: u64,
    /// Of a bit field: where it begins in those bytes, and how many bits it has.
    pub bits: Option<(u8, u8)>,
}

impl Field {
    /// The value of a field in the bytes of its structure; of at most 8 bytes.
    pub fn value(&self, structure: &[u8]) -> Option<u64> {
        let at = usize::try_from(self.offset).ok()?;
        let size = usize::try_from(self.size).ok().filter(|size| *size <= 8)?;
        let mut bytes = [0; 8];
        bytes[..size].copy_from_slice(structure.get(at..at.checked_add(size)?)?);
        let whole = u64::from_le_bytes(bytes);
        Some(match self.bits {
            Some((shift, width)) => {
                whole >> (shift & 63) & 1u64.checked_shl(width.into()).unwrap_or(0).wrapping_sub(1)
            }
            None => whole,
        })
    }
}

impl Types {
    /// Reads them.
    ///
    /// # Errors
    /// If it is no BTF, or damaged.
    pub fn read(bytes: Vec<u8>) -> Result<Self, BtfError> {
        let records = parse::Records::read(bytes)?;
        let mut structures = BTreeMap::new();
        for id in 1..records.len() {
            if let Some(Kind::Structure { name, .. }) = records.kind(id)
                && !name.is_empty()
            {
                structures.entry(name.to_owned()).or_insert(id);
            }
        }
        Ok(Self { records, structures })
    }

    /// The size of a structure in bytes.
    pub fn size(&self, structure: &str) -> Option<u64> {
        self.size_of(*self.structures.get(structure)?, MOST_DEPTH)
    }

    /// Where a field of a structure lies, as `field("task_struct", "thread.sp")`. Structures and
    /// unions without a name are looked through.
    pub fn field(&self, structure: &str, path: &str) -> Option<Field> {
        let mut id = *self.structures.get(structure)?;
        let mut found = Field { offset: 0, size: 0, bits: None };
        for name in path.split('.') {
            let (member, field) = self.member(id, name)?;
            found = Field { offset: found.offset.checked_add(field.offset)?, ..field };
            id = member;
        }
        Some(found)
    }

    /// The number of elements of an array that is a field, and the size of each in bytes.
    pub fn array(&self, structure: &str, path: &str) -> Option<(u64, u64)> {
        let (before, last) = path.rsplit_once('.').unwrap_or(("", path));
        let mut id = *self.structures.get(structure)?;
        for name in before.split('.').filter(|name| !name.is_empty()) {
            id = self.member(id, name)?.0;
        }
        let array = self.resolve(self.member(id, last)?.0)?;
        match self.records.kind(array)? {
            Kind::Array { element, count } => Some((count.into(), self.size_of(element, MOST_DEPTH)?)),
            _ => None,
        }
    }

    /// What is behind typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> Option<u32> {
        for _ in 0..MOST_DEPTH {
            match self.records.kind(id)? {
                Kind::Alias(to) => id = to,
                _ => return Some(id),
            }
        }
        None
    }

    /// A member of a structure by name: its type and place.
    fn member(&self, id: u32, name: &str) -> Option<(u32, Field)> {
        self.member_within(id, name, MOST_DEPTH, &mut MOST_MEMBERS.clone())
    }

    fn member_within(&self, id: u32, name: &str, depth: usize, left: &mut u32) -> Option<(u32, Field)> {
        let depth = depth.checked_sub(1)?;
        let Kind::Structure { members, .. } = self.records.kind(self.resolve(id)?)? else { return None };
        for member in members {
            *left = left.checked_sub(1)?;
            let here = self.records.text(member.name);
            if here == name {
                return Some((member.id, self.place(&member, depth)?));
            }
            if here.is_empty()
                && let Some((id, inner)) = self.member_within(member.id, name, depth, left)
            {
                let offset = inner.offset.checked_add(u64::from(member.bit_offset / 8))?;
                return Some((id, Field { offset, ..inner }));
            }
        }
        None
    }

    fn place(&self, member: &parse::Member, depth: usize) -> Option<Field> {
        let at = member.bit_offset;
        if member.bits == 0 {
            return Some(Field {
                offset: (at / 8).into(),
                size: self.size_of(member.id, depth)?,
                bits: None,
            });
        }
        let size = (at % 8 + u32::from(member.bits)).div_ceil(8);
        Some(Field { offset: (at / 8).into(), size: size.into(), bits: Some(((at % 8) as u8, member.bits)) })
    }

    fn size_of(&self, id: u32, depth: usize) -> Option<u64> {
        let depth = depth.checked_sub(1)?;
        match self.records.kind(self.resolve(id)?)? {
            Kind::Structure { size, .. } | Kind::Sized(size) => Some(size.into()),
            Kind::Pointer => Some(8),
            Kind::Array { element, count } => self.size_of(element, depth)?.checked_mul(count.into()),
            Kind::Alias(_) | Kind::Other => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BTF of these types; a type is its record's words, names are taken from `strings`.
    pub fn btf(types: &[u32], strings: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x9F, 0xEB, 1, 0];
        let length = 4 * types.len() as u32;
        for word in [24, 0, length, length, strings.len() as u32] {
            bytes.extend(u32::to_le_bytes(word));
        }
        types.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
        bytes.extend(strings);
        bytes
    }

    const STRINGS: &[u8] = b"\0outer\0inner\0a\0b\0";
    const OUTER: u32 = 1;
    const INNER: u32 = 7;
    const A: u32 = 13;
    const B: u32 = 15;

    fn sample() -> Vec<u32> {
        vec![
            // 1: an int of 4 bytes; 2: a pointer to it; 3: an array of 3 of these.
            [0, 1 << 24, 4].as_slice(),
            &[32],
            &[0, 2 << 24, 1],
            &[0, 3 << 24, 0, 2, 1, 3],
            // 4: an unnamed union { a: array at 0 }; 5: struct outer { union at 8; b: 3 bits at 133 }
            &[0, 5 << 24 | 1, 24, A, 3, 0],
            &[OUTER, 1 << 31 | 4 << 24 | 2, 40, 0, 4, 64, B, 1, 3 << 24 | 133],
            // 6: typedef of 5; 7: struct inner { b: 6 at 16 }
            &[0, 8 << 24, 5],
            &[INNER, 4 << 24 | 1, 64, B, 6, 128],
        ]
        .concat()
    }

    #[test]
    fn fields_are_found_through_what_has_no_name() {
        let types = Types::read(btf(&sample(), STRINGS)).unwrap();
        assert_eq!(types.size("outer"), Some(40));
        assert_eq!(types.field("outer", "a"), Some(Field { offset: 8, size: 24, bits: None }));
        assert_eq!(types.field("outer", "b"), Some(Field { offset: 16, size: 1, bits: Some((5, 3)) }));
        assert_eq!(types.field("inner", "b.a"), Some(Field { offset: 24, size: 24, bits: None }));
        assert_eq!(types.array("inner", "b.a"), Some((3, 8)));
        assert_eq!(types.field("outer", "nothing"), None);
        assert_eq!(types.field("nothing", "a"), None);
    }

    #[test]
    fn bit_fields_are_taken_out() {
        let field = Field { offset: 1, size: 1, bits: Some((5, 3)) };
        assert_eq!(field.value(&[0, 0b1010_0000]), Some(0b101));
        assert_eq!(field.value(&[0]), None);
    }

    #[test]
    fn damage_is_an_error_or_nothing() {
        let good = btf(&sample(), STRINGS);
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                if let Ok(types) = Types::read(bad) {
                    let _ = (types.field("outer", "a"), types.field("inner", "b.a"), types.size("outer"));
                    let _ = types.array("outer", "a");
                }
            }
            assert!(Types::read(good[..at].to_vec()).is_err() || at == good.len());
        }
    }

    #[test]
    fn a_structure_within_itself_has_no_end_and_is_nothing() {
        // 1: struct outer { unnamed: 1 }
        let types = Types::read(btf(&[OUTER, 4 << 24 | 1, 8, 0, 1, 0], STRINGS)).unwrap();
        assert_eq!(types.field("outer", "a"), None);
    }
}
