//! One bare, shallow copy of one branch of one remote, kept between runs.
//!
//! It holds no decision and nothing that cannot be fetched again: whatever is wrong with it, it is removed and made anew. Transport
//! is the `git` program's; objects are read and written in process. There is never a work tree, so no path of the repository
//! is ever a path of this machine: a symbolic link in it leads nowhere.
//!
//! Its size is bounded: the files of the branch, what its last [`DEPTHS`] commits changed, and at most [`PACKS_MAX`] fetches.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gix::ObjectId;
use sha2::{Digest as _, Sha256};

use super::credentials::access;
use super::program::{Finished, GitProgram, Run, RunError};
use super::settings::GitRemote;
use super::trouble::Trouble;
use crate::core::git_address::GitAddress;

/// How many commits back the mirror knows the branch: at first, and when an earlier commit of an update is looked for and the
/// oldest known one is younger than the update. So after an update was admitted, 2048 commits of others may come before
/// a commit of it that a person took back is not recognised any more.
pub(super) const DEPTHS: [u32; 3] = [32, 256, 2048];
/// Fetches that brought something before the mirror is made anew. git would pack them together in the background; making it anew
/// costs as much as the first fetch, once in two hundred, and needs no second program run that can fail in its own ways.
const PACKS_MAX: usize = 200;
/// A first fetch of 20,000 files takes seconds; one that takes longer than this would block the remote's queue.
const FETCH_DEADLINE: Duration = Duration::from_mins(2);
/// A push carries a few kilobytes; the rest is the time of the server's hooks. Forges end theirs after a minute.
const PUSH_DEADLINE: Duration = Duration::from_mins(1);
/// Making an empty repository.
const INIT_DEADLINE: Duration = Duration::from_secs(20);
/// Where the fetched tip is kept in the mirror.
const TIP: &str = "refs/skeg/tip";

/// The mirror of one remote. Callers take care that only one run uses it at a time.
pub(super) struct Mirror {
    remote: GitRemote,
    address: GitAddress,
    folder: PathBuf,
    program: GitProgram,
}

/// What the remote says to a push.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// The branch is at the new commit.
    Accepted,
    /// The branch was not where it was expected; nothing has changed.
    TipMoved,
}

impl Mirror {
    /// The mirror of `remote` in a folder of its own below `root`, which is made when it is first needed.
    pub fn new(remote: GitRemote, address: GitAddress, root: &Path) -> Self {
        // Another address under the same name is another repository.
        let key = Sha256::digest(format!("{}\0{address}", remote.name));
        let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
        let folder = root.join(format!("{}-{}", remote.name, hex::encode(key.get(..8).unwrap_or_default())));
        Self { program: GitProgram::new(&folder.join("home")), remote, address, folder }
    }

    /// The settings of the remote.
    pub fn remote(&self) -> &GitRemote {
        &self.remote
    }

    /// Fetches the branch `depth` commits deep and gives its tip.
    pub async fn fetch(&self, depth: u32) -> Result<ObjectId, Trouble> {
        self.prepare().await?;
        let depth = format!("--depth={depth}");
        let refspec = format!("+{}:{TIP}", self.remote.reference());
        let arguments = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", &depth, "--", self.address.as_str(), &refspec];
        let fetched = self.run(&arguments, FETCH_DEADLINE).await?;
        if !fetched.succeeded {
            return Err(Trouble::of_git(&fetched.stderr));
        }
        self.objects(|repository| {
            let tip = repository.find_reference(TIP).map_err(|error| Trouble::of_objects(&error))?;
            tip.target().try_id().map(ToOwned::to_owned).ok_or_else(|| Trouble::Mirror("the fetched tip is no commit".to_owned()))
        })
        .await
    }

    /// Pushes `commit` to the branch if that is still at `expected`. The server compares too, so nobody's push is ever lost.
    pub async fn push(&self, commit: ObjectId, expected: ObjectId) -> Result<Pushed, Trouble> {
        let reference = self.remote.reference();
        let lease = format!("--force-with-lease={reference}:{expected}");
        let refspec = format!("{commit}:{reference}");
        let arguments = ["push", "--porcelain", "--no-verify", &lease, "--", self.address.as_str(), &refspec];
        let pushed = self.run(&arguments, PUSH_DEADLINE).await?;
        read_report(&pushed)
    }

