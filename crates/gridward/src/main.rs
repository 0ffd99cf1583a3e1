//! The program `gridward`.

use std::process::ExitCode;

fn main() -> ExitCode {
    gridward::main()
}
