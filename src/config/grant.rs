//! Which namespaces may use something.

use super::section::Section;

/// Namespaces that something is granted to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Namespaces {
    /// Every namespace: `["*"]`.
    All,
    /// These: at least one, sorted.
    Named(Vec<Box<str>>),
}

impl Namespaces {
    /// Whether `namespace` is among them.
    pub fn covers(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.iter().any(|name| **name == *namespace),
        }
    }

    /// Whether some namespace is among both.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => true,
            (Self::Named(names), Self::Named(_)) => names.iter().any(|name| other.covers(name)),
        }
    }

    /// The names; none where all are meant.
    pub fn named(&self) -> &[Box<str>] {
        match self {
            Self::All => &[],
            Self::Named(names) => names,
        }
    }

    /// What to write for the key `namespaces`.
    pub(super) const ADVICE: &'static str = "write the namespaces that may use it, or [\"*\"] for all of them";

    /// Reads the key `namespaces`; `None` when it is absent, or wrong and noted.
    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let mut names: Vec<Box<str>> = section.list("namespaces", Self::ADVICE, |text| match text {
            "*" => Ok(text.into()),
            name => namespace(name),
        })?;
        if names.is_empty() {
            section.error("namespaces", "grants it to nobody", Self::ADVICE);
            return None;
        }
        if names.iter().any(|name| **name == *"*") {
            if names.len() > 1 {
                section.error("namespaces", "names \"*\" and others", Self::ADVICE);
            }
            return Some(Self::All);
        }
        names.sort();
        names.dedup();
        Some(Self::Named(names))
    }
}

/// Why a text is no name of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a namespace: expected at most 63 lower-case letters, digits and inner hyphens")]
pub(super) struct NamespaceError;

/// The name of a namespace. Source: RFC 1123 label, as Kubernetes' "Object Names and IDs" asks for.
pub(super) fn namespace(text: &str) -> Result<Box<str>, NamespaceError> {
    let is_label = (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    if is_label { Ok(text.into()) } else { Err(NamespaceError) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Namespaces {
        Namespaces::Named(names.iter().map(|name| (*name).into()).collect())
    }

    #[test]
    fn a_grant_covers_what_it_names_and_nothing_else() {
        assert!(Namespaces::All.covers("shop"));
        assert!(named(&["shop"]).covers("shop"));
        assert!(!named(&["shop"]).covers("sho"));
        assert!(named(&["a", "b"]).overlaps(&named(&["b"])));
        assert!(!named(&["a"]).overlaps(&named(&["b"])));
        assert!(named(&["a"]).overlaps(&Namespaces::All));
    }
}
