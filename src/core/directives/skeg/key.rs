//! The keys: which there are, which may end in a container, and which come with a later version.

use crate::core::nearest::{nearest, shown};
use crate::core::workload::Container;

/// A key that this version honours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    Policy,
    AllowTags,
    IgnoreTags,
    Prerelease,
    MinAge,
    InitContainers,
    Trigger,
    Poll,
    Approvals,
    Approvers,
    ApprovalDeadline,
    ApprovalValid,
    Pin,
    Apply,
    WriteBack,
    Git,
    Rollback,
    RolloutTimeout,
    Pause,
}

/// Whom a key may speak for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Workload,
    /// The workload, or the container that it ends in.
    Container,
}

/// Every key without its prefix. `None` comes with a later version: a workload that has it is held.
#[rustfmt::skip]
const KEYS: [(&str, Scope, Option<Key>); 28] = [
    ("policy", Scope::Container, Some(Key::Policy)),
    ("allow-tags", Scope::Container, Some(Key::AllowTags)),
    ("ignore-tags", Scope::Container, Some(Key::IgnoreTags)),
    ("prerelease", Scope::Container, Some(Key::Prerelease)),
    ("min-age", Scope::Container, Some(Key::MinAge)),
    ("init-containers", Scope::Workload, Some(Key::InitContainers)),
    ("trigger", Scope::Container, Some(Key::Trigger)),
    ("poll", Scope::Container, Some(Key::Poll)),
    ("approvals", Scope::Workload, Some(Key::Approvals)),
    ("approvers", Scope::Workload, Some(Key::Approvers)),
    ("approval-deadline", Scope::Workload, Some(Key::ApprovalDeadline)),
    ("approval-valid", Scope::Workload, Some(Key::ApprovalValid)),
    ("notify", Scope::Workload, None),
    ("window", Scope::Workload, None),
    ("promote-from", Scope::Workload, None),
    ("promote-soak", Scope::Workload, None),
    ("promote-to", Scope::Workload, None),
    ("group", Scope::Workload, None),
    ("order", Scope::Workload, None),
    ("pin", Scope::Container, Some(Key::Pin)),
    ("signed-by", Scope::Container, None),
    ("apply", Scope::Workload, Some(Key::Apply)),
    ("write-back", Scope::Workload, Some(Key::WriteBack)),
    ("git", Scope::Workload, Some(Key::Git)),
    ("marker", Scope::Workload, None),
    ("rollback", Scope::Workload, Some(Key::Rollback)),
    ("rollout-timeout", Scope::Workload, Some(Key::RolloutTimeout)),
    ("pause", Scope::Workload, Some(Key::Pause)),
];

/// What is said of a key that the documentation knows and this version does not have.
const NOT_YET: &str = "this version of skeg does not have this directive yet";

/// What a word is among the names of directives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Name {
    /// This version honours it.
    Honoured(Key),
    /// It comes with a later version.
    Later,
    /// There is none; this one was probably meant.
    Unknown(Option<&'static str>),
}

impl Name {
    /// Looks a word up.
    pub fn of(word: &str) -> Self {
        match KEYS.iter().find(|(known, ..)| *known == word) {
            Some((.., Some(key))) => Self::Honoured(*key),
            Some((.., None)) => Self::Later,
            None => Self::Unknown(nearest(word, Key::names())),
        }
    }
}

impl Key {
    /// The names of those that this version honours, without the prefix.
    pub fn names() -> impl Iterator<Item = &'static str> + Clone {
        KEYS.iter().filter(|(.., key)| key.is_some()).map(|(name, ..)| *name)
    }

    /// Its name without the prefix.
    pub fn name(self) -> &'static str {
        KEYS.iter().find(|(.., key)| *key == Some(self)).map_or("", |(name, ..)| name)
    }

    /// Whether it counts also where Keel's keys say how tags are chosen and when to look.
    pub fn is_left_open_by_keel(self) -> bool {
        match self {
            Self::Approvals
            | Self::Approvers
            | Self::ApprovalDeadline
            | Self::ApprovalValid
            | Self::Apply
            | Self::WriteBack
            | Self::Git
            | Self::Rollback
            | Self::RolloutTimeout
            | Self::Pause => true,
            Self::Policy
            | Self::AllowTags
            | Self::IgnoreTags
            | Self::Prerelease
            | Self::MinAge
            | Self::InitContainers
            | Self::Trigger
            | Self::Poll
            | Self::Pin => false,
        }
    }

    /// Whether it may speak for a single container.
    pub fn is_of_container(self) -> bool {
        KEYS.iter().any(|(_, scope, key)| *scope == Scope::Container && *key == Some(self))
    }
}

