//! `[registries]`: which registries are asked at all.

use super::load::Single;
use super::registry::host;
use super::section::Section;
use crate::core::image::RepositoryError;

/// The section `[registries]`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Registries {
    /// The registries that are asked beside those of `[[registry]]`, in normal form; `*.` stands for any beginning. Default `[]`: all of them.
    pub allow: Vec<Box<str>>,
}

impl Single for Registries {
    const NAME: &'static str = "registries";

    fn read(section: &mut Section<'_, '_>) -> Self {
        const ALLOW: &str = "write hosts, such as \"docker.io\" or \"*.example.com\"; [] allows all";
        Self { allow: section.list("allow", ALLOW, allowed).unwrap_or_default() }
    }
}

fn allowed(text: &str) -> Result<Box<str>, RepositoryError> {
    match text.strip_prefix("*.") {
        Some(end) => Ok(format!("*.{}", host(end)?).into()),
        None => host(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_their_ends_are_taken_and_nothing_else() {
        assert_eq!(allowed("index.docker.io").as_deref(), Ok("docker.io"));
        assert_eq!(allowed("*.Example.com:5000").as_deref(), Ok("*.example.com:5000"));
        for wrong in ["", "*", "*.com", "a.*.com", "https://a.test", "a.test/x"] {
            assert!(allowed(wrong).is_err(), "{wrong}");
        }
    }
}
