//! How skeg shows who it is, and how others show it to skeg: two forms of one HTTP header.

use super::secret::Secret;
use super::section::Section;

const TOKEN_KEYS: [&str; 2] = ["token_file", "token_env"];
const PASSWORD_KEYS: [&str; 2] = ["password_file", "password_env"];

/// A credential in one of the forms of the `Authorization` header.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Credential {
    /// User name and password (RFC 7617).
    Basic {
        /// The user name.
        username: Box<str>,
        /// Where the password is.
        password: Secret,
    },
    /// A token (RFC 6750).
    Bearer(Secret),
}

impl Credential {
    /// Reads `username` with `password_file` or `password_env`, or `token_file` or `token_env`. `None` when no credential is named, or when
    /// it is wrong and noted. `closes` says what stays closed while its secret is missing.
    pub(super) fn read(section: &mut Section<'_, '_>, closes: &str) -> Option<Self> {
        let username = section.parsed("username", "write a user name without colon", username);
        let password = section.secret("password", closes);
        let token = section.secret("token", closes);
        match (username, password, token) {
            (None, None, None) => None,
            (None, None, Some(token)) => Some(Self::Bearer(token)),
            (Some(username), Some(password), None) => Some(Self::Basic { username, password }),
            (_, _, Some(_)) => {
                section.error(
                    section.written_of(&TOKEN_KEYS),
                    "a token stands beside a user name or password",
                    "keep one of the two credentials",
                );
                None
            }
            (Some(_), None, None) => {
                section.error("username", "has no password", "name it with password_file or password_env");
                None
            }
            (None, Some(_), None) => {
                // A wrong user name is noted already.
                if !section.is_written("username") {
                    section.error(section.written_of(&PASSWORD_KEYS), "a password has no user name", "write username = \"…\"");
                }
                None
            }
        }
    }

    /// Whether a key of a credential is written, right or wrong.
    pub(super) fn is_written(section: &Section<'_, '_>) -> bool {
        ["username", "password", "password_file", "password_env", "token", "token_file", "token_env"]
            .iter()
            .any(|key| section.is_written(key))
    }
}

/// Why a text is no user name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a colon ends the user name in the header")]
struct UsernameError;

fn username(text: &str) -> Result<Box<str>, UsernameError> {
    if text.contains(':') { Err(UsernameError) } else { Ok(text.into()) }
}
