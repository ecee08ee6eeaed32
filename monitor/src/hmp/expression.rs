//! Expressions as QEMU's monitor has them: numbers in C notation, `'c'`, `$register`, symbols,
//! parentheses, unary `+ - ~`, and from weak to strong: `+ -`, `& | ^`, `* / %`.

use super::commands::CommandError;
use super::registers;
use dejavm_core::cpu::CpuState;
use dejavm_trace::linux::Symbols;

/// How deep parentheses and signs may nest.
const MAX_DEPTH: usize = 64;

/// Whether an expression has the name of a symbol in it.
pub(crate) fn has_name(text: &str) -> bool {
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '$' => &after[take_while(after, is_of_name).len()..],
            '\'' => after.split_once('\'').map_or("", |(_, rest)| rest),
            c if c.is_ascii_digit() => &after[take_while(after, is_of_name).len()..],
            c if begins_name(c) => return true,
            _ => after,
        };
    }
    false
}

fn begins_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '.'
}

/// The value of an expression over the registers of a vCPU, and names if there are any.
///
/// # Errors
/// What is wrong with it, in QEMU's words.
pub(crate) fn evaluate(text: &str, cpu: &CpuState, symbols: Option<&Symbols>) -> Result<u64, CommandError> {
    let mut parser = Parser { rest: text.trim_start(), cpu, symbols, depth: 0 };
    let value = parser.sum()?;
    match parser.rest {
        "" => Ok(value),
        _ => Err(CommandError::Extraneous),
    }
}

struct Parser<'a> {
    rest: &'a str,
    cpu: &'a CpuState,
    symbols: Option<&'a Symbols>,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn sum(&mut self) -> Result<u64, CommandError> {
        let mut value = self.logic()?;
        while let Some(operator) = self.operator(&['+', '-']) {
            let right = self.logic()?;
            value = if operator == '+' { value.wrapping_add(right) } else { value.wrapping_sub(right) };
        }
        Ok(value)
    }

    fn logic(&mut self) -> Result<u64, CommandError> {
        let mut value = self.product()?;
        while let Some(operator) = self.operator(&['&', '|', '^']) {
            let right = self.product()?;
            value = match operator {
                '&' => value & right,
                '|' => value | right,
                _ => value ^ right,
            };
        }
        Ok(value)
    }

    fn product(&mut self) -> Result<u64, CommandError> {
        let mut value = self.unary()?;
        while let Some(operator) = self.operator(&['*', '/', '%']) {
            let right = self.unary()?;
            value = match operator {
                '*' => value.wrapping_mul(right),
                _ if right == 0 => return Err(usage("division by zero")),
                '/' => value / right,
                _ => value % right,
            };
        }
        Ok(value)
    }

    fn unary(&mut self) -> Result<u64, CommandError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(usage("expression nested too deeply"));
        }
        let value = match self.operator(&['+', '-', '~', '(']) {
            Some('+') => self.unary(),
            Some('-') => self.unary().map(u64::wrapping_neg),
            Some('~') => self.unary().map(|v| !v),
            Some(_) => self.parenthesised(),
            None => self.primary(),
        }?;
        self.depth -= 1;
        Ok(value)
    }

    fn parenthesised(&mut self) -> Result<u64, CommandError> {
        let value = self.sum()?;
        match self.operator(&[')']) {
            Some(_) => Ok(value),
            None => Err(usage("')' expected")),
        }
    }

    fn primary(&mut self) -> Result<u64, CommandError> {
        match self.rest.chars().next() {
            None => Err(usage("unexpected end of expression")),
            Some('\'') => self.character(),
            Some('$') => self.register(),
            Some(c) if c.is_ascii_digit() => self.number(),
            Some(c) => match self.symbols.filter(|_| begins_name(c)) {
                Some(symbols) => self.symbol(symbols),
                None => Err(usage(&format!("invalid char '{c}' in expression"))),
            },
        }
    }

    fn symbol(&mut self, symbols: &Symbols) -> Result<u64, CommandError> {
        let name = take_while(self.rest, is_of_name);
        let value = symbols.address(name).ok_or_else(|| usage(&format!("unknown symbol '{name}'")))?;
        self.skip(name.len());
        Ok(value)
    }

    fn character(&mut self) -> Result<u64, CommandError> {
        let mut chars = self.rest[1..].chars();
        match (chars.next(), chars.next()) {
            (Some(c), Some('\'')) => {
                self.skip(2 + c.len_utf8());
                Ok(u64::from(u32::from(c)))
            }
            _ => Err(usage("missing terminating ' character")),
        }
    }

    fn register(&mut self) -> Result<u64, CommandError> {
        let name: &str = take_while(&self.rest[1..], |c| c.is_ascii_alphanumeric() || c == '_');
        let value = registers::value(self.cpu, name).ok_or_else(|| usage("unknown register"))?;
        self.skip(1 + name.len());
        Ok(value)
    }

    fn number(&mut self) -> Result<u64, CommandError> {
        let (prefix, radix) = match self.rest.as_bytes() {
            [b'0', b'x' | b'X', ..] => (2, 16),
            [b'0', b'0'..=b'9', ..] => (1, 8),
            _ => (0, 10),
        };
        let digits = take_while(&self.rest[prefix..], |c| c.is_digit(radix));
        let after = self.rest[prefix + digits.len()..].chars().next();
        if digits.is_empty() || after.is_some_and(char::is_alphanumeric) {
            return Err(usage(&format!("invalid char '{}' in expression", after.unwrap_or('x'))));
        }
        let value = u64::from_str_radix(digits, radix).map_err(|_| usage("number too large"))?;
        self.skip(prefix + digits.len());
        Ok(value)
    }

    /// Takes one of these characters, if it is next.
    fn operator(&mut self, which: &[char]) -> Option<char> {
        let c = self.rest.chars().next().filter(|c| which.contains(c))?;
        self.skip(1);
        Some(c)
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest[bytes..].trim_start();
    }
}

fn take_while(text: &str, good: impl Fn(char) -> bool) -> &str {
    &text[..text.find(|c| !good(c)).unwrap_or(text.len())]
}

fn usage(message: &str) -> CommandError {
    CommandError::Usage(message.to_owned())
}
