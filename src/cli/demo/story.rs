//! The two stories, and whether they ended as told.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::json;
use tokio::sync::{broadcast, mpsc};

use super::narrator::{self, Narrator};
use super::stage::{Pushed, Stage};
use crate::core::update::{Event, Outcome, Phase, Update};
use crate::flow::message::AuditLine;
use crate::wiring::Skeg;

/// The longest a story without a person may take; both together stay under a minute.
const STORY_MAX: Duration = Duration::from_secs(27);
/// The longest a person may take.
const PERSON_MAX: Duration = Duration::from_hours(1);

/// Who answers the requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answers {
    /// The person at the terminal.
    Person,
    /// The demo, and it says so.
    Itself,
}

/// The telling of the stories.
pub struct Story {
    narrator: Narrator,
    stage: Arc<Stage>,
    happened: broadcast::Receiver<Arc<AuditLine>>,
    requests: mpsc::Receiver<Update>,
    answers: Answers,
    client: reqwest::Client,
    webhook: String,
    api: String,
    started: Instant,
    /// The tags that the person said no to.
    refused: Vec<&'static str>,
}

impl Story {
    /// A story that has not begun.
    pub fn new(
        narrator: Narrator,
        stage: Arc<Stage>,
        skeg: &Skeg,
        requests: mpsc::Receiver<Update>,
        answers: Answers,
    ) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(15)).no_proxy().build()?;
        Ok(Self {
            narrator,
            happened: skeg.listen(),
            webhook: format!("http://{}", skeg.public),
            api: format!("http://{}", skeg.private),
            stage,
            requests,
            answers,
            client,
            started: Instant::now(),
            refused: Vec::new(),
        })
    }

    /// Tells where everything is.
    pub fn open(&self, skeg: &Skeg) {
        let mut sentence = String::from("skeg demo: the whole loop in this process, nothing else is running or needed\n");
        let mut more = Vec::new();
        let own = [("webhooks", "webhooks", format!("http://{}", skeg.public)), ("API", "api", format!("http://{}", skeg.private))];
        for (name, key, address) in self.stage.addresses().into_iter().chain(own) {
            let _ = writeln!(sentence, "  {name:<12} {address}");
            more.push((key, json!(address)));
        }
        let _ = write!(sentence, "Deployment shop/web runs {}, policy patch, one approval needed", self.stage.running());
        self.narrator.tell("started", None, &sentence, &more);
        if self.answers == Answers::Itself {
            self.narrator.tell("answering", None, "Nobody is asked: the demo approves by itself.", &[]);
        }
    }

    /// Tells both stories.
    pub async fn tell(&mut self) -> anyhow::Result<()> {
        self.good().await.context("the first story")?;
        self.broken().await.context("the second story")
    }

    /// A new image, approved, healthy, committed.
    async fn good(&mut self) -> anyhow::Result<()> {
        self.narrator.say("\n1. A new image");
        let before = self.stage.running();
        let pushed = self.push("1.0.1", false).await?;
        let end = self.follow().await?;
        if self.is_refused("1.0.1", &end, &before)? {
            return Ok(());
        }
        let Phase::Closed(closed) = &end.phase else { bail!("{} is still open", end.id) };
        ensure!(closed.outcome == Outcome::Done, "{} ended {}: {}", end.id, closed.outcome.as_str(), closed.reason);
        let commit = closed.commit.as_ref().context("nothing was committed")?;
        check(&pushed, &self.stage.running())?;
        check(&pushed, &self.stage.declared()?)?;
        let diff = self.stage.repository().diff(&commit.id)?;
        let log = self.stage.repository().log()?;
        let message = log.iter().find(|entry| *entry.id == *commit.id).context("the commit is not on the branch")?;
        ensure!(message.body.contains(&format!("Skeg-Update: {}", end.id)), "the commit does not name its update");
        let short = commit.id.get(..12).unwrap_or(&commit.id);
        let sentence = format!("  committed {short} \"{}\"\n{}", message.subject, indent(&diff));
        let more = [("commit", json!(commit.id)), ("path", json!(commit.path)), ("subject", json!(message.subject)), ("diff", json!(diff))];
        self.narrator.tell("commit", Some(&end.id.to_string()), &sentence, &more);
        Ok(())
    }

    /// A new image that never gets ready, and is put back.
    async fn broken(&mut self) -> anyhow::Result<()> {
        self.narrator.say("\n2. A broken image");
        let (before, tip) = (self.stage.running(), self.stage.repository().tip()?);
        self.push("1.0.2", true).await?;
        let end = self.follow().await?;
        if self.is_refused("1.0.2", &end, &before)? {
            return Ok(());
        }
        let Phase::Closed(closed) = &end.phase else { bail!("{} is still open", end.id) };
        ensure!(closed.outcome == Outcome::RolledBack, "{} ended {}: {}", end.id, closed.outcome.as_str(), closed.reason);
        ensure!(closed.binding.is_some(), "the broken image would be tried again");
        ensure!(self.stage.running() == before, "{} runs, not {before}", self.stage.running());
        ensure!(self.stage.repository().tip()? == tip, "a broken image was committed");
        let sentence = format!("  {before} runs again, nothing was committed; 1.0.2 is not tried again until somebody says so");
        self.narrator.tell("restored", Some(&end.id.to_string()), &sentence, &[("image", json!(before))]);
        Ok(())
    }

    /// CI pushes an image and tells skeg to look.
    async fn push(&self, tag: &str, is_broken: bool) -> anyhow::Result<Pushed> {
        let pushed = self.stage.push(tag, is_broken)?;
        let sentence = format!("  CI pushes {}:{} ({})", pushed.name, pushed.tag, pushed.digest.get(..19).unwrap_or_default());
        let more = [("image", json!(format!("{}:{}", pushed.name, pushed.tag))), ("digest", json!(pushed.digest))];
        self.narrator.tell("pushed", None, &sentence, &more);
        let url = format!("{}/v1/webhooks/native", self.webhook);
        let delivery = json!({"name": pushed.name, "tag": pushed.tag});
        let answer = self.client.post(url).bearer_auth(self.stage.tokens().1).json(&delivery).send().await?;
        ensure!(answer.status().is_success(), "the webhook was answered {}", answer.status());
        Ok(pushed)
    }

    /// Follows what happens, and answers the request, until the update closes.
    async fn follow(&mut self) -> anyhow::Result<Update> {
        let patience = if self.answers == Answers::Person { PERSON_MAX } else { STORY_MAX };
        let deadline = tokio::time::sleep(patience);
        tokio::pin!(deadline);
        loop {
            // What happened is told before the request that follows from it.
            tokio::select! { biased;
                line = self.happened.recv() => {
                    let line = line.context("skeg has stopped")?;
                    self.happened(&line);
                    if line.event == Event::Closed {
                        return Ok(line.update.clone());
                    }
                }
                Some(update) = self.requests.recv() => self.answer(&update).await?,
                () = &mut deadline => bail!("did not end within {} seconds", patience.as_secs()),
            }
        }
    }

    fn happened(&self, line: &AuditLine) {
        let sentence = match line.event {
            Event::Patched => format!("  patched: {}", line.detail),
            Event::Healthy => "  the rollout is healthy, its digest is the approved one".to_owned(),
            Event::RolloutFailed => format!("  {}: putting the old image back", line.detail),
            Event::Closed => format!("  closed: {}", line.detail),
            _ if line.detail.is_empty() => format!("  {}", line.event),
            _ => format!("  {}: {}", line.event, line.detail),
        };
        let more = [("phase", json!(line.update.phase.as_str())), ("detail", json!(line.detail))];
        self.narrator.tell(line.event.as_str(), Some(&line.update.id.to_string()), &sentence, &more);
    }

    /// Shows the request and brings the answer to skeg, by its API, as the command line does.
    async fn answer(&self, update: &Update) -> anyhow::Result<()> {
        let changes: Vec<String> = update.spec.changes.iter().map(|change| format!("{} -> {}", change.from, change.to)).collect();
        let is_approved = match self.answers {
            Answers::Itself => true,
            Answers::Person => {
                narrator::prompt(&format!("  Approve {}?\n    {}\n  [y/n]", update.id, changes.join("\n    ")));
                read_yes().await?
            }
        };
        let word = if is_approved { "approve" } else { "reject" };
        let who = if self.answers == Answers::Itself { "the demo answers" } else { "you answer" };
        let id = update.id.to_string();
        self.narrator.tell("answered", Some(&id), &format!("  {who}: {word}"), &[("answer", json!(word)), ("changes", json!(changes))]);
        let url = format!("{}/v1/updates/{id}/{word}", self.api);
        let answer = self.client.post(url).bearer_auth(self.stage.tokens().0).json(&json!({})).send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "the vote was answered {status}: {}", answer.text().await.unwrap_or_default());
        Ok(())
    }

    /// Whether the person said no; then nothing may have changed.
    fn is_refused(&mut self, tag: &'static str, end: &Update, before: &str) -> anyhow::Result<bool> {
        if !matches!(&end.phase, Phase::Closed(closed) if closed.outcome == Outcome::Rejected) {
            return Ok(false);
        }
        ensure!(self.stage.running() == before, "the image changed without approval");
        self.refused.push(tag);
        let sentence = format!("  you said no: {before} runs on, and {tag} is not asked for again");
        self.narrator.tell("refused", Some(&end.id.to_string()), &sentence, &[("image", json!(before))]);
        Ok(true)
    }

    /// Tells a person how to look around while everything goes on running.
    pub fn stay(&self, stage: &Stage, skeg: &Skeg) {
        self.narrator.say(&format!(
            "\nThat was the demo. Everything goes on running until Ctrl-C; look around from another terminal:\n  \
             export SKEG_SERVER=http://{} SKEG_TOKEN={}\n  skeg status; skeg images; skeg updates\n  \
             kubectl --kubeconfig {} -n shop get deployments,imageupdates",
            skeg.private,
            stage.tokens().0,
            stage.kubeconfig().display(),
        ));
    }

    /// Tells how it ended.
    pub fn close(&self, error: Option<&anyhow::Error>) {
        let seconds = self.started.elapsed().as_secs_f64();
        let sentence = format!("\n{}", ending(error, &self.refused, seconds));
        let more = [("ok", json!(error.is_none())), ("seconds", json!(seconds)), ("error", json!(error.map(|error| format!("{error:#}"))))];
        self.narrator.tell("finished", None, &sentence, &more);
    }
}

