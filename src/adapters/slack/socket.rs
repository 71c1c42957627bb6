//! Socket Mode: clicks come in over sockets that skeg opens, and are acknowledged when their votes are durable.
//!
//! slack-morphism's own client of it drops a socket before it opens the next and reads nothing while a callback runs, so this is ours.
//! Envelopes come at least once; a vote that comes twice counts once. Source: <https://docs.slack.dev/apis/events-api/using-socket-mode>.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::click::Click;
use super::{Slack, blocks};
use crate::adapters::fetch::WebSocket;
use crate::core::schedule::backoff;
use crate::core::update::Update;
use crate::ports::approver::{NotCast, Votes};

/// The longest wait before the next try to connect. Slack allows `apps.connections.open` about once a minute when it is strict.
const BACKOFF_CAP: Duration = Duration::from_mins(1);
/// A socket that served for this long shows that connecting works, so the next try begins without a wait. One that Slack announces to
/// close sooner is read on during the wait.
const STEADY: Duration = Duration::from_secs(30);
/// How long a socket that Slack is about to close is still read: it says so about ten seconds ahead.
const LEAVING_MAX: Duration = Duration::from_mins(1);
/// How often the other side is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(10);
/// A socket on which nothing was heard for so long, not even an answer to pings, is dead.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Time for one frame to be written.
const WRITE_MAX: Duration = Duration::from_secs(10);
/// Clicks of one socket that may be on their way to the record; beyond that, no more are read.
const CLICKS_MAX: usize = 64;
/// Answers to people that may wait for their turn: as many as clicks. Where Slack takes none for minutes, later ones say nothing that the
/// message does not show.
const WHISPERS_WAITING_MAX: usize = CLICKS_MAX;
/// Tries to answer a person. Nobody waits longer than a minute for a sentence that only repeats what the message shows.
const WHISPERS_MAX: u32 = 3;

/// What arrives.
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "envelope_id")]
    id: Option<String>,
    #[serde(default)]
    payload: Value,
    reason: Option<String>,
}

/// Takes clicks until the task is dropped. Whatever Slack does, it goes on trying.
pub async fn listen(slack: Arc<Slack>, votes: Arc<dyn Votes>) {
    let mut sockets = JoinSet::new();
    let mut tries = 0;
    loop {
        while sockets.try_join_next().is_some() {}
        match open(&slack).await {
            Ok(socket) => {
                let begun = Instant::now();
                let (leaves, left) = oneshot::channel();
                sockets.spawn(serve(Arc::clone(&slack), Arc::clone(&votes), socket, leaves));
                // The next socket is opened as soon as Slack says that it will close this one, which is read until then.
                let is_planned = left.await.is_ok();
                if begun.elapsed() >= STEADY {
                    tries = 0;
                    continue;
                }
                if !is_planned {
                    slack.clicks.troubled(slack.clock.now(), "Slack closes the socket");
                }
            }
            Err((why, retry_after)) => {
                slack.clicks.troubled(slack.clock.now(), &why);
                tracing::warn!(attempt = tries + 1, error = %why, "no connection to Slack, will be tried again; votes by the command line count");
                wait(&slack, &mut tries, retry_after).await;
                continue;
            }
        }
        wait(&slack, &mut tries, None).await;
    }
}

async fn wait(slack: &Slack, tries: &mut u32, retry_after: Option<Duration>) {
    *tries = tries.saturating_add(1);
    slack.clock.sleep_until(backoff(slack.clock.now(), *tries, BACKOFF_CAP, "slack", retry_after)).await;
}

async fn open(slack: &Slack) -> Result<WebSocket, (String, Option<Duration>)> {
    let failed = |error: super::SlackError| {
        let failure = crate::core::failure::Failure::from(error);
        (failure.summary.into(), failure.retry_after)
    };
    slack.learn_identity().await.map_err(failed)?;
    let address = slack.api.open_socket().await.map_err(failed)?;
    if address.scheme() != "wss" && slack.is_encrypted {
        return Err(("Slack names a socket that is not encrypted".to_owned(), None));
    }
    slack.sockets.open(&address).await.map_err(|error| (format!("Slack's socket: {error}"), None))
}

