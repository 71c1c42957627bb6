//! What the configuration says about a remote, and every mistake in it.
//!
//! Nothing here is passed to `git` unless it went through [`GitRemote::problems`]: an address, a branch or a name that a
//! program could read as an option, another transport or another file never gets that far.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::core::git_address::{GitAddress, GitAddressError, GitTransport, ssh_takes};

/// The longest branch name. File systems stop at 255 bytes for one part of it.
const BRANCH_LENGTH_MAX: usize = 200;
/// The user that forges expect beside a token, where they look at it at all (GitHub, GitLab and Gitea take any).
pub(super) const USERNAME_DEFAULT: &str = "git";

/// Gives a secret as it is now. It is asked at each use, so that a rotated one takes effect at once; the error says where it
/// should be, and never what is there.
pub type SecretSource = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// One `[[git]]` remote.
#[derive(Clone)]
pub struct GitRemote {
    /// What directives call it.
    pub name: Box<str>,
    /// Its address, `https://host/path`, `ssh://user@host/path` or `user@host:path`, without a password.
    pub url: Box<str>,
    /// Whether `http://` is allowed: passwords then cross the network in the clear.
    pub insecure: bool,
    /// The branch that is read and committed to.
    pub branch: Box<str>,
    /// The folder or file that manifests are looked for in; `None` is everywhere.
    pub path: Option<Box<str>>,
    /// The namespaces whose workloads may be recorded here; `*` is all of them.
    pub namespaces: Vec<Box<str>>,
    /// The user; `git` when only a password is given.
    pub username: Option<Box<str>>,
    /// The password or token; without one nothing is sent.
    pub password: Option<SecretSource>,
    /// The files of a remote that is spoken to by SSH, and of no other.
    pub ssh: Option<SshFiles>,
    /// Who the commits are from.
    pub author: GitAuthor,
    /// A file of PEM certificates to trust instead of the system's, for servers with a certificate of the house.
    pub ca_file: Option<PathBuf>,
}

/// What SSH goes by. Both files are read again at each use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SshFiles {
    /// The private key, without a passphrase.
    pub key: PathBuf,
    /// The host keys that are trusted (`sshd(8)`, "`SSH_KNOWN_HOSTS` FILE FORMAT").
    pub known_hosts: PathBuf,
}

/// The author and committer of write-back commits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GitAuthor {
    /// Name.
    pub name: Box<str>,
    /// Address.
    pub email: Box<str>,
}

/// A mistake in the settings of a remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RemoteProblem {
    /// `name` cannot be used.
    #[error("the name is empty or has characters other than letters, digits, `.`, `_` and `-`")]
    Name,
    /// Another remote has the same name.
    #[error("another remote has this name")]
    Twice,
    /// `url` is no address.
    #[error("{0}")]
    Address(GitAddressError),
    /// An SSH remote without its files, or one with a password.
    #[error("a remote by SSH needs ssh_key_file and known_hosts_file, and takes no password")]
    Ssh,
    /// Another remote with files of SSH.
    #[error("only a remote by SSH has a key and known hosts")]
    NotSsh,
    /// A file whose name `ssh` would read otherwise.
    #[error("the name of a file for ssh must not hold quotes, `\\`, `$`, `%` or control characters")]
    SshFile,
    /// `branch` is no branch name.
    #[error("not a name of a branch (git-check-ref-format)")]
    Branch,
    /// `path` leaves the repository.
    #[error("the path must lead into the repository: no leading `/`, no `..`")]
    Path,
    /// `username` cannot be sent.
    #[error("the user name must not hold `:` or control characters")]
    Username,
    /// `author` cannot stand in a commit.
    #[error("author name and address must not be empty or hold `<`, `>` or control characters")]
    Author,
    /// Nobody may use it.
    #[error("no namespace may use it: write [\"*\"] for all of them")]
    Namespaces,
}

