//! Digests that were read a moment ago.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::core::image::{Digest, Repository, Tag};
use crate::core::schedule::after;
use crate::ports::registry::Access;

/// How long a digest counts as just read. A look, a decision and a record take milliseconds; whoever moves a tag within two seconds moves
/// it while skeg looks.
const RECENT: Duration = Duration::from_secs(2);

/// What tags pointed at when they were read last, for two seconds.
#[derive(Default)]
pub struct RecentDigests(Mutex<HashMap<Key, Read>>);

type Key = (Repository, Tag, Access);

struct Read {
    digest: Digest,
    begun: Timestamp,
}

impl Read {
    /// A clock that was set back does not make it recent again.
    fn is_recent(&self, now: Timestamp) -> bool {
        self.begun <= now && now < after(self.begun, RECENT)
    }
}

impl RecentDigests {
    /// Notes what a tag pointed at; `begun` is when reading began.
    pub fn note(&self, repository: &Repository, tag: &Tag, access: &Access, digest: &Digest, begun: Timestamp) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, read| read.is_recent(begun));
        known.insert((repository.clone(), tag.clone(), access.clone()), Read { digest: digest.clone(), begun });
    }

    /// What the tag points at, if it was read so shortly before.
    pub fn get(&self, repository: &Repository, tag: &Tag, access: &Access, now: Timestamp) -> Option<Digest> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let read = known.get(&(repository.clone(), tag.clone(), access.clone()))?;
        read.is_recent(now).then(|| read.digest.clone())
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn a_digest_is_known_for_two_seconds_and_then_forgotten() {
        let at = |milliseconds| Timestamp::UNIX_EPOCH + SignedDuration::from_millis(milliseconds);
        let (repository, tag): (Repository, Tag) = ("acme/web".parse().unwrap(), "1.0".parse().unwrap());
        let digest: Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        let recent = RecentDigests::default();
        recent.note(&repository, &tag, &Access::Anonymous, &digest, at(0));
        assert_eq!(recent.get(&repository, &tag, &Access::Anonymous, at(1_999)), Some(digest.clone()));
        assert_eq!(recent.get(&repository, &tag, &Access::Configured(0), at(1_999)), None);
        assert_eq!(recent.get(&repository, &tag, &Access::Anonymous, at(2_000)), None);
        assert_eq!(recent.get(&repository, &tag, &Access::Anonymous, at(-1)), None, "the clock was set back");
        recent.note(&repository, &"1.1".parse().unwrap(), &Access::Anonymous, &digest, at(2_000));
        assert_eq!(recent.0.lock().unwrap().len(), 1);
    }
}