/// How it ended, in one sentence.
fn ending(error: Option<&anyhow::Error>, refused: &[&str], seconds: f64) -> String {
    match (error, refused) {
        (Some(error), _) => format!("Not as told: {error:#}"),
        (None, []) => format!("Both stories ended as told, in {seconds:.1} s."),
        (None, refused) => format!("You said no to {}, and nothing of it was deployed.", refused.join(" and ")),
    }
}

/// Whether the pushed image is what is shown, by tag and digest.
fn check(pushed: &Pushed, shown: &str) -> anyhow::Result<()> {
    let expected = format!("{}:{}@{}", pushed.name, pushed.tag, pushed.digest);
    ensure!(shown == expected, "{shown} is shown, not {expected}");
    Ok(())
}

/// Reads the person's answer; anything but a yes is a no, the end of input too.
async fn read_yes() -> anyhow::Result<bool> {
    let line = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    });
    let line = line.await??;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_told_as_it_was() {
        assert_eq!(ending(None, &[], 12.34), "Both stories ended as told, in 12.3 s.");
        assert_eq!(ending(None, &["1.0.1"], 9.0), "You said no to 1.0.1, and nothing of it was deployed.");
        assert_eq!(ending(None, &["1.0.1", "1.0.2"], 9.0), "You said no to 1.0.1 and 1.0.2, and nothing of it was deployed.");
        let error = anyhow::anyhow!("it stood still").context("the first story");
        assert_eq!(ending(Some(&error), &["1.0.1"], 9.0), "Not as told: the first story: it stood still");
    }
}
