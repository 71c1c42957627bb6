//! What the images of a repository offer, and whether that is enough for the pods of a workload.
//!
//! A candidate must offer every platform that the pods can land on: the scheduler does not look at what an image is for. What the image that
//! runs lacks as well is not asked of it; the team lives with that. What cannot be known stands against nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::image::Tag;
use super::platform::Platforms;

/// The platforms that one image offers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Offer {
    /// These.
    For(Arc<Platforms>),
    /// It does not say, or cannot be understood.
    Unknown,
    /// It could not be read this time.
    Unread,
}

/// What was read about the images of one repository.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Offers {
    tags: BTreeMap<Tag, Offer>,
    /// By the text of the image that runs.
    running: BTreeMap<Box<str>, Offer>,
    /// What kept skeg from reading, where something did.
    pub trouble: Option<Box<str>>,
}

impl Offers {
    /// Notes what the image offers that the tag points at.
    pub fn note(&mut self, tag: &Tag, offer: Offer) {
        self.tags.insert(tag.clone(), offer);
    }

    /// Notes what an image offers that runs.
    pub fn note_running(&mut self, image: &str, offer: Offer) {
        self.running.insert(image.into(), offer);
    }

    /// What the tag offers, where that was asked.
    pub fn of(&self, tag: &Tag) -> Option<&Offer> {
        self.tags.get(tag)
    }

    /// Whether any tag that was asked about lacks one of these platforms.
    pub fn lack(&self, lands_on: &Platforms) -> bool {
        self.tags.keys().any(|tag| self.lacking(lands_on, tag).is_some())
    }

    /// Whether it has to be known what the image that runs offers, and is not, to say what stands against the tag.
    pub fn needs_running(&self, lands_on: &Platforms, image: &str, tag: &Tag) -> bool {
        !self.running.contains_key(image) && self.lacking(lands_on, tag).is_some()
    }

    /// What stands against moving pods from `image` to `tag`, as a sentence without its subject.
    pub fn against(&self, lands_on: &Platforms, image: &str, tag: &Tag) -> Option<Box<str>> {
        let (offered, mut lacking) = self.lacking(lands_on, tag)?;
        match self.running.get(image) {
            Some(Offer::For(running)) => lacking = lacking.served(running),
            // It cannot be decided about: see `is_unread`.
            Some(Offer::Unread) => return None,
            Some(Offer::Unknown) | None => {}
        }
        (!lacking.is_empty()).then(|| format!("offers {offered}, and its pods can land on {lacking}").into())
    }

    /// Whether the tag cannot be decided about this time.
    pub fn is_unread(&self, lands_on: &Platforms, image: &str, tag: &Tag) -> bool {
        let is_running_unread = || self.running.get(image) == Some(&Offer::Unread) && self.lacking(lands_on, tag).is_some();
        self.of(tag) == Some(&Offer::Unread) || is_running_unread()
    }

    /// What the tag offers, and what of `lands_on` it lacks, if anything.
    fn lacking(&self, lands_on: &Platforms, tag: &Tag) -> Option<(&Platforms, Platforms)> {
        let Some(Offer::For(offered)) = self.of(tag) else { return None };
        let lacking = lands_on.lacking(offered);
        (!lacking.is_empty()).then_some((offered, lacking))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::platform::platforms;

    fn offer(text: &str) -> Offer {
        match text {
            "?" => Offer::Unknown,
            "!" => Offer::Unread,
            text => Offer::For(Arc::new(platforms(text))),
        }
    }

    /// What stands against a tag that offers `offered` where `running` runs; `!` when it cannot be told this time.
    #[track_caller]
    fn check(lands_on: &str, offered: &str, running: Option<&str>, expected: Option<&str>) {
        let (mut offers, tag, lands_on) = (Offers::default(), "2.0".parse().unwrap(), platforms(lands_on));
        offers.note(&tag, offer(offered));
        if let Some(running) = running {
            offers.note_running("web:1.0", offer(running));
        }
        let against = offers.against(&lands_on, "web:1.0", &tag);
        let found = if offers.is_unread(&lands_on, "web:1.0", &tag) { Some("!") } else { against.as_deref() };
        assert_eq!(found, expected, "{lands_on} of {offered}, {running:?} runs");
    }

    #[test]
    fn every_platform_that_pods_can_land_on_must_be_offered() {
        check("linux/amd64", "linux/amd64", None, None);
        check("linux/amd64 linux/arm64", "linux/amd64 linux/arm64 linux/s390x", None, None);
        check("linux/arm64", "linux/amd64", None, Some("offers linux/amd64, and its pods can land on linux/arm64"));
        check(
            "linux/amd64 linux/arm64 windows/amd64",
            "linux/amd64 linux/386",
            None,
            Some("offers linux/386 and linux/amd64, and its pods can land on linux/arm64 and windows/amd64"),
        );
    }

    #[test]
    fn what_runs_without_is_not_asked_of_what_comes() {
        check("linux/amd64 linux/arm64", "linux/amd64", Some("linux/amd64"), None);
        check(
            "linux/amd64 linux/arm64",
            "linux/amd64",
            Some("linux/amd64 linux/arm64"),
            Some("offers linux/amd64, and its pods can land on linux/arm64"),
        );
        check(
            "linux/amd64 linux/arm64",
            "linux/arm64",
            Some("linux/amd64"),
            Some("offers linux/arm64, and its pods can land on linux/amd64"),
        );
        check("linux/arm64", "linux/amd64", Some("?"), Some("offers linux/amd64, and its pods can land on linux/arm64"));
    }

    #[test]
    fn what_is_not_known_stands_against_nothing_and_what_was_not_read_is_not_decided() {
        check("linux/arm64", "?", None, None);
        check("linux/arm64", "!", None, Some("!"));
        check("linux/arm64", "linux/amd64", Some("!"), Some("!"));
        check("linux/amd64", "linux/amd64", Some("!"), None);
        assert_eq!(Offers::default().against(&platforms("linux/arm64"), "web:1.0", &"2.0".parse().unwrap()), None, "nobody asked");
    }

    #[test]
    fn what_runs_is_asked_about_only_where_something_is_lacking() {
        let (mut offers, tag) = (Offers::default(), "2.0".parse().unwrap());
        let needs = |offers: &Offers, lands_on: &str| offers.needs_running(&platforms(lands_on), "web:1.0", &tag);
        assert!(!needs(&offers, "linux/arm64"));
        offers.note(&tag, offer("linux/amd64"));
        assert!(needs(&offers, "linux/arm64") && !needs(&offers, "linux/amd64"));
        offers.note_running("web:1.0", Offer::Unknown);
        assert!(!needs(&offers, "linux/arm64"));
    }
}
