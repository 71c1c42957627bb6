//! A bare repository and what a person does to it: commit on its branch, look at its history.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::program::{GitError, run};

/// The branch everything happens on.
const BRANCH: &str = "refs/heads/main";
/// Commits that [`BareRepository::log`] gives; tests make a handful.
const LOG_MAX: usize = 1000;
/// Tries to commit on a tip that pushes keep moving. One push at a time arrives in a test, so two would do.
const COMMIT_TRIES_MAX: usize = 5;
/// A hook that refuses every push with the text it is given; used only when a test asks for it.
const REFUSING_HOOK: &str = "#!/bin/sh\nprintf '%s\\n' \"$SKEG_REFUSAL\" >&2\nexit 1\n";
/// The directory of that hook, inside the repository.
pub(super) const REFUSING_HOOKS: &str = "refusing-hooks";

/// Settings of every repository: what forges allow for clones that fetch little, and no housekeeping behind a test's back.
const SETTINGS: [(&str, &str); 4] =
    [("uploadpack.allowFilter", "true"), ("uploadpack.allowAnySHA1InWant", "true"), ("receive.autogc", "false"), ("gc.auto", "0")];

/// One change of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// A regular file has these bytes from now on.
    File(&'a str, &'a [u8]),
    /// A symbolic link points there from now on.
    Link(&'a str, &'a str),
    /// The path is gone.
    Delete(&'a str),
}

/// A commit as the history shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its object id, in hexadecimal.
    pub id: String,
    /// The first paragraph of its message.
    pub subject: String,
    /// The rest of its message, trailers included, without the last line end.
    pub body: String,
    /// `Name <address>`.
    pub author: String,
}

/// A bare repository with one branch, `main`. Calls block for the milliseconds that `git` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BareRepository {
    directory: PathBuf,
}

impl BareRepository {
    /// Creates a repository in `directory`, which must not exist, with a first commit of these files (path and bytes).
    pub fn create<'a>(directory: impl Into<PathBuf>, files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, GitError> {
        let directory = directory.into();
        fs::create_dir(&directory)?;
        let repository = Self { directory };
        // Without a template no sample hooks are copied, and none of the machine's own.
        repository.run(&["init", "--quiet", "--bare", "--template=", "--initial-branch=main"])?;
        for (key, value) in SETTINGS {
            repository.run(&["config", key, value])?;
        }
        repository.write_refusing_hook()?;
        let files: Vec<Change<'_>> = files.into_iter().map(|(path, bytes)| Change::File(path, bytes)).collect();
        repository.commit_changes(&files, "First Person <first@example.com>", "Begin")?;
        Ok(repository)
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Commits one file on the tip of the branch, as a person's push does, and returns the commit's id.
    /// `author` is `Name <address>`.
    pub fn commit(&self, path: &str, bytes: &[u8], author: &str, message: &str) -> Result<String, GitError> {
        self.commit_changes(&[Change::File(path, bytes)], author, message)
    }

    /// Commits several changes at once on the tip of the branch.
    pub fn commit_changes(&self, changes: &[Change<'_>], author: &str, message: &str) -> Result<String, GitError> {
        let mut last = self.import(changes, author, message);
        for _ in 1..COMMIT_TRIES_MAX {
            // `fast-import` fails when the tip moved since it looked: somebody pushed in between.
            if !matches!(last, Err(GitError::Failed { .. })) {
                break;
            }
            last = self.import(changes, author, message);
        }
        last
    }

    /// The id of the branch's newest commit.
    pub fn tip(&self) -> Result<String, GitError> {
        let id = self.run(&["rev-parse", "--verify", "--quiet", BRANCH])?;
        Ok(text(&id).trim().to_owned())
    }

    /// The history of the branch, newest first.
    pub fn log(&self) -> Result<Vec<Commit>, GitError> {
        let format = "--format=tformat:%H%x00%an <%ae>%x00%s%x00%b";
        let limit = format!("--max-count={LOG_MAX}");
        let log = self.run(&["log", "-z", "--topo-order", &limit, format, BRANCH])?;
        let log = text(&log);
        let fields: Vec<&str> = log.split('\0').collect();
        let commits = fields.chunks_exact(4).filter_map(|fields| match fields {
            [id, author, subject, body] => Some(Commit {
                id: (*id).to_owned(),
                subject: (*subject).to_owned(),
                body: body.trim_end().to_owned(),
                author: (*author).to_owned(),
            }),
            _ => None,
        });
        Ok(commits.collect())
    }

    /// The bytes of a file on the branch.
    pub fn show(&self, path: &str) -> Result<Vec<u8>, GitError> {
        let object = format!("{BRANCH}:{path}");
        let shown = self.run(&["cat-file", "blob", &object]);
        shown.map_err(|error| not_found(error, path))
    }

    /// What a commit changed, as a unified diff.
    pub fn diff(&self, id: &str) -> Result<String, GitError> {
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(GitError::NotFound(id.to_owned()));
        }
        let diff = self.run(&["diff-tree", "--patch", "--root", "--no-commit-id", "--no-color", "--no-ext-diff", "--no-textconv", id]);
        let diff = diff.map_err(|error| not_found(error, id))?;
        Ok(text(&diff))
    }

