//! The Web API as skeg uses it: eight methods, and what each may answer.
//!
//! Requests are slack-morphism's. Of the answers only the fields that are needed are read: its own models read a message to its last
//! block, and a block that they do not know would hide that the message was posted.
//!
//! Source: <https://docs.slack.dev/reference/methods>.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use slack_morphism::api::{SlackApiChatPostEphemeralRequest, SlackApiChatPostMessageRequest, SlackApiChatUpdateRequest};
use slack_morphism::blocks::SlackBlock;
use slack_morphism::errors::SlackClientError;
use slack_morphism::{SlackApiToken, SlackClient, SlackMessageContent, SlackMessageMetadata};
use url::Url;

use super::connector::Connector;
use crate::core::failure::Failure;
use crate::core::hold::voter::Standing;
use crate::core::update::{Prompt, UpdateId};

/// Reads a token anew at each use, so that a changed file takes effect at once. The error says where it should be, never what is there.
pub type TokenSource = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// The `event_type` of the metadata that tells a request's message from any other.
const METADATA: &str = "skeg_request";
/// Messages on one page of a channel's history: what Slack recommends at most.
const PAGE_MESSAGES: u32 = 200;
/// Pages looked at for one message. A thousand messages came after a request whose post is in doubt: nobody will find it by reading.
const PAGES_MAX: usize = 5;

/// The Web API with skeg's tokens.
#[derive(Clone)]
pub struct WebApi {
    client: Arc<SlackClient<Connector>>,
    bot_token: TokenSource,
    app_token: TokenSource,
}

/// Why a method did not do what it was asked for. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlackError {
    /// A token cannot be read.
    #[error("{0}")]
    Token(String),
    /// Too many requests.
    #[error("Slack asks for fewer {method}")]
    RateLimited {
        /// The method.
        method: &'static str,
        /// How long to wait.
        retry_after: Option<Duration>,
    },
    /// Slack refuses.
    #[error("Slack refuses {method}: {code}{}", advice(code))]
    Refused {
        /// The method.
        method: &'static str,
        /// Slack's word for it.
        code: String,
    },
    /// No answer, or none that says whether it was done.
    #[error("Slack does not answer {method}: {why}")]
    Unanswered {
        /// The method.
        method: &'static str,
        /// What was in the way.
        why: String,
    },
}

/// What to do about the words that an operator can do something about.
fn advice(code: &str) -> &'static str {
    match code {
        "not_in_channel" => ", invite the app to the channel",
        "channel_not_found" => ", check the id in [slack] channel and invite the app to a private channel",
        "invalid_auth" | "not_authed" | "token_revoked" | "token_expired" | "account_inactive" => ", check the token",
        "not_allowed_token_type" => ", the bot token begins with xoxb-, the app token with xapp-",
        "missing_scope" => ", add the scope to the app and install it again",
        "is_archived" => ", the channel is archived",
        _ => "",
    }
}

impl From<SlackError> for Failure {
    fn from(error: SlackError) -> Self {
        let retry_after = match &error {
            SlackError::RateLimited { retry_after, .. } => *retry_after,
            SlackError::Token(_) | SlackError::Refused { .. } | SlackError::Unanswered { .. } => None,
        };
        Self { retry_after, ..Self::transient(error.to_string()) }
    }
}

/// Who skeg is in Slack.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Identity {
    /// The workspace, `T…`.
    #[serde(rename = "team_id")]
    pub team: Box<str>,
    /// The workspace's name.
    #[serde(rename = "team", default)]
    pub team_name: Box<str>,
    /// The app's own user's name.
    #[serde(default)]
    pub user: Box<str>,
    /// The id that its messages carry, `B…`.
    #[serde(rename = "bot_id", default)]
    pub bot: Option<Box<str>>,
}

/// What a message shows: blocks, and a text for notifications and screen readers.
#[derive(Clone, PartialEq, Debug)]
pub struct Message {
    /// The text, escaped.
    pub text: String,
    /// The blocks.
    pub blocks: Vec<SlackBlock>,
}

#[derive(Deserialize)]
struct Posted {
    channel: Box<str>,
    ts: Box<str>,
}

