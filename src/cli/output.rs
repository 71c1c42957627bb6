//! What a command prints, and in which form.
//!
//! A reader that goes away, such as `head`, is no error: what it wanted to see it has seen.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

use super::Failure;

/// How a result is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Form {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

/// Prints a result.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) => unwritten(&error),
    }
}

/// What it means that a result could not be printed.
pub fn unwritten(error: &io::Error) -> Result<(), Failure> {
    if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(Failure::NotDone(format!("standard output: {error}"))) }
}

/// Prints a result in the form that was asked for.
pub fn show(form: Form, json: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
    match form {
        Form::Text => print(&text()),
        Form::Json => {
            let mut line = serde_json::to_string_pretty(json).map_err(|error| Failure::NotDone(error.to_string()))?;
            line.push('\n');
            print(&line)
        }
    }
}

/// Says something on standard error. When nobody reads that, there is nobody to tell.
pub fn complain(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}