impl RemoteProblem {
    /// The key of the setting that is wrong.
    pub fn key(self) -> &'static str {
        match self {
            Self::Name | Self::Twice => "name",
            Self::Address(_) => "url",
            Self::Ssh | Self::NotSsh | Self::SshFile => "ssh_key_file",
            Self::Branch => "branch",
            Self::Path => "path",
            Self::Username => "username",
            Self::Author => "author",
            Self::Namespaces => "namespaces",
        }
    }
}

impl GitRemote {
    /// Every mistake in these settings.
    pub fn problems(&self) -> Vec<RemoteProblem> {
        let is_named = !self.name.is_empty() && self.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        let is_actor =
            |text: &str| !text.trim().is_empty() && !text.contains(|character: char| character.is_control() || "<>".contains(character));
        let checks = [
            (!is_named).then_some(RemoteProblem::Name),
            self.address().err(),
            self.ssh_problem(),
            (!is_branch(&self.branch)).then_some(RemoteProblem::Branch),
            self.path.as_deref().is_some_and(|path| !is_inside(path)).then_some(RemoteProblem::Path),
            self.username
                .as_deref()
                .is_some_and(|name| name.contains(|character: char| character == ':' || character.is_control()))
                .then_some(RemoteProblem::Username),
            (!is_actor(&self.author.name) || !is_actor(&self.author.email)).then_some(RemoteProblem::Author),
            self.namespaces.is_empty().then_some(RemoteProblem::Namespaces),
        ];
        checks.into_iter().flatten().collect()
    }

    /// The address in the one form that is ever passed on.
    pub(super) fn address(&self) -> Result<GitAddress, RemoteProblem> {
        GitAddress::parse(&self.url, self.insecure).map_err(RemoteProblem::Address)
    }

    fn ssh_problem(&self) -> Option<RemoteProblem> {
        let is_ssh = self.address().is_ok_and(|address| address.transport() == GitTransport::Ssh);
        let is_plain = |file: &Path| file.to_str().is_some_and(ssh_takes);
        match &self.ssh {
            None => is_ssh.then_some(RemoteProblem::Ssh),
            Some(_) if !is_ssh => Some(RemoteProblem::NotSsh),
            Some(_) if self.password.is_some() => Some(RemoteProblem::Ssh),
            Some(files) => (!is_plain(&files.key) || !is_plain(&files.known_hosts)).then_some(RemoteProblem::SshFile),
        }
    }

    /// Whether workloads of `namespace` may be recorded here.
    pub(super) fn is_granted(&self, namespace: &str) -> bool {
        self.namespaces.iter().any(|granted| **granted == *namespace || &**granted == "*")
    }

    /// The branch as a full reference name.
    pub(super) fn reference(&self) -> String {
        format!("refs/heads/{}", self.branch)
    }
}

/// Git's own grammar for references (git-check-ref-format(1)), and no name that reads as an option.
fn is_branch(name: &str) -> bool {
    let full = format!("refs/heads/{name}");
    name.len() <= BRANCH_LENGTH_MAX && !name.starts_with('-') && gix::refs::FullName::try_from(full.as_str()).is_ok()
}

/// Whether `path` is one that a tree can have.
fn is_inside(path: &str) -> bool {
    path.trim_end_matches('/').split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains(char::is_control))
}

