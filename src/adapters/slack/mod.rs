//! Slack: a request is one message with two buttons, edited as votes come and when it is decided.
//!
//! ```text
//! Approver::show ─► blocks ─► web_api ─► chat.postMessage, chat.update
//! socket ─► click ─► people ─► Votes::cast ─► durable ─► acknowledged ─► chat.postEphemeral
//! ```
//!
//! A message is asked for once. Where it is, is recorded; until that is so, it is looked for in the channel's history by the update's name
//! in its metadata before another is posted. Where the app may not read the history, a crash or a lost answer between Slack's post and
//! skeg's record can lead to a second message; a vote counts once all the same, whichever message is clicked.

mod blocks;
mod click;
mod connector;
mod people;
mod socket;
mod web_api;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use url::Url;

pub use web_api::{SlackError, TokenSource};

use crate::adapters::fetch::{Fetch, SetupError, WebSockets};
use crate::core::failure::Failure;
use crate::core::hold::voter::Home;
use crate::core::provenance::Provenance;
use crate::core::schedule::after;
use crate::core::update::{Prompt, Update};
use crate::ports::approver::{Approver, Votes};
use crate::ports::clock::Clock;
use connector::Connector;
use people::People;
use web_api::{Identity, Message, WebApi};

/// Bytes of one frame of Socket Mode. A click repeats the message it is on, some ten kilobytes.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// How much earlier than the question its message is looked for: clocks differ.
const SKEW: Duration = Duration::from_mins(5);

/// How to reach Slack.
pub struct Settings {
    /// The bot token, `xoxb-…`.
    pub bot_token: TokenSource,
    /// The app token, `xapp-…`.
    pub app_token: TokenSource,
    /// The channel that requests are posted to, by its id.
    pub channel: Box<str>,
    /// The Web API, `https://slack.com/api`.
    pub api_url: Url,
}

/// Slack.
pub struct Slack {
    api: WebApi,
    sockets: WebSockets,
    /// Whether the Web API is reached by TLS; then the socket must be, too.
    is_encrypted: bool,
    channel: Box<str>,
    clock: Arc<dyn Clock>,
    identity: Mutex<Option<Identity>>,
    people: People,
    /// One message at a time: Slack allows about one a second in a channel.
    turn: tokio::sync::Mutex<()>,
    /// Until when Slack asked for no more messages.
    quiet: Mutex<Option<Timestamp>>,
    /// Whether clicks arrive.
    clicks: Standing,
    /// Whether messages can be posted and edited.
    messages: Standing,
}

/// What is in the way of something, and since when.
#[derive(Default)]
struct Standing(Mutex<Option<(Timestamp, Box<str>)>>);

impl Standing {
    fn well(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn troubled(&self, now: Timestamp, why: &str) {
        let mut standing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = standing.as_ref().map_or(now, |(since, _)| *since);
        *standing = Some((since, why.into()));
    }
}

impl Slack {
    /// Slack with these settings. Nothing is asked yet.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, SetupError> {
        let is_encrypted = settings.api_url.scheme() == "https";
        let connector = Connector::new(Fetch::new()?, settings.api_url);
        Ok(Self {
            api: WebApi::new(connector, settings.bot_token, settings.app_token),
            sockets: WebSockets::new(FRAME_BYTES_MAX)?,
            is_encrypted,
            channel: settings.channel,
            clock,
            identity: Mutex::default(),
            people: People::default(),
            turn: tokio::sync::Mutex::default(),
            quiet: Mutex::default(),
            clicks: Standing::default(),
            messages: Standing::default(),
        })
    }

    /// Takes clicks until the task is dropped.
    pub async fn listen(self: Arc<Self>, votes: Arc<dyn Votes>) {
        socket::listen(self, votes).await;
    }

    /// What is in the way of clicks and of messages, and since when.
    pub fn troubles(&self) -> Vec<(Timestamp, Box<str>)> {
        let now = |standing: &Standing| standing.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        [&self.clicks, &self.messages].into_iter().filter_map(now).collect()
    }