#[derive(Deserialize)]
struct Done {}

#[derive(Deserialize)]
struct Opened {
    url: String,
}

#[derive(Deserialize)]
struct History {
    #[serde(default)]
    messages: Vec<Past>,
    #[serde(default)]
    response_metadata: Option<Cursor>,
}

#[derive(Deserialize)]
struct Cursor {
    #[serde(default)]
    next_cursor: String,
}

#[derive(Deserialize)]
struct Past {
    ts: Box<str>,
    #[serde(default)]
    bot_id: Option<Box<str>>,
    #[serde(default)]
    metadata: serde_json::Value,
}

#[derive(Deserialize)]
struct Described {
    user: Person,
}

/// As much of a person as tells what that person may do: <https://docs.slack.dev/reference/objects/user-object>. What is left out is not known.
#[derive(Deserialize)]
struct Person {
    id: Box<str>,
    deleted: Option<bool>,
    is_bot: Option<bool>,
    is_restricted: Option<bool>,
    is_ultra_restricted: Option<bool>,
}

impl Person {
    fn standing(&self) -> Standing {
        match [self.deleted, self.is_bot, self.is_restricted, self.is_ultra_restricted] {
            [Some(true), ..] => Standing::Left,
            [_, Some(true), ..] => Standing::App,
            [_, _, Some(true), _] | [.., Some(true)] => Standing::Guest,
            [Some(false), Some(false), Some(false), Some(false)] => Standing::Member,
            _ => Standing::Unknown { why: "Slack leaves out whether it is a guest".into() },
        }
    }
}

impl WebApi {
    /// The Web API behind `connector`.
    pub fn new(connector: Connector, bot_token: TokenSource, app_token: TokenSource) -> Self {
        Self { client: Arc::new(SlackClient::new(connector)), bot_token, app_token }
    }

    /// Who the bot token stands for.
    pub async fn identity(&self) -> Result<Identity, SlackError> {
        self.post("auth.test", &self.bot_token, &json!({})).await
    }

    /// Where a WebSocket of Socket Mode is to be opened. The address holds a ticket: it must not be logged.
    pub async fn open_socket(&self) -> Result<Url, SlackError> {
        const METHOD: &str = "apps.connections.open";
        let opened: Opened = self.post(METHOD, &self.app_token, &json!({})).await?;
        opened.url.parse().map_err(|_| SlackError::Unanswered { method: METHOD, why: "its address is none".to_owned() })
    }

    /// Posts a message about an update.
    pub async fn say(&self, channel: &str, update: &UpdateId, message: Message) -> Result<Prompt, SlackError> {
        let payload = [("update".to_owned(), update.to_string())].into();
        let metadata = SlackMessageMetadata::new(METADATA.to_owned()).with_event_payload(payload);
        let request = SlackApiChatPostMessageRequest::new(channel.into(), content(message).with_metadata(metadata))
            .with_unfurl_links(false)
            .with_unfurl_media(false);
        let posted: Posted = self.post("chat.postMessage", &self.bot_token, &request).await?;
        if !(is_id(&posted.channel) && is_id(&posted.ts)) {
            return Err(SlackError::Unanswered { method: "chat.postMessage", why: "its message has no usable id".to_owned() });
        }
        Ok(Prompt { channel: posted.channel, message: posted.ts, ended: false })
    }

    /// Replaces what a message shows. Its metadata stay as they are.
    pub async fn edit(&self, prompt: &Prompt, message: Message) -> Result<(), SlackError> {
        let request = SlackApiChatUpdateRequest::new((&*prompt.channel).into(), content(message), (&*prompt.message).into());
        let Done {} = self.post("chat.update", &self.bot_token, &request).await?;
        Ok(())
    }

    /// Says something that only `user` sees.
    pub async fn whisper(&self, channel: &str, user: &str, text: String) -> Result<(), SlackError> {
        let content = SlackMessageContent::new().with_text(text);
        let request = SlackApiChatPostEphemeralRequest::new(channel.into(), user.into(), content);
        let Done {} = self.post("chat.postEphemeral", &self.bot_token, &request).await?;
        Ok(())
    }

