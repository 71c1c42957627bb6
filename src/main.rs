//! The `skeg` program: hands its arguments to the library and ends with the code that it gives.

use std::process::ExitCode;

fn main() -> ExitCode {
    skeg::cli::run(std::env::args_os())
}
