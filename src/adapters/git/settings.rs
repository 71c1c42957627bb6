//! What the configuration says about a remote, and every mistake in it.
//!
//! Nothing here is passed to `git` unless it went through [`GitRemote::problems`]: an address, a branch or a name that a
//! program could read as an option, another transport or another file never gets that far.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

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
    /// Its address, `https://host/path`, without user and password.
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
    /// Who the commits are from.
    pub author: GitAuthor,
    /// A file of PEM certificates to trust instead of the system's, for servers with a certificate of the house.
    pub ca_file: Option<PathBuf>,
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
    /// `url` cannot be read.
    #[error("not a URL of the form https://host/path")]
    Url,
    /// `url` has another scheme.
    #[error("only https:// is allowed, and http:// with insecure = true; ssh:// is not available yet")]
    Scheme,
    /// `url` holds a password.
    #[error("the URL must hold no user or password: name a file or an environment variable instead")]
    Credentials,
    /// `url` has parts that no repository has.
    #[error("the URL must end with the path of the repository")]
    Query,
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
            Self::Url | Self::Scheme | Self::Credentials | Self::Query => "url",
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
    pub(super) fn address(&self) -> Result<Url, RemoteProblem> {
        // The URL parser drops blanks and control characters without a word; nobody means them.
        if self.url.contains(|character: char| character.is_whitespace() || character.is_control()) {
            return Err(RemoteProblem::Url);
        }
        let url = Url::parse(&self.url).map_err(|_| RemoteProblem::Url)?;
        match url.scheme() {
            "https" => {}
            "http" if self.insecure => {}
            _ => return Err(RemoteProblem::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(RemoteProblem::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() || url.path() == "/" {
            return Err(RemoteProblem::Query);
        }
        Ok(url)
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
    fn only_https_addresses_without_a_password_are_taken() {
        check(|_| {}, &[]);
        for url in [
            "http://git.example.com/a",
            "ssh://git@example.com/a",
            "file:///etc/passwd",
            "ext::sh -c touch% /tmp/x",
            "ftp://a/b",
            "git://a/b",
        ] {
            let problem = if url.contains(' ') { RemoteProblem::Url } else { RemoteProblem::Scheme };
            check(|remote| remote.url = url.into(), &[problem]);
        }
        for url in ["ext::sh", "file::/etc", "javascript:1"] {
            check(|remote| remote.url = url.into(), &[RemoteProblem::Scheme]);
        }
        for url in [
            "",
            "-oProxyCommand=x",
            "--upload-pack=x",
            "git@example.com:a/b.git",
            "/etc/passwd",
            "../a",
            "https://",
            "https://a/b\n",
            " https://a/b",
        ] {
            check(|remote| remote.url = url.into(), &[RemoteProblem::Url]);
        }
        for url in ["https://user@a/b", "https://user:canary@a/b"] {
            check(|remote| remote.url = url.into(), &[RemoteProblem::Credentials]);
            assert!(!format!("{:?}", GitRemote { url: url.into(), ..remote() }).contains("user"));
        }
        for url in ["https://a", "https://a/", "https://a/b?c", "https://a/b#c"] {
            check(|remote| remote.url = url.into(), &[RemoteProblem::Query]);
        }
    }

    #[test]
    fn http_needs_to_be_allowed() {
        let with = |url: &'static str| move |remote: &mut GitRemote| (remote.insecure, remote.url) = (true, url.into());
        check(with("http://127.0.0.1:3080/a.git"), &[]);
        check(with("file:///a"), &[RemoteProblem::Scheme]);
        check(with("ext::sh"), &[RemoteProblem::Scheme]);
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