/// Reads what follows the prefix on a workload: the key, and the container that it speaks for. The error says what is wrong with it.
pub fn read<'a>(text: &'a str, containers: &[Container]) -> Result<(Key, Option<&'a str>), String> {
    match split(text)? {
        (_, Some(container)) if !containers.iter().any(|known| *known.name == *container) => Err(no_container(container, containers)),
        read => Ok(read),
    }
}

/// Reads what follows the prefix on a Namespace. The container that it speaks for may be in some of its workloads, or in none yet.
pub fn read_on_namespace(text: &str) -> Result<(Key, Option<&str>), String> {
    match split(text)? {
        (_, Some(container)) if !is_label(container) => Err(format!("`{}` cannot be the name of a container", shown(container))),
        read => Ok(read),
    }
}

fn split(text: &str) -> Result<(Key, Option<&str>), String> {
    let (name, container) = text.split_once('.').map_or((text, None), |(name, container)| (name, Some(container)));
    let Some((_, scope, key)) = KEYS.iter().find(|(known, ..)| *known == name) else {
        return Err(unknown(name, container));
    };
    let key = key.ok_or(NOT_YET)?;
    match container {
        Some(_) if *scope == Scope::Workload => Err(format!("speaks for the whole workload: write skeg.dev/{name}")),
        container => Ok((key, container)),
    }
}

/// A label of RFC 1123, which the names of containers are.
fn is_label(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(is_inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn unknown(name: &str, container: Option<&str>) -> String {
    let suffix = container.map(|container| format!(".{}", shown(container))).unwrap_or_default();
    match nearest(name, KEYS.iter().map(|(known, ..)| *known)) {
        Some(nearest) => format!("there is no such directive, did you mean skeg.dev/{nearest}{suffix}?"),
        None => "there is no such directive".to_owned(),
    }
}

fn no_container(container: &str, containers: &[Container]) -> String {
    let shown = shown(container);
    match nearest(container, containers.iter().map(|known| &*known.name)) {
        Some(nearest) => format!("there is no container {shown}, did you mean {nearest}?"),
        None => format!("there is no container {shown}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str = include_str!("../../../../README.md");

    /// The words in backquotes of a text.
    fn quoted(text: &str) -> impl Iterator<Item = &str> {
        text.split('`').skip(1).step_by(2)
    }

    #[test]
    fn the_readme_lists_every_key_that_is_honoured_and_no_other() {
        let table =
            README.lines().skip_while(|line| !line.starts_with("| key `skeg.dev/")).skip(2).take_while(|line| line.starts_with('|'));
        let mut listed: Vec<&str> = table.flat_map(|line| quoted(line.split('|').nth(1).unwrap())).collect();
        let mut honoured: Vec<&str> = KEYS.iter().filter(|(.., key)| key.is_some()).map(|(name, ..)| *name).collect();
        listed.sort_unstable();
        honoured.sort_unstable();
        assert_eq!(listed, honoured);
        let sentence = README.split("\n\n").find(|text| text.contains("may end in `.<container>`")).unwrap();
        let mut for_containers: Vec<&str> = quoted(sentence).take_while(|word| !word.starts_with('.')).collect();
        let mut expected: Vec<&str> =
            KEYS.iter().filter(|(_, scope, key)| key.is_some() && *scope == Scope::Container).map(|(name, ..)| *name).collect();
        for_containers.sort_unstable();
        expected.sort_unstable();
        assert_eq!(for_containers, expected);
    }
}