    /// Tries both tokens, and posts nothing: who skeg is, and in which workspace.
    pub async fn check(&self) -> Result<String, SlackError> {
        let identity = self.learn_identity().await?;
        self.api.open_socket().await?;
        Ok(format!("answers, and knows skeg as {} in {}", identity.user, identity.team_name))
    }

    async fn learn_identity(&self) -> Result<Identity, SlackError> {
        let identity = self.api.identity().await?;
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = Some(identity.clone());
        Ok(identity)
    }

    fn known_identity(&self) -> Option<Identity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where requests belong, once Slack has said in which workspace.
    fn home(&self) -> Option<Home> {
        Some(Home { team: self.known_identity()?.team, channel: self.channel.clone() })
    }

    /// Shows the update in the message that is known, or posts it.
    async fn bring_about(&self, update: &Update, message: Message) -> Result<Option<Prompt>, SlackError> {
        let asks = blocks::asks(update);
        if let Some(known) = &update.prompt
            && (self.edit(known, &message).await? || !asks)
        {
            return Ok(Some(Prompt { ended: !update.is_open(), ..known.clone() }));
        }
        if let Some(found) = self.earlier(update).await?
            && (self.edit(&found, &message).await? || !asks)
        {
            return Ok(Some(Prompt { ended: !update.is_open(), ..found }));
        }
        if asks { self.api.say(&self.channel, &update.id, message).await.map(Some) } else { Ok(None) }
    }

    /// Whether there is still a message to edit. Where there is none, nobody can be shown anything in it any more.
    async fn edit(&self, prompt: &Prompt, message: &Message) -> Result<bool, SlackError> {
        match self.api.edit(prompt, message.clone()).await {
            Err(error) if is_gone(&error) => Ok(false),
            edited => edited.map(|()| true),
        }
    }

    /// The message that was posted, also in place of one that is gone, before its place could be recorded; where the app may look for it.
    async fn earlier(&self, update: &Update) -> Result<Option<Prompt>, SlackError> {
        let identity = match self.known_identity() {
            Some(identity) => identity,
            None => self.learn_identity().await?,
        };
        let oldest = update.created.as_second().saturating_sub(SKEW.as_secs().try_into().unwrap_or(i64::MAX));
        match self.api.find(&self.channel, &update.id, identity.bot.as_deref(), oldest).await {
            Err(SlackError::Refused { code, .. }) => {
                tracing::debug!(code, "the channel's history cannot be read; a message whose post was in doubt may be posted twice");
                Ok(None)
            }
            found => found,
        }
    }

    fn refuse_while_quiet(&self) -> Result<(), SlackError> {
        let until = *self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        let left = until.map(|until| until.duration_since(self.clock.now())).filter(|left| *left > jiff::SignedDuration::ZERO);
        left.map_or(Ok(()), |left| Err(SlackError::RateLimited { method: "messages", retry_after: Some(left.unsigned_abs()) }))
    }
}

#[async_trait]
impl Approver for Slack {
    fn channel(&self) -> &'static str {
        "slack"
    }

    fn shows_provenance(&self) -> bool {
        true
    }

    async fn show(&self, update: &Update, provenance: &[Provenance]) -> Result<Option<Prompt>, Failure> {
        let _turn = self.turn.lock().await;
        self.refuse_while_quiet()?;
        let shown = self.bring_about(update, blocks::message(update, provenance)).await;
        match &shown {
            Ok(_) => self.messages.well(),
            Err(error) => self.messages.troubled(self.clock.now(), &error.to_string()),
        }
        if let Err(SlackError::RateLimited { retry_after: Some(wait), .. }) = &shown {
            *self.quiet.lock().unwrap_or_else(PoisonError::into_inner) = Some(after(self.clock.now(), *wait));
        }
        Ok(shown?)
    }
}

/// Whether a message cannot be edited because it is not there any more, or is not skeg's.
fn is_gone(error: &SlackError) -> bool {
    const WORDS: [&str; 6] =
        ["message_not_found", "channel_not_found", "cant_update_message", "edit_window_closed", "is_inactive", "is_archived"];
    matches!(error, SlackError::Refused { code, .. } if WORDS.contains(&code.as_str()))
}