    /// Looks for the message about an update that `bot` posted in the channel since `oldest`, in seconds since 1970.
    pub async fn find(&self, channel: &str, update: &UpdateId, bot: Option<&str>, oldest: i64) -> Result<Option<Prompt>, SlackError> {
        let (name, oldest, limit) = (update.to_string(), oldest.to_string(), PAGE_MESSAGES.to_string());
        let mut cursor = String::new();
        for _ in 0..PAGES_MAX {
            let page = [
                ("channel", Some(channel)),
                ("oldest", Some(oldest.as_str())),
                ("limit", Some(limit.as_str())),
                ("include_all_metadata", Some("true")),
                ("cursor", Some(cursor.as_str()).filter(|cursor| !cursor.is_empty())),
            ];
            let history: History = self.get("conversations.history", &page).await?;
            let is_it = |past: &&Past| {
                let says = |pointer: &str, text: &str| past.metadata.pointer(pointer).and_then(serde_json::Value::as_str) == Some(text);
                past.bot_id.as_deref() == bot && says("/event_type", METADATA) && says("/event_payload/update", &name)
            };
            if let Some(past) = history.messages.iter().find(is_it).filter(|past| is_id(&past.ts)) {
                return Ok(Some(Prompt { channel: channel.into(), message: past.ts.clone(), ended: false }));
            }
            cursor = history.response_metadata.map(|cursor| cursor.next_cursor).unwrap_or_default();
            if cursor.is_empty() {
                break;
            }
        }
        Ok(None)
    }

    /// What a person is in the workspace. Takes the scope `users:read`.
    pub async fn standing(&self, user: &str) -> Result<Standing, SlackError> {
        const METHOD: &str = "users.info";
        let Described { user: person } = self.get(METHOD, &[("user", Some(user))]).await?;
        if *person.id != *user {
            return Err(SlackError::Unanswered { method: METHOD, why: "it tells of somebody else".to_owned() });
        }
        Ok(person.standing())
    }

    async fn post<RQ, RS>(&self, method: &'static str, token: &TokenSource, request: &RQ) -> Result<RS, SlackError>
    where
        RQ: serde::Serialize + Send + Sync,
        RS: for<'de> Deserialize<'de> + Send,
    {
        let token = read(token)?;
        let session = self.client.open_session(&token);
        session.http_session_api.http_post(method, request, None).await.map_err(|error| failed(method, &error))
    }

    async fn get<RS, const N: usize>(&self, method: &'static str, params: &[(&str, Option<&str>); N]) -> Result<RS, SlackError>
    where
        RS: for<'de> Deserialize<'de> + Send,
    {
        let token = read(&self.bot_token)?;
        let session = self.client.open_session(&token);
        session.http_session_api.http_get(method, params, None).await.map_err(|error| failed(method, &error))
    }
}

/// Whether a text can be an id of Slack's. It is kept in the record, which has bounds.
pub fn is_id(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
}

fn read(token: &TokenSource) -> Result<SlackApiToken, SlackError> {
    token().map(|token| SlackApiToken::new(token.into())).map_err(SlackError::Token)
}

fn content(message: Message) -> SlackMessageContent {
    SlackMessageContent::new().with_text(message.text).with_blocks(message.blocks)
}

fn failed(method: &'static str, error: &SlackClientError) -> SlackError {
    let unanswered = |why: String| SlackError::Unanswered { method, why };
    match error {
        SlackClientError::RateLimitError(limit) => SlackError::RateLimited { method, retry_after: limit.retry_after },
        SlackClientError::ApiError(refused) => SlackError::Refused { method, code: refused.code.clone() },
        SlackClientError::HttpError(answer) => unanswered(format!("it says {}", answer.status_code)),
        SlackClientError::ProtocolError(error) => unanswered(format!("not the JSON that was expected, {}", error.json_error)),
        SlackClientError::SystemError(error) => unanswered(error.message.clone().unwrap_or_default()),
        SlackClientError::HttpProtocolError(_) | SlackClientError::EndOfStream(_) | SlackClientError::SocketModeProtocolError(_) => {
            unanswered("the request could not be made".to_owned())
        }
    }
}
