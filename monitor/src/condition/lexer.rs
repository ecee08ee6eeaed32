//! The words of a condition.

use super::ConditionError;

/// A word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Number(u64),
    Name(String),
    /// What stands between slashes.
    Regex(String),
    Symbol(&'static str),
    End,
}

/// A word with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub word: Word,
    pub at: usize,
}

/// Longer ones first.
const SYMBOLS: [&str; 26] = [
    "&&", "||", "==", "!=", "<=", ">=", "<<", ">>", "<", ">", "!", "~", "+", "-", "*", "/", "%", "&", "|",
    "^", "(", ")", "[", "]", ":", "@",
];

/// All words of a text, the end last.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, ConditionError> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut at = 0;
    loop {
        at += text[at..].len() - text[at..].trim_start().len();
        let rest = &text[at..];
        let Some(first) = rest.chars().next() else {
            tokens.push(Token { word: Word::End, at });
            return Ok(tokens);
        };
        // After `~` a slash begins a pattern; elsewhere it divides.
        let after_tilde = tokens.last().is_some_and(|t| t.word == Word::Symbol("~"));
        let (word, length) = if first == '/' && after_tilde {
            regex(text, at)?
        } else if first.is_ascii_digit() {
            number(text, at)?
        } else if first == '\'' {
            character(text, at)?
        } else if first.is_ascii_alphabetic() || first == '_' || first == '$' {
            name(rest)
        } else if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            (Word::Symbol(symbol), symbol.len())
        } else {
            return Err(ConditionError::new(text, at, format!("'{first}' has no meaning here")));
        };
        tokens.push(Token { word, at });
        at += length;
    }
}

/// `$rax` is as good as `rax`.
fn name(rest: &str) -> (Word, usize) {
    let bare = rest.strip_prefix('$').unwrap_or(rest);
    let end = bare.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(bare.len());
    (Word::Name(bare[..end].to_owned()), rest.len() - bare.len() + end)
}

fn number(text: &str, at: usize) -> Result<(Word, usize), ConditionError> {
    let rest = &text[at..];
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    let digits = rest[..end].replace('_', "").to_ascii_lowercase();
    let parsed = if let Some(hex) = digits.strip_prefix("0x") {
        u64::from_str_radix(hex, 16)
    } else if let Some(binary) = digits.strip_prefix("0b") {
        u64::from_str_radix(binary, 2)
    } else {
        digits.parse()
    };
    let value = parsed.map_err(|_| {
        ConditionError::new(text, at, format!("'{}' is no number of at most 64 bits", &rest[..end]))
    })?;
    Ok((Word::Number(value), end))
}

fn character(text: &str, at: usize) -> Result<(Word, usize), ConditionError> {
    let mut chars = text[at + 1..].chars();
    match (chars.next(), chars.next()) {
        (Some(c), Some('\'')) => Ok((Word::Number(u64::from(u32::from(c))), 2 + c.len_utf8())),
        _ => Err(ConditionError::new(text, at, "a character stands between two quotes, as in 'c'")),
    }
}

/// Up to the next slash; `\/` is a slash in it.
fn regex(text: &str, at: usize) -> Result<(Word, usize), ConditionError> {
    let mut pattern = String::new();
    let mut chars = text[at + 1..].char_indices();
    while let Some((k, c)) = chars.next() {
        match c {
            '/' => return Ok((Word::Regex(pattern), k + 2)),
            '\\' => match chars.next() {
                Some((_, '/')) => pattern.push('/'),
                Some((_, other)) => pattern.extend(['\\', other]),
                None => break,
            },
            other => pattern.push(other),
        }
    }
    Err(ConditionError::new(text, at, "the pattern has no end: a slash is missing"))
}
