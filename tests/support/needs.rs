//! Programs that a test needs and a machine may not have.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program, and the Debian package it is in.
#[derive(Clone, Copy)]
pub struct Program(pub &'static str, pub &'static str);

/// Whether all of these are installed. Where one is not, says which, how to get it and that this test is left out; with
/// `SKEG_TEST_REQUIRE=1` it fails the test instead.
#[track_caller]
pub fn all_there(programs: &[Program]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|program| find(program.0).is_none()).collect();
    for Program(program, package) in &missing {
        leave_out(&format!("needs {program} (apt-get install {package})"));
    }
    missing.is_empty()
}

/// What a script of this repository has made, and whose path it prints with `--where`; the rest is as with [`all_there`].
#[track_caller]
pub fn made_there(what: &str, script: &str) -> Option<PathBuf> {
    let made = Command::new("bash").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script)).arg("--where").output().unwrap();
    if !made.status.success() {
        leave_out(&format!("needs {what} ({script})"));
        return None;
    }
    Some(PathBuf::from(String::from_utf8(made.stdout).unwrap().trim()))
}

#[track_caller]
fn leave_out(what: &str) {
    assert!(!is_required(), "{what}");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Past the capture of test output: whoever runs the tests should see what was not run.
    let _ = writeln!(std::io::stderr(), "left out: {what}: {test}");
}

/// Whether a test that cannot run is a failure.
fn is_required() -> bool {
    std::env::var_os("SKEG_TEST_REQUIRE").is_some_and(|value| value == "1")
}

/// Where a program is. Debian keeps servers where only root's `PATH` looks.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    directories.map(|directory| directory.join(program)).find(|file| Path::is_file(file))
}
