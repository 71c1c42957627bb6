//! `skeg updates`: what is open and what happened; with `--watch`, what happens.

use std::collections::HashMap;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::age::age;
use super::client::{Client, Server, understood};
use super::output::{Form, complain, print, show};
use super::table::{Table, plain};
use super::{Failure, names};
use crate::http::view::{UpdateView, UpdatesView};

/// Time between two looks of `--watch`: a person sees it as it happens, and skeg hardly notices.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// List updates, the newest first: what is open and what happened
#[derive(Args, Debug)]
pub struct Updates {
    /// Only those of this namespace
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// Only open ones
    #[arg(long)]
    open: bool,
    /// At most this many [default: 500]
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u32>,
    /// Go on and print each change, one line (or JSON object) each
    #[arg(short, long)]
    watch: bool,
    /// How the result is printed
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
    #[command(flatten)]
    server: Server,
}

impl Updates {
    /// Asks and prints; with `--watch` until it is interrupted, whatever becomes of skeg meanwhile.
    pub async fn run(&self) -> Result<(), Failure> {
        let client = self.server.client()?;
        if self.watch { self.watch(&client).await } else { self.list(&client).await }
    }

    async fn list(&self, client: &Client) -> Result<(), Failure> {
        let answer = client.get(&self.path()?).await?;
        let view: UpdatesView = understood(&answer)?;
        show(self.output, &answer, || lines(&view.updates, Timestamp::now()))
    }

    async fn watch(&self, client: &Client) -> Result<(), Failure> {
        let mut seen: HashMap<String, (String, String)> = HashMap::new();
        let path = self.path()?;
        // What has never worked is a mistake in the command.
        let mut answer = client.get(&path).await?;
        loop {
            let updates = answer.get("updates").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            // The oldest change is printed first.
            for update in updates.iter().rev() {
                let view: UpdateView = understood(update)?;
                let stands = (view.phase.clone(), view.reason.message.clone());
                if seen.insert(format!("{}/{}", view.namespace, view.name), stands.clone()).as_ref() != Some(&stands) {
                    self.print_change(update, &view)?;
                }
            }
            tokio::time::sleep(WATCH_INTERVAL).await;
            answer = patiently(client, &path).await;
        }
    }

    fn print_change(&self, update: &Value, view: &UpdateView) -> Result<(), Failure> {
        match self.output {
            Form::Json => print(&format!("{update}\n")),
            Form::Text => print(&format!("{}\n", line(view))),
        }
    }

    fn path(&self) -> Result<String, Failure> {
        let mut query = Serializer::new(String::new());
        if let Some(namespace) = &self.namespace {
            query.append_pair("namespace", names::namespace(namespace)?);
        }
        if self.open {
            query.append_pair("open", "true");
        }
        if let Some(limit) = self.limit {
            query.append_pair("limit", &limit.to_string());
        }
        Ok(format!("v1/updates?{}", query.finish()))
    }
}

/// What is at `path` once skeg answers again: it is restarted now and then. That it does not is said once.
async fn patiently(client: &Client, path: &str) -> Value {
    let mut is_said = false;
    loop {
        match client.get(path).await {
            Ok(answer) => return answer,
            Err(failure) if !is_said => complain(&format!("{failure}; still watching")),
            Err(_) => {}
        }
        is_said = true;
        tokio::time::sleep(WATCH_INTERVAL).await;
    }
}

fn lines(updates: &[UpdateView], now: Timestamp) -> String {
    let mut table = Table::new(["NAMESPACE", "UPDATE", "CHANGES", "PHASE", "VOTES", "AGE", "REASON"]);
    for update in updates {
        let votes = match update.approvals.needed {
            0 => "-".to_owned(),
            needed => format!("{}/{needed}", update.approvals.given),
        };
        let age = age(update.created, now);
        table.row([&update.namespace, &update.name, &changes(update), &update.phase, &votes, &age, &update.reason.message]);
    }
    table.lines("no updates")
}

/// One update in one line.
pub fn line(update: &UpdateView) -> String {
    plain(&format!("{}/{} {} {}: {}", update.namespace, update.name, changes(update), update.phase, update.reason.message))
}

/// What each container gets: `api 1.0.0 to 1.0.1`.
fn changes(update: &UpdateView) -> String {
    let change = |change: &crate::http::view::ChangeView| {
        let from = change.from.rsplit_once('/').map_or(change.from.as_str(), |(_, name)| name);
        let from = from.split_once(':').map_or("latest", |(_, tag)| tag.split('@').next().unwrap_or(tag));
        format!("{} {from} to {}", change.container, change.tag)
    };
    update.changes.iter().map(change).collect::<Vec<_>>().join(", ")
}
