//! Cuts a stream of bytes into the texts of JSON values, without looking into them further than
//! brackets and quotes; bounded in what it keeps, and in step again after anything.

use super::{JsonError, MAX_DEPTH};

/// The longest text of a value.
const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// A byte that never occurs in UTF-8: clients send it to begin anew.
const RESET: u8 = 0xFF;

/// Where in a value the stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Between tokens.
    #[default]
    Open,
    /// In a string that this quote ends.
    String(u8),
    /// In a string, after a backslash.
    Escape(u8),
    /// In a number or a word.
    Word,
}

/// The bytes of a value that is not complete yet.
#[derive(Debug, Default)]
pub struct Stream {
    text: Vec<u8>,
    place: Place,
    depth: usize,
    /// A value was too large: all is dropped up to the end of it.
    dropping: bool,
}

impl Stream {
    /// Takes the next byte. Gives a value's text when that byte ends it (then `again` says
    /// whether the byte belongs to what follows), or what is wrong.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Result<Vec<u8>, JsonError>> {
        let mut values = Vec::new();
        for &byte in bytes {
            self.byte(byte, &mut values);
        }
        values
    }

    fn byte(&mut self, byte: u8, values: &mut Vec<Result<Vec<u8>, JsonError>>) {
        if byte == RESET {
            if !self.text.is_empty() || self.dropping {
                values.push(Err(JsonError("stray '\\xFF'".into())));
            }
            *self = Self::default();
            return;
        }
        match self.place {
            Place::String(quote) if byte == b'\\' => self.place = Place::Escape(quote),
            Place::String(quote) if byte == quote => {
                self.place = Place::Open;
                self.keep(byte, values);
                self.end_at_top(values);
                return;
            }
            Place::Escape(quote) => self.place = Place::String(quote),
            Place::String(_) => {}
            Place::Word if is_word(byte) => {}
            Place::Open | Place::Word => return self.token(byte, values),
        }
        self.keep(byte, values);
    }

    /// A byte between tokens.
    fn token(&mut self, byte: u8, values: &mut Vec<Result<Vec<u8>, JsonError>>) {
        if self.place == Place::Word {
            self.place = Place::Open;
            self.end_at_top(values);
        }
        match byte {
            b'{' | b'[' => {
                self.depth += 1;
                self.keep(byte, values);
                if self.depth > MAX_DEPTH {
                    self.refuse("too deeply nested", values);
                }
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.keep(byte, values);
                self.end_at_top(values);
            }
            b'"' | b'\'' => {
                self.place = Place::String(byte);
                self.keep(byte, values);
            }
            b' ' | b'\t' | b'\r' | b'\n' => {
                if self.depth > 0 {
                    self.keep(byte, values);
                }
            }
            _ if is_word(byte) => {
                self.place = Place::Word;
                self.keep(byte, values);
            }
            _ => {
                self.keep(byte, values);
                self.end_at_top(values);
            }
        }
    }

    fn keep(&mut self, byte: u8, values: &mut Vec<Result<Vec<u8>, JsonError>>) {
        if self.dropping {
            return;
        }
        self.text.push(byte);
        if self.text.len() > MAX_MESSAGE_BYTES {
            self.refuse("value too large", values);
        }
    }

    /// Says so once, and drops the rest of the value.
    fn refuse(&mut self, why: &str, values: &mut Vec<Result<Vec<u8>, JsonError>>) {
        if !self.dropping {
            values.push(Err(JsonError(why.into())));
        }
        self.text = Vec::new();
        self.dropping = true;
    }

    fn end_at_top(&mut self, values: &mut Vec<Result<Vec<u8>, JsonError>>) {
        if self.depth > 0 {
            return;
        }
        let text = std::mem::take(&mut self.text);
        if !std::mem::take(&mut self.dropping) && !text.is_empty() {
            values.push(Ok(text));
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_') || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(bytes: &[u8]) -> Vec<Result<String, String>> {
        let values = Stream::default().push(bytes);
        values
            .into_iter()
            .map(|v| v.map(|t| String::from_utf8(t).unwrap()).map_err(|e| e.to_string()))
            .collect()
    }

    #[test]
    fn values_need_no_line_ends() {
        assert_eq!(
            cut(b"{\"a\": [1,\n2]}{}  [3]"),
            [Ok("{\"a\": [1,\n2]}".into()), Ok("{}".into()), Ok("[3]".into())]
        );
    }

    #[test]
    fn brackets_in_strings_are_text() {
        assert_eq!(cut(br#"{"}": '"]', 'x': "\"}"}"#), [Ok(r#"{"}": '"]', 'x': "\"}"}"#.into())]);
    }

    #[test]
    fn pieces_join() {
        let mut stream = Stream::default();
        let mut values = Vec::new();
        for byte in b"{\"execute\": \"stop\"} 12 " {
            values.extend(stream.push(&[*byte]));
        }
        assert_eq!(values, [Ok(b"{\"execute\": \"stop\"}".to_vec()), Ok(b"12".to_vec())]);
    }

    #[test]
    fn after_a_reset_byte_all_is_new() {
        assert_eq!(cut(b"{\"a\": [\xFF{}"), [Err("JSON parse error, stray '\\xFF'".into()), Ok("{}".into())]);
        assert_eq!(cut(b"\xFF\xFF{}"), [Ok("{}".into())]);
    }

    #[test]
    fn a_stray_bracket_ends_at_once() {
        assert_eq!(cut(b"]{}"), [Ok("]".into()), Ok("{}".into())]);
    }

    #[test]
    fn too_deep_is_told_once_and_dropped() {
        let mut text = vec![b'['; MAX_DEPTH + 50];
        text.extend(vec![b']'; MAX_DEPTH + 50]);
        text.extend(b"{}");
        assert_eq!(cut(&text), [Err("JSON parse error, too deeply nested".into()), Ok("{}".into())]);
    }

    #[test]
    fn too_large_is_told_once_and_dropped() {
        let mut text = b"[\"".to_vec();
        text.extend(vec![b'a'; MAX_MESSAGE_BYTES * 3]);
        text.extend(b"\"]{}");
        let mut stream = Stream::default();
        let values = stream.push(&text);
        assert_eq!(values, [Err(JsonError("value too large".into())), Ok(b"{}".to_vec())]);
        assert!(stream.text.capacity() < 64);
    }
}
