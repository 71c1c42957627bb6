//! Addresses of Git remotes: `https://host/path`, `http://host/path`, `ssh://user@host/path` and `user@host:path`.
//!
//! What `git` or `ssh` could read as an option, a transport helper (`ext::…`, `file::…`) or a file of this machine is no address. Forms:
//! git-fetch(1), "Git URLs"; the last one differs from `ssh://`, as its path begins in the user's home.

use std::fmt;

use url::Url;

/// An address in the one form that is ever passed on. It holds no password.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GitAddress {
    text: Box<str>,
    transport: GitTransport,
}

/// How a remote is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GitTransport {
    /// With TLS.
    Https,
    /// In the clear.
    Http,
    /// By the `ssh` program.
    Ssh,
}

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GitAddressError {
    /// It has no such form.
    #[error("not an address of the form https://host/path, ssh://user@host/path or user@host:path")]
    Form,
    /// Another scheme, or a transport helper.
    #[error("only https:// and ssh:// are spoken, and http:// with insecure = true")]
    Scheme,
    /// Without TLS.
    #[error("http is not encrypted; insecure = true allows it")]
    NotEncrypted,
    /// It holds a password, or a user where a header tells who asks.
    #[error("a credential does not belong into the address; name a file or an environment variable")]
    Credentials,
    /// `ssh` would take the name of the user that skeg runs as.
    #[error("the address names no user; on most forges it is git: ssh://git@host/path")]
    User,
    /// It has parts that no repository has, or no path.
    #[error("the address must end with the path of the repository")]
    Path,
}

impl GitAddress {
    /// Reads an address; `insecure` allows `http://`.
    pub fn parse(text: &str, insecure: bool) -> Result<Self, GitAddressError> {
        // The URL parser drops blanks and control characters without a word; nobody means them.
        if text.contains(|character: char| character.is_whitespace() || character.is_control()) {
            return Err(GitAddressError::Form);
        }
        if let Some((user, host, path)) = short_form(text) {
            return if is_user(user) && is_host(host) && is_short_path(path) { Ok(Self::ssh(text)) } else { Err(GitAddressError::Form) };
        }
        let url = Url::parse(text).map_err(|_| GitAddressError::Form)?;
        match url.scheme() {
            "https" => Self::web(&url, GitTransport::Https),
            "http" if insecure => Self::web(&url, GitTransport::Http),
            "http" => Err(GitAddressError::NotEncrypted),
            "ssh" => Self::shell(&url),
            _ => Err(GitAddressError::Scheme),
        }
    }

    /// How the remote is spoken to.
    pub fn transport(&self) -> GitTransport {
        self.transport
    }

    /// The address as it is passed on.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn web(url: &Url, transport: GitTransport) -> Result<Self, GitAddressError> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(GitAddressError::Credentials);
        }
        check_path(url)?;
        Ok(Self { text: url.as_str().into(), transport })
    }

    fn shell(url: &Url) -> Result<Self, GitAddressError> {
        if url.password().is_some() {
            return Err(GitAddressError::Credentials);
        }
        if url.username().is_empty() {
            return Err(GitAddressError::User);
        }
        check_path(url)?;
        if !is_user(url.username()) || !url.host_str().is_some_and(is_host) || hides_control(url.path()) {
            return Err(GitAddressError::Form);
        }
        Ok(Self::ssh(url.as_str()))
    }

    fn ssh(text: &str) -> Self {
        Self { text: text.into(), transport: GitTransport::Ssh }
    }
}

impl fmt::Display for GitAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether `ssh` and its option parser take a file's name as it is. Quotes, backslashes, `$` and `%` mean something there, differently by
/// version; a name that needs them is refused rather than escaped.
pub fn ssh_takes(file: &str) -> bool {
    !file.contains(|character: char| character.is_control() || "\"\\$%".contains(character))
}

/// User, host and path of `user@host:path`.
fn short_form(text: &str) -> Option<(&str, &str, &str)> {
    let (user, rest) = text.split_once('@')?;
    let (host, path) = rest.split_once(':')?;
    (!user.contains(['/', ':']) && !host.contains('/')).then_some((user, host, path))
}

