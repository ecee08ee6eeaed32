//! The arguments of a command line, taken one by one.

use super::commands::CommandError;

/// What follows a command's name.
#[derive(Debug)]
pub(crate) struct Arguments<'a> {
    rest: &'a str,
}

impl<'a> Arguments<'a> {
    pub fn new(rest: &'a str) -> Self {
        Self { rest: rest.trim() }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next word, if there is one; in quotes it may have blanks.
    pub fn word(&mut self) -> Option<&'a str> {
        if let Some((quoted, rest)) = self.rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
            self.rest = rest.trim_start();
            return Some(quoted);
        }
        let end = self.rest.find(char::is_whitespace).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        (!word.is_empty()).then_some(word)
    }

    /// The next word, which must be there.
    pub fn string(&mut self) -> Result<&'a str, CommandError> {
        if self.rest.starts_with('"') && !self.rest[1..].contains('"') {
            return Err(CommandError::Usage("unterminated string".into()));
        }
        self.word().ok_or(CommandError::StringExpected)
    }

    /// The letters of the next word, if it is an option.
    pub fn option(&mut self) -> Option<&'a str> {
        if !self.rest.starts_with('-') {
            return None;
        }
        self.word().map(|word| &word[1..])
    }

    /// The format that follows a slash, if one does.
    pub fn slash(&mut self) -> Option<&'a str> {
        self.rest = self.rest.strip_prefix('/')?;
        let end = self.rest.find(char::is_whitespace).unwrap_or(self.rest.len());
        let (format, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        Some(format)
    }

    /// All that is left, which stays there.
    pub fn peek(&self) -> &'a str {
        self.rest
    }

    /// All that is left.
    pub fn remainder(&mut self) -> &'a str {
        std::mem::take(&mut self.rest)
    }

    /// Nothing may be left.
    pub fn end(&mut self) -> Result<(), CommandError> {
        match self.remainder() {
            "" => Ok(()),
            option if option.starts_with('-') => Err(CommandError::UnsupportedOption(first_word(option))),
            _ => Err(CommandError::Extraneous),
        }
    }
}

fn first_word(text: &str) -> String {
    text.split_whitespace().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_quotes() {
        let mut arguments = Arguments::new("0 \"a file\" -x  \"\"b");
        let words: Vec<_> = std::iter::from_fn(|| arguments.word()).collect();
        assert_eq!(words, ["0", "a file", "-x", "", "b"]);
        let unterminated = Arguments::new("\"abc").string().unwrap_err();
        assert_eq!(unterminated.text("c", "c"), "unterminated string\nTry \"help c\" for more information\n");
    }
}
