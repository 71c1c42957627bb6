//! The methods of the Web API that skeg and the SDKs' examples call, with the checks that an app fails first.

use std::sync::Arc;

use futures::stream;
use serde_json::{Map, Value, json};
use skeg::embedded::loopback::{Request, Response, status};
use warp::Reply as _;
use warp::http::StatusCode;

use super::{APP_TOKEN, BOT, BOT_TOKEN, CHANNEL, Fault, Posted, Shared, State, TEAM, Whisper};

/// Bytes of a request: Slack takes forty thousand characters of text, and the blocks.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// Answers one request.
pub async fn answer(shared: Arc<Shared>, request: Request) -> Response {
    let Some(method) = request.path.strip_prefix("/api/").map(str::to_owned) else { return status(StatusCode::NOT_FOUND) };
    let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default().to_owned();
    let mut arguments = form(request.query.as_bytes());
    let is_json = request.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
    let Ok(body) = request.body.collect(REQUEST_BYTES_MAX).await else { return status(StatusCode::BAD_REQUEST) };
    if is_json {
        let sent: Value = serde_json::from_slice(&body).unwrap_or_default();
        // Methods that read take their arguments from the address or a form only.
        let reads = method.starts_with("conversations.") || method.starts_with("users.");
        arguments.extend(sent.as_object().filter(|_| !reads).cloned().unwrap_or_default());
    } else {
        arguments.extend(form(&body));
    }
    let mut state = shared.state();
    if state.is_down {
        return status(StatusCode::SERVICE_UNAVAILABLE);
    }
    state.calls.push(method.clone());
    let fault = state.faults.iter_mut().find(|(planned, _)| *planned == method).and_then(|(_, faults)| faults.pop_front());
    match fault {
        None => reply(&carry_out(&shared, &mut state, &method, &token, &Value::Object(arguments))),
        Some(Fault::Error(code)) => reply(&error(code)),
        Some(Fault::RateLimited(seconds)) => {
            let body = warp::reply::json(&json!({"ok": false, "error": "ratelimited"}));
            let limited = warp::reply::with_status(body, StatusCode::TOO_MANY_REQUESTS);
            warp::reply::with_header(limited, "retry-after", seconds.to_string()).into_response()
        }
        Some(Fault::CloseConnection) => closed(),
        Some(Fault::LoseAnswer) => {
            carry_out(&shared, &mut state, &method, &token, &Value::Object(arguments));
            closed()
        }
    }
}

fn form(text: &[u8]) -> Map<String, Value> {
    let pairs = url::form_urlencoded::parse(text);
    pairs.map(|(key, value)| (key.into_owned(), structured(value.into_owned()))).collect()
}

/// In a form, lists and objects are JSON in a text.
fn structured(text: String) -> Value {
    let is_structured = text.starts_with(['[', '{']);
    serde_json::from_str(&text).ok().filter(|_| is_structured).unwrap_or(Value::String(text))
}

fn reply(body: &Value) -> Response {
    warp::reply::json(body).into_response()
}

fn error(code: &str) -> Value {
    json!({"ok": false, "error": code})
}

fn closed() -> Response {
    let broken = stream::once(async { Err::<bytes::Bytes, _>(std::io::Error::from(std::io::ErrorKind::ConnectionAborted)) });
    warp::reply::stream(broken).into_response()
}

fn carry_out(shared: &Shared, state: &mut State, method: &str, token: &str, arguments: &Value) -> Value {
    let expected = if method == "apps.connections.open" { APP_TOKEN } else { BOT_TOKEN };
    if token != expected {
        return error(if token.is_empty() { "not_authed" } else { "invalid_auth" });
    }
    let text = |key: &str| arguments[key].as_str().unwrap_or_default().to_owned();
    if method.starts_with("chat.") || method.starts_with("conversations.") {
        if text("channel") != CHANNEL {
            return error("channel_not_found");
        }
        if let Some(code) = wrong_blocks(&arguments["blocks"]) {
            return error(code);
        }
    }
    match method {
        "auth.test" => json!({
            "ok": true, "url": "https://acme.slack.com/", "team": "Acme", "user": "skeg", "team_id": TEAM,
            "user_id": "U0000000001", "bot_id": BOT, "is_enterprise_install": false,
        }),
        "apps.connections.open" => {
            let plain = format!("ws://{}/link/?ticket=secret-ticket", shared.sockets_at);
            json!({"ok": true, "url": state.socket_url.clone().unwrap_or(plain)})
        }
        "chat.postMessage" => post(state, arguments, &text),
        "chat.update" => update(state, arguments, &text),
        "chat.postEphemeral" => {
            let whisper = Whisper { channel: text("channel"), user: text("user"), text: text("text") };
            state.whispers.push(whisper);
            json!({"ok": true, "message_ts": "1.000001"})
        }
        "conversations.history" if state.hides_history => {
            json!({"ok": false, "error": "missing_scope", "needed": "channels:history", "provided": "chat:write"})
        }
        "conversations.history" => history(state, &text),
        "users.info" => {
            let user = text("user");
            if user.is_empty() { error("user_not_found") } else { json!({"ok": true, "user": person(state, &user)}) }
        }
        _ => error("unknown_method"),
    }
}

