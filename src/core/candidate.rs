//! From a workload and the tags of its repositories to the image each managed container should run.
//!
//! Pure choice: what holds an update back (bindings, approvals, limits) comes after.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use crate::core::directives::Directives;
use crate::core::image::{Digest, ImageRef, ImageRefError, Pin, Repository, Tag};
use crate::core::policy::{Bars, Listing, Selection};
use crate::core::update::Change;
use crate::core::workload::{Container, Workload};

/// One managed container and the tag it should run.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The container as it is now.
    pub container: &'a Container,
    /// How its tag is chosen.
    pub selection: &'a Selection,
    /// Its image, read; `None` when the text is no image reference.
    pub image: Option<ImageRef>,
    /// The tag it should run: newer than its own, or its own when the policy follows a tag by its digest.
    pub outcome: Result<Picked, NotSelected>,
}

/// A tag that a policy picked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Picked {
    /// The tag.
    pub tag: Tag,
    /// Why this one, in one sentence without a full stop.
    pub reason: Box<str>,
    /// How many tags the policy would move to, this one included.
    pub qualifying: usize,
}

/// Why a container stays at its image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotSelected {
    /// Its image text is no reference.
    Image(ImageRefError),
    /// It names a digest and no tag. What is newer than a bare digest cannot be told, and going back by accident is worse than staying.
    DigestOnly,
    /// There is no complete listing of its repository, or none that this was asked of.
    NotListed,
    /// The policy picks nothing, and this is why.
    Policy(Box<str>),
    /// The policy picks nothing among what was kept of a listing and read since.
    NothingTold,
}

/// What each managed container of the workload should run, in the workload's order. Empty when the directives are wrong.
///
/// `listing_of` gives what a complete listing of a repository says, or `None` where there is none: a partial one could lead backwards.
pub fn candidates<'a>(workload: &'a Workload, listing_of: &ListingOf<'_, '_>) -> Vec<Wanted<'a>> {
    candidates_but(workload, listing_of, &|_, _, _| None)
}

/// The same, where `bars` tells what stands against moving the image of a container to a tag, beside the container's policy.
pub fn candidates_but<'a>(workload: &'a Workload, listing_of: &ListingOf<'_, '_>, bars: &BarsOf<'_>) -> Vec<Wanted<'a>> {
    let Ok(directives) = &workload.directives else {
        return Vec::new();
    };
    let want = |container| wanted(container, directives, listing_of, bars);
    workload.containers.iter().filter_map(want).collect()
}

/// What a complete listing of a repository says, or `None` where there is none.
type ListingOf<'f, 't> = dyn Fn(&Repository) -> Option<&'t Listing> + 'f;
/// What stands against moving the image of a container to a tag.
type BarsOf<'f> = dyn Fn(&Container, &Repository, &Tag) -> Option<Box<str>> + 'f;

/// What the workload asks of a listing of `repository`: how a tag is chosen, and after which one.
pub fn questions<'a>(workload: &'a Workload, repository: &Repository) -> impl Iterator<Item = (&'a Selection, Tag)> {
    let directives = workload.directives.as_ref().ok();
    let question = move |container: &'a Container| {
        let selection = directives?.selection_of(container)?;
        let image = container.image.parse::<ImageRef>().ok().filter(|image| image.repository() == repository)?;
        Some((selection, image.effective_tag()?))
    };
    workload.containers.iter().filter_map(question)
}

/// The same where a tag has to be old enough, with the digest that runs when the image says it.
pub fn questions_of_age<'a>(
    workload: &'a Workload,
    repository: &Repository,
) -> impl Iterator<Item = (&'a Selection, Duration, Tag, Option<Digest>)> {
    let directives = workload.directives.as_ref().ok();
    let question = move |container: &'a Container| {
        let selection = directives?.selection_of(container)?;
        let least = selection.filter.min_age?;
        let image = container.image.parse::<ImageRef>().ok().filter(|image| image.repository() == repository)?;
        Some((selection, least, image.effective_tag()?, image.digest().cloned()))
    };
    workload.containers.iter().filter_map(question)
}

