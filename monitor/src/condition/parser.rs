//! From words to an expression: recursive descent, one level for each strength of operators.

use super::lexer::Word;
use super::{Binary, Condition, ConditionError, Expr, Pattern, Token, Unary, registers};
use regex::bytes::RegexBuilder;

/// How deep an expression may nest.
const MAX_DEPTH: usize = 64;
/// How large a pattern may become.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// The operators, weakest first.
const LEVELS: [&[(&str, Binary)]; 9] = [
    &[("||", Binary::Or)],
    &[("&&", Binary::And)],
    &[
        ("==", Binary::Eq),
        ("!=", Binary::Ne),
        ("<", Binary::Lt),
        ("<=", Binary::Le),
        (">", Binary::Gt),
        (">=", Binary::Ge),
    ],
    &[("|", Binary::BitOr)],
    &[("^", Binary::BitXor)],
    &[("&", Binary::BitAnd)],
    &[("<<", Binary::Shl), (">>", Binary::Shr)],
    &[("+", Binary::Add), ("-", Binary::Sub)],
    &[("*", Binary::Mul), ("/", Binary::Div), ("%", Binary::Rem)],
];

/// The condition that the words are.
pub(super) fn parse(text: &str, tokens: &[Token]) -> Result<Condition, ConditionError> {
    let mut parser = Parser { text, tokens, next: 0, depth: 0, patterns: Vec::new() };
    let root = parser.binary(0)?;
    match parser.peek() {
        Word::End => Ok(Condition { root, patterns: parser.patterns }),
        _ => Err(parser.wrong("an operator is missing before this")),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Token],
    next: usize,
    depth: usize,
    patterns: Vec<Pattern>,
}

impl Parser<'_> {
    fn peek(&self) -> &Word {
        &self.tokens[self.next].word
    }

    fn take(&mut self) -> Word {
        let word = self.peek().clone();
        // The end is never passed.
        self.next = (self.next + 1).min(self.tokens.len() - 1);
        word
    }

    fn wrong(&self, message: impl Into<String>) -> ConditionError {
        self.wrong_at(self.next, message)
    }

    fn wrong_at(&self, token: usize, message: impl Into<String>) -> ConditionError {
        ConditionError::new(self.text, self.tokens[token].at, message)
    }

    fn take_symbol(&mut self, symbol: &str) -> bool {
        let there = matches!(self.peek(), Word::Symbol(s) if *s == symbol);
        if there {
            self.take();
        }
        there
    }

    fn expect(&mut self, symbol: &str) -> Result<(), ConditionError> {
        if self.take_symbol(symbol) {
            Ok(())
        } else {
            Err(self.wrong(format!("'{symbol}' is expected here")))
        }
    }

    fn binary(&mut self, level: usize) -> Result<Expr, ConditionError> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        while let Word::Symbol(symbol) = self.peek() {
            let Some((_, operator)) = operators.iter().find(|(s, _)| s == symbol) else { break };
            self.take();
            left = Expr::Binary(*operator, Box::new(left), Box::new(self.binary(level + 1)?));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr, ConditionError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.wrong("the expression is nested too deeply"));
        }
        let operator = match self.peek() {
            Word::Symbol("!") => Some(Unary::Not),
            Word::Symbol("-") => Some(Unary::Minus),
            Word::Symbol("~") => Some(Unary::Complement),
            _ => None,
        };
        let expr = match operator {
            Some(operator) => {
                self.take();
                Expr::Unary(operator, Box::new(self.unary()?))
            }
            None => self.primary()?,
        };
        self.depth -= 1;
        Ok(expr)
    }

    fn primary(&mut self) -> Result<Expr, ConditionError> {
        let here = self.next;
        match self.take() {
            Word::Number(value) => Ok(Expr::Number(value)),
            Word::Name(name) => self.named(here, &name),
            Word::Symbol("(") => {
                let inner = self.binary(0)?;
                self.expect(")")?;
                Ok(inner)
            }
            Word::Symbol("[") => self.memory(false),
            Word::End => Err(self.wrong_at(here, "the expression ends where a value is expected")),
            Word::Symbol(_) | Word::Regex(_) => Err(self.wrong_at(here, "a value is expected here")),
        }
    }

    fn named(&mut self, here: usize, name: &str) -> Result<Expr, ConditionError> {
        match name {
            "icount" => Ok(Expr::Icount),
            "ns" => Ok(Expr::Ns),
            "vcpu" => Ok(Expr::Vcpu),
            "phys" => {
                self.expect("[")?;
                self.memory(true)
            }
            "console" => self.console(0),
            "console2" => self.console(1),
            _ if !registers::exists(name) => {
                Err(self.wrong_at(here, format!("'{name}' is no register of the CPU, and no other name")))
            }
            _ => {
                let name = name.to_ascii_lowercase();
                let vcpu = if self.take_symbol("@") { Some(self.vcpu()?) } else { None };
                Ok(Expr::Register { name, vcpu })
            }
        }
    }

    fn vcpu(&mut self) -> Result<usize, ConditionError> {
        match self.take() {
            Word::Number(id) if id < dejavm_core::types::MAX_VCPUS as u64 => Ok(id as usize),
            _ => Err(self.wrong_at(self.next - 1, "the number of a vCPU is expected here, as in rax@0")),
        }
    }

    /// After the opening bracket.
    fn memory(&mut self, physical: bool) -> Result<Expr, ConditionError> {
        let address = Box::new(self.binary(0)?);
        self.expect("]")?;
        let mut size = 8;
        if self.take_symbol(":") {
            let here = self.next;
            size = match self.take() {
                Word::Number(size @ (1 | 2 | 4 | 8)) => size as u8,
                _ => return Err(self.wrong_at(here, "a size of 1, 2, 4 or 8 bytes is expected here")),
            };
        }
        Ok(Expr::Memory { address, size, physical })
    }

    fn console(&mut self, port: u8) -> Result<Expr, ConditionError> {
        if !self.take_symbol("~") {
            return Err(self.wrong("'~' and a pattern are expected here, as in console ~ /panic/"));
        }
        let here = self.next;
        let Word::Regex(pattern) = self.take() else {
            return Err(self.wrong_at(here, "a pattern between slashes is expected here"));
        };
        let regex = RegexBuilder::new(&pattern).size_limit(MAX_REGEX_BYTES).unicode(false).build();
        let regex = regex.map_err(|e| {
            let text = e.to_string();
            let what = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            self.wrong_at(here, format!("the pattern is wrong: {what}"))
        })?;
        self.patterns.push(Pattern { port, regex });
        Ok(Expr::Console(self.patterns.len() - 1))
    }
}
