//! The values: one function for each form. Each error says what was read and what to write instead.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::key::Key;
use crate::core::cron::Cron;
use crate::core::directives::{APPROVERS_MAX, Approver, GitPlace, PollTimes, TriggerKind};
use crate::core::duration;
use crate::core::image::Pin;
use crate::core::nearest::{nearest, shown};
use crate::core::policy::{Patterns, Policy, Prerelease};
use crate::core::update::VOTES_MAX;

/// How often a registry may be asked for one workload: Keel's shortest schedule, and one that still shows a change within a week.
/// How many requests reach a registry is bounded per host, whatever is written here.
const POLL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(7 * 24);
/// How long people may be waited for; a question that is open for a quarter of a year is forgotten.
const WAIT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(90 * 24);
/// How old a tag may have to be: what has to wait longer than people are waited for is not meant. None at all is for one of several containers.
const AGE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(90 * 24);
/// How long a rollout may take; one that takes longer than a day is not watched by anybody.
const ROLLOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);
/// The longest value read, in bytes. The longest that make sense, lists of patterns or approvers, are a quarter of it.
const LENGTH_MAX: usize = 4096;
/// The longest path in a Git remote, in bytes.
const PATH_LENGTH_MAX: usize = 1024;

/// What is wrong with a value, whatever it is for; `granted` are the Git remotes that `git` may name, and another
/// one is not what `lacks` says.
pub fn check(key: Key, text: &str, granted: &[Box<str>], lacks: &str) -> Result<(), String> {
    let text = bounded(text)?;
    match key {
        Key::Policy => policy(text).map(drop),
        Key::AllowTags | Key::IgnoreTags => patterns(text).map(drop),
        Key::Prerelease => prerelease(text).map(drop),
        Key::MinAge => min_age(text).map(drop),
        Key::InitContainers | Key::Pause => boolean(text).map(drop),
        Key::Trigger => trigger(text).map(drop),
        Key::Poll => poll(text).map(drop),
        Key::Approvals => approvals(text).map(drop),
        Key::Approvers => approvers(text).map(drop),
        Key::ApprovalDeadline | Key::ApprovalValid => wait(text).map(drop),
        Key::Pin => pin(text).map(drop),
        Key::Apply => apply(text).map(drop),
        Key::WriteBack => write_back(text).map(drop),
        Key::Git => git_place(text, granted, lacks).map(drop),
        Key::Rollback => rollback(text).map(drop),
        Key::RolloutTimeout => rollout_timeout(text).map(drop),
    }
}

/// The value without white space around it, if it is not longer than any that makes sense.
pub fn bounded(text: &str) -> Result<&str, String> {
    let text = text.trim();
    if text.len() > LENGTH_MAX { Err(format!("the value is longer than {LENGTH_MAX} bytes")) } else { Ok(text) }
}

pub fn policy(text: &str) -> Result<Policy, String> {
    Policy::parse(text).map_err(|error| error.to_string())
}

pub fn patterns(text: &str) -> Result<Patterns, String> {
    Patterns::parse(text).map_err(|error| error.to_string())
}

pub fn boolean(text: &str) -> Result<bool, String> {
    one_of(text, &[("true", true), ("false", false)])
}

pub fn prerelease(text: &str) -> Result<Prerelease, String> {
    one_of(text, &Prerelease::NAMES.map(|(value, name)| (name, value)))
}

pub fn pin(text: &str) -> Result<Pin, String> {
    one_of(text, &[("tag", Pin::Tag), ("digest", Pin::Digest)])
}

pub fn trigger(text: &str) -> Result<TriggerKind, String> {
    one_of(text, &[("any", TriggerKind::Any), ("poll", TriggerKind::Poll), ("webhook", TriggerKind::Webhook)])
}

/// Whether a failed rollout is put back.
pub fn rollback(text: &str) -> Result<bool, String> {
    one_of(text, &[("auto", true), ("off", false)])
}

/// Whether the image is committed.
pub fn write_back(text: &str) -> Result<bool, String> {
    match text {
        "pull-request" => Err(not_yet("pull-request")),
        _ => one_of(text, &[("commit", true), ("off", false)]),
    }
}

pub fn apply(text: &str) -> Result<(), String> {
    match text {
        "git" => Err(not_yet("git")),
        _ => one_of(text, &[("auto", ()), ("patch", ())]),
    }
}

