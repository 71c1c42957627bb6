//! `skeg pause`, `skeg resume`: an operator's stop, and its end.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::Failure;
use super::age::left;
use super::client::{Server, understood};
use super::names::{ScopeBody, ScopeName};
use super::output::{Form, show};
use super::table::plain;
use crate::core::duration::{self, DurationError};
use crate::http::view::{LiftedView, PauseView};

/// Apply nothing for a workload, a namespace or everything, until it is resumed
#[derive(Args, Debug)]
pub struct Pause {
    #[command(flatten)]
    scope: ScopeName,
    /// End by itself after this time, such as 2h
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    lasting: Option<Duration>,
    /// Why, one line for others to see
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// How the result is printed
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
    #[command(flatten)]
    server: Server,
}

/// Lift a pause, and whatever holds digests back in its scope
#[derive(Args, Debug)]
pub struct Resume {
    #[command(flatten)]
    scope: ScopeName,
    /// Why, one line for the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// How the result is printed
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
    #[command(flatten)]
    server: Server,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(flatten)]
    scope: ScopeBody,
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    lasting: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    duration::parse(text)
}

impl Pause {
    /// Sets the pause and prints it.
    pub async fn run(&self) -> Result<(), Failure> {
        let body = Body { scope: self.scope.body()?, lasting: self.lasting.map(duration::write), reason: self.reason.as_deref() };
        let answer = self.server.client()?.post("v1/pause", &body).await?;
        let view: PauseView = understood(&answer)?;
        show(self.output, &answer, || format!("paused: {}\n", line(&view, Timestamp::now())))
    }
}

impl Resume {
    /// Lifts and prints what was lifted.
    pub async fn run(&self) -> Result<(), Failure> {
        let body = Body { scope: self.scope.body()?, lasting: None, reason: self.reason.as_deref() };
        let answer = self.server.client()?.post("v1/resume", &body).await?;
        let view: LiftedView = understood(&answer)?;
        show(self.output, &answer, || lines(&view, Timestamp::now()))
    }
}

/// One pause in one line.
pub fn line(pause: &PauseView, now: Timestamp) -> String {
    let scope = match (&pause.namespace, &pause.kind, &pause.name) {
        (Some(namespace), Some(kind), Some(name)) => format!("{namespace}/{kind}/{name}"),
        (Some(namespace), _, _) => format!("namespace {namespace}"),
        (None, _, _) => "everything".to_owned(),
    };
    let end = pause.until.map_or_else(|| "until resumed".to_owned(), |until| format!("ends {}", left(until, now)));
    let reason = pause.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    plain(&format!("{scope} by {}, {end}{reason}", pause.by))
}

fn lines(lifted: &LiftedView, now: Timestamp) -> String {
    if lifted.pauses.is_empty() && lifted.bindings.is_empty() {
        return "nothing was paused or held back there\n".to_owned();
    }
    let pauses = lifted.pauses.iter().map(|pause| format!("resumed: {}\n", line(pause, now)));
    let bindings = lifted.bindings.iter().map(|update| format!("lifted: {} holds nothing back any more\n", plain(update)));
    pauses.chain(bindings).collect()
}