fn wanted<'a>(
    container: &'a Container,
    directives: &'a Directives,
    listing_of: &ListingOf<'_, '_>,
    bars: &BarsOf<'_>,
) -> Option<Wanted<'a>> {
    let selection = directives.selection_of(container)?;
    let (image, outcome) = match container.image.parse::<ImageRef>() {
        Ok(image) => {
            let outcome = pick(&image, selection, listing_of, &|tag| bars(container, image.repository(), tag));
            (Some(image), outcome)
        }
        Err(error) => (None, Err(NotSelected::Image(error))),
    };
    Some(Wanted { container, selection, image, outcome })
}

fn pick(image: &ImageRef, selection: &Selection, listing_of: &ListingOf<'_, '_>, bars: &Bars<'_>) -> Result<Picked, NotSelected> {
    let current = image.effective_tag().ok_or(NotSelected::DigestOnly)?;
    let listing = listing_of(image.repository()).ok_or(NotSelected::NotListed)?;
    let barred = Cell::new(false);
    let noting = |tag: &Tag| bars(tag).inspect(|_| barred.set(true));
    let choice = listing.choose_but(selection, &current, image.digest(), &noting).ok_or(NotSelected::NotListed)?;
    let reason = choice.reason.into();
    match (choice.tag, listing) {
        (Some(tag), _) => Ok(Picked { tag, reason, qualifying: choice.qualifying }),
        (None, Listing::Kept(_)) if !barred.get() => Err(NotSelected::NothingTold),
        (None, Listing::Whole(_) | Listing::Same(_) | Listing::Kept(_)) => Err(NotSelected::Policy(reason)),
    }
}

impl Wanted<'_> {
    /// The change to make when the picked tag points at `digest`; `None` when nothing was picked, or the image is written so already.
    pub fn change(&self, digest: &Digest) -> Option<Change> {
        let (image, picked) = (self.image.as_ref()?, self.outcome.as_ref().ok()?);
        let to = image.with(&picked.tag, digest, self.pin());
        (*to != *self.container.image).then(|| Change {
            container: self.container.name.clone(),
            init: self.container.init,
            repository: image.repository().clone(),
            from: self.container.image.clone(),
            to: to.into(),
            tag: picked.tag.clone(),
            digest: digest.clone(),
        })
    }

    /// How the image is written.
    pub fn pin(&self) -> Pin {
        self.selection.pin
    }
}

