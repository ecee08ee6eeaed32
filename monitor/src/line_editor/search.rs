//! ctrl-r: a search backward through the lines before, as one types.

/// A search in progress.
#[derive(Debug)]
pub(super) struct Search {
    pattern: String,
    /// The line found last; none if nothing matches.
    found: Option<usize>,
}

/// What becomes of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The search goes on.
    Goes,
    /// It is over, and the line is as it was.
    Cancelled,
    /// It is over, with the line that was found; the key is still to be dealt with.
    Taken,
}

impl Search {
    /// One that has not been told anything yet.
    pub fn new() -> Self {
        Self { pattern: String::new(), found: None }
    }

    /// Takes a key.
    pub fn key(&mut self, byte: u8, history: &[String]) -> Outcome {
        match byte {
            0x12 => self.look(history, self.found.unwrap_or(history.len())),
            8 | 0x7F => {
                self.pattern.pop();
                self.look(history, history.len());
            }
            0x20..=0x7E => {
                self.pattern.push(char::from(byte));
                self.look(history, self.found.map_or(history.len(), |found| found + 1));
            }
            3 | 7 => return Outcome::Cancelled,
            _ => return Outcome::Taken,
        }
        Outcome::Goes
    }

    /// Looks for the newest line before `end` that has the pattern; what was found stays if there
    /// is none.
    fn look(&mut self, history: &[String], end: usize) {
        let found = history[..end].iter().rposition(|line| line.contains(&self.pattern));
        if found.is_some() || self.found.is_some_and(|found| !history[found].contains(&self.pattern)) {
            self.found = found;
        }
    }

    /// The line that was found.
    pub fn line<'a>(&self, history: &'a [String]) -> Option<&'a str> {
        self.found.filter(|_| !self.pattern.is_empty()).map(|found| history[found].as_str())
    }

    /// What the terminal shows instead of prompt and line.
    pub fn text(&self, history: &[String]) -> String {
        let failing = if self.line(history).is_none() && !self.pattern.is_empty() { "failing " } else { "" };
        let line = self.line(history).unwrap_or_default();
        format!("\r\x1b[K({failing}reverse-i-search)`{}': {line}", self.pattern)
    }
}