    fn run(&self, arguments: &[&str]) -> Result<Vec<u8>, GitError> {
        run(&self.directory, arguments, &[])
    }

    /// Written long before it is used: a program that was just written may still be open in a child of another thread, and
    /// cannot be run until that child has begun its own program.
    fn write_refusing_hook(&self) -> Result<(), GitError> {
        let directory = self.directory.join(REFUSING_HOOKS);
        fs::create_dir(&directory)?;
        let hook = directory.join("pre-receive");
        fs::write(&hook, REFUSING_HOOK)?;
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// One run of `git fast-import`: blobs, tree, commit and branch in one process, whatever the number of files.
    fn import(&self, changes: &[Change<'_>], author: &str, message: &str) -> Result<String, GitError> {
        let tip = self.tip().ok();
        let stream = import_stream(changes, author, message, tip.as_deref());
        let arguments = ["fast-import", "--quiet", "--date-format=now"];
        let id = run(&self.directory, &arguments, &stream)?;
        Ok(text(&id).trim().to_owned())
    }
}

/// The input of `git fast-import` (git-fast-import(1)) for one commit whose id is printed.
fn import_stream(changes: &[Change<'_>], author: &str, message: &str, tip: Option<&str>) -> Vec<u8> {
    let mut stream = Vec::new();
    let author = author.replace(['\n', '\r'], " ");
    let head = format!("commit {BRANCH}\nmark :1\nauthor {author} now\ncommitter {author} now\n");
    stream.extend_from_slice(head.as_bytes());
    push_counted(&mut stream, message.as_bytes());
    if let Some(tip) = tip {
        stream.extend_from_slice(format!("from {tip}\n").as_bytes());
    }
    for change in changes {
        match change {
            Change::File(path, bytes) => {
                let line = format!("M 100644 inline {}\n", quoted(path));
                stream.extend_from_slice(line.as_bytes());
                push_counted(&mut stream, bytes);
            }
            Change::Link(path, target) => {
                let line = format!("M 120000 inline {}\n", quoted(path));
                stream.extend_from_slice(line.as_bytes());
                push_counted(&mut stream, target.as_bytes());
            }
            Change::Delete(path) => {
                stream.extend_from_slice(format!("D {}\n", quoted(path)).as_bytes());
            }
        }
    }
    stream.extend_from_slice(b"\nget-mark :1\n");
    stream
}

fn push_counted(stream: &mut Vec<u8>, bytes: &[u8]) {
    stream.extend_from_slice(format!("data {}\n", bytes.len()).as_bytes());
    stream.extend_from_slice(bytes);
    stream.push(b'\n');
}

/// A path in the quotes of C, so that no byte of it can end the line.
fn quoted(path: &str) -> String {
    let mut quoted = String::with_capacity(path.len() + 2);
    quoted.push('"');
    for character in path.chars() {
        match character {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(character);
            }
            control if control.is_ascii_control() => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\{:03o}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

fn not_found(error: GitError, name: &str) -> GitError {
    match error {
        GitError::Failed { .. } => GitError::NotFound(name.to_owned()),
        other => other,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
