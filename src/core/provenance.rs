//! Where images come from, as they say it themselves, and where people can see what changed between two of them.
//!
//! Labels are whatever somebody wrote into an image. They are shown and decide nothing: each is one bounded line, and a link leads to the host that
//! `source` names, in the form of a forge that is known, only where both images name the same repository.

use url::Url;

use super::one_line::one_line;

/// The longest label that is kept; longer ones are no revision, version or address that a person can use.
const VALUE_BYTES_MAX: usize = 256;
/// A revision of Git is a number of 40 or 64 hexadecimal digits; some builds write a short one.
const REVISION_DIGITS: std::ops::RangeInclusive<usize> = 7..=64;
/// Digits by which people call a revision.
const REVISION_SHOWN: usize = 7;

/// What an image says of its origin: the keys `org.opencontainers.image.…` of the OCI image specification, "Pre-Defined Annotation Keys".
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Labels {
    /// `source`: where its sources are.
    pub source: Option<Box<str>>,
    /// `revision`: of which revision it was built.
    pub revision: Option<Box<str>>,
    /// `version`: what it is called by those who made it.
    pub version: Option<Box<str>>,
    /// `created`: when it was built.
    pub created: Option<Box<str>>,
}

/// Where the two images of a change come from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Provenance {
    /// The container.
    pub container: Box<str>,
    /// The image that is replaced.
    pub from: Labels,
    /// The new image.
    pub to: Labels,
}

/// A page that shows what changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Comparison {
    /// Its address: `https`, and no character that means something to a chat, a terminal or a commit message.
    pub url: Box<str>,
    /// The revisions, as people call them.
    pub revisions: (Box<str>, Box<str>),
}

/// What leads from a repository's page to a comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Forge {
    GitHub,
    GitLab,
    /// Forgejo as well.
    Gitea,
    Bitbucket,
}

impl Labels {
    /// The beginning of the keys that are read.
    pub const PREFIX: &'static str = "org.opencontainers.image.";