    /// Asks the remote whether it has the branch: what it takes to say that address and credential are good.
    pub async fn ask(&self) -> Result<(), Trouble> {
        let reference = self.remote.reference();
        let arguments = ["ls-remote", "--exit-code", "--", self.address.as_str(), &reference];
        let asked = self.run_anywhere(None, &arguments, FETCH_DEADLINE).await?;
        if asked.succeeded {
            return Ok(());
        }
        if asked.stderr.trim().is_empty() {
            return Err(Trouble::Broken(format!("there is no branch {}", self.remote.branch)));
        }
        match Trouble::of_git(&asked.stderr) {
            Trouble::Mirror(detail) => Err(Trouble::Unreachable(detail)),
            trouble => Err(trouble),
        }
    }

    /// Runs `work` on the mirror's objects, on a thread where it may block.
    pub async fn objects<T: Send + 'static>(
        &self,
        work: impl FnOnce(&gix::Repository) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let folder = self.git_dir();
        let worked = tokio::task::spawn_blocking(move || {
            // Nothing but the mirror's own configuration is read, whoever owns the folder (a volume of the pod, say).
            let options = gix::open::Options::isolated().with(gix::sec::Trust::Full).open_path_as_is(true);
            let repository = gix::open_opts(folder, options).map_err(|error| Trouble::of_objects(&error))?;
            work(&repository)
        });
        match worked.await {
            Ok(result) => result,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(Trouble::Unreachable("the process is ending".to_owned())),
        }
    }

    /// Removes everything, so that the next fetch starts anew.
    pub async fn remove(&self) -> Result<(), Trouble> {
        match tokio::fs::remove_dir_all(&self.folder).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.storage(&error)),
            _ => Ok(()),
        }
    }

    /// Makes the repository if there is none, or if the one there is has grown old.
    async fn prepare(&self) -> Result<(), Trouble> {
        let packs = self.count_packs().await;
        if packs > PACKS_MAX {
            self.remove().await?;
        }
        if packs <= PACKS_MAX && tokio::fs::try_exists(self.git_dir().join("HEAD")).await.unwrap_or(false) {
            return Ok(());
        }
        let git_dir = self.git_dir();
        tokio::fs::create_dir_all(&self.folder).await.map_err(|error| self.storage(&error))?;
        let git_dir = git_dir.to_str().ok_or_else(|| Trouble::Storage("the name of the folder is not UTF-8".to_owned()))?;
        // An empty template: no hooks, no excludes, none of the machine's own.
        let arguments = ["init", "--quiet", "--bare", "--template=", "--initial-branch=main", "--", git_dir];
        let made = self.run_anywhere(None, &arguments, INIT_DEADLINE).await?;
        if made.succeeded { Ok(()) } else { Err(Trouble::Storage(super::trouble::detail(&made.stderr))) }
    }

    async fn count_packs(&self) -> usize {
        let folder = self.git_dir().join("objects/pack");
        let count = move || {
            std::fs::read_dir(folder).map_or(0, |entries| {
                let is_pack = |entry: &io::Result<std::fs::DirEntry>| {
                    entry.as_ref().is_ok_and(|entry| entry.path().extension().is_some_and(|extension| extension == "pack"))
                };
                entries.filter(is_pack).count()
            })
        };
        tokio::task::spawn_blocking(count).await.unwrap_or(0)
    }

    async fn run(&self, arguments: &[&str], deadline: Duration) -> Result<Finished, Trouble> {
        self.run_anywhere(Some(&self.git_dir()), arguments, deadline).await
    }

    async fn run_anywhere(&self, git_dir: Option<&Path>, arguments: &[&str], deadline: Duration) -> Result<Finished, Trouble> {
        let access = access(&self.remote, &self.address)?;
        let run = Run { arguments, git_dir, access: &access, deadline };
        self.program.run(run).await.map_err(|error| match error {
            RunError::TimedOut { .. } => Trouble::Unreachable(error.to_string()),
            RunError::Io(_) => Trouble::Broken(error.to_string()),
        })
    }

    fn git_dir(&self) -> PathBuf {
        self.folder.join("mirror.git")
    }

    fn storage(&self, error: &io::Error) -> Trouble {
        Trouble::Storage(format!("{}: {}", self.folder.display(), error.kind()))
    }
}

