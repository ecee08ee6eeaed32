//! The text of one value to the value (RFC 8259, and strings in single quotes).

use super::{JsonError, MAX_DEPTH};
use serde_json::{Map, Number, Value};

/// Reads one value.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &[u8]) -> Result<Value, JsonError> {
    let mut parser = Parser { rest: text };
    let value = parser.value(0)?;
    parser.space();
    match parser.rest {
        [] => Ok(value),
        _ => Err(error("unexpected text after the value")),
    }
}

fn error(what: &str) -> JsonError {
    JsonError(what.to_owned())
}

struct Parser<'a> {
    rest: &'a [u8],
}

impl<'a> Parser<'a> {
    fn space(&mut self) {
        let end = self.rest.iter().position(|b| !b" \t\r\n".contains(b)).unwrap_or(self.rest.len());
        self.rest = &self.rest[end..];
    }

    fn peek(&mut self) -> Option<u8> {
        self.space();
        self.rest.first().copied()
    }

    /// Takes `byte` if it comes next.
    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        if there {
            self.rest = &self.rest[1..];
        }
        there
    }

    fn value(&mut self, depth: usize) -> Result<Value, JsonError> {
        if depth > MAX_DEPTH {
            return Err(error("too deeply nested"));
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"' | b'\'') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'a'..=b'z' | b'A'..=b'Z') => self.word(),
            _ => Err(error("expecting value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.take(b'{');
        let mut map = Map::new();
        if self.take(b'}') {
            return Ok(Value::Object(map));
        }
        loop {
            if !matches!(self.peek(), Some(b'"' | b'\'')) {
                return Err(error("key is not a string in object"));
            }
            let key = self.string()?;
            if !self.take(b':') {
                return Err(error("missing : in object pair"));
            }
            let value = self.value(depth + 1)?;
            if map.insert(key, value).is_some() {
                return Err(error("duplicate key"));
            }
            if self.take(b'}') {
                return Ok(Value::Object(map));
            }
            if !self.take(b',') {
                return Err(error("expected separator in dict"));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, JsonError> {
        self.take(b'[');
        let mut list = Vec::new();
        if self.take(b']') {
            return Ok(Value::Array(list));
        }
        loop {
            list.push(self.value(depth + 1)?);
            if self.take(b']') {
                return Ok(Value::Array(list));
            }
            if !self.take(b',') {
                return Err(error("expected separator in list"));
            }
        }
    }

    fn word(&mut self) -> Result<Value, JsonError> {
        let end = self.rest.iter().position(|b| !b.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word {
            b"true" => Ok(Value::Bool(true)),
            b"false" => Ok(Value::Bool(false)),
            b"null" => Ok(Value::Null),
            _ => Err(error(&format!("invalid keyword '{}'", String::from_utf8_lossy(word)))),
        }
    }

    /// Integers of 64 bits are exact; all other numbers are of double precision.
    fn number(&mut self) -> Result<Value, JsonError> {
        let is_part = |b: &u8| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E');
        let end = self.rest.iter().position(|b| !is_part(b)).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        let text = std::str::from_utf8(text).unwrap_or_default();
        let digits = text.strip_prefix('-').unwrap_or(text);
        let leading_zero =
            digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit();
        let bad = !digits.starts_with(|c: char| c.is_ascii_digit())
            || leading_zero
            || text.ends_with(['.', 'e', 'E', '+', '-'])
            || text.contains(".e")
            || text.contains(".E");
        let number = match text {
            _ if bad => None,
            _ if let Ok(n) = text.parse::<u64>() => Some(n.into()),
            _ if let Ok(n) = text.parse::<i64>() => Some(n.into()),
            _ => text.parse::<f64>().ok().and_then(Number::from_f64),
        };
        number.map(Value::Number).ok_or_else(|| error("invalid number"))
    }

    fn string(&mut self) -> Result<String, JsonError> {
        let quote = self.rest[0];
        let mut text = Vec::new();
        let mut at = 1;
        loop {
            match *self.rest.get(at).ok_or_else(|| error("unterminated string"))? {
                b'\\' => at += self.escape(at + 1, &mut text)? + 1,
                byte if byte == quote => break,
                byte if byte < 0x20 => return Err(error("control character in string")),
                byte => {
                    text.push(byte);
                    at += 1;
                }
            }
        }
        self.rest = &self.rest[at + 1..];
        String::from_utf8(text).map_err(|_| error("invalid UTF-8 sequence in string"))
    }

    /// What follows a backslash; returns how many bytes it is.
    fn escape(&self, at: usize, text: &mut Vec<u8>) -> Result<usize, JsonError> {
        let simple = match self.rest.get(at) {
            Some(c @ (b'"' | b'\'' | b'\\' | b'/')) => *c,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.unicode(at + 1, text).map(|n| n + 1),
            _ => return Err(error("invalid escape sequence in string")),
        };
        text.push(simple);
        Ok(1)
    }

    /// Four hexadecimal digits, or a pair of surrogates; returns how many bytes.
    fn unicode(&self, at: usize, text: &mut Vec<u8>) -> Result<usize, JsonError> {
        let unit = |at: usize| -> Option<u32> {
            let digits = std::str::from_utf8(self.rest.get(at..at + 4)?).ok()?;
            digits.chars().all(|c| c.is_ascii_hexdigit()).then_some(())?;
            u32::from_str_radix(digits, 16).ok()
        };
        let bad = || error("invalid unicode escape in string");
        let first = unit(at).ok_or_else(bad)?;
        let (code, length) = match first {
            0xD800..=0xDBFF => {
                let second =
                    self.rest.get(at + 4..at + 6).filter(|&t| t == b"\\u").and_then(|_| unit(at + 6));
                let low = second.filter(|low| (0xDC00..0xE000).contains(low)).ok_or_else(bad)?;
                (0x1_0000 + ((first - 0xD800) << 10) + (low - 0xDC00), 10)
            }
            _ => (first, 4),
        };
        let c = char::from_u32(code).filter(|&c| c != '\0').ok_or_else(bad)?;
        text.extend(c.encode_utf8(&mut [0; 4]).bytes());
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ok(text: &str, value: Value) {
        assert_eq!(parse(text.as_bytes()), Ok(value), "{text}");
    }

    fn bad(text: &[u8], why: &str) {
        assert_eq!(parse(text), Err(error(why)), "{}", String::from_utf8_lossy(text));
    }

    #[test]
    fn values() {
        ok(" {'a': [1, -2, 1.5, \"x\", true, null]} ", json!({"a": [1, -2, 1.5, "x", true, null]}));
        ok("18446744073709551615", json!(u64::MAX));
        ok("18446744073709551616", json!(18446744073709551616.0));
        ok("-9223372036854775808", json!(i64::MIN));
        ok(r#""\u00e9\ud83d\ude00\n\/""#, json!("é😀\n/"));
        ok(r#"'it\'s'"#, json!("it's"));
        ok("{}", json!({}));
        ok("[]", json!([]));
    }

    #[test]
    fn errors() {
        bad(b"{\"execute\": }", "expecting value");
        bad(b"", "expecting value");
        bad(b"]", "expecting value");
        bad(b"foo", "invalid keyword 'foo'");
        bad(b"{1: 2}", "key is not a string in object");
        bad(b"{\"a\" 2}", "missing : in object pair");
        bad(b"{\"a\": 2 \"b\"}", "expected separator in dict");
        bad(b"[1 2]", "expected separator in list");
        bad(b"{\"a\": 1, \"a\": 2}", "duplicate key");
        bad(b"{}x", "unexpected text after the value");
        bad(b"\"\x01\"", "control character in string");
        bad(b"\"\xFE\"", "invalid UTF-8 sequence in string");
        bad(b"\"\\x\"", "invalid escape sequence in string");
        for text in
            [r#""\ud800""#, r#""\ud800\u0041""#, r#""\udc00""#, r#""\u12""#, r#""\u+123""#, r#""\u0000""#]
        {
            bad(text.as_bytes(), "invalid unicode escape in string");
        }
        for text in ["-", "01", "1.", "1e", "1.e5", "--1", "1-2", "1e999"] {
            bad(text.as_bytes(), "invalid number");
        }
        bad(&[b'['; MAX_DEPTH + 2], "too deeply nested");
    }
}