/// <https://docs.slack.dev/reference/objects/user-object>; a full member but for what the test says.
fn person(state: &State, user: &str) -> Value {
    let mut person = json!({
        "id": user, "team_id": TEAM, "name": user.to_lowercase(), "deleted": false, "is_admin": false, "is_owner": false, "is_bot": false,
        "is_restricted": false, "is_ultra_restricted": false, "is_app_user": false, "profile": {"real_name": user},
    });
    for (_, fields) in state.people.iter().filter(|(known, _)| known == user) {
        person.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap_or_default());
    }
    person
}

fn post(state: &mut State, arguments: &Value, text: &impl Fn(&str) -> String) -> Value {
    if text("text").is_empty() && arguments["blocks"].is_null() {
        return error("no_text");
    }
    state.posted += 1;
    let ts = format!("{}.{:06}", jiff::Timestamp::now().as_second(), state.posted);
    let (blocks, metadata) = (arguments["blocks"].clone(), arguments["metadata"].clone());
    state.payloads.push(blocks.clone());
    state.messages.push(Posted { ts: ts.clone(), text: text("text"), blocks, metadata, edits: 0 });
    let message = state.messages.last().map(shown);
    json!({"ok": true, "channel": CHANNEL, "ts": ts, "message": message})
}

fn update(state: &mut State, arguments: &Value, text: &impl Fn(&str) -> String) -> Value {
    let ts = text("ts");
    let Some(message) = state.messages.iter_mut().find(|message| message.ts == ts) else { return error("message_not_found") };
    (message.text, message.edits) = (text("text"), message.edits + 1);
    state.payloads.push(arguments["blocks"].clone());
    // Without blocks the earlier ones are removed.
    message.blocks = arguments["blocks"].clone();
    json!({"ok": true, "channel": CHANNEL, "ts": ts, "text": message.text, "message": shown(message)})
}

/// Newest first, in pages.
fn history(state: &State, text: &impl Fn(&str) -> String) -> Value {
    let oldest: f64 = text("oldest").parse().unwrap_or_default();
    let (limit, start): (usize, usize) = (text("limit").parse().unwrap_or(100), text("cursor").parse().unwrap_or_default());
    // Both spellings are sent by clients of Slack.
    let with_metadata = ["true", "1"].contains(&text("include_all_metadata").as_str());
    let all: Vec<Value> = state
        .messages
        .iter()
        .rev()
        .filter(|message| message.ts.parse::<f64>().is_ok_and(|ts| ts >= oldest))
        .map(|message| {
            let mut shown = shown(message);
            if with_metadata && !message.metadata.is_null() {
                shown["metadata"] = message.metadata.clone();
            }
            shown
        })
        .collect();
    let next = start + limit;
    let cursor = if next < all.len() { next.to_string() } else { String::new() };
    let page: Vec<&Value> = all.iter().skip(start).take(limit).collect();
    json!({"ok": true, "messages": page, "has_more": next < all.len(), "response_metadata": {"next_cursor": cursor}})
}

fn shown(message: &Posted) -> Value {
    json!({
        "type": "message", "subtype": "bot_message", "bot_id": BOT, "app_id": "A0000000001",
        "ts": message.ts, "text": message.text, "blocks": message.blocks,
    })
}

/// What Slack refuses first: <https://docs.slack.dev/reference/block-kit/blocks>.
fn wrong_blocks(blocks: &Value) -> Option<&'static str> {
    if blocks.is_null() {
        return None;
    }
    let Some(blocks) = blocks.as_array() else { return Some("invalid_blocks_format") };
    let length = |value: &Value| value["text"].as_str().unwrap_or_default().chars().count();
    let is_wrong = |block: &Value| {
        let elements = block["elements"].as_array().cloned().unwrap_or_default();
        let value = |element: &Value| element["value"].as_str().unwrap_or_default().chars().count();
        let fields = block["fields"].as_array().cloned().unwrap_or_default();
        match block["type"].as_str() {
            Some("section") => {
                let is_empty = block["text"].is_null() && fields.is_empty();
                is_empty || length(&block["text"]) > 3_000 || fields.len() > 10 || fields.iter().any(|field| length(field) > 2_000)
            }
            Some("context") => elements.is_empty() || elements.len() > 10,
            Some("actions") => elements.is_empty() || elements.len() > 25 || elements.iter().any(|element| value(element) > 2_000),
            Some("header" | "divider" | "image" | "rich_text") => false,
            _ => true,
        }
    };
    (blocks.len() > 50 || blocks.iter().any(is_wrong)).then_some("invalid_blocks")
}