pub fn approvals(text: &str) -> Result<u32, String> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| is_number && usize::try_from(*number).is_ok_and(|number| number <= VOTES_MAX));
    number.ok_or_else(|| format!("`{}` is not a whole number from 0 to {VOTES_MAX}", shown(text)))
}

/// The approvers, sorted, each once.
pub fn approvers(text: &str) -> Result<Vec<Approver>, String> {
    if text.split(';').nth(APPROVERS_MAX).is_some() {
        return Err(format!("more than {APPROVERS_MAX} approvers"));
    }
    let read = |text: &str| {
        let form = "user:NAME, group:NAME, slack:U…, slack-group:S… or slack-channel";
        Approver::parse(text.trim()).ok_or_else(|| format!("`{}` names no approver: write {form}", shown(text.trim())))
    };
    text.split(';').map(read).collect::<Result<_, _>>().map(sorted)
}

/// The same, of whom somebody can vote.
pub fn voters(text: &str) -> Result<Vec<Approver>, String> {
    let named = approvers(text)?;
    if named.iter().all(Approver::is_group) {
        return Err("members of groups cannot vote in this version: name single people too".to_owned());
    }
    Ok(named)
}

pub fn sorted(mut approvers: Vec<Approver>) -> Vec<Approver> {
    approvers.sort();
    approvers.dedup();
    approvers
}

/// How long votes or a grant may wait.
pub fn wait(text: &str) -> Result<Duration, String> {
    duration_within(text, &WAIT)
}

/// How old a tag must be.
pub fn min_age(text: &str) -> Result<Duration, String> {
    duration_within(text, &AGE)
}

pub fn rollout_timeout(text: &str) -> Result<Duration, String> {
    duration_within(text, &ROLLOUT)
}

/// When polls are made: an interval, or a cron expression, which has spaces in it.
pub fn poll(text: &str) -> Result<PollTimes, String> {
    if text.starts_with('@') {
        return Err(format!("`{}` is no form of this key: write an interval such as 5m, or five fields such as 0 3 * * *", shown(text)));
    }
    if text.contains(char::is_whitespace) {
        return Cron::parse(text).map(PollTimes::Cron).map_err(|error| format!("`{}`: {error}", shown(text)));
    }
    duration_within(text, &POLL).map(PollTimes::Every)
}

fn duration_within(text: &str, bounds: &RangeInclusive<Duration>) -> Result<Duration, String> {
    let duration = duration::parse(text).map_err(|error| format!("`{}`: {error}", shown(text)))?;
    if bounds.contains(&duration) {
        return Ok(duration);
    }
    Err(format!("`{}` is not between {} and {}", shown(text), duration::write(*bounds.start()), duration::write(*bounds.end())))
}

/// What a Git remote is not that a workload may not use.
pub const NOT_GRANTED: &str = "granted to this namespace";

/// `remote` or `remote:path`, of a remote that is among those `granted` to the namespace. Others may exist; nothing here tells.
pub fn git_place(text: &str, granted: &[Box<str>], lacks: &str) -> Result<GitPlace, String> {
    let (remote, path) = text.split_once(':').map_or((text, None), |(remote, path)| (remote, Some(path)));
    let Some(remote) = granted.iter().find(|granted| ***granted == *remote) else {
        let meant = nearest(remote, granted.iter().map(|granted| &**granted));
        let suggestion = meant.map(|meant| format!(", did you mean `{meant}`?")).unwrap_or_default();
        return Err(format!("no Git remote `{}` is {lacks}{suggestion}", shown(remote)));
    };
    let path = path.map(|path| path.strip_suffix('/').unwrap_or(path));
    match path {
        Some(path) if !is_path_inside(path) => {
            Err(format!("`{}` is not a path inside the remote: write it from the top, such as apps/shop", shown(path)))
        }
        _ => Ok(GitPlace { remote: remote.clone(), path: path.map(Into::into) }),
    }
}

/// Whether every part is an ordinary name, so that the path cannot leave the tree nor reach Git's own files.
fn is_path_inside(path: &str) -> bool {
    let is_name = |part: &str| !matches!(part, "" | "." | "..") && !part.eq_ignore_ascii_case(".git");
    path.len() <= PATH_LENGTH_MAX
        && !path.contains(|character: char| character.is_control() || character == '\\')
        && path.split('/').all(is_name)
}

fn one_of<T: Copy>(text: &str, known: &[(&str, T)]) -> Result<T, String> {
    known.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        format!("`{}` is none of {}", shown(text), names.join(", "))
    })
}

fn not_yet(value: &str) -> String {
    format!("this version of skeg does not have `{value}` yet")
}
