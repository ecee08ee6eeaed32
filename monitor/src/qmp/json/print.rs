//! A value as text: one line, ASCII only, a space after each comma and colon.

use serde_json::Value;
use std::fmt::Write as _;

/// The value's text.
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    push(value, &mut out);
    out
}

fn push(value: &Value, out: &mut String) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            let _ = write!(out, "{value}");
        }
        Value::String(text) => string(text, out),
        Value::Array(list) => {
            out.push('[');
            for (n, item) in list.iter().enumerate() {
                out.push_str(if n > 0 { ", " } else { "" });
                push(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (n, (key, item)) in map.iter().enumerate() {
                out.push_str(if n > 0 { ", " } else { "" });
                string(key, out);
                out.push_str(": ");
                push(item, out);
            }
            out.push('}');
        }
    }
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(c),
            _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(out, "\\u{unit:04X}");
            }),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;
    use serde_json::json;

    #[test]
    fn output_is_ascii_on_one_line() {
        let value = json!({"a": [1, "é\n😀\u{7f}"], "b": {}});
        let text = text(&value);
        assert_eq!(text, r#"{"a": [1, "\u00E9\n\uD83D\uDE00\u007F"], "b": {}}"#);
        assert_eq!(parse(text.as_bytes()), Ok(value));
    }
}
