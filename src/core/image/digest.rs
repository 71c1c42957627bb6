//! The content address of a manifest.

use std::fmt;
use std::str::FromStr;

/// `sha256:` and 64, or `sha512:` and 128, lower-case hexadecimal digits.
///
/// Source: OCI image specification, "Digests" (the two registered algorithms).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(Box<str>);

/// Why a text is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a digest: expected sha256:<64 hex digits> or sha512:<128 hex digits>")]
pub struct DigestError;

impl Digest {
    /// The digest as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, for messages to people.
    pub fn short(&self) -> &str {
        let start = self.0.find(':').map_or(0, |colon| colon + 1);
        self.0.get(start..start + 12).unwrap_or(&self.0)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (algorithm, digits) = text.split_once(':').ok_or(DigestError)?;
        let length = match algorithm {
            "sha256" => 64,
            "sha512" => 128,
            _ => return Err(DigestError),
        };
        let is_lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if digits.len() == length && digits.bytes().all(is_lower_hex) { Ok(Self(text.into())) } else { Err(DigestError) }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, is_digest: bool) {
        assert_eq!(text.parse::<Digest>().is_ok(), is_digest, "{text}");
    }

    #[test]
    fn only_the_registered_algorithms_with_their_full_length_are_digests() {
        let hex = "0123456789abcdef".repeat(4);
        check(&format!("sha256:{hex}"), true);
        check(&format!("sha512:{hex}{hex}"), true);
        check(&format!("sha256:{}", hex.to_uppercase()), false);
        check(&format!("sha256:{}", &hex[1..]), false);
        check(&format!("sha512:{hex}"), false);
        check(&format!("md5:{hex}"), false);
        check(&hex, false);
        check("", false);
    }

    #[test]
    fn the_short_form_is_the_first_twelve_digits() {
        let digest: Digest = format!("sha256:{}", "0123456789abcdef".repeat(4)).parse().unwrap();
        assert_eq!(digest.short(), "0123456789ab");
    }
}