/// Reads the report of `git push --porcelain` (git-push(1), "Output"): one line for the one branch, `<flag>\t<from>:<to>\t<summary>`.
///
/// No such line: the connection ended before the server said what became of the push. That is unreachable, and unknown: the
/// next run looks for the commit.
fn read_report(pushed: &Finished) -> Result<Pushed, Trouble> {
    let line = pushed.stdout.lines().find_map(|line| {
        let (flag, rest) = line.split_once('\t')?;
        Some((flag.trim(), rest.split_once('\t')?.1))
    });
    match line {
        Some(("!", summary)) if is_moved(summary) => Ok(Pushed::TipMoved),
        Some(("!", summary)) if summary.starts_with("[remote rejected]") || summary.starts_with("[rejected]") => {
            Err(Trouble::Refused(refusal(summary, &pushed.stderr)))
        }
        Some((flag, _)) if flag != "!" && pushed.succeeded => Ok(Pushed::Accepted),
        _ => match Trouble::of_git(&pushed.stderr) {
            // The mirror was good enough to make the commit a moment ago.
            Trouble::Mirror(detail) => Err(Trouble::Unreachable(detail)),
            trouble => Err(trouble),
        },
    }
}

/// Whether the branch was found elsewhere: by git, which compares what the server lists, or by the server, which compares again
/// when it moves the branch.
fn is_moved(summary: &str) -> bool {
    const SIGNS: [&str; 6] =
        ["stale info", "fetch first", "non-fast-forward", "failed to update ref", "cannot lock ref", "incorrect old value"];
    SIGNS.iter().any(|sign| summary.contains(sign))
}

/// The reason git gives, and the words of the server's hook.
fn refusal(summary: &str, stderr: &str) -> String {
    let reason = summary.rsplit_once('(').map_or(summary, |(_, reason)| reason.trim_end().trim_end_matches(')'));
    let words = if stderr.lines().any(|line| line.starts_with("remote:")) { super::trouble::detail(stderr) } else { String::new() };
    let told = if words.is_empty() { reason.to_owned() } else { format!("{reason}: {words}") };
    crate::core::one_line::one_line(&told, super::trouble::DETAIL_LENGTH_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stdout: &str, stderr: &str, report: &Result<Pushed, Trouble>) {
        let succeeded = matches!(report, Ok(Pushed::Accepted));
        let finished = Finished { succeeded, stdout: stdout.to_owned(), stderr: stderr.to_owned() };
        assert_eq!(&read_report(&finished), report, "{stdout}");
    }

    fn rejected(summary: &str) -> String {
        format!("To http://h/a\n!\t1234:refs/heads/main\t{summary}\nDone\n")
    }

    #[test]
    fn a_moved_branch_is_told_from_a_push_that_is_refused() {
        check("To http://h/a\n \t12:refs/heads/main\t1..2\nDone\n", "", &Ok(Pushed::Accepted));
        check("To http://h/a\n=\t12:refs/heads/main\t[up to date]\nDone\n", "", &Ok(Pushed::Accepted));
        for summary in ["[rejected] (stale info)", "[rejected] (fetch first)", "[remote rejected] (failed to update ref)"] {
            check(&rejected(summary), "", &Ok(Pushed::TipMoved));
        }
        let refused = |text: &str| Err(Trouble::Refused(text.to_owned()));
        check(&rejected("[remote rejected] (protected branch hook declined)"), "", &refused("protected branch hook declined"));
        check(
            &rejected("[remote rejected] (pre-receive hook declined)"),
            "remote: frozen        \nremote: until \x1b[1mMonday\nerror: failed to push some refs\n",
            &refused("pre-receive hook declined: frozen until [1mMonday"),
        );
    }

    #[test]
    fn a_push_without_a_report_is_unknown() {
        let hung_up = "fatal: the remote end hung up unexpectedly\n";
        check("", hung_up, &Err(Trouble::Unreachable("the remote end hung up unexpectedly".to_owned())));
        check("", "fatal: something new\n", &Err(Trouble::Unreachable("something new".to_owned())));
        let unauthorized = "fatal: could not read Username for 'http://h': terminal prompts disabled\n";
        check(
            "",
            unauthorized,
            &Err(Trouble::Unauthorized("could not read Username for 'http://h': terminal prompts disabled".to_owned())),
        );
    }
}
