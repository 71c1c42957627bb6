//! `[poll]`: how often repositories are listed.

use std::time::Duration;

use super::load::Single;
use super::section::Section;

/// Faster polling is a burden on registries, and most count it against a limit: webhooks are the answer.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Slower polling than once a week is a typing mistake.
const INTERVAL_MAX: Duration = Duration::from_hours(7 * 24);

/// The section `[poll]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Poll {
    /// Time between two listings of a repository, where `skeg.dev/poll` does not say otherwise. Default `"5m"`.
    pub interval: Duration,
}

impl Default for Poll {
    fn default() -> Self {
        Self { interval: Duration::from_mins(5) }
    }
}

impl Single for Poll {
    const NAME: &'static str = "poll";

    fn read(section: &mut Section<'_, '_>) -> Self {
        let default = Self::default();
        Self { interval: section.duration("interval", INTERVAL_MIN..=INTERVAL_MAX).unwrap_or(default.interval) }
    }
}
