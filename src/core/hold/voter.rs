//! Who votes, and from where: what a place of voting has made sure of, and nothing that it was merely told.

use jiff::Timestamp;

use super::approval::VoteRefused;
use crate::core::directives::Approver;
use crate::core::update::{Update, Verdict, Vote};

/// The approver that stands for everybody who can click in the channel of the request.
const SLACK_CHANNEL: &str = "slack-channel";

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
    /// Where requests belong.
    pub home: Home,
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
        is_named || matches!(self, Self::Slack(_)) && approver.as_str() == SLACK_CHANNEL
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
