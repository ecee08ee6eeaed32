//! Numbers of variable length (LEB128), and a reader that never goes beyond what is there.

use super::TraceFileError;

/// The most bytes of a number.
pub const LONGEST: usize = 10;

/// Writes a number to the beginning of `room`, where [`LONGEST`] bytes must be; how many it takes.
#[inline(always)]
pub fn write(room: &mut [u8], mut value: u64) -> usize {
    let room = &mut room[..LONGEST];
    let mut n = 0;
    while value >= 0x80 && n < LONGEST - 1 {
        room[n] = value as u8 | 0x80;
        value >>= 7;
        n += 1;
    }
    room[n] = value as u8;
    n + 1
}

/// A difference as a number that is small if it is near 0.
#[inline(always)]
pub fn zigzag(difference: u64) -> u64 {
    let n = difference as i64;
    ((n << 1) ^ (n >> 63)) as u64
}

/// Appends a number.
#[inline]
pub fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a difference.
#[inline]
pub fn put_signed(out: &mut Vec<u8>, difference: u64) {
    put(out, zigzag(difference));
}

/// Appends a text.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_section(out, text.as_bytes());
}

/// Appends bytes with their length.
pub fn put_section(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// What is left to be read of a body.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    #[inline]
    pub fn byte(&mut self) -> Result<u8, TraceFileError> {
        let (&first, rest) = self.0.split_first().ok_or(TraceFileError::Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(first)
    }

    /// A number.
    #[inline]
    pub fn number(&mut self) -> Result<u64, TraceFileError> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(TraceFileError::Malformed("a number of more than 64 bits"))
    }

    /// A number that must not be above `most`.
    pub fn at_most(&mut self, most: u64) -> Result<usize, TraceFileError> {
        let number = self.number()?;
        if number > most {
            return Err(TraceFileError::Malformed("a number beyond its limit"));
        }
        Ok(number as usize)
    }

    /// A difference.
    #[inline]
    pub fn signed(&mut self) -> Result<u64, TraceFileError> {
        let n = self.number()?;
        Ok((n >> 1) ^ (n & 1).wrapping_neg())
    }

    /// Bytes with their length.
    pub fn section(&mut self) -> Result<Input<'a>, TraceFileError> {
        let len = self.at_most(self.0.len() as u64)?;
        let (section, rest) =
            self.0.split_at_checked(len).ok_or(TraceFileError::Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(Input(section))
    }

    /// A text.
    pub fn text(&mut self) -> Result<String, TraceFileError> {
        let bytes = self.section()?.0;
        let text =
            std::str::from_utf8(bytes).map_err(|_| TraceFileError::Malformed("text that is no UTF-8"))?;
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 0x7F, 0x80, 0x3FFF, 0x4000, u64::MAX >> 1, u64::MAX] {
            let mut out = Vec::new();
            put(&mut out, value);
            let mut room = [0; LONGEST];
            let len = write(&mut room, value);
            assert_eq!(room[..len], out[out.len() - len..]);
            put_signed(&mut out, value);
            let mut input = Input(&out);
            assert_eq!((input.number().unwrap(), input.signed().unwrap()), (value, value));
            assert!(input.is_empty());
        }
        assert!(Input(&[0x80; 11]).number().is_err());
        assert!(Input(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2]).number().is_err());
        assert!(Input(&[5, 1]).section().is_err());
    }
}
