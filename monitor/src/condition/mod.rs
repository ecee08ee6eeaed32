//! Conditions on a run: expressions over registers, memory, time and the console, as
//! `[0xffffffff81c0a000]:4 == 5 && rip >= 0x1000` or `console ~ /Kernel panic/`.
//!
//! Unlike the expressions of the human monitor, which are QEMU's, these follow C in what
//! they mean, except that `& | ^` bind tighter than comparisons.

mod console;
mod eval;
mod lexer;
mod parser;
mod registers;

pub use console::ConsoleLines;
pub use eval::View;

use dejavm_core::types::Icount;
use lexer::Token;
use regex::bytes::Regex;
use std::fmt;

/// What the tools say of the language.
pub const HELP: &str = "\
Expressions:
  rax r15 eax al rip rflags cr0 cr3 cs gs_base cpl ...   registers of the vCPU whose turn it is
  rax@2               the register of vCPU 2
  [ADDRESS]:SIZE      SIZE bytes (1, 2, 4 or 8; default 8) through its page tables, little-endian
  phys[ADDRESS]:SIZE  the same of physical memory
  icount ns vcpu      the instructions so far, the virtual time, the vCPU whose turn it is
  console ~ /REGEX/   a line of the console (COM1) has matched so far; console2 is COM2
  123 0x7b 0b11 'c'   numbers
  + - * / % << >> & | ^ ~     arithmetic, 64 bits, unsigned
  == != < <= > >=     comparisons; false where memory is not mapped
  && || ! ( )         0 is false, all else is true
Operators bind as in C, but for & | ^, which bind tighter than comparisons.";

/// A condition.
#[derive(Clone, Debug)]
pub struct Condition {
    root: Expr,
    patterns: Vec<Pattern>,
}

/// What is wrong with the text of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionError {
    /// What.
    pub message: String,
    /// The text.
    pub text: String,
    /// Where in it, in bytes.
    pub at: usize,
}

/// A pattern that a condition looks for on the console.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// The UART.
    pub port: u8,
    /// What a line is to match.
    pub regex: Regex,
}

#[derive(Clone, Debug)]
enum Expr {
    Number(u64),
    Icount,
    Ns,
    Vcpu,
    Register {
        name: String,
        vcpu: Option<usize>,
    },
    Memory {
        address: Box<Expr>,
        size: u8,
        physical: bool,
    },
    /// The number of the pattern.
    Console(usize),
    Unary(Unary, Box<Expr>),
    Binary(Binary, Box<Expr>, Box<Expr>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unary {
    Not,
    Minus,
    Complement,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binary {
    Or,
    And,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    BitOr,
    BitXor,
    BitAnd,
    Shl,
    Shr,
    Add,
    Sub,
    Mul,
    Div,
    Rem,
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, ConditionError> {
        let tokens = lexer::tokens(text)?;
        parser::parse(text, &tokens)
    }

    /// The patterns that it looks for on the console.
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// The first icount at which it may hold, by what it demands of the console; `first` tells
    /// where a pattern matches, if it does. None: it never holds.
    pub fn earliest(&self, first: &dyn Fn(usize) -> Option<Icount>) -> Option<Icount> {
        earliest(&self.root, first)
    }

    /// Whether it holds.
    pub fn holds(&self, view: &View<'_>) -> bool {
        eval::value(&self.root, view).is_some_and(|value| value != 0)
    }
}

fn earliest(expr: &Expr, first: &dyn Fn(usize) -> Option<Icount>) -> Option<Icount> {
    match expr {
        Expr::Console(pattern) => first(*pattern),
        Expr::Binary(Binary::And, left, right) => Some(earliest(left, first)?.max(earliest(right, first)?)),
        Expr::Binary(Binary::Or, left, right) => {
            [earliest(left, first), earliest(right, first)].into_iter().flatten().min()
        }
        _ => Some(0),
    }
}

impl ConditionError {
    fn new(text: &str, at: usize, message: impl Into<String>) -> Self {
        Self { message: message.into(), text: text.to_owned(), at }
    }
}

impl fmt::Display for ConditionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = self.text[..self.at].chars().count();
        write!(f, "{}\n  {}\n  {}^", self.message, self.text, " ".repeat(column))
    }
}

impl std::error::Error for ConditionError {}

#[cfg(test)]
mod tests;
