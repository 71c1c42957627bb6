//! Figures that whoever runs the tests should see, though the tests pass.

use std::fs::OpenOptions;
use std::io::Write as _;

/// Names a file that figures are added to. `.ci/run` shows it in the end.
const REPORT: &str = "SKEG_TEST_REPORT";

/// Prints a figure, and adds it to the report if one is asked for.
pub fn report(text: &str) {
    println!("{text}");
    if let Some(file) = std::env::var_os(REPORT) {
        // One write, so that lines of tests side by side do not mix.
        let mut file = OpenOptions::new().append(true).create(true).open(file).expect("the report can be written");
        file.write_all(format!("{text}\n").as_bytes()).expect("the report can be written");
    }
}
