//! A click on a request's button, as Slack tells it: foreign text, of which only what is needed is read.
//!
//! Source: <https://docs.slack.dev/reference/interaction-payloads/block_actions-payload>.

use serde::Deserialize;
use serde_json::Value;

use super::web_api::is_id;
use crate::core::hold::voter::{Ballot, Clicker, Home, Standing, Voter};
use crate::core::update::{Update, UpdateId, Verdict};

/// The `action_id` of each button.
pub const ACTIONS: [(Verdict, &str); 2] = [(Verdict::Approve, "skeg.approve"), (Verdict::Reject, "skeg.reject")];

/// A click on one of skeg's buttons.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Click {
    /// Who clicked.
    pub user: Box<str>,
    /// The workspace of that person; `None` where Slack names none, or two.
    pub team: Option<Box<str>>,
    /// The channel; `None` where Slack names none, or two.
    pub channel: Option<Box<str>>,
    /// Yes or no.
    pub verdict: Verdict,
    /// What the button stands for.
    pub subject: Subject,
}

/// What a button stands for: its `value`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subject {
    /// The update.
    pub update: UpdateId,
    /// The [`Update::content`] that the message showed.
    pub content: Box<str>,
}

impl Subject {
    /// Of this update as it is shown.
    pub fn of(update: &Update) -> Self {
        Self { update: update.id.clone(), content: update.content().into() }
    }

    /// As the button carries it: `namespace/name digest`.
    pub fn value(&self) -> String {
        format!("{} {}", self.update, self.content)
    }

    fn parse(value: &str) -> Option<Self> {
        let (update, content) = value.split_once(' ')?;
        let (namespace, name) = update.split_once('/')?;
        Some(Self { update: UpdateId { namespace: namespace.into(), name: name.into() }, content: content.into() })
    }
}

impl Click {
    /// The click in an interaction; `None` for interactions that are none of skeg's buttons.
    pub fn read(payload: &Value) -> Option<Self> {
        let payload =
            BlockActions::deserialize(payload).ok().filter(|payload| payload.kind == "block_actions" && is_id(&payload.user.id))?;
        let (verdict, value) = payload.actions.iter().find_map(|action| {
            let (verdict, _) = ACTIONS.iter().find(|(_, id)| *id == action.action_id)?;
            Some((*verdict, action.value.as_deref()?))
        })?;
        let container = payload.container.and_then(|container| container.channel_id);
        Some(Self {
            verdict,
            subject: Subject::parse(value)?,
            team: one_of(payload.user.team_id, payload.team.map(|team| team.id)),
            channel: one_of(payload.channel.map(|channel| channel.id), container),
            user: payload.user.id,
        })
    }

    /// The ballot that the click of such a person casts, where requests belong to `home`.
    pub fn ballot(&self, home: Home, standing: Standing) -> Ballot {
        let clicker = Clicker { user: self.user.clone(), team: self.team.clone(), channel: self.channel.clone(), standing, home };
        Ballot { voter: Voter::Slack(clicker), verdict: self.verdict, content: Some(self.subject.content.clone()), reason: None }
    }
}

/// What both say, or the one that says something; nothing where they differ.
fn one_of(first: Option<Box<str>>, second: Option<Box<str>>) -> Option<Box<str>> {
    match (first, second) {
        (Some(first), Some(second)) => (first == second).then_some(first),
        (first, second) => first.or(second),
    }
}

#[derive(Deserialize)]
struct BlockActions {
    #[serde(rename = "type")]
    kind: String,
    user: User,
    team: Option<Named>,
    channel: Option<Named>,
    container: Option<Container>,
    #[serde(default)]
    actions: Vec<Action>,
}

#[derive(Deserialize)]
struct User {
    id: Box<str>,
    team_id: Option<Box<str>>,
}

#[derive(Deserialize)]
struct Named {
    id: Box<str>,
}

#[derive(Deserialize)]
struct Container {
    channel_id: Option<Box<str>>,
}

#[derive(Deserialize)]
struct Action {
    #[serde(default)]
    action_id: String,
    value: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn payload() -> Value {
        json!({
            "type": "block_actions",
            "user": {"id": "U1", "username": "ann", "team_id": "T1"},
            "team": {"id": "T1", "domain": "acme"},
            "channel": {"id": "C1", "name": "deploys"},
            "container": {"type": "message", "message_ts": "1.1", "channel_id": "C1"},
            "message": {"blocks": [{"type": "something_new"}]},
            "actions": [{"action_id": "skeg.approve", "block_id": "x", "value": "shop/web-1 sha256:aa", "type": "button"}],
        })
    }

    fn with(pointer: &str, value: Value) -> Option<Click> {
        let mut payload = payload();
        *payload.pointer_mut(pointer).unwrap() = value;
        Click::read(&payload)
    }

    #[test]
    fn a_click_says_who_where_and_to_what() {
        let click = Click::read(&payload()).unwrap();
        let subject = Subject { update: UpdateId { namespace: "shop".into(), name: "web-1".into() }, content: "sha256:aa".into() };
        assert_eq!(subject.value(), "shop/web-1 sha256:aa");
        let (team, channel) = (Some("T1".into()), Some("C1".into()));
        assert_eq!(click, Click { user: "U1".into(), team, channel, verdict: Verdict::Approve, subject });
        assert_eq!(with("/actions/0/action_id", json!("skeg.reject")).unwrap().verdict, Verdict::Reject);
    }

    #[test]
    fn where_it_came_from_is_open_when_slack_says_two_things_or_nothing() {
        assert_eq!(with("/team/id", json!("T2")).unwrap().team, None);
        assert_eq!(with("/team", Value::Null).unwrap().team.as_deref(), Some("T1"));
        assert_eq!(with("/container/channel_id", json!("C2")).unwrap().channel, None);
        let mut silent = payload();
        silent.as_object_mut().unwrap().retain(|key, _| !["team", "channel", "container"].contains(&key.as_str()));
        silent["user"].as_object_mut().unwrap().remove("team_id");
        let click = Click::read(&silent).unwrap();
        assert_eq!((click.team, click.channel), (None, None));
    }

    #[test]
    fn what_is_no_click_on_our_buttons_is_none() {
        for (pointer, value) in [
            ("/type", json!("view_submission")),
            ("/actions/0/action_id", json!("other")),
            ("/actions/0/value", json!("shop/web-1")),
            ("/actions/0/value", json!("web-1 sha256:aa")),
            ("/actions", json!([])),
            ("/user", json!("U1")),
            ("/user/id", json!("U1> <!channel")),
            ("/user/id", json!("U".repeat(100))),
        ] {
            assert_eq!(with(pointer, value), None, "{pointer}");
        }
        assert_eq!(Click::read(&json!("block_actions")), None);
    }
}
