//! A Slack of this machine: the Web API and Socket Mode as an app meets them, one workspace, one channel.
//!
//! That it speaks like the real one is checked by Slack's own Python SDKs: `tests/slack/sdk.rs`.

/// Sockets: hello, envelopes, acknowledgements, disconnect.
mod socket;
/// The methods of the Web API.
mod web;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use skeg::embedded::loopback::{Bound, Loopback};

pub use super::agent::{SLACK_APP_TOKEN as APP_TOKEN, SLACK_BOT_TOKEN as BOT_TOKEN, SLACK_CHANNEL as CHANNEL};

/// The workspace.
pub const TEAM: &str = "T0000000001";
/// The id that the app's messages carry.
const BOT: &str = "B0000000001";

/// What goes wrong with the next call of a method.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Too many requests: wait so many seconds.
    RateLimited(u64),
    /// Refused with this word.
    Error(&'static str),
    /// The connection closes, and nothing is done.
    CloseConnection,
    /// It is done, and the connection closes before the answer is whole.
    LoseAnswer,
}

/// A message in the channel.
#[derive(Clone, Debug)]
pub struct Posted {
    /// Its id.
    pub ts: String,
    /// Its text.
    pub text: String,
    /// Its blocks.
    pub blocks: Value,
    /// Its metadata.
    pub metadata: Value,
    /// How often it was edited.
    pub edits: usize,
}

/// Something that one person saw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Whisper {
    /// The channel.
    pub channel: String,
    /// Who saw it.
    pub user: String,
    /// What.
    pub text: String,
}

/// A click to be made.
#[derive(Clone, Debug)]
pub struct Press {
    /// Who.
    pub user: String,
    /// Of which workspace.
    pub team: String,
    /// In which channel.
    pub channel: String,
    /// On which message.
    pub message: Posted,
    /// On which button.
    pub action: &'static str,
}

impl Press {
    /// A click of somebody of the workspace in the channel.
    pub fn of(user: &str, message: &Posted, action: &'static str) -> Self {
        Self { user: user.into(), team: TEAM.into(), channel: CHANNEL.into(), message: message.clone(), action }
    }
}

/// A running Slack.
pub struct FakeSlack {
    server: Loopback,
    shared: Arc<Shared>,
}

/// What its parts share.
struct Shared {
    /// Where sockets are opened.
    sockets_at: SocketAddr,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_down: bool,
    /// The address of sockets, if not the plain one.
    socket_url: Option<String>,
    hides_history: bool,
    messages: Vec<Posted>,
    posted: usize,
    /// The blocks of every message and of every edit.
    payloads: Vec<Value>,
    whispers: Vec<Whisper>,
    calls: Vec<String>,
    faults: Vec<(&'static str, VecDeque<Fault>)>,
    sockets: Vec<socket::Open>,
    /// Sockets that were opened so far.
    opened: usize,
    acknowledged: Vec<String>,
    envelopes: usize,
    /// What is special about people.
    people: Vec<(String, Value)>,
}

impl FakeSlack {
    /// Starts it.
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let shared = Arc::new(Shared { sockets_at: listener.local_addr().unwrap(), state: Mutex::default() });
        let (web, sockets) = (Arc::clone(&shared), Arc::clone(&shared));
        let answer = move |request| Box::pin(web::answer(Arc::clone(&web), request)) as _;
        let server = Bound::new().unwrap().serve_beside("slack", answer, socket::accept(sockets, listener)).unwrap();
        Self { server, shared }
    }

    /// Says what is special about a person: fields of the object that `users.info` gives.
    pub fn describe(&self, user: &str, fields: Value) {
        self.shared.state().people.push((user.to_owned(), fields));
    }

    /// Where the Web API is, without a slash at the end.
    pub fn api_url(&self) -> String {
        format!("http://{}/api", self.server.address())
    }

    /// Where the Web API listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Where sockets are opened.
    pub fn sockets_at(&self) -> SocketAddr {
        self.shared.sockets_at
    }

    /// Names another address for sockets, which leads here.
    pub fn set_socket_url(&self, url: &str) {
        self.shared.state().socket_url = Some(url.to_owned());
    }

    // === what was done ===

    /// The messages in the channel, oldest first.
    pub fn messages(&self) -> Vec<Posted> {
        self.shared.state().messages.clone()
    }

    /// The newest message that shows this text somewhere.
    pub fn message_about(&self, text: &str) -> Option<Posted> {
        let shows = |message: &Posted| message.blocks.to_string().contains(text) || message.text.contains(text);
        self.messages().into_iter().rev().find(shows)
    }

    /// The blocks of everything that was posted and of every edit, oldest first.
    pub fn payloads(&self) -> Vec<Value> {
        self.shared.state().payloads.clone()
    }

