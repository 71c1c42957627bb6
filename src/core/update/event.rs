//! What happened: the history of an update and the audit log.

use std::collections::VecDeque;
use std::fmt;

use jiff::Timestamp;

/// The most entries a record keeps. A whole ordinary life has under ten; the full audit goes to standard output.
pub const HISTORY_MAX: usize = 32;

/// Something that happened to an update.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    /// Opened.
    Admitted,
    /// People were asked.
    Asked,
    /// The request can be seen where people were asked, or shows there how the update ended.
    Prompted,
    /// Somebody voted.
    Voted,
    /// A vote did not count. In the audit log only.
    VoteRefused,
    /// The needed votes are complete.
    Granted,
    /// Every gate is open, the patch follows.
    Applying,
    /// The patch is made.
    Patched,
    /// The rollout is healthy.
    Healthy,
    /// The rollout failed.
    RolloutFailed,
    /// Something failed and will be tried again.
    Retrying,
    /// The API server forbids what is to be done; it is tried again for a while.
    Forbidden,
    /// A pause began or ended.
    Paused,
    /// Ended; the phase tells how: the image was put back, the commit is on the remote, and so on.
    Closed,
    /// A person moved the image away from what was applied.
    SetBack,
    /// A binding was lifted.
    Lifted,
}

impl Event {
    /// The event's name in records and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Asked => "asked",
            Self::Prompted => "prompted",
            Self::Voted => "voted",
            Self::VoteRefused => "vote-refused",
            Self::Granted => "granted",
            Self::Applying => "applying",
            Self::Patched => "patched",
            Self::Healthy => "healthy",
            Self::RolloutFailed => "rollout-failed",
            Self::Retrying => "retrying",
            Self::Forbidden => "forbidden",
            Self::Paused => "paused",
            Self::Closed => "closed",
            Self::SetBack => "set-back",
            Self::Lifted => "lifted",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One line of a history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// When it happened.
    pub at: Timestamp,
    /// What happened, an [`Event`]'s name.
    pub event: Box<str>,
    /// The rest of the sentence.
    pub detail: Box<str>,
}

/// The newest [`HISTORY_MAX`] entries, oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct History(VecDeque<Entry>);

impl History {
    /// Adds an entry, dropping the oldest when there are too many.
    pub fn push(&mut self, entry: Entry) {
        if self.0.len() == HISTORY_MAX {
            self.0.pop_front();
        }
        self.0.push_back(entry);
    }

    /// The entries, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter()
    }
}

impl FromIterator<Entry> for History {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        let mut history = Self::default();
        entries.into_iter().for_each(|entry| history.push(entry));
        history
    }
}
