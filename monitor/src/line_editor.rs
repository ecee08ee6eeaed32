//! A line editor that is fed byte by byte and says what to echo: it opens nothing and never
//! blocks, so that it works on any terminal that the monitor shares with a console.

/// What came of a byte.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// What to write to the terminal.
    pub echo: String,
    /// The line, if the byte ended one.
    pub line: Option<String>,
}

/// The longest line, in bytes; what is typed beyond is ignored.
const MAX_LINE_BYTES: usize = 4095;
/// How many lines are remembered.
const MAX_HISTORY: usize = 64;

/// The line being typed, and those before it.
#[derive(Debug, Default)]
pub struct LineEditor {
    line: Vec<char>,
    cursor: usize,
    history: Vec<String>,
    /// The place in the history; its length is the new line.
    recalled: usize,
    escape: Escape,
}

/// How far into an escape sequence of the terminal we are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    Started,
    Sequence,
}

impl LineEditor {
    /// Takes a byte that was typed. `complete` gives all that could stand for a prefix.
    pub fn push(&mut self, byte: u8, complete: &dyn Fn(&str) -> Vec<String>) -> Edit {
        let mut edit = Edit::default();
        match (self.escape, byte) {
            (Escape::Started, b'[' | b'O') => self.escape = Escape::Sequence,
            (Escape::Started, _) => self.escape = Escape::None,
            (Escape::Sequence, b'0'..=b'9' | b';') => {}
            (Escape::Sequence, _) => {
                self.escape = Escape::None;
                self.arrow(byte, &mut edit);
            }
            (Escape::None, _) => self.key(byte, complete, &mut edit),
        }
        edit
    }

    fn arrow(&mut self, byte: u8, edit: &mut Edit) {
        match byte {
            b'A' => self.recall(-1, edit),
            b'B' => self.recall(1, edit),
            b'C' => self.move_to((self.cursor + 1).min(self.line.len()), edit),
            b'D' => self.move_to(self.cursor.saturating_sub(1), edit),
            b'H' => self.move_to(0, edit),
            b'F' => self.move_to(self.line.len(), edit),
            _ => {}
        }
    }

    fn key(&mut self, byte: u8, complete: &dyn Fn(&str) -> Vec<String>, edit: &mut Edit) {
        match byte {
            b'\r' | b'\n' => self.enter(edit),
            8 | 0x7F if self.cursor > 0 => self.replace(self.cursor - 1, self.cursor, &[], edit),
            4 if self.cursor < self.line.len() => self.replace(self.cursor, self.cursor + 1, &[], edit),
            b'\t' => self.complete(complete, edit),
            1 => self.move_to(0, edit),
            2 => self.arrow(b'D', edit),
            5 => self.move_to(self.line.len(), edit),
            6 => self.arrow(b'C', edit),
            11 => self.replace(self.cursor, self.line.len(), &[], edit),
            14 => self.recall(1, edit),
            16 => self.recall(-1, edit),
            3 | 21 => self.replace(0, self.line.len(), &[], edit),
            0x1B => self.escape = Escape::Started,
            0x20..=0x7E if self.line.len() < MAX_LINE_BYTES => {
                self.replace(self.cursor, self.cursor, &[char::from(byte)], edit);
            }
            _ => {}
        }
    }

    fn enter(&mut self, edit: &mut Edit) {
        let line: String = self.line.drain(..).collect();
        self.cursor = 0;
        edit.echo.push_str("\r\n");
        if !line.trim().is_empty() && self.history.last() != Some(&line) {
            self.history.push(line.clone());
            if self.history.len() > MAX_HISTORY {
                self.history.remove(0);
            }
        }
        self.recalled = self.history.len();
        edit.line = Some(line);
    }

    /// Puts `with` in the place of `[from, to)`, and redraws from there on.
    fn replace(&mut self, from: usize, to: usize, with: &[char], edit: &mut Edit) {
        self.move_to(from, edit);
        self.line.splice(from..to, with.iter().copied());
        self.cursor = from + with.len();
        edit.echo.extend(&self.line[from..]);
        edit.echo.push_str("\x1b[K");
        left(self.line.len() - self.cursor, &mut edit.echo);
    }