    /// Takes up a label; one that is there already stays. A value that is no bounded line of text is none.
    pub fn take_up(&mut self, key: &str, value: &str) {
        let place = match key.strip_prefix(Self::PREFIX) {
            Some("source") => &mut self.source,
            Some("revision") => &mut self.revision,
            Some("version") => &mut self.version,
            Some("created") => &mut self.created,
            _ => return,
        };
        let value = value.trim();
        // What a build writes there may be the address that it cloned from, with its password.
        let has_login = value.split_once("://").is_some_and(|(_, rest)| rest.contains(['@', '?']));
        let is_line = !has_login && !value.is_empty() && value.len() <= VALUE_BYTES_MAX && one_line(value, VALUE_BYTES_MAX) == value;
        if place.is_none() && is_line {
            *place = Some(value.into());
        }
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The page of its sources, when `source` is the address of one.
    pub fn page(&self) -> Option<Box<str>> {
        repository(self.source.as_deref()?).map(|url| url.as_str().into())
    }

    fn revision(&self) -> Option<&str> {
        let revision = self.revision.as_deref()?;
        (REVISION_DIGITS.contains(&revision.len()) && revision.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(revision)
    }
}

impl Provenance {
    /// Where people see what changed.
    pub fn comparison(&self) -> Option<Comparison> {
        let page = repository(self.to.source.as_deref()?)?;
        if repository(self.from.source.as_deref()?)? != page {
            return None;
        }
        let (from, to) = (self.from.revision()?, self.to.revision()?);
        let path = match Forge::of(page.host_str()?)? {
            Forge::GitHub | Forge::Gitea => format!("compare/{from}...{to}"),
            Forge::GitLab => format!("-/compare/{from}...{to}"),
            Forge::Bitbucket => format!("branches/compare/{to}%0D{from}"),
        };
        let short = |revision: &str| revision.chars().take(REVISION_SHOWN).collect::<String>().into();
        (from != to).then(|| Comparison { url: format!("{page}/{path}").into(), revisions: (short(from), short(to)) })
    }
}

impl Forge {
    /// The forge at a host, by its name: those that everybody knows, and those of companies that are called by what runs there.
    fn of(host: &str) -> Option<Self> {
        let first = host.split('.').next().unwrap_or_default();
        match (host, first) {
            ("codeberg.org", _) | (_, "gitea" | "forgejo") => Some(Self::Gitea),
            ("bitbucket.org", _) => Some(Self::Bitbucket),
            (_, "github") => Some(Self::GitHub),
            (_, "gitlab") => Some(Self::GitLab),
            _ => None,
        }
    }
}

/// The address of a repository's page, in one form: `https`, a host with a dot in its name, and a plain path without `.git`.
fn repository(source: &str) -> Option<Url> {
    let mut url = Url::parse(source).ok()?;
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte));
    let is_bare = url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path).to_owned();
    let is_path = path.len() > 1 && !path.contains("//") && is_plain(&path);
    let is_host = url.domain().is_some_and(|host| host.contains('.') && is_plain(host));
    let is_one = url.scheme() == "https" && is_bare && is_host && is_path;
    url.set_path(&path);
    is_one.then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(source: &str, revision: &str) -> Labels {
        let mut labels = Labels::default();
        labels.take_up("org.opencontainers.image.source", source);
        labels.take_up("org.opencontainers.image.revision", revision);
        labels
    }

    const OLD: &str = "1111111111111111111111111111111111111111";
    const NEW: &str = "2222222222222222222222222222222222222222";

    #[track_caller]
    fn check(from: (&str, &str), to: (&str, &str), expected: Option<&str>) {
        let provenance = Provenance { container: "web".into(), from: labels(from.0, from.1), to: labels(to.0, to.1) };
        let url = provenance.comparison().map(|comparison| comparison.url.replace(OLD, "OLD").replace(NEW, "NEW"));
        assert_eq!(url.as_deref(), expected, "{from:?} {to:?}");
    }

    /// The same between [`OLD`] and [`NEW`] of one source.
    #[track_caller]
    fn check_source(source: &str, expected: Option<&str>) {
        check((source, OLD), (source, NEW), expected);
    }

    #[test]
    fn each_forge_shows_a_comparison_in_its_own_form() {
        check_source("https://github.com/acme/web", Some("https://github.com/acme/web/compare/OLD...NEW"));
        check_source("https://github.example.com/acme/web.git", Some("https://github.example.com/acme/web/compare/OLD...NEW"));
        check_source("https://gitlab.com/acme/shop/web/", Some("https://gitlab.com/acme/shop/web/-/compare/OLD...NEW"));
        check_source("https://codeberg.org/acme/web", Some("https://codeberg.org/acme/web/compare/OLD...NEW"));
        check_source("https://forgejo.example.com:8443/acme/web", Some("https://forgejo.example.com:8443/acme/web/compare/OLD...NEW"));
        check_source("https://gitea.example.com/acme/web", Some("https://gitea.example.com/acme/web/compare/OLD...NEW"));
        check_source("https://bitbucket.org/acme/web", Some("https://bitbucket.org/acme/web/branches/compare/NEW%0DOLD"));
        check_source("https://git.example.com/acme/web", None);
    }

    #[test]
    fn what_is_no_plain_address_of_a_repository_leads_nowhere() {
        for source in [
            "http://github.com/acme/web",
            "git@github.com:acme/web.git",
            "https://user:password@github.com/acme/web",
            "https://github.com/acme/web?x=1",
            "https://github.com/acme/web#readme",
            "https://github.com",
            "https://github.com//acme",
            "https://github.com/acme/web|evil",
            "https://github.com/acme/web>",
            "https://github.com/acme/ web",
            "https://github/acme/web",
            "https://127.0.0.1/acme/web",
            "javascript:alert(1)",
            "acme/web",
        ] {
            check_source(source, None);
            assert_eq!(labels(source, OLD).page(), None, "{source}");
        }
    }

    #[test]
    fn both_images_must_come_from_one_repository_and_say_from_which_revision() {
        let web = "https://github.com/acme/web";
        check((web, OLD), ("https://github.com/acme/web.git", NEW), Some("https://github.com/acme/web/compare/OLD...NEW"));
        check((web, OLD), ("https://github.com/evil/web", NEW), None);
        check((web, OLD), ("https://gitlab.com/acme/web", NEW), None);
        check((web, OLD), (web, OLD), None);
        check((web, ""), (web, NEW), None);
        check((web, OLD), ("", NEW), None);
        check((web, "main"), (web, NEW), None);
        check((web, OLD), (web, "../../settings"), None);
        check((web, "abc123"), (web, NEW), None);
        check((web, "abc1234"), (web, NEW), Some("https://github.com/acme/web/compare/abc1234...NEW"));
    }

    #[test]
    fn the_first_of_a_key_wins_and_what_is_no_line_is_none() {
        let mut labels = Labels::default();
        for (key, value) in [
            ("org.opencontainers.image.version", "1.0\nSkeg-Update: shop/web-1"),
            ("org.opencontainers.image.version", "\u{202e}1.0"),
            ("org.opencontainers.image.version", " "),
            ("org.opencontainers.image.version", &"1".repeat(257)),
            ("org.opencontainers.image.version", " 1.1 "),
            ("org.opencontainers.image.version", "1.2"),
            ("org.opencontainers.image.title", "web"),
            ("source", "https://github.com/acme/web"),
        ] {
            labels.take_up(key, value);
        }
        assert_eq!(labels, Labels { version: Some("1.1".into()), ..Labels::default() });
    }

    #[test]
    fn an_address_with_a_login_in_it_is_not_taken_up() {
        for source in [
            "https://gitlab-ci-token:s3cret@git.example.com/acme/web",
            "https://token@github.com/acme/web",
            "ssh://git:s3cret@host/x",
            "https://host/x?access_token=s3cret",
        ] {
            assert_eq!(labels(source, OLD).source, None, "{source}");
        }
        assert!(labels("git@github.com:acme/web", OLD).source.is_some(), "an account is no secret");
    }
}