impl fmt::Display for NotSelected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image(error) => write!(f, "the image text cannot be read: {error}"),
            Self::DigestOnly => {
                f.write_str("the image names a digest and no tag, so what is newer cannot be told: write the tag before the digest")
            }
            Self::NotListed => f.write_str("the tags of the repository are not known yet"),
            Self::Policy(reason) => f.write_str(reason),
            Self::NothingTold => f.write_str("nothing that was told of since the last listing qualifies"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::directives::{Defaults, skeg};
    use crate::core::workload::{WorkloadId, WorkloadKind};

    const OLD: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const NEW: &str = "sha256:fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

    fn workload(annotations: &[(&str, &str)], containers: &[(&str, &str)]) -> Workload {
        let named =
            |(name, image): &(&str, &str)| Container { name: (*name).into(), image: (*image).into(), init: name.starts_with("init") };
        let containers: Vec<_> = containers.iter().map(named).collect();
        let directives = skeg::parse(annotations.iter().copied(), &containers, &Defaults::default()).map(Option::unwrap);
        let id = WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: "web".into() };
        Workload::plain(id, "u".into(), containers, directives)
    }

    /// Each managed container with the text it should have, or why it stays. `ghcr.io/a/b` lists three tags and nothing else is listed.
    fn changes(workload: &Workload) -> Vec<(String, Result<String, String>)> {
        let listing = Listing::Whole(["1.0.0", "1.1.0", "latest"].iter().map(|tag| tag.parse().unwrap()).collect::<Vec<_>>().into());
        let listing_of = |repository: &Repository| (repository.as_str() == "ghcr.io/a/b").then_some(&listing);
        let text = |wanted: &Wanted<'_>| match (&wanted.outcome, wanted.change(&NEW.parse().unwrap())) {
            (Ok(_), Some(change)) => Ok(change.to.to_string()),
            (Ok(picked), None) => Err(format!("already at {}", picked.tag)),
            (Err(reason), change) => {
                assert_eq!(change, None);
                Err(reason.to_string())
            }
        };
        candidates(workload, &listing_of).iter().map(|wanted| (wanted.container.name.to_string(), text(wanted))).collect()
    }

    #[track_caller]
    fn check(policy: &str, image: &str, expected: Result<&str, &str>) {
        let found = changes(&workload(&[("skeg.dev/policy", policy)], &[("api", image)]));
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(found, [("api".to_owned(), expected)], "{policy} {image}");
    }

    #[test]
    fn the_new_image_is_written_in_the_old_spelling() {
        check("minor", "ghcr.io/a/b:1.0.0", Ok("ghcr.io/a/b:1.1.0"));
        check("minor", &format!("ghcr.io/a/b:1.0.0@{OLD}"), Ok("ghcr.io/a/b:1.1.0"));
        check("digest", "ghcr.io/a/b:latest", Ok(&format!("ghcr.io/a/b:latest@{NEW}")));
        check("digest", "ghcr.io/a/b", Ok(&format!("ghcr.io/a/b:latest@{NEW}")));
        check("digest", &format!("ghcr.io/a/b:latest@{OLD}"), Ok(&format!("ghcr.io/a/b:latest@{NEW}")));
    }

    #[test]
    fn an_image_that_is_written_so_already_needs_no_change() {
        check("digest", &format!("ghcr.io/a/b:latest@{NEW}"), Err("already at latest"));
    }

    #[test]
    fn a_container_that_stays_says_why() {
        check(
            "minor",
            "ghcr.io/a/b:1.1.0",
            Err("none of 3 tags qualifies: 1 × not newer than the current tag; 1 × the current tag itself; 1 × no version"),
        );
        check("minor", "ghcr.io/a/other:1.0.0", Err("the tags of the repository are not known yet"));
        check(
            "semver:*",
            &format!("ghcr.io/a/b@{OLD}"),
            Err("the image names a digest and no tag, so what is newer cannot be told: write the tag before the digest"),
        );
        for bad in ["{{ .Values.image }}", "", "ghcr.io/a/b:1.0.0 ", "ghcr.io/A/b:$(id)"] {
            let found = changes(&workload(&[("skeg.dev/policy", "minor")], &[("api", bad), ("web", "ghcr.io/a/b:1.0.0")]));
            assert!(found[0].1.as_ref().unwrap_err().starts_with("the image text cannot be read: "), "{bad}");
            assert_eq!(found[1].1, Ok("ghcr.io/a/b:1.1.0".to_owned()));
        }
    }

    #[test]
    fn each_container_goes_by_its_own_policy_and_init_containers_only_when_asked() {
        let containers = [("init", "ghcr.io/a/b:1.0.0"), ("api", "ghcr.io/a/b:1.0.0"), ("proxy", "ghcr.io/a/b:1.0.0")];
        let names = |annotations: &[(&str, &str)]| -> Vec<(String, bool)> {
            changes(&workload(annotations, &containers)).into_iter().map(|(name, change)| (name, change.is_ok())).collect()
        };
        let (init, api, proxy) =
            (|moves| ("init".to_owned(), moves), |moves| ("api".to_owned(), moves), |moves| ("proxy".to_owned(), moves));
        assert_eq!(names(&[("skeg.dev/policy", "minor")]), [api(true), proxy(true)]);
        assert_eq!(names(&[("skeg.dev/policy", "minor"), ("skeg.dev/policy.proxy", "patch")]), [api(true), proxy(false)]);
        assert_eq!(names(&[("skeg.dev/policy.api", "minor")]), [api(true)]);
        assert_eq!(names(&[("skeg.dev/policy", "minor"), ("skeg.dev/init-containers", "true")]), [init(true), api(true), proxy(true)]);
    }

    #[test]
    fn wrong_directives_select_nothing() {
        assert_eq!(changes(&workload(&[("skeg.dev/policy", "minr")], &[("api", "ghcr.io/a/b:1.0.0")])), []);
    }
}
