//! `[[git]]`: the remotes that images are committed to.

use std::path::PathBuf;

use super::credential::Credential;
use super::grant::Namespaces;
use super::load::{Clash, Element};
use super::section::Section;
use crate::core::git_address::{GitAddress, GitTransport, ssh_takes};

/// One section `[[git]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remote {
    /// The name that `skeg.dev/git` and messages use. Required.
    pub name: Box<str>,
    /// Its address: `https://…`, `ssh://user@…`, `user@host:path`, or `http://…` with `insecure`. Required.
    pub url: GitAddress,
    /// The branch to commit to. Default `"main"`.
    pub branch: Box<str>,
    /// The folder or file in it that declares workloads. Default: everywhere.
    pub path: Option<Box<str>>,
    /// The namespaces whose workloads it may record. Required.
    pub namespaces: Namespaces,
    /// `username` with `password_file` or `password_env`; or `token_file` or `token_env`, which is sent as the password of the user `git`, as
    /// forges take access tokens. Default none.
    pub credential: Option<Credential>,
    /// `ssh_key_file` and `known_hosts_file`. Required for a remote by SSH, and for no other.
    pub ssh: Option<SshKey>,
    /// Whether it may be reached without TLS. Default false.
    pub insecure: bool,
    /// Name of author and committer. Default `"skeg"`.
    pub author_name: Box<str>,
    /// Their address. Default `"skeg@localhost"`.
    pub author_email: Box<str>,
}

/// What a remote by SSH is reached with. Both files are read again at each use, so that a changed one takes effect at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SshKey {
    /// The private key, without a passphrase.
    pub key_file: PathBuf,
    /// The host keys that are trusted, as in `~/.ssh/known_hosts`.
    pub known_hosts_file: PathBuf,
}

impl Element for Remote {
    const NAME: &'static str = "git";

    fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        const NAME: &str = "write letters, digits, dots, hyphens and underscores";
        section.require("name", NAME);
        section.require("url", URL);
        section.require("namespaces", Namespaces::ADVICE);
        let remote_name = section.parsed("name", NAME, name);
        let insecure = section.flag("insecure").unwrap_or_default();
        let url = section.parsed("url", URL, |text| GitAddress::parse(text, insecure));
        let branch = section.parsed("branch", "write the branch's short name, such as \"main\"", branch);
        let path = section.parsed("path", "write a path inside the repository, such as \"clusters/production\"", path);
        let namespaces = Namespaces::read(section);
        let credential = Credential::read(section, "the remote");
        let ssh = SshKey::read(section);
        check_login(section, url.as_ref().map(GitAddress::transport));
        let author_name = section.parsed("author_name", "write a plain name", person).unwrap_or_else(|| "skeg".into());
        let author_email = section.parsed("author_email", "write a plain address", person).unwrap_or_else(|| "skeg@localhost".into());
        Some(Self {
            name: remote_name?,
            url: url?,
            branch: branch.unwrap_or_else(|| "main".into()),
            path,
            namespaces: namespaces?,
            credential,
            ssh,
            insecure,
            author_name,
            author_email,
        })
    }

    fn clash(&self, earlier: &Self) -> Option<Clash> {
        let what = format!("another remote is called {} too", self.name);
        (self.name == earlier.name).then_some(Clash { key: "name", what, advice: "give each remote its own name" })
    }
}

const URL: &str =
    "write an address such as \"https://git.example.com/team/manifests.git\" or \"ssh://git@git.example.com/team/manifests.git\"";

/// A remote has the login of its transport and no other. Without a transport the address is wrong, and noted.
fn check_login(section: &mut Section<'_, '_>, transport: Option<GitTransport>) {
    match transport {
        Some(GitTransport::Ssh) => {
            section.require("ssh_key_file", "name the file with the private key");
            section.require("known_hosts_file", "name a file with the server's host key, one line as in ~/.ssh/known_hosts");
            if Credential::is_written(section) {
                section.error("url", "a remote by SSH takes no password or token", "remove it, or write the address with https://");
            }
        }
        Some(GitTransport::Https | GitTransport::Http) => {
            for key in ["ssh_key_file", "known_hosts_file"] {
                if section.is_written(key) {
                    section.error(key, "is only for a remote by SSH", "remove it, or write the address with ssh://");
                }
            }
        }
        None => {}
    }
}

