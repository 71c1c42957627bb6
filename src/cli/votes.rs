//! `skeg approve`, `skeg reject`, `skeg retry`: a person decides on an update.

use clap::Args;
use serde::Serialize;

use super::Failure;
use super::client::{Server, understood};
use super::names::UpdateName;
use super::output::{Form, show};
use super::updates::line;
use crate::http::view::UpdateView;

/// What a person decides on, and what is said with it.
#[derive(Args, Debug)]
pub struct Decision {
    #[command(flatten)]
    update: UpdateName,
    /// Why, one line for the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Although a gate stands against it; needs the permission to do so
    #[arg(long = "override")]
    override_gates: bool,
    /// How the result is printed
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
    #[command(flatten)]
    server: Server,
}

/// Which decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// Vote for it.
    Approve,
    /// Vote against it.
    Reject,
    /// Try it again when it is closed.
    Retry,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(rename = "override", skip_serializing_if = "std::ops::Not::not")]
    override_gates: bool,
}

impl Verb {
    /// Its path in the API, and how it is told when it is done.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Approve => ("approve", "approved"),
            Self::Reject => ("reject", "rejected"),
            Self::Retry => ("retry", "tried again"),
        }
    }
}

impl Decision {
    /// Sends it, and prints how the update stands then.
    pub async fn run(&self, verb: Verb) -> Result<(), Failure> {
        let (path, done) = verb.words();
        let body = Body { reason: self.reason.as_deref(), override_gates: self.override_gates };
        let path = format!("{}/{path}", self.update.path()?);
        let answer = self.server.client()?.post(&path, &body).await?;
        let view: UpdateView = understood(&answer)?;
        show(self.output, &answer, || format!("{done}: {}\n", line(&view)))
    }
}
