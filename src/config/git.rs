//! `[[git]]`: the remotes that images are committed to.

use url::Url;

use super::credential::Credential;
use super::grant::Namespaces;
use super::load::{Clash, Element};
use super::section::Section;

/// One section `[[git]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remote {
    /// The name that `skeg.dev/git` and messages use. Required.
    pub name: Box<str>,
    /// Its address, `https://…`, or `http://…` with `insecure`. Required.
    pub url: Url,
    /// The branch to commit to. Default `"main"`.
    pub branch: Box<str>,
    /// The folder or file in it that declares workloads. Default: everywhere.
    pub path: Option<Box<str>>,
    /// The namespaces whose workloads it may record. Required.
    pub namespaces: Namespaces,
    /// `username` with `password_file` or `password_env`; or `token_file` or `token_env`, which is sent as the password of the user `git`, as
    /// forges take access tokens. Default none.
    pub credential: Option<Credential>,
    /// Whether it may be reached without TLS. Default false.
    pub insecure: bool,
    /// Name of author and committer. Default `"skeg"`.
    pub author_name: Box<str>,
    /// Their address. Default `"skeg@localhost"`.
    pub author_email: Box<str>,
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
        let url = section.parsed("url", URL, |text| url(text, insecure));
        let branch = section.parsed("branch", "write the branch's short name, such as \"main\"", branch);
        let path = section.parsed("path", "write a path inside the repository, such as \"clusters/production\"", path);
        let namespaces = Namespaces::read(section);
        let credential = Credential::read(section, "the remote");
        let author_name = section.parsed("author_name", "write a plain name", person).unwrap_or_else(|| "skeg".into());
        let author_email = section.parsed("author_email", "write a plain address", person).unwrap_or_else(|| "skeg@localhost".into());
        Some(Self {
            name: remote_name?,
            url: url?,
            branch: branch.unwrap_or_else(|| "main".into()),
            path,
            namespaces: namespaces?,
            credential,
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

const URL: &str = "write an address such as \"https://git.example.com/team/manifests.git\"";

/// Why a text cannot be used in one of the settings of a remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum RemoteError {
    #[error("not a name")]
    Name,
    #[error("not an address")]
    Url,
    #[error("only https is spoken in this version")]
    Scheme,
    #[error("http is not encrypted; insecure = true allows it")]
    NotEncrypted,
    #[error("a credential does not belong into the address; use username and password_file")]
    Inline,
    #[error("query and fragment have no meaning here")]
    Extras,
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

/// The address must not read as an option or a transport helper of git (`-…`, `ext::…`, `file::…`), so it is a whole URL of a known scheme.
fn url(text: &str, insecure: bool) -> Result<Url, RemoteError> {
    let url = Url::parse(text).map_err(|_| RemoteError::Url)?;
    match url.scheme() {
        "https" => {}
        "http" if insecure => {}
        "http" => return Err(RemoteError::NotEncrypted),
        _ => return Err(RemoteError::Scheme),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(RemoteError::Inline);
    }
    if url.path() == "/" {
        return Err(RemoteError::Url);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(RemoteError::Extras);
    }
    if url.host_str().is_some_and(|host| !host.is_empty()) { Ok(url) } else { Err(RemoteError::Url) }
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
    fn an_address_cannot_become_an_option_or_a_helper_of_git() {
        let good = ["https://git.example.com/team/manifests.git", "https://git.example.com:8443/x"];
        let bad = [
            "--upload-pack=touch x",
            "-oProxyCommand=x",
            "ext::sh -c id",
            "file::/etc",
            "file:///srv/x.git",
            "ssh://git@host/x",
            "git@host:x.git",
            "http://git.example.com/x",
            "https://user:secret@git.example.com/x",
            "https://token@git.example.com/x",
            "https://git.example.com/x?y",
            "https://",
            "https://git.example.com/",
            "/srv/x.git",
        ];
        check(|text| url(text, false), &good, &bad);
        check(|text| url(text, true), &["http://git.example.com/x"], &["ext::x", "file:///x"]);
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
