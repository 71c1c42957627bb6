//! `[[rule]]`: directives for many workloads at once, as defaults or as bounds.

use super::grant::Namespaces;
use super::load::{Clash, Element};
use super::schema::Shape;
use super::section::{Section, Source, Wrong};
use crate::core::directives::skeg::{Glob, GlobError, RuleError, Said, Selector, names};
use crate::core::directives::{Approver, Rule};
use crate::core::workload::WorkloadKind;

/// The longest name of a rule, and of a label's value: what Kubernetes takes.
const NAME_LENGTH_MAX: usize = 63;
/// The longest key of a label, its prefix included. Source: Kubernetes, "Labels and Selectors".
const LABEL_KEY_LENGTH_MAX: usize = 253 + 1 + NAME_LENGTH_MAX;

const NAME: &str = "write letters, digits and hyphens, a letter first";
const GLOB: &str = "write names, such as \"web\" or \"web-*\"";
const IMAGE: &str = "write a repository with its registry, such as \"ghcr.io/acme/*\" or \"docker.io/library/nginx\"";
const DIRECTIVES: &str = "write what it says, such as { policy = \"semver:^1\" }";

/// Why a text cannot be used in one of the settings of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum SelectorError {
    #[error("not a name")]
    Name,
    #[error("not a kind that this version updates")]
    Kind,
}

impl Element for Rule {
    const NAME: &'static str = "rule";

    fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        section.require("directives", DIRECTIVES);
        let number = section.number().to_string();
        let place = section.parsed("name", NAME, name);
        let enforced = section.flag("enforce").unwrap_or_default();
        let namespaces = Namespaces::read(section);
        let kinds = WorkloadKind::ALL.map(WorkloadKind::as_str).join("\" or \"");
        let kinds = selection(section, "kinds", &format!("write \"{kinds}\""), |text| WorkloadKind::parse(text).ok_or(SelectorError::Kind));
        let selector = Selector {
            namespaces: namespaces.map(|namespaces| namespaces.named().to_vec()).unwrap_or_default(),
            kinds,
            names: selection(section, "names", GLOB, Glob::name),
            labels: section.entries("labels", Shape::Texts, Section::only_text, label).unwrap_or_default(),
            images: selection::<_, GlobError>(section, "images", IMAGE, Glob::image),
            containers: selection(section, "containers", GLOB, Glob::name),
        };
        if enforced && !selector.is_of_operators() {
            section.warn(
                "enforce",
                "whoever writes a workload can leave this bound by what it selects by",
                "select by namespaces and kinds only",
            );
        }
        let shape = Shape::Directives(names().collect());
        let read = |source: &Source<'_>, name: &str, text: &str| directive(source, name, text, enforced);
        let said = section.entries("directives", shape, Section::directive_text, read)?;
        if said.is_empty() {
            section.error("directives", "says nothing", DIRECTIVES);
        }
        let groups = |said: &Said| said.approvers().is_some_and(|named| named.iter().any(Approver::is_group));
        if said.iter().any(groups) {
            section.warn("directives", "members of groups cannot vote in this version", "name single people as approvers too");
        }
        let (votes, named) = (said.iter().find_map(Said::approvals), said.iter().find_map(Said::approvers));
        if let (true, Some(votes), Some(named)) = (enforced, votes, named) {
            let people = named.iter().filter(|approver| !approver.is_group()).count();
            let is_any = named.iter().any(Approver::is_channel);
            if !is_any && usize::try_from(votes).is_ok_and(|votes| votes > people) {
                section.warn("directives", format!("asks for {votes} votes, and {people} of its approvers can vote"), "name more people");
            }
        }
        Some(Self::new(&place.unwrap_or_else(|| number.into()), selector, said, enforced))
    }

    fn clash(&self, earlier: &Self) -> Option<Clash> {
        let what = format!("another rule is called {} too", self.place);
        (self.place == earlier.place).then_some(Clash { key: "name", what, advice: "give each rule its own name" })
    }
}

/// A list that selects; an empty one would select nothing, which is written by leaving the rule out.
fn selection<T, E: std::fmt::Display>(
    section: &mut Section<'_, '_>,
    key: &'static str,
    advice: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Vec<T> {
    match section.list(key, advice, parse) {
        Some(list) if list.is_empty() => {
            section.error(key, "selects nothing", "remove the line to select all, or the rule");
            list
        }
        list => list.unwrap_or_default(),
    }
}

fn name(text: &str) -> Result<Box<str>, SelectorError> {
    let is_name = text.len() <= NAME_LENGTH_MAX
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if is_name { Ok(text.into()) } else { Err(SelectorError::Name) }
}

fn label(_: &Source<'_>, key: &str, value: &str) -> Result<(Box<str>, Box<str>), Wrong> {
    let is_word = |text: &str, more: &[u8]| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte));
    let wrong = |is_key, what: &str| Wrong {
        is_key,
        what: what.to_owned(),
        advice: "write it as in \"app.kubernetes.io/part-of\" = \"shop\"".to_owned(),
    };
    if key.is_empty() || key.len() > LABEL_KEY_LENGTH_MAX || !is_word(key, b"._-/") {
        return Err(wrong(true, "not the key of a label"));
    }
    if value.len() > NAME_LENGTH_MAX || !is_word(value, b"._-") {
        return Err(wrong(false, "not the value of a label"));
    }
    Ok((key.into(), value.into()))
}

fn directive(source: &Source<'_>, name: &str, text: &str, enforced: bool) -> Result<Said, Wrong> {
    Said::of_rule(name, text, &source.remotes, enforced).map_err(|error| {
        let advice = match &error {
            RuleError::Unknown(Some(nearest)) => format!("did you mean {nearest}?"),
            RuleError::Unknown(None) => format!("known are: {}", names().collect::<Vec<_>>().join(", ")),
            RuleError::NotYet => "remove it".to_owned(),
            RuleError::Container => "select the container with containers = [\"…\"]".to_owned(),
            RuleError::Value(_) => "write it as in an annotation".to_owned(),
            RuleError::NoBound => "write it into a rule without enforce".to_owned(),
        };
        Wrong { is_key: !matches!(error, RuleError::Value(_)), what: error.to_string(), advice }
    })
}
