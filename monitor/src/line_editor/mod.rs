//! A line editor that is fed byte by byte and says what to echo: it opens nothing and never
//! blocks, so that it works on any terminal that the monitor shares with a console.

mod search;

use search::{Outcome, Search};

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
/// How wide a list may be: nothing is known of the terminal.
const TERMINAL_COLUMNS: usize = 79;

/// The line being typed, and those before it.
#[derive(Debug, Default)]
pub struct LineEditor {
    line: Vec<char>,
    cursor: usize,
    history: Vec<String>,
    /// The place in the history; its length is the new line.
    recalled: usize,
    escape: Escape,
    /// What stands before the line, where it must be drawn anew.
    prompt: &'static str,
    search: Option<Search>,
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
    /// An editor of lines that stand behind a prompt.
    pub fn new(prompt: &'static str) -> Self {
        Self { prompt, ..Self::default() }
    }

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
        if self.search.is_some() && !self.searched(byte, edit) {
            return;
        }
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
            18 => self.begin_search(edit),
            23 => self.replace(self.word_start(), self.cursor, &[], edit),
            3 | 21 => self.replace(0, self.line.len(), &[], edit),
            0x1B => self.escape = Escape::Started,
            0x20..=0x7E if self.line.len() < MAX_LINE_BYTES => {
                self.replace(self.cursor, self.cursor, &[char::from(byte)], edit);
            }
            _ => {}
        }
    }

    /// Where the word before the cursor begins, with the blanks behind it.
    fn word_start(&self) -> usize {
        let before = &self.line[..self.cursor];
        let end = before.iter().rposition(|c| *c != ' ').map_or(0, |last| last + 1);
        before[..end].iter().rposition(|c| *c == ' ').map_or(0, |blank| blank + 1)
    }

    fn begin_search(&mut self, edit: &mut Edit) {
        let search = Search::new();
        edit.echo.push_str(&search.text(&self.history));
        self.search = Some(search);
    }

    /// Gives a key to the search; true if that is over and the key is still to be dealt with.
    fn searched(&mut self, byte: u8, edit: &mut Edit) -> bool {
        let Some(search) = &mut self.search else { return true };
        let outcome = search.key(byte, &self.history);
        if outcome == Outcome::Goes {
            edit.echo.push_str(&search.text(&self.history));
            return false;
        }
        if outcome == Outcome::Taken
            && let Some(line) = search.line(&self.history)
        {
            self.line = line.chars().collect();
            self.cursor = self.line.len();
        }
        self.search = None;
        edit.echo.push_str("\r\x1b[K");
        self.draw(edit);
        outcome == Outcome::Taken
    }

    /// Shows prompt and line.
    fn draw(&self, edit: &mut Edit) {
        edit.echo.push_str(self.prompt);
        edit.echo.extend(&self.line);
        left(self.line.len() - self.cursor, &mut edit.echo);
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
                // Behind a folder comes what is in it.
                if rest.last().or(self.line.last()) != Some(&'/') {
                    rest.push(' ');
                }
                self.replace(self.cursor, self.cursor, &rest, edit);
            }
            many => {
                let common = common_prefix(many);
                let rest: Vec<char> = common.chars().skip(prefix.chars().count()).collect();
                if rest.is_empty() {
                    edit.echo.push_str(&list_text(&prefix, many));
                    self.draw(edit);
                } else {
                    self.replace(self.cursor, self.cursor, &rest, edit);
                }
            }
        }
    }
}

fn left(columns: usize, echo: &mut String) {
    if columns > 0 {
        echo.push_str(&format!("\x1b[{columns}D"));
    }
}

/// What could stand there, in columns: of each the last word alone.
fn list_text(prefix: &str, many: &[String]) -> String {
    let start = prefix.rfind([' ', '$']).map_or(0, |at| at + 1);
    let words: Vec<&str> = many.iter().map(|line| line.get(start..).unwrap_or(line)).collect();
    let width = words.iter().map(|word| word.len()).max().unwrap_or(0) + 2;
    let columns = (TERMINAL_COLUMNS / width).max(1);
    let mut text = String::from("\r\n");
    for row in words.chunks(columns) {
        let cells: String = row.iter().map(|word| format!("{word:width$}")).collect();
        text.push_str(cells.trim_end());
        text.push_str("\r\n");
    }
    text
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
    fn words_are_taken_back() {
        let mut editor = LineEditor::default();
        assert_eq!(typed(&mut editor, b"one two  \x17three\r"), ["one three"]);
        assert_eq!(typed(&mut editor, b"\x17one\x17\x17two\x01\x17\r"), ["two"]);
        assert_eq!(typed(&mut editor, b"one two\x1b[D\x17\r"), ["one o"]);
    }

    #[test]
    fn history_is_searched_backward() {
        let mut editor = LineEditor::new("> ");
        typed(&mut editor, b"info mem\rxp 5\rinfo tlb\r");
        assert_eq!(typed(&mut editor, b"\x12info\r"), ["info tlb"]);
        assert_eq!(typed(&mut editor, b"\x12info\x12\r"), ["info mem"]);
        assert_eq!(typed(&mut editor, b"\x12info m\x7ft\x05x\r"), ["info tlbx"]);
        // A search that is given up, and one that finds nothing, leave the line alone.
        assert_eq!(typed(&mut editor, b"abc\x12xp\x07\r"), ["abc"]);
        assert_eq!(typed(&mut editor, b"abc\x12nosuch\r"), ["abc"]);
        assert_eq!(typed(&mut editor, b"abc\x12\x12\r"), ["abc"]);
        assert_eq!(editor.push(0x12, &nothing).echo, "\r\x1b[K(reverse-i-search)`': ");
        assert_eq!(editor.push(b'5', &nothing).echo, "\r\x1b[K(reverse-i-search)`5': xp 5");
        assert_eq!(editor.push(b'6', &nothing).echo, "\r\x1b[K(failing reverse-i-search)`56': ");
        assert_eq!(editor.push(7, &nothing).echo, "\r\x1b[K> ");
    }

    #[test]
    fn tab_lists_what_is_not_certain() {
        let words = |prefix: &str| -> Vec<String> { ["a", "b/"].map(|w| format!("{prefix}{w}")).into() };
        let mut editor = LineEditor::new("> ");
        editor.push(b'x', &nothing);
        editor.push(b' ', &nothing);
        assert_eq!(editor.push(b'\t', &words).echo, "\r\na   b/\r\n> x ");
        let folder = |prefix: &str| vec![format!("{prefix}dir/")];
        editor.push(b'\t', &folder);
        assert_eq!(typed(&mut editor, b"f\r"), ["x dir/f"]);
    }

    #[test]
    fn the_echo_shows_what_was_typed() {
        let mut editor = LineEditor::default();
        assert_eq!(editor.push(b'a', &nothing).echo, "a\x1b[K");
        assert_eq!(editor.push(0x7F, &nothing).echo, "\x1b[1D\x1b[K");
    }
}