impl SshKey {
    fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let mut file = |key: &'static str| {
            let path = section.path(key)?;
            if !path.to_str().is_some_and(ssh_takes) {
                let advice = "use a name without quotes, backslashes, $ and %";
                section.error(key, format_args!("ssh cannot be given the file {}", path.display()), advice);
                return None;
            }
            if let Err(error) = std::fs::File::open(&path) {
                let what = format_args!("{}: {}", path.display(), error.kind());
                section.warn(key, what, "the remote stays closed until the file is there");
            }
            Some(path)
        };
        let (key_file, known_hosts_file) = (file("ssh_key_file"), file("known_hosts_file"));
        Some(Self { key_file: key_file?, known_hosts_file: known_hosts_file? })
    }
}

/// Why a text cannot be used in one of the settings of a remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum RemoteError {
    #[error("not a name")]
    Name,
    #[error("not a branch that git accepts")]
    Branch,
    #[error("not a path inside the repository")]
    Path,
    #[error("angle brackets and newlines have a meaning in a commit")]
    Person,
}

fn name(text: &str) -> Result<Box<str>, RemoteError> {
    let is_name = text.len() <= 63
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if is_name { Ok(text.into()) } else { Err(RemoteError::Name) }
}

/// Source: the rules of git-check-ref-format(1), and no leading hyphen (`--branch`).
fn branch(text: &str) -> Result<Box<str>, RemoteError> {
    let is_component =
        |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with('.') && part.strip_suffix(".lock").is_none();
    let is_branch = !text.starts_with('-')
        && text != "@"
        && text != "HEAD"
        && !text.starts_with("refs/")
        && text.split('/').all(is_component)
        && !text.contains("..")
        && !text.contains("@{")
        && !text.contains(|odd: char| odd.is_control() || odd.is_whitespace() || "~^:?*[\\".contains(odd));
    if is_branch { Ok(text.into()) } else { Err(RemoteError::Branch) }
}

fn path(text: &str) -> Result<Box<str>, RemoteError> {
    let trimmed = text.strip_suffix('/').unwrap_or(text);
    let is_part = |part: &str| !matches!(part, "" | "." | "..") && !part.eq_ignore_ascii_case(".git");
    if trimmed.split('/').all(is_part) && !trimmed.contains('\\') { Ok(trimmed.into()) } else { Err(RemoteError::Path) }
}

fn person(text: &str) -> Result<Box<str>, RemoteError> {
    if text.trim().is_empty() || text.contains(['<', '>']) { Err(RemoteError::Person) } else { Ok(text.trim().into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T>(parse: impl Fn(&str) -> Result<T, RemoteError>, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(parse(text).is_ok(), "{text:?}");
        }
        for text in bad {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn branches_are_those_that_git_accepts() {
        let bad = [
            "-main",
            "a..b",
            "a b",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "*",
            "[x",
            "a\\b",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a.lock",
            "@",
            "a@{b",
            "refs/heads/x",
        ];
        check(branch, &["main", "release/1.x", "a-b", "feature_x.y"], &bad);
    }

    #[test]
    fn paths_stay_inside_the_repository() {
        check(path, &["clusters/production", "clusters/", "app.yaml"], &["/etc", "../x", "a/../b", "./a", "a//b", ".git/config", "a\\b"]);
        assert_eq!(path("clusters/").unwrap().as_ref(), "clusters");
    }

    #[test]
    fn names_and_authors_are_plain() {
        check(name, &["fleet", "team-a.prod_1"], &["-x", "", "a b", "a/b", "é"]);
        check(person, &["skeg", "Image Updates"], &["a <b>", " "]);
    }
}
