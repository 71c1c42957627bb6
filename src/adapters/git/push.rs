//! The one loop of write-back: fetch, derive, push; and all of it again on the new tip when somebody else was faster.
//!
//! What if the process dies, or the answer is lost? Before the push nothing has left the process. After it the commit is on the
//! branch, and the next run finds it there by its trailer. While it is under way the server decides, and it moves the branch from
//! the expected tip or not at all.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::commit::{Derived, Occasion, derive};
use super::locate::Declarations;
use super::mirror::{DEPTHS, Mirror, Pushed};
use super::trouble::Trouble;
use crate::ports::clock::Clock;
use crate::ports::git::{GitEdit, GitOutcome};

/// Pushes in a row that others may get ahead of (GI-01). A branch that moves five times within the time of five pushes has
/// writers that do not pause, and the engine's backoff serves everybody better.
const PUSHES_MAX: u32 = 5;
/// The longest pause before the next of them, times the tries made. Writers that collided spread over it.
const JITTER: Duration = Duration::from_millis(250);

/// One remote with its mirror.
pub(super) struct Branch {
    mirror: Mirror,
    clock: Arc<dyn Clock>,
    known: Arc<Mutex<Declarations>>,
}

impl Branch {
    /// The branch that `mirror` copies.
    pub fn new(mirror: Mirror, clock: Arc<dyn Clock>) -> Self {
        Self { mirror, clock, known: Arc::default() }
    }

    /// The mirror.
    pub fn mirror(&self) -> &Mirror {
        &self.mirror
    }

    /// Carries out the edits. A mirror that turns out to be damaged is made anew, once.
    pub async fn write_back(&self, edits: &[GitEdit]) -> Result<Vec<GitOutcome>, Trouble> {
        let edits: Arc<[GitEdit]> = edits.into();
        match self.push_derived(&edits).await {
            Err(Trouble::Mirror(detail)) => {
                tracing::warn!(git.remote = &*self.mirror.remote().name, "the mirror is made anew: {detail}");
                self.mirror.remove().await?;
                self.push_derived(&edits).await
            }
            done => done,
        }
    }

    async fn push_derived(&self, edits: &Arc<[GitEdit]>) -> Result<Vec<GitOutcome>, Trouble> {
        for tries in 0..PUSHES_MAX {
            tokio::time::sleep(JITTER.mul_f64(f64::from(tries) * fastrand::f64())).await;
            let (tip, outcomes, commit) = self.derive(edits).await?;
            let Some(commit) = commit else {
                return Ok(outcomes);
            };
            match self.mirror.push(commit, tip).await? {
                Pushed::Accepted => return Ok(outcomes),
                Pushed::TipMoved => tracing::debug!(
                    git.remote = &*self.mirror.remote().name,
                    attempt = tries + 1,
                    "the branch has moved; deriving the edits again"
                ),
            }
        }
        Err(Trouble::Contended(PUSHES_MAX))
    }

    /// Fetches the tip and derives the edits on it, with as much history as they need.
    async fn derive(&self, edits: &Arc<[GitEdit]>) -> Result<(gix::ObjectId, Vec<GitOutcome>, Option<gix::ObjectId>), Trouble> {
        let mut depths = DEPTHS.into_iter().peekable();
        while let Some(depth) = depths.next() {
            let tip = self.mirror.fetch(depth).await?;
            let (known, edits, remote) = (Arc::clone(&self.known), Arc::clone(edits), self.mirror.remote().clone());
            let (now, can_deepen) = (self.clock.now(), depths.peek().is_some());
            let work = move |repository: &gix::Repository| {
                let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                derive(&Occasion { repository, remote: &remote, tip, now, can_deepen }, &mut known, &edits)
            };
            if let Derived::Written { outcomes, commit } = self.mirror.objects(work).await? {
                return Ok((tip, outcomes, commit));
            }
        }
        Err(Trouble::Broken("the history of the branch is out of reach".to_owned()))
    }
}