    fn move_to(&mut self, place: usize, edit: &mut Edit) {
        if place < self.cursor {
            left(self.cursor - place, &mut edit.echo);
        } else {
            edit.echo.extend(&self.line[self.cursor..place]);
        }
        self.cursor = place;
    }

    fn recall(&mut self, by: isize, edit: &mut Edit) {
        let Some(place) = self.recalled.checked_add_signed(by).filter(|&p| p <= self.history.len()) else {
            return;
        };
        self.recalled = place;
        let line: Vec<char> = self.history.get(place).map(|l| l.chars().collect()).unwrap_or_default();
        self.replace(0, self.line.len(), &line, edit);
    }

    fn complete(&mut self, complete: &dyn Fn(&str) -> Vec<String>, edit: &mut Edit) {
        let prefix: String = self.line[..self.cursor].iter().collect();
        let candidates = complete(&prefix);
        match candidates.as_slice() {
            [] => {}
            [one] => {
                let mut rest: Vec<char> = one.chars().skip(prefix.chars().count()).collect();
                rest.push(' ');
                self.replace(self.cursor, self.cursor, &rest, edit);
            }
            many => {
                let common = common_prefix(many);
                let rest: Vec<char> = common.chars().skip(prefix.chars().count()).collect();
                self.replace(self.cursor, self.cursor, &rest, edit);
            }
        }
    }
}

fn left(columns: usize, echo: &mut String) {
    if columns > 0 {
        echo.push_str(&format!("\x1b[{columns}D"));
    }
}

/// The longest text that all of them start with.
fn common_prefix(words: &[String]) -> String {
    let Some((first, rest)) = words.split_first() else { return String::new() };
    let length = rest.iter().fold(first.len(), |length, word| {
        first.bytes().zip(word.bytes()).take(length).take_while(|(a, b)| a == b).count()
    });
    first[..length].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Vec<String> {
        Vec::new()
    }

    fn typed(editor: &mut LineEditor, bytes: &[u8]) -> Vec<String> {
        bytes.iter().filter_map(|&b| editor.push(b, &nothing).line).collect()
    }

    #[test]
    fn lines_end_at_return() {
        assert_eq!(typed(&mut LineEditor::default(), b"info status\rq\n"), ["info status", "q"]);
    }

    #[test]
    fn backspace_arrows_and_control_keys_edit() {
        let mut editor = LineEditor::default();
        assert_eq!(typed(&mut editor, b"xp\x7f\x1b[D\x01a\x05b\r"), ["axb"]);
        assert_eq!(typed(&mut editor, b"wrong\x15right\r"), ["right"]);
        assert_eq!(typed(&mut editor, b"abc\x01\x0b\r"), [""]);
        assert_eq!(typed(&mut editor, b"abc\x01\x04\r"), ["bc"]);
    }

    #[test]
    fn history_is_recalled_with_the_arrows() {
        let mut editor = LineEditor::default();
        typed(&mut editor, b"one\rtwo\r");
        assert_eq!(typed(&mut editor, b"\x1b[A\x1b[A\r"), ["one"]);
        assert_eq!(typed(&mut editor, b"\x1b[A\x1b[A\x1b[B\r"), ["one"]);
    }

    #[test]
    fn tab_completes_as_far_as_it_is_certain() {
        let words = |prefix: &str| -> Vec<String> {
            ["replay_seek", "replay_break", "stop"]
                .iter()
                .filter(|w| w.starts_with(prefix))
                .map(|w| (*w).to_owned())
                .collect()
        };
        let mut editor = LineEditor::default();
        let mut lines = Vec::new();
        for &b in b"re\ts\t5\r" {
            lines.extend(editor.push(b, &words).line);
        }
        assert_eq!(lines, ["replay_seek 5"]);
    }

    #[test]
    fn the_echo_shows_what_was_typed() {
        let mut editor = LineEditor::default();
        assert_eq!(editor.push(b'a', &nothing).echo, "a\x1b[K");
        assert_eq!(editor.push(0x7F, &nothing).echo, "\x1b[1D\x1b[K");
    }
}
