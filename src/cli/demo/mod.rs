//! `skeg demo`: the whole loop on one machine.
//!
//! It is the real daemon with its real adapters; only the far ends are embedded: a registry, a cluster API, a Git remote, and the terminal
//! in place of chat. Two stories are told: an image that becomes healthy and is committed, and one that never does and is put back.
//!
//! ```text
//! stage (far ends) ◄──HTTP──► skeg ──asks──► story ──answers by the API──► skeg
//!                              └──tells what happened──► story ──► narrator
//! ```

mod narrator;
mod stage;
mod story;
mod terminal;

use std::io::IsTerminal as _;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};

use super::Failure;
use super::output::Form;
use crate::config::Telemetry;
use crate::shutdown;
use crate::telemetry::{self, Audit};
use crate::wiring::Skeg;
use narrator::Narrator;
use stage::Stage;
use story::{Answers, Story};
use terminal::Terminal;

/// Run the whole loop on one machine: registry, cluster API and Git remote are embedded
#[derive(Clone, Debug, clap::Args)]
pub struct Demo {
    /// End when both stories are told, and answer the requests without asking.
    #[arg(long)]
    once: bool,
    /// How to tell: for people, or one JSON event per line.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

impl Demo {
    /// Runs the demo. Success only if both stories ended as told.
    pub async fn run(&self) -> Result<(), Failure> {
        // Only what goes wrong in skeg itself: standard output belongs to the stories, and far ends drop connections when they end.
        let quiet = Telemetry { filter: "error,warp=off".into(), ..Telemetry::default() };
        telemetry::start(&quiet, Audit::Off).map_err(|error| Failure::NotDone(error.to_string()))?;
        self.play().await.map_err(|error| Failure::NotDone(format!("{error:#}")))?
    }

    /// The stories, between raising the stage and clearing it. What stops them before they begin is the outer error.
    async fn play(&self) -> anyhow::Result<Result<(), Failure>> {
        let narrator = Narrator::new(self.output);
        let has_person = !self.once && self.output == Form::Text && std::io::stdin().is_terminal();
        // Before the stage has a folder, which a signal is not to leave behind.
        let stop = shutdown::on_signal().context("signals")?;
        let stage = Arc::new(Stage::build()?);
        let (asked, requests) = tokio::sync::mpsc::channel(REQUESTS_MAX);
        let skeg = Skeg::start(stage.config()?, Some(Arc::new(Terminal::new(asked))), stop.clone()).await?;
        let answers = if has_person { Answers::Person } else { Answers::Itself };
        let mut story = Story::new(narrator, Arc::clone(&stage), &skeg, requests, answers)?;
        story.open(&skeg);
        let told = match stop.run_until_cancelled(story.tell()).await {
            Some(Err(error)) if !stop.is_cancelled() => Err(error),
            Some(Ok(told)) => Ok(told),
            // What the story talks to may be seen ending before the signal is.
            Some(Err(_)) | None => Err(anyhow!("stopped before the end")),
        };
        if told.is_ok() && has_person {
            story.stay(&stage, &skeg);
            stop.cancelled().await;
        }
        stop.cancel();
        let ended = skeg.ended().await.map_err(|error| Failure::NotDone(format!("{error:#}")));
        story.close(told.as_ref().err());
        Ok(told.map_err(|_| Failure::Told(1)).and(ended))
    }
}

/// Requests that may wait for an answer; the demo asks one at a time.
const REQUESTS_MAX: usize = 16;