fn check_path(url: &Url) -> Result<(), GitAddressError> {
    let ends_with_path = url.query().is_none() && url.fragment().is_none() && !matches!(url.path(), "" | "/");
    if ends_with_path { Ok(()) } else { Err(GitAddressError::Path) }
}

fn is_user(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('-') && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte))
}

/// A name or a number of a host; with brackets an IPv6 address, which the URL parser has read.
fn is_host(text: &str) -> bool {
    let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    let is_bracketed = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte));
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inside) => is_bracketed(inside),
        None => !text.is_empty() && !text.starts_with('-') && is_name(text),
    }
}

/// A path that begins with a hyphen would be an option of the server's program, and one with a colon a transport helper.
fn is_short_path(text: &str) -> bool {
    !matches!(text, "" | "/") && !text.starts_with(['-', ':'])
}

/// Whether git would find control characters in the path: it decodes percent signs in `ssh://`.
fn hides_control(path: &str) -> bool {
    let is_control = |code: &str| u8::from_str_radix(code, 16).is_ok_and(|byte| byte.is_ascii_control());
    path.split('%').skip(1).any(|rest| rest.get(..2).is_some_and(is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn takes(text: &str, transport: GitTransport) {
        let address = GitAddress::parse(text, true).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!((address.as_str(), address.transport()), (text, transport));
    }

    #[track_caller]
    fn refuses(texts: &[&str], error: GitAddressError) {
        for text in texts {
            assert_eq!(GitAddress::parse(text, false), Err(error), "{text:?}");
        }
    }

    #[test]
    fn the_forms_of_forges_are_taken_as_they_are_written() {
        takes("https://git.example.com/team/manifests.git", GitTransport::Https);
        takes("https://git.example.com:8443/x", GitTransport::Https);
        takes("http://127.0.0.1:3080/a.git", GitTransport::Http);
        takes("ssh://git@git.example.com/team/manifests.git", GitTransport::Ssh);
        takes("ssh://git@git.example.com:2222/~/x.git", GitTransport::Ssh);
        takes("ssh://git@[::1]:2222/x.git", GitTransport::Ssh);
        takes("git@github.com:acme/fleet.git", GitTransport::Ssh);
        takes("git@ssh.dev.azure.com:v3/acme/My%20Project/fleet", GitTransport::Ssh);
    }

    #[test]
    fn what_git_or_ssh_could_read_otherwise_is_no_address() {
        let options = ["-oProxyCommand=x", "--upload-pack=touch x", "-x@host:path", "git@-oProxyCommand=x:path", "git@host:-x"];
        refuses(&options, GitAddressError::Form);
        refuses(&["ssh://-oProxyCommand=x@host/x", "ssh://git@-oProxyCommand=x/x", "ssh://git@%2doProxyCommand/x"], GitAddressError::Form);
        refuses(&["ssh://git@ho$(id)st/x", "git@ho$(id)st:x", "git@host::x", "git@host:", "ssh://git@host/a%0ab"], GitAddressError::Form);
        refuses(&["", "/etc/passwd", "../a", "https://", "https://a/b\n", " https://a/b", "ext::sh -c id"], GitAddressError::Form);
        let schemes = ["ext::sh", "file::/etc", "file:///srv/x.git", "git://a/b", "ftp://a/b", "git+ssh://git@a/b", "javascript:1"];
        refuses(&schemes, GitAddressError::Scheme);
        refuses(&["http://git.example.com/x"], GitAddressError::NotEncrypted);
    }

    #[test]
    fn an_address_holds_no_credential_and_ends_with_a_path() {
        refuses(&["https://user@a/b", "https://user:canary@a/b", "ssh://git:canary@a/b"], GitAddressError::Credentials);
        refuses(&["ssh://git.example.com/x"], GitAddressError::User);
        refuses(&["https://a", "https://a/", "https://a/b?c", "https://a/b#c", "ssh://git@a", "ssh://git@a/"], GitAddressError::Path);
    }

    #[test]
    fn files_whose_names_ssh_would_read_otherwise_are_not_passed_to_it() {
        assert!(ssh_takes("/etc/skeg/key") && ssh_takes("/home/o'neil/my keys/id_ed25519"));
        for file in ["/a\"b", "/a\\b", "/a$HOME", "/a%h", "/a\nb"] {
            assert!(!ssh_takes(file), "{file:?}");
        }
    }
}
