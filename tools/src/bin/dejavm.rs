//! The `dejavm` program: see [`dejavm_tools::cmd`].

use std::process::ExitCode;

fn main() -> ExitCode {
    dejavm_tools::cmd::main(std::env::args())
}
