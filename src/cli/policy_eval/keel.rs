//! `skeg policy eval --keel`: what Keel itself would answer, without skeg's guard.

use super::{Answer, PolicyEval, PolicyEvalError, TagAnswer, wrong};
use crate::core::nearest::shown;
use crate::core::policy::keel::{KeelPolicy, NoPolicy, Options, Polled};

impl PolicyEval {
    /// Keel's answers to a list: `yes` or `no` of each tag, as a webhook would name it, and what a poll picks from all of them.
    pub(super) fn keel_answer<'a>(&self, tags: &[&'a str]) -> Result<Answer<'a>, PolicyEvalError> {
        self.refuse_what_keel_lacks()?;
        let defaults = Options::default();
        let options = Options {
            match_tag: boolean("match-tag", self.match_tag.as_deref(), defaults.match_tag)?,
            match_prerelease: boolean("match-prerelease", self.match_prerelease.as_deref(), defaults.match_prerelease)?,
        };
        let policy = KeelPolicy::parse(&self.policy, options);
        let current = match (self.current.as_deref(), &policy) {
            (Some(current), _) => keel_tag(current),
            (None, Ok(policy)) if policy.needs_current() => {
                return Err(wrong("current", format!("Keel's policy `{}` is relative to the current tag: name it", shown(&self.policy))));
            }
            (None, _) => "",
        };
        Ok(answer(&policy, current, tags))
    }

    fn refuse_what_keel_lacks(&self) -> Result<(), PolicyEvalError> {
        let given = [
            ("prerelease", self.prerelease.is_some()),
            ("allow-tags", self.allow_tags.is_some()),
            ("ignore-tags", self.ignore_tags.is_some()),
            ("min-age", self.min_age.is_some()),
        ];
        match given.iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) => Err(wrong(option, "Keel has no such thing: leave it out, or leave out --keel".to_owned())),
            None => Ok(()),
        }
    }

    /// The options that mean something with `--keel` only.
    pub(super) fn refuse_keels_options(&self) -> Result<(), PolicyEvalError> {
        let given = [("match-tag", self.match_tag.is_some()), ("match-prerelease", self.match_prerelease.is_some())];
        match given.iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) => Err(wrong(option, "is an option of Keel's: add --keel".to_owned())),
            None => Ok(()),
        }
    }
}

/// The tag that Keel reads from an image with this `TAG[@DIGEST]`: of an image with both it knows the digest only.
fn keel_tag(current: &str) -> &str {
    current.split_once('@').map_or(current, |(_, digest)| digest)
}

fn boolean(option: &'static str, text: Option<&str>, default: bool) -> Result<bool, PolicyEvalError> {
    match text {
        None => Ok(default),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => Err(wrong(option, format!("`{}` is neither true nor false", shown(other)))),
    }
}

fn answer<'a>(policy: &Result<KeelPolicy, NoPolicy>, current: &str, tags: &[&'a str]) -> Answer<'a> {
    let policy = match policy {
        Ok(policy) => policy,
        Err(none) => return without_policy(none, tags),
    };
    let verdicts = tags.iter().map(|tag| match policy.should_update(current, tag) {
        Ok(reason) => TagAnswer { tag, verdict: "yes", reason: reason.into() },
        Err(reason) => TagAnswer { tag, verdict: "no", reason: reason.into() },
    });
    let (candidate, reason) = match policy.poll(current, tags) {
        Polled::Candidate(tag) => (Some(tag), format!("{tag} is the first that Keel's poll accepts of the tags as it sorts them")),
        Polled::Current => (None, "the running tag is the first that Keel's poll accepts, so it stays".to_owned()),
        Polled::Nothing => (None, "Keel's poll accepts none of the tags that its filter keeps".to_owned()),
    };
    Answer { candidate, reason, verdicts: verdicts.collect() }
}

fn without_policy<'a>(none: &NoPolicy, tags: &[&'a str]) -> Answer<'a> {
    let reason = format!("Keel ignores the workload: {none}");
    let verdicts = tags.iter().map(|tag| TagAnswer { tag, verdict: "no", reason: "no policy".into() });
    Answer { candidate: None, reason, verdicts: verdicts.collect() }
}