    /// What single people saw.
    pub fn whispers(&self) -> Vec<Whisper> {
        self.shared.state().whispers.clone()
    }

    /// How often a method was called.
    pub fn calls(&self, method: &str) -> usize {
        self.shared.state().calls.iter().filter(|call| *call == method).count()
    }

    /// How often an envelope was acknowledged.
    pub fn acknowledged(&self, envelope: &str) -> usize {
        self.shared.state().acknowledged.iter().filter(|id| *id == envelope).count()
    }

    /// Sockets that are open, and not about to be closed.
    pub fn sockets(&self) -> usize {
        self.shared.state().sockets.iter().filter(|socket| !socket.is_leaving).count()
    }

    /// Sockets that are about to be closed and still open.
    pub fn sockets_leaving(&self) -> usize {
        self.shared.state().sockets.iter().filter(|socket| socket.is_leaving).count()
    }

    /// Sockets that were opened so far.
    pub fn sockets_opened(&self) -> usize {
        self.shared.state().opened
    }

    // === what is done ===

    /// Somebody clicks; the envelope's id. Slack gives it to the newest socket that it is not about to close.
    pub fn press(&self, press: &Press) -> String {
        let envelope = {
            let mut state = self.shared.state();
            state.envelopes += 1;
            format!("envelope-{}", state.envelopes)
        };
        self.deliver(&envelope, press);
        envelope
    }

    /// The same envelope once more, as after an acknowledgement that did not arrive.
    pub fn deliver(&self, envelope: &str, press: &Press) {
        let frame = json!({
            "type": "interactive",
            "envelope_id": envelope,
            "accepts_response_payload": false,
            "payload": payload(press),
        });
        let state = self.shared.state();
        // Without one it is lost, as a click is that finds no socket.
        if let Some(socket) = state.sockets.iter().rev().find(|socket| !socket.is_leaving) {
            socket.send(&frame);
        }
    }

    /// Says on every socket that it will be closed soon.
    pub fn announce_disconnect(&self) {
        for socket in &mut self.shared.state().sockets {
            socket.is_leaving = true;
            socket.send(&json!({"type": "disconnect", "reason": "warning", "debug_info": {"host": "fake"}}));
        }
    }

    /// Closes the sockets that it was announced for.
    pub fn disconnect(&self) {
        self.shared.state().sockets.retain(|socket| !socket.is_leaving);
    }

    /// Refuses everything and closes every socket, or goes on as before.
    pub fn set_down(&self, is_down: bool) {
        let mut state = self.shared.state();
        state.is_down = is_down;
        if is_down {
            state.sockets.clear();
        }
    }

    /// The app lacks the scope to read the channel.
    pub fn hide_history(&self) {
        self.shared.state().hides_history = true;
    }

    /// Lets the next call of a method go wrong, after those planned before.
    pub fn fail_next(&self, method: &'static str, fault: Fault) {
        let mut state = self.shared.state();
        match state.faults.iter_mut().find(|(planned, _)| *planned == method) {
            Some((_, faults)) => faults.push_back(fault),
            None => state.faults.push((method, [fault].into())),
        }
    }

    /// Somebody deletes a message.
    pub fn delete(&self, ts: &str) {
        self.shared.state().messages.retain(|message| message.ts != ts);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What Slack says of a click: <https://docs.slack.dev/reference/interaction-payloads/block_actions-payload>.
fn payload(press: &Press) -> Value {
    let Press { user, team, channel, message, action } = press;
    let blocks = message.blocks.as_array().cloned().unwrap_or_default();
    let elements = blocks.iter().flat_map(|block| block["elements"].as_array().cloned().unwrap_or_default());
    let button = elements.into_iter().find(|element| element["action_id"] == *action).expect("the message has the button");
    json!({
        "type": "block_actions",
        "user": {"id": user, "username": "somebody", "name": "somebody", "team_id": team},
        "api_app_id": "A0000000001",
        "token": "deprecated",
        "container": {"type": "message", "message_ts": message.ts, "channel_id": channel, "is_ephemeral": false},
        "trigger_id": "1.2.3",
        "team": {"id": team, "domain": "acme"},
        "enterprise": null,
        "is_enterprise_install": false,
        "channel": {"id": channel, "name": "deploys"},
        "message": {"type": "message", "bot_id": BOT, "user": "U0000000001", "ts": message.ts, "text": message.text, "blocks": blocks},
        "state": {"values": {}},
        "response_url": "https://hooks.slack.com/actions/T0000000001/1/x",
        "actions": [{
            "action_id": action,
            "block_id": "x1",
            "text": button["text"],
            "value": button["value"],
            "style": button["style"],
            "type": "button",
            "action_ts": "1.2",
        }],
    })
}
