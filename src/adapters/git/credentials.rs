//! How a password reaches the server, and nothing else.
//!
//! git is given an `Authorization` header for exactly one address, through the environment of its process (`GIT_CONFIG_…`).
//! The other routes were weighed:
//!
//! - the command line and the URL are shown to every user of the machine, and the URL also in git's own messages;
//! - a credential helper or askpass program is one more program to ship, to find and to trust, runs through a shell, and still
//!   has to get the secret from somewhere;
//! - a file has to be written, protected and removed, also after a crash.
//!
//! The environment of a process can be read by the same user and by root, who could read the memory of skeg as well, and is
//! gone with the process. The header is bound to the repository's address, and redirects are not followed, so no other
//! server sees it. The secret is read again for each run: a rotated one takes effect at once. A remote by SSH has files instead,
//! see [`super::ssh`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::program::Access;
use super::settings::{GitRemote, USERNAME_DEFAULT};
use super::trouble::Trouble;
use crate::core::git_address::GitAddress;
use crate::core::one_line::one_line;

/// The settings for one run against `remote`, with its secret as it is now.
pub(super) fn access(remote: &GitRemote, address: &GitAddress) -> Result<Access, Trouble> {
    let mut access = Access::default();
    if let Some(files) = &remote.ssh {
        access.environment.extend(super::ssh::environment(files)?);
        return Ok(access);
    }
    if let Some(file) = &remote.ca_file {
        let file = file.to_str().ok_or_else(|| Trouble::Broken("the name of ca_file is not UTF-8".to_owned()))?;
        access.settings.push(("http.sslCAInfo".to_owned(), file.to_owned()));
    }
    if let Some(source) = &remote.password {
        let password = source().map_err(|error| Trouble::Unauthorized(one_line(&error, 200)))?;
        let username = remote.username.as_deref().unwrap_or(USERNAME_DEFAULT);
        let basic = STANDARD.encode(format!("{username}:{password}"));
        access.settings.push((format!("http.{address}.extraHeader"), format!("Authorization: Basic {basic}")));
        access.secrets.extend([basic, password]);
    }
    Ok(access)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::adapters::git::{GitAuthor, SecretSource};

    fn remote(password: Option<SecretSource>) -> GitRemote {
        GitRemote {
            name: "fleet".into(),
            url: "https://git.example.com/fleet.git".into(),
            insecure: false,
            branch: "main".into(),
            path: None,
            namespaces: vec!["*".into()],
            username: Some("robot".into()),
            password,
            ssh: None,
            author: GitAuthor { name: "skeg".into(), email: "skeg@example.com".into() },
            ca_file: None,
        }
    }

    fn address() -> GitAddress {
        GitAddress::parse("https://git.example.com/fleet.git", false).unwrap()
    }

    #[test]
    fn the_header_is_for_one_address_and_both_forms_of_the_secret_are_masked() {
        let access = access(&remote(Some(Arc::new(|| Ok("s3cret".to_owned())))), &address()).unwrap();
        let header = ("http.https://git.example.com/fleet.git.extraHeader".to_owned(), "Authorization: Basic cm9ib3Q6czNjcmV0".to_owned());
        assert_eq!(access.settings, [header]);
        assert_eq!(access.secrets, ["cm9ib3Q6czNjcmV0", "s3cret"]);
    }

    #[test]
    fn a_secret_that_cannot_be_read_is_an_error_that_says_where_it_should_be() {
        let missing: SecretSource = Arc::new(|| Err("/run/token: entity not found".to_owned()));
        let trouble = access(&remote(Some(missing)), &address()).err().unwrap();
        assert_eq!(trouble, Trouble::Unauthorized("/run/token: entity not found".to_owned()));
    }

    #[test]
    fn without_a_password_nothing_is_sent() {
        assert_eq!(access(&remote(None), &address()).unwrap().settings, []);
    }
}
