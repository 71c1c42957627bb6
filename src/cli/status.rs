//! `skeg status`: how a running skeg stands.

use std::fmt::Write as _;

use clap::Args;
use jiff::Timestamp;

use super::Failure;
use super::age::age;
use super::client::{Server, understood};
use super::output::{Form, show};
use super::pauses;
use super::table::Table;
use crate::http::view::{PartView, StatusView};

/// Show how skeg stands: watches, registries, remotes, receivers, pauses, and what is degraded and why
#[derive(Args, Debug)]
pub struct Status {
    /// How the result is printed
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
    #[command(flatten)]
    server: Server,
}

impl Status {
    /// Asks and prints.
    pub async fn run(&self) -> Result<(), Failure> {
        let answer = self.server.client()?.get("v1/status").await?;
        let view: StatusView = understood(&answer)?;
        show(self.output, &answer, || lines(&view, Timestamp::now()))
    }
}

fn lines(status: &StatusView, now: Timestamp) -> String {
    let ready = if status.ready { "ready" } else { "not ready" };
    let mut text = format!("skeg {}, {}, {ready}, {}, up {}\n", status.version, status.mode, leads(status), age(status.started, now));
    let open: Vec<String> =
        status.updates.iter().filter(|(_, count)| **count > 0).map(|(phase, count)| format!("{count} {phase}")).collect();
    let open = if open.is_empty() { "none".to_owned() } else { open.join(", ") };
    // Writing to a string does not fail.
    let _ = writeln!(text, "{} workloads; open updates: {open}", status.workloads);
    for pause in &status.pauses {
        let _ = writeln!(text, "paused: {}", pauses::line(pause, now));
    }
    let groups = [
        ("watch", &status.watches),
        ("registry", &status.registries),
        ("remote", &status.remotes),
        ("receiver", &status.receivers),
        ("other", &status.degraded),
    ];
    let mut table = Table::new(["PART", "NAME", "STATE", "LAST OK", "DETAIL"]);
    for (group, parts) in groups {
        for part in parts {
            row(&mut table, group, part, now);
        }
    }
    text.push('\n');
    text + &table.lines("nothing is watched or configured yet")
}

fn leads(status: &StatusView) -> String {
    match &status.lead {
        Some(lead) if status.leader => format!("leads as {} in epoch {}", lead.holder, lead.epoch),
        Some(lead) => format!("stands by, led by {} in epoch {}", lead.holder, lead.epoch),
        None if status.leader => "leads".to_owned(),
        None => "stands by".to_owned(),
    }
}

fn row(table: &mut Table, group: &str, part: &PartView, now: Timestamp) {
    let last_ok = part.last_ok.map_or_else(|| "-".to_owned(), |at| age(at, now));
    table.row([group, &part.name, part.state.as_str(), &last_ok, &part.detail]);
}
