//! The `git` program, run with an argument vector, no shell, and nothing of the user's or the system's configuration.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

/// Why a `git` command gave no result.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The program, a file or a port is not to be had.
    #[error("cannot run git: {0}")]
    Io(#[from] io::Error),
    /// The program said no.
    #[error("git {command} failed: {message}")]
    Failed {
        /// The subcommand.
        command: String,
        /// What it wrote to its standard error.
        message: String,
    },
    /// No such commit or file.
    #[error("{0:?} is not there")]
    NotFound(String),
}

/// Variables that cut `git` off from the configuration of the machine, and keep it from asking anybody.
fn isolation(directory: &Path) -> [(&'static str, OsString); 8] {
    [
        // Where git finds its own programs, and hooks their `sh`.
        ("PATH", std::env::var_os("PATH").unwrap_or_default()),
        ("HOME", directory.into()),
        ("LC_ALL", "C".into()),
        ("GIT_CONFIG_NOSYSTEM", "1".into()),
        ("GIT_CONFIG_SYSTEM", "/dev/null".into()),
        ("GIT_CONFIG_GLOBAL", "/dev/null".into()),
        ("GIT_TERMINAL_PROMPT", "0".into()),
        ("GIT_OPTIONAL_LOCKS", "0".into()),
    ]
}

/// `git` about to run on the bare repository in `directory`; the caller adds the subcommand and its arguments.
pub(super) fn git(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command.env_clear().envs(isolation(directory)).stdin(Stdio::null()).arg("--git-dir").arg(directory);
    command
}

/// Runs a subcommand to its end with this on its standard input, and gives its standard output.
///
/// There is no deadline: these commands work on a local directory, wait for no network and no person.
pub(super) fn run(directory: &Path, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, GitError> {
    let mut child = git(directory).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // A command that ends without reading all of it has its reason in its exit status, so a broken pipe is no error here.
    if let Some(mut stdin) = child.stdin.take()
        && let Err(error) = stdin.write_all(input)
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        return Err(error.into());
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(GitError::Failed {
        command: arguments.first().copied().unwrap_or_default().to_owned(),
        message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}
