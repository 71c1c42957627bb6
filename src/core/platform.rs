//! What nodes are and images are built for: an operating system and an architecture.
//!
//! Variants (`arm/v7`) and versions of Windows are not compared: the node's labels do not say the one, and a registry seldom the other.

use std::collections::BTreeSet;
use std::fmt;

/// The longest name of an operating system or an architecture. Longer ones are none.
const NAME_BYTES_MAX: usize = 32;
/// How many platforms are kept of one image. The richest images are for a dozen.
const PLATFORMS_MAX: usize = 64;
/// What a node of the first architecture runs beside its own: container runtimes choose it where an image has nothing better.
const ALSO_RUNS: [(&str, &str); 2] = [("amd64", "386"), ("arm64", "arm")];

/// An operating system and an architecture, `linux/arm64`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Platform {
    os: Box<str>,
    architecture: Box<str>,
}

/// Platforms, each once.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Platforms(BTreeSet<Platform>);

impl Platform {
    /// A platform by the names that nodes and images use. Other spellings of the same are read as container runtimes read them; `None` when one
    /// of the names is none, or `unknown`, as which attestations are stored beside images.
    pub fn new(os: &str, architecture: &str) -> Option<Self> {
        let architecture = match &*name(architecture)? {
            "x86_64" | "x86-64" => "amd64".into(),
            "aarch64" => "arm64".into(),
            "i386" => "386".into(),
            other => other.into(),
        };
        Some(Self { os: name(os)?, architecture })
    }
}

fn name(text: &str) -> Option<Box<str>> {
    let is_name =
        (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let name = text.to_ascii_lowercase();
    (is_name && name != "unknown").then(|| name.into())
}

impl Platforms {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of them for which an image that is built for `offered` has nothing.
    #[must_use]
    pub fn lacking(&self, offered: &Self) -> Self {
        self.iter().filter(|wanted| !offered.serve(wanted)).cloned().collect()
    }

    /// Those of them for which an image that is built for `offered` has something.
    #[must_use]
    pub fn served(&self, offered: &Self) -> Self {
        self.iter().filter(|wanted| offered.serve(wanted)).cloned().collect()
    }

    fn iter(&self) -> impl Iterator<Item = &Platform> {
        self.0.iter()
    }

    fn serve(&self, wanted: &Platform) -> bool {
        let runs = |offered: &Platform| {
            offered == wanted || offered.os == wanted.os && ALSO_RUNS.contains(&(&*wanted.architecture, &*offered.architecture))
        };
        self.iter().any(runs)
    }
}

impl FromIterator<Platform> for Platforms {
    fn from_iter<I: IntoIterator<Item = Platform>>(platforms: I) -> Self {
        Self(platforms.into_iter().take(PLATFORMS_MAX).collect())
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)
    }
}

impl fmt::Display for Platforms {
    /// `linux/amd64`, `linux/amd64 and linux/arm64`, `linux/386, linux/amd64 and linux/arm64`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, platform) in self.iter().enumerate() {
            let separator = match at {
                0 => "",
                at if at + 1 == self.0.len() => " and ",
                _ => ", ",
            };
            write!(f, "{separator}{platform}")?;
        }
        Ok(())
    }
}

/// The platforms in a text, separated by spaces.
#[cfg(test)]
pub(crate) fn platforms(text: &str) -> Platforms {
    let platform = |text: &str| text.split_once('/').and_then(|(os, architecture)| Platform::new(os, architecture)).unwrap();
    text.split_whitespace().map(platform).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_name(os: &str, architecture: &str, expected: Option<&str>) {
        assert_eq!(Platform::new(os, architecture).map(|platform| platform.to_string()).as_deref(), expected, "{os} {architecture}");
    }

    #[test]
    fn the_same_platform_has_one_name() {
        check_name("linux", "amd64", Some("linux/amd64"));
        check_name("Linux", "x86_64", Some("linux/amd64"));
        check_name("linux", "aarch64", Some("linux/arm64"));
        check_name("linux", "i386", Some("linux/386"));
        check_name("windows", "AMD64", Some("windows/amd64"));
        check_name("unknown", "unknown", None);
        check_name("linux", "unknown", None);
        check_name("", "amd64", None);
        check_name("linux", "", None);
        check_name("linux\n", "amd64", None);
        check_name("linux", "<b>", None);
        check_name("linux", &"x".repeat(33), None);
    }

    #[track_caller]
    fn check(wanted: &str, offered: &str, lacking: &str) {
        let (wanted, offered) = (platforms(wanted), platforms(offered));
        assert_eq!(wanted.lacking(&offered), platforms(lacking), "{wanted} of {offered}");
        assert_eq!(wanted.served(&offered), wanted.lacking(&platforms(lacking)), "{wanted} of {offered}");
    }

    #[test]
    fn what_is_lacking_is_what_nothing_offered_runs_on() {
        check("linux/amd64", "linux/amd64 linux/arm64", "");
        check("linux/amd64 linux/arm64", "linux/amd64", "linux/arm64");
        check("linux/amd64", "windows/amd64", "linux/amd64");
        check("linux/arm64 linux/amd64", "linux/arm linux/386", "");
        check("linux/arm", "linux/arm64", "linux/arm");
        check("linux/amd64", "", "linux/amd64");
        check("", "", "");
    }

    #[test]
    fn they_are_listed_as_people_list_things() {
        let text = |text: &str| platforms(text).to_string();
        assert_eq!(text("linux/arm64"), "linux/arm64");
        assert_eq!(text("linux/arm64 linux/amd64 linux/arm64"), "linux/amd64 and linux/arm64");
        assert_eq!(text("linux/arm64 linux/386 windows/amd64"), "linux/386, linux/arm64 and windows/amd64");
    }
}
