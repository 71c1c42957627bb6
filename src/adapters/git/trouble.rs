//! What goes wrong with a remote, told apart by what the `git` program and the object database say.

use crate::core::one_line::one_line;
use crate::ports::git::GitError;

/// The longest text of a server or of `git` that is shown: two lines of a terminal and a half.
pub(super) const DETAIL_LENGTH_MAX: usize = 300;

/// Why a try at a remote ended. The texts are sanitised.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    /// No connection, no answer, or an answer that the server should not give.
    Unreachable(String),
    /// The credential is missing, wrong or not enough.
    Unauthorized(String),
    /// The server's host key is not one that is trusted.
    Untrusted(String),
    /// The server takes no such push.
    Refused(String),
    /// Others pushed in between, this many times in a row.
    Contended(u32),
    /// The folder of the mirrors cannot be written.
    Storage(String),
    /// There is no such branch or repository.
    Broken(String),
    /// The mirror is damaged, as far as anyone can tell; a new one may help.
    Mirror(String),
}

/// What git says when it cannot write to the local disk.
const STORAGE_SIGNS: [&str; 5] = ["No space left on device", "Disk quota exceeded", "Read-only file system", "os error 28", "os error 30"];
/// What git says when the server asks for a credential or refuses the one it got.
const UNAUTHORIZED_SIGNS: [&str; 6] = [
    "Authentication failed",
    "could not read Username",
    "could not read Password",
    "returned error: 401",
    "returned error: 403",
    "returned error: 407",
];
/// What git says when there is no such thing, or nothing that may be asked for.
const BROKEN_SIGNS: [&str; 7] = [
    "couldn't find remote ref",
    "' not found",
    "returned error: 404",
    "returned error: 410",
    "not valid: is this a git repository?",
    "' not allowed",
    "mismatched algorithms",
];
/// What git says when the server names another address, which is not followed.
const REDIRECT_SIGNS: [&str; 2] = ["returned error: 30", "from redirection"];
/// What git says when nobody answers, or not to the end.
const UNREACHABLE_SIGNS: [&str; 8] = [
    "unable to access",
    "Could not resolve",
    "hung up unexpectedly",
    "early EOF",
    "RPC failed",
    "unexpected disconnect",
    "expected flush after",
    "invalid server response",
];

impl Trouble {
    /// The trouble behind what a failed `git` wrote to its standard error.
    pub fn of_git(stderr: &str) -> Self {
        if let Some(trouble) = super::ssh::trouble(stderr) {
            return trouble;
        }
        // What the server writes comes with this prefix. It is shown, and never believed.
        let own: Vec<&str> = stderr.lines().filter(|line| !line.starts_with("remote:")).collect();
        let says = |signs: &[&str]| own.iter().any(|line| signs.iter().any(|sign| line.contains(sign)));
        let detail = detail(stderr);
        if says(&STORAGE_SIGNS) {
            Self::Storage(detail)
        } else if says(&UNAUTHORIZED_SIGNS) {
            Self::Unauthorized(detail)
        } else if says(&REDIRECT_SIGNS) {
            Self::Broken(format!("{detail} (the server has moved the repository: set the address it has now, often with .git at its end)"))
        } else if says(&BROKEN_SIGNS) {
            Self::Broken(detail)
        } else if says(&UNREACHABLE_SIGNS) {
            Self::Unreachable(detail)
        } else {
            Self::Mirror(detail)
        }
    }

    /// The trouble behind an error of the object database.
    pub fn of_objects(error: &gix::Error) -> Self {
        // The alternate form tells the whole chain in one line.
        Self::of_disk(&format!("{error:#}"))
    }

    /// The trouble behind an error of the file system.
    pub fn of_disk(text: &str) -> Self {
        let kind = if STORAGE_SIGNS.iter().any(|sign| text.contains(sign)) { Self::Storage } else { Self::Mirror };
        kind(one_line(text, DETAIL_LENGTH_MAX))
    }

    /// As the port tells it.
    pub fn into_error(self, remote: &str) -> GitError {
        let remote = remote.to_owned();
        match self {
            Self::Unreachable(detail) => GitError::Unreachable { remote, detail },
            Self::Unauthorized(detail) => GitError::Unauthorized { remote, detail },
            Self::Untrusted(detail) => GitError::Untrusted { remote, detail },
            Self::Refused(detail) => GitError::Refused { remote, detail },
            Self::Contended(tries) => GitError::Contended { remote, tries },
            Self::Storage(detail) => GitError::Storage { remote, detail },
            Self::Broken(detail) | Self::Mirror(detail) => GitError::Broken { remote, detail },
        }
    }
}

/// What of git's standard error a person should see: the server's words if there are any, else git's last complaint.
pub(super) fn detail(stderr: &str) -> String {
    // git writes the prefix again after each carriage return of the server.
    let pieces = stderr.lines().filter(|line| line.starts_with("remote:")).flat_map(|line| line.split('\r'));
    let of_server: Vec<&str> = pieces.map(|piece| piece.strip_prefix("remote:").unwrap_or(piece)).collect();
    let of_server = one_line(&of_server.join(" "), DETAIL_LENGTH_MAX);
    if !of_server.is_empty() {
        return of_server;
    }
    let complaint = stderr.lines().rev().find_map(|line| line.strip_prefix("fatal: ").or_else(|| line.strip_prefix("error: ")));
    let detail = one_line(complaint.unwrap_or(stderr), DETAIL_LENGTH_MAX);
    if detail.is_empty() { "git says nothing".to_owned() } else { detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stderr: &str, expected: fn(String) -> Trouble, detail: &str) {
        assert_eq!(Trouble::of_git(stderr), expected(detail.to_owned()), "{stderr}");
    }

    #[test]
    fn what_git_says_is_told_apart() {
        check(
            "fatal: could not read Username for 'http://h': terminal prompts disabled\n",
            Trouble::Unauthorized,
            "could not read Username for 'http://h': terminal prompts disabled",
        );
        check(
            "fatal: unable to access 'http://h/': The requested URL returned error: 503\n",
            Trouble::Unreachable,
            "unable to access 'http://h/': The requested URL returned error: 503",
        );
        check("fatal: couldn't find remote ref refs/heads/main\n", Trouble::Broken, "couldn't find remote ref refs/heads/main");
        check("fatal: repository 'http://h/a/' not found\n", Trouble::Broken, "repository 'http://h/a/' not found");
        check("fatal: transport 'file' not allowed\n", Trouble::Broken, "transport 'file' not allowed");
        check(
            "error: RPC failed; curl 56\nfatal: the remote end hung up unexpectedly\n",
            Trouble::Unreachable,
            "the remote end hung up unexpectedly",
        );
        check("fatal: write error: No space left on device\nfatal: index-pack failed\n", Trouble::Storage, "index-pack failed");
        check("fatal: bad object 1234\n", Trouble::Mirror, "bad object 1234");
        check("", Trouble::Mirror, "git says nothing");
    }

    #[test]
    fn the_words_of_the_server_are_shown_and_never_believed() {
        check("remote: returned error: 401\nfatal: protocol error\n", Trouble::Mirror, "returned error: 401");
    }

    #[test]
    fn what_is_shown_is_one_short_line() {
        let stderr = format!("remote: \x1b[31mno\x1b[0m\r\nremote: {}\n", "x".repeat(4096));
        let shown = detail(&stderr);
        assert!(shown.starts_with("[31mno [0m xx"), "{shown}");
        assert_eq!(shown.chars().count(), 300);
    }
}
