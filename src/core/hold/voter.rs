//! Who votes, and from where: what a place of voting has made sure of, and nothing that it was merely told.

use std::fmt;

use jiff::Timestamp;

use super::approval::VoteRefused;
use crate::core::directives::Approver;
use crate::core::update::{Update, Verdict, Vote};

/// A yes or no before it is counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ballot {
    /// Who votes.
    pub voter: Voter,
    /// Yes or no.
    pub verdict: Verdict,
    /// What the voter was shown, an [`Update::content`]; `None` when only the update was named.
    pub content: Option<Box<str>>,
    /// What the person said with it.
    pub reason: Option<Box<str>>,
}

/// Somebody who votes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Voter {
    /// A caller of the API who has shown to be this `user:NAME`.
    Caller(Box<str>),
    /// Somebody who clicked in Slack.
    Slack(Clicker),
}

/// Somebody who clicked in Slack, as Slack itself says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Clicker {
    /// The user's id: `U…` or `W…`.
    pub user: Box<str>,
    /// The workspace the user belongs to, `T…`, where Slack says so. In a shared channel it may be another than the request's.
    pub team: Option<Box<str>>,
    /// The channel of the click, `C…`, where Slack says so.
    pub channel: Option<Box<str>>,
    /// What the person is in that workspace.
    pub standing: Standing,
    /// Where requests belong.
    pub home: Home,
}

/// What a person is in the workspace, as Slack says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// A full member.
    Member,
    /// A guest, of one channel or of several.
    Guest,
    /// An app.
    App,
    /// Somebody whose account is switched off.
    Left,
    /// Slack does not say.
    Unknown {
        /// What is in the way.
        why: Box<str>,
    },
}

/// Where requests belong: skeg's own workspace, and the channel it asks in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Home {
    /// The workspace, `T…`.
    pub team: Box<str>,
    /// The channel, `C…`.
    pub channel: Box<str>,
}

impl Ballot {
    /// The vote that is counted.
    pub fn vote(&self, at: Timestamp) -> Vote {
        Vote { voter: self.voter.name(), verdict: self.verdict, at, reason: self.reason.clone() }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member => f.write_str("a member of the workspace"),
            Self::Guest => f.write_str("a guest of the workspace"),
            Self::App => f.write_str("an app"),
            Self::Left => f.write_str("no longer of the workspace"),
            Self::Unknown { why } => write!(f, "not known to be a member of the workspace ({why})"),
        }
    }
}

impl Voter {
    /// Who, in the form `approvers` uses.
    pub fn name(&self) -> Box<str> {
        match self {
            Self::Caller(name) => name.clone(),
            Self::Slack(clicker) => format!("slack:{}", clicker.user).into(),
        }
    }

    /// Whether `approver` names this voter.
    pub fn is(&self, approver: &Approver) -> bool {
        let is_named = approver.as_str() == &*self.name();
        let is_member = || matches!(self, Self::Slack(Clicker { standing: Standing::Member, .. }));
        is_named || approver.is_channel() && is_member()
    }

    /// What the voter is instead of a member, where only that keeps `approver` from naming the voter.
    pub(super) fn is_but_for(&self, approver: &Approver) -> Option<&Standing> {
        match self {
            Self::Slack(Clicker { standing, .. }) if approver.is_channel() && *standing != Standing::Member => Some(standing),
            Self::Slack(_) | Self::Caller(_) => None,
        }
    }

    /// Whether the vote comes from where the update was asked for.
    pub(super) fn is_in_place(&self, update: &Update) -> Result<(), VoteRefused> {
        let Self::Slack(clicker) = self else { return Ok(()) };
        if clicker.team.as_deref() != Some(&*clicker.home.team) {
            return Err(VoteRefused::OtherTeam { voter: self.name() });
        }
        let asked_in = update.prompt.as_ref().map_or(&clicker.home.channel, |prompt| &prompt.channel);
        if clicker.channel.as_ref() != Some(asked_in) {
            return Err(VoteRefused::OtherChannel { update: update.id.name.clone() });
        }
        Ok(())
    }
}
