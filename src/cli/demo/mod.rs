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

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::wiring::{Skeg, Terminal};
use narrator::Narrator;
use stage::Stage;
use story::{Answers, Story};

/// Arguments of `skeg demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct Demo {
    /// End when both stories are told, and answer the requests without asking.
    #[arg(long)]
    pub once: bool,
    /// How to tell: for people, or one JSON event per line.
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    pub output: Form,
}

/// How the demo tells what happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Form {
    /// Sentences.
    Text,
    /// One JSON object per line.
    Json,
}

impl Demo {
    /// Runs the demo. Success only if both stories ended as told.
    pub async fn run(&self) -> anyhow::Result<ExitCode> {
        let narrator = Narrator::new(self.output);
        let has_person = !self.once && self.output == Form::Text && std::io::stdin().is_terminal();
        let stage = Arc::new(Stage::build()?);
        let stop = CancellationToken::new();
        let (asked, requests) = tokio::sync::mpsc::channel(REQUESTS_MAX);
        let skeg = Skeg::start(stage.config()?, Terminal::Channel(asked), stop.clone()).await?;
        let answers = if has_person { Answers::Person } else { Answers::Itself };
        let mut story = Story::new(narrator, Arc::clone(&stage), &skeg, requests, answers)?;
        story.open(&skeg);
        let told = story.tell().await;
        if told.is_ok() && has_person {
            story.stay(&stage, &skeg).await;
        }
        stop.cancel();
        skeg.ended().await;
        match told {
            Ok(()) => {
                story.close(None);
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => {
                story.close(Some(&error));
                Ok(ExitCode::FAILURE)
            }
        }
    }
}

/// Requests that may wait for an answer; the demo asks one at a time.
const REQUESTS_MAX: usize = 16;