/// Reads a socket until it ends. `leaves` is told when Slack announces that, and dropped when it happens.
async fn serve(slack: Arc<Slack>, votes: Arc<dyn Votes>, mut socket: WebSocket, leaves: oneshot::Sender<()>) {
    let mut leaves = Some(leaves);
    let (acknowledge, mut acknowledged) = mpsc::channel::<String>(CLICKS_MAX);
    let (whispers, waiting) = mpsc::channel(WHISPERS_WAITING_MAX);
    let mut answering = JoinSet::new();
    answering.spawn(answer_people(Arc::clone(&slack), waiting));
    let mut clicks = JoinSet::new();
    let mut pings = tokio::time::interval(PING_EVERY);
    let (mut heard, mut until) = (Instant::now(), None);
    loop {
        let write = tokio::select! {
            frame = socket.next(), if clicks.len() < CLICKS_MAX => {
                heard = Instant::now();
                let text = match frame {
                    Some(Ok(Frame::Text(text))) => text,
                    Some(Ok(Frame::Close(_)) | Err(_)) | None => break,
                    // Pings are answered below.
                    Some(Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Binary(_) | Frame::Frame(_))) => continue,
                };
                let Ok(envelope) = serde_json::from_str::<Envelope>(&text) else {
                    tracing::warn!("Slack sent a frame that is no envelope");
                    continue;
                };
                match (envelope.kind.as_str(), envelope.id) {
                    ("hello", _) => {
                        slack.clicks.well();
                        tracing::info!("connected to Slack");
                        continue;
                    }
                    ("disconnect", _) => {
                        tracing::debug!(reason = envelope.reason, "Slack will close the socket");
                        until = Some(Instant::now() + LEAVING_MAX);
                        leaves.take().map(|leaves| leaves.send(()));
                        continue;
                    }
                    ("interactive", Some(id)) => match Click::read(&envelope.payload) {
                        Some(click) => {
                            let back = Back { acknowledge: acknowledge.clone(), whispers: whispers.clone() };
                            clicks.spawn(count(Arc::clone(&slack), Arc::clone(&votes), click, id, back));
                            continue;
                        }
                        None => ack(&id),
                    },
                    // Nothing else was asked for; what comes anyway is not sent again.
                    (_, Some(id)) => ack(&id),
                    (_, None) => continue,
                }
            }
            Some(ack) = acknowledged.recv() => Frame::text(ack),
            Some(_) = clicks.join_next(), if !clicks.is_empty() => continue,
            _ = pings.tick() => {
                // Whoever has too many clicks in hand listens to nothing.
                if clicks.len() >= CLICKS_MAX {
                    heard = Instant::now();
                }
                if heard.elapsed() > SILENCE_MAX || until.is_some_and(|until| until <= Instant::now()) {
                    break;
                }
                Frame::Ping(Vec::new().into())
            }
        };
        if !matches!(tokio::time::timeout(WRITE_MAX, socket.send(write)).await, Ok(Ok(()))) {
            break;
        }
    }
    drop((socket, leaves, acknowledged));
    // Votes that are on their way to the record arrive there, and their voters are told.
    while clicks.join_next().await.is_some() {}
    drop(whispers);
    while answering.join_next().await.is_some() {}
}

fn ack(envelope_id: &str) -> Frame {
    Frame::text(json!({"envelope_id": envelope_id}).to_string())
}

/// The ways back to Slack and to the person who clicked.
struct Back {
    acknowledge: mpsc::Sender<String>,
    whispers: mpsc::Sender<Whisper>,
}

/// What a person is told.
struct Whisper {
    click: Click,
    text: String,
}

/// Casts the vote, acknowledges the click once it is durable, and has the person told what became of it. It waits for the record and the
/// socket alone: clicks that wait for anything else would keep the next ones from being read.
async fn count(slack: Arc<Slack>, votes: Arc<dyn Votes>, click: Click, envelope_id: String, back: Back) {
    let Some(home) = slack.home() else { return };
    let standing = slack.people.standing(&slack.api, &click.user, slack.clock.now()).await;
    let cast = votes.cast(click.subject.update.clone(), click.ballot(home, standing)).await;
    if !matches!(cast, Err(NotCast::NotDurable(_))) {
        // Fails when the socket is gone; Slack then sends the click again, and gets the same answer.
        let _ = back.acknowledge.send(json!({"envelope_id": envelope_id}).to_string()).await;
    }
    let text = match &cast {
        Ok(update) if has_vote(update, &click) => blocks::counted(click.verdict, update),
        Ok(update) => blocks::too_late(update),
        Err(NotCast::Refused(why)) => {
            tracing::info!(update.id = %click.subject.update, user = %click.user, why, "a click does not count");
            blocks::refused(&click, why)
        }
        Err(NotCast::NotDurable(why)) => {
            tracing::warn!(update.id = %click.subject.update, why, "a click is not acknowledged");
            blocks::refused(&click, "it is not recorded yet, click again in a moment")
        }
    };
    if let Err(TrySendError::Full(Whisper { click, .. })) = back.whispers.try_send(Whisper { click, text }) {
        tracing::warn!(user = %click.user, "a person is not answered: too many answers wait for Slack");
    }
}

fn has_vote(update: &Update, click: &Click) -> bool {
    let voter = format!("slack:{}", click.user);
    update.votes.iter().any(|vote| *vote.voter == *voter && vote.verdict == click.verdict)
}

/// Tells people one after the other: Slack limits such messages for each channel, so more at once would only be refused.
async fn answer_people(slack: Arc<Slack>, mut waiting: mpsc::Receiver<Whisper>) {
    while let Some(next) = waiting.recv().await {
        whisper(&slack, next).await;
    }
}

async fn whisper(slack: &Slack, Whisper { click, text }: Whisper) {
    let channel = click.channel.as_deref().unwrap_or(&slack.channel);
    for tries in 1..=WHISPERS_MAX {
        let Err(error) = slack.api.whisper(channel, &click.user, text.clone()).await else { return };
        let failure = crate::core::failure::Failure::from(error);
        if tries == WHISPERS_MAX || failure.retry_after.is_some_and(|wait| wait > BACKOFF_CAP) {
            tracing::warn!(user = %click.user, error = %failure.summary, "a person could not be answered");
            return;
        }
        slack.clock.sleep_until(backoff(slack.clock.now(), tries, BACKOFF_CAP, &click.user, failure.retry_after)).await;
    }
}