impl fmt::Debug for GitRemote {
    /// Without the address: one with a password in it is a mistake that must not be repeated in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitRemote").field("name", &self.name).field("branch", &self.branch).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote() -> GitRemote {
        GitRemote {
            name: "fleet".into(),
            url: "https://git.example.com/ops/fleet.git".into(),
            insecure: false,
            branch: "main".into(),
            path: None,
            namespaces: vec!["*".into()],
            username: None,
            password: None,
            ssh: None,
            author: GitAuthor { name: "skeg".into(), email: "skeg@example.com".into() },
            ca_file: None,
        }
    }

    #[track_caller]
    fn check(change: impl Fn(&mut GitRemote), problems: &[RemoteProblem]) {
        let mut remote = remote();
        change(&mut remote);
        assert_eq!(remote.problems(), problems, "{} {}", remote.url, remote.branch);
    }

    #[test]
    fn an_address_is_one_that_only_reads_as_an_address() {
        check(|_| {}, &[]);
        check(|remote| remote.url = "ext::sh".into(), &[RemoteProblem::Address(GitAddressError::Scheme)]);
        check(|remote| remote.url = "-oProxyCommand=x".into(), &[RemoteProblem::Address(GitAddressError::Form)]);
        check(|remote| remote.url = "http://127.0.0.1:3080/a.git".into(), &[RemoteProblem::Address(GitAddressError::NotEncrypted)]);
        check(|remote| (remote.insecure, remote.url) = (true, "http://127.0.0.1:3080/a.git".into()), &[]);
        let url = "https://user:canary@a/b";
        check(|remote| remote.url = url.into(), &[RemoteProblem::Address(GitAddressError::Credentials)]);
        assert!(!format!("{:?}", GitRemote { url: url.into(), ..remote() }).contains("user"));
    }

    #[test]
    fn a_remote_by_ssh_has_its_files_and_no_other_has() {
        let files = |key: &str| Some(SshFiles { key: key.into(), known_hosts: "/etc/skeg/known_hosts".into() });
        let by_ssh =
            |remote: &mut GitRemote, key: &str| (remote.url, remote.ssh) = ("git@git.example.com:ops/fleet.git".into(), files(key));
        check(|remote| by_ssh(remote, "/etc/skeg/my key"), &[]);
        check(|remote| by_ssh(remote, "/etc/skeg/$(id)"), &[RemoteProblem::SshFile]);
        check(|remote| remote.url = "git@git.example.com:ops/fleet.git".into(), &[RemoteProblem::Ssh]);
        check(|remote| remote.ssh = files("/key"), &[RemoteProblem::NotSsh]);
        let with_password = |remote: &mut GitRemote| {
            by_ssh(remote, "/key");
            remote.password = Some(Arc::new(|| Ok("canary".to_owned())));
        };
        check(with_password, &[RemoteProblem::Ssh]);
    }

    #[test]
    fn a_branch_follows_gits_grammar_and_is_no_option() {
        for branch in ["main", "release/1.x", "föö"] {
            check(|remote| remote.branch = branch.into(), &[]);
        }
        for branch in [
            "", "-f", "--force", "a..b", "a b", "a~1", "a^", "a:b", "a?", "a*", "[a", "a\\b", "/a", "a/", "a//b", "a.lock", ".a", "a.",
            "a@{b", "a\n",
        ] {
            check(|remote| remote.branch = branch.into(), &[RemoteProblem::Branch]);
        }
        check(|remote| remote.branch = "a".repeat(201).into(), &[RemoteProblem::Branch]);
    }

    #[test]
    fn a_path_stays_in_the_repository() {
        for path in ["apps", "apps/web.yaml", "apps/"] {
            check(|remote| remote.path = Some(path.into()), &[]);
        }
        for path in ["", "/etc", "../a", "a/../../b", "a//b", "./a", "a\nb"] {
            check(|remote| remote.path = Some(path.into()), &[RemoteProblem::Path]);
        }
    }

    #[test]
    fn every_mistake_is_told_with_its_key() {
        let mut remote = remote();
        remote.name = "a/b".into();
        remote.branch = "-x".into();
        remote.username = Some("a:b".into());
        remote.author.email = "<a>".into();
        remote.namespaces.clear();
        let keys: Vec<&str> = remote.problems().into_iter().map(RemoteProblem::key).collect();
        assert_eq!(keys, ["name", "branch", "username", "author", "namespaces"]);
    }

    #[test]
    fn a_namespace_is_granted_by_its_name_or_by_a_star() {
        let mut remote = remote();
        assert!(remote.is_granted("shop"));
        remote.namespaces = vec!["shop".into()];
        assert!(remote.is_granted("shop"));
        assert!(!remote.is_granted("other"));
    }
}
