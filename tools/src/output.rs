//! What commands print. Whoever reads may stop reading (`dejavm events F | head`): then the
//! program ends, without a word.

use crate::hostio::terminal;
use std::io::Write as _;

/// Prints to stdout.
pub fn print(text: std::fmt::Arguments<'_>) {
    let mut stdout = std::io::stdout().lock();
    if stdout.write_fmt(text).and_then(|()| stdout.flush()).is_err() {
        terminal::restore();
        std::process::exit(0);
    }
}

/// Prints a line to stdout, as `println!` does.
#[macro_export]
macro_rules! say {
    () => { $crate::output::print(format_args!("\n")) };
    ($format:literal $($arguments:tt)*) => {
        $crate::output::print(format_args!("{}\n", format_args!($format $($arguments)*)))
    };
}
