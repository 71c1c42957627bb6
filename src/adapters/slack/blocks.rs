//! What people read in Slack: every sentence is written here.
//!
//! Everything that comes from outside is escaped, made one line and cut, so that a tag or a cluster's message can neither mention a channel
//! nor draw a button. Bounds: <https://docs.slack.dev/reference/block-kit/blocks>: 3,000 characters in a section, 2,000 in a field and a
//! button's value, 50 blocks, and about 13,000 characters in all.

use slack_morphism::blocks::{
    SlackActionBlockElement, SlackActionsBlock, SlackBlock, SlackBlockButtonElement, SlackBlockButtonStyle, SlackBlockMarkDownText,
    SlackContextBlock, SlackContextBlockElement, SlackSectionBlock,
};

use super::click::{ACTIONS, Click, Subject};
use super::web_api::{Message, is_id};
use crate::core::image::ImageRef;
use crate::core::one_line::one_line;
use crate::core::provenance::{Comparison, Labels, Provenance};
use crate::core::update::{Change, Closed, Held, Outcome, Phase, Update, Verdict};

/// Characters of a text from outside before it is escaped, which makes at most five of each.
const FOREIGN_CHARS_MAX: usize = 300;
/// Characters of one image tag or name.
const NAME_CHARS_MAX: usize = 128;
/// People that are listed.
const PEOPLE_MAX: usize = 20;
/// Characters of what images say of their origin.
const ORIGINS_CHARS_MAX: usize = 1_500;
/// Characters of a section, below Slack's 3,000.
const SECTION_CHARS_MAX: usize = 2_900;

/// Whether the update still asks for votes.
pub fn asks(update: &Update) -> bool {
    held(update).is_some_and(|held| held.asked.is_some() && held.granted.is_none())
}

/// The update as it stands: with buttons while it asks for votes, without them afterwards.
pub fn message(update: &Update, provenance: &[Provenance]) -> Message {
    let changes = changes(update);
    let shown = changes.as_deref().unwrap_or("More images change than a message can show: `skeg updates` lists them.");
    let mut blocks: Vec<SlackBlock> = vec![section(&headline(update)), section(shown)];
    blocks.extend(origins(provenance).map(|text| context(&text)));
    blocks.extend([fields(update), context(&tally(update))]);
    if asks(update) {
        // Nobody approves by a click what the message does not show.
        blocks.extend(changes.is_some().then(|| buttons(update)));
        let or = if changes.is_some() { "Or at" } else { "At" };
        blocks.push(context(&format!("{or} a terminal: `skeg approve {}`", escape(&update.id.to_string(), FOREIGN_CHARS_MAX))));
    }
    Message { text: format!("{}: {}", plain_state(update), summary(update)), blocks }
}

/// The answer to a vote that is counted: the same text however often it is given.
pub fn counted(verdict: Verdict, update: &Update) -> String {
    let word = match verdict {
        Verdict::Approve => "approval",
        Verdict::Reject => "rejection",
    };
    format!("Your {word} is recorded: {}.", summary(update))
}

/// The answer to a vote that came too late to count.
pub fn too_late(update: &Update) -> String {
    format!("Your vote was not counted. {}: {}.", plain_state(update), summary(update))
}

/// The answer to a vote that does not count.
pub fn refused(click: &Click, why: &str) -> String {
    let word = match click.verdict {
        Verdict::Approve => "approval",
        Verdict::Reject => "rejection",
    };
    format!("Your {word} was not counted: {}.", escape(why, FOREIGN_CHARS_MAX))
}

fn held(update: &Update) -> Option<&Held> {
    match &update.phase {
        Phase::Held(held) => Some(held),
        _ => None,
    }
}

// === texts ===

fn headline(update: &Update) -> String {
    let (symbol, state) = (symbol(update), plain_state(update));
    let why = why(update).map(|why| format!("\n{}", escape(&why, FOREIGN_CHARS_MAX))).unwrap_or_default();
    let workload = &update.spec.workload;
    format!("{symbol} *{state}*: `{}` in `{}`{why}", code(&workload.name), code(&workload.namespace))
}

/// Where it stands, in a few words.
fn plain_state(update: &Update) -> &'static str {
    match &update.phase {
        Phase::Held(held) if held.granted.is_some() => "Approved, waits to be applied",
        Phase::Held(_) => "Approval needed",
        Phase::Applying(_) => "Approved, being applied",
        Phase::Verifying(_) => "Approved, rolling out",
        Phase::Recording(_) => "Healthy, being committed to Git",
        Phase::Restoring(_) => "Failed, the previous image is being put back",
        Phase::Closed(closed) => match closed.outcome {
            Outcome::Done => "Deployed",
            Outcome::Unrecorded => "Deployed, but Git does not show it",
            Outcome::RolledBack => "Failed, the previous image is back",
            Outcome::Rejected => "Rejected",
            Outcome::Expired => "Nobody decided in time",
            Outcome::Superseded => "Superseded",
            Outcome::Failed => "Failed",
        },
    }
}

fn symbol(update: &Update) -> &'static str {
    match &update.phase {
        Phase::Held(held) if held.granted.is_none() => ":raised_hand:",
        Phase::Held(_) | Phase::Applying(_) | Phase::Verifying(_) | Phase::Recording(_) => ":hourglass_flowing_sand:",
        Phase::Restoring(_) => ":warning:",
        Phase::Closed(closed) => match closed.outcome {
            Outcome::Done => ":white_check_mark:",
            Outcome::Unrecorded | Outcome::RolledBack | Outcome::Failed => ":warning:",
            Outcome::Rejected => ":x:",
            Outcome::Expired | Outcome::Superseded => ":fast_forward:",
        },
    }
}

/// What there is to say beside the state.
fn why(update: &Update) -> Option<String> {
    match &update.phase {
        Phase::Held(held) => held.granted.map(|_| held.waits.to_string()),
        Phase::Restoring(restoring) => Some(restoring.why.to_string()),
        Phase::Closed(closed) => Some(ended(closed)),
        Phase::Applying(_) | Phase::Verifying(_) | Phase::Recording(_) => None,
    }
}

fn ended(closed: &Closed) -> String {
    match &closed.commit {
        Some(commit) => format!("{}: {} in {}", closed.reason, commit.path, commit.remote),
        None => closed.reason.to_string(),
    }
}

/// Every change, a line each; `None` where they are longer than a section may be.
fn changes(update: &Update) -> Option<String> {
    let line = |change: &Change| {
        let (repository, from, to) = (change.repository.to_string(), tag_of(&change.from), change.tag.to_string());
        let repository = escape(&repository, FOREIGN_CHARS_MAX);
        format!("• `{}`: `{repository}` `{}` → *`{}`*  `{}`", code(&change.container), code(&from), code(&to), code(&short(change)))
    };
    let lines: Vec<String> = update.spec.changes.iter().map(line).collect();
    Some(lines.join("\n")).filter(|text| text.chars().count() <= SECTION_CHARS_MAX)
}

/// What the new images say of their origin, a line each, as many as there is room for. Links lead nowhere but to the host that an image names.
fn origins(provenance: &[Provenance]) -> Option<String> {
    let mut text = String::new();
    for one in provenance {
        let line = origin(one);
        if text.chars().count() + line.chars().count() > ORIGINS_CHARS_MAX {
            break;
        }
        text.push_str(if text.is_empty() { "" } else { "\n" });
        text.push_str(&line);
    }
    (!text.is_empty()).then_some(text)
}

fn origin(one: &Provenance) -> String {
    let Labels { source, revision, version, created } = &one.to;
    let mut parts = Vec::new();
    match (one.comparison(), one.to.page(), source) {
        (Some(Comparison { url, revisions: (from, to) }), ..) => parts.push(format!("<{url}|changes {from}…{to}>")),
        (None, Some(page), _) => parts.push(format!("<{page}|source>")),
        (None, None, Some(source)) => parts.push(format!("source `{}`", code(source))),
        (None, None, None) => {}
    }
    let told = [("revision", revision), ("version", version), ("built", created)];
    parts.extend(told.into_iter().filter_map(|(what, value)| Some(format!("{what} `{}`", code(value.as_deref()?)))));
    format!("`{}` says: {}", code(&one.container), parts.join(" · "))
}

/// Enough of a digest to compare by eye; the button carries all of it.
fn short(change: &Change) -> String {
    change.digest.as_str().chars().take("sha256:".len() + 12).collect()
}

/// What changes, in one line: for notifications and answers.
fn summary(update: &Update) -> String {
    let workload = &update.spec.workload;
    let one = |change: &Change| format!("{} {} to {}", change.container, tag_of(&change.from), change.tag);
    let changes: Vec<String> = update.spec.changes.iter().map(one).collect();
    escape(&format!("{} ({})", changes.join(", "), workload), FOREIGN_CHARS_MAX)
}

fn tally(update: &Update) -> String {
    let rules = &update.spec.rules;
    let mut parts = vec![format!("{} of {} approvals", update.approvals(), rules.approvals)];
    let mut votes: Vec<String> = update.votes.iter().take(PEOPLE_MAX).map(vote).collect();
    if update.votes.len() > PEOPLE_MAX {
        votes.push(format!("and {} more", update.votes.len() - PEOPLE_MAX));
    }
    parts.extend((!votes.is_empty()).then(|| votes.join(", ")));
    if asks(update) {
        let named: Vec<String> = rules.approvers.iter().take(PEOPLE_MAX).map(|approver| person(approver.as_str())).collect();
        let more = rules.approvers.len().saturating_sub(PEOPLE_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        parts.push(format!("may vote: {}{more}", named.join(", ")));
    }
    parts.join(" · ")
}

fn vote(vote: &crate::core::update::Vote) -> String {
    let word = match vote.verdict {
        Verdict::Approve => "approves",
        Verdict::Reject => "rejects",
    };
    let saying = vote.reason.as_deref().map(|reason| format!(" ({})", escape(reason, NAME_CHARS_MAX))).unwrap_or_default();
    format!("{} {word}{saying}", person(&vote.voter))
}

/// A person as Slack shows one, where it knows that person.
fn person(name: &str) -> String {
    match name.strip_prefix("slack:") {
        Some(id) if is_id(id) => format!("<@{id}>"),
        _ if name == "slack-channel" => "everybody in this channel".to_owned(),
        _ => escape(name, NAME_CHARS_MAX),
    }
}

/// The tag of an image text, or the text itself.
fn tag_of(image: &str) -> String {
    let tag = image.parse::<ImageRef>().ok().and_then(|image| image.effective_tag());
    tag.map_or_else(|| image.to_owned(), |tag| tag.to_string())
}

// === blocks ===

fn section(text: &str) -> SlackBlock {
    SlackSectionBlock::new().with_text(markdown(text).into()).into()
}

fn fields(update: &Update) -> SlackBlock {
    let mut texts = vec![
        format!("*Workload*\n{}", escape(&update.spec.workload.to_string(), FOREIGN_CHARS_MAX)),
        format!("*Policy*\n`{}`", code(&one_line(&update.spec.policy, FOREIGN_CHARS_MAX))),
    ];
    if let Some(expires) = held(update).filter(|_| asks(update)).and_then(|held| held.expires) {
        // Slack shows it in the reader's own time zone; what stands behind the bar is for clients that cannot.
        texts.push(format!("*Open until*\n<!date^{}^{{date_short_pretty}} {{time}}|{expires:.0}>", expires.as_second()));
    }
    SlackSectionBlock::new().with_fields(texts.iter().map(|text| markdown(text).into()).collect()).into()
}

fn context(text: &str) -> SlackBlock {
    SlackContextBlock::new(vec![SlackContextBlockElement::MarkDown(markdown(text))]).into()
}

fn buttons(update: &Update) -> SlackBlock {
    let value = Subject::of(update).value();
    let button = |(verdict, action): (Verdict, &str)| {
        let (label, style) = match verdict {
            Verdict::Approve => ("Approve", SlackBlockButtonStyle::Primary),
            Verdict::Reject => ("Reject", SlackBlockButtonStyle::Danger),
        };
        let button = SlackBlockButtonElement::new(label.into()).with_action_id(action.into()).with_value(value.clone());
        SlackActionBlockElement::Button(button.with_style(style))
    };
    SlackActionsBlock::new(ACTIONS.into_iter().map(button).collect()).into()
}

/// Verbatim: no text becomes a link or a mention by itself.
fn markdown(text: &str) -> SlackBlockMarkDownText {
    SlackBlockMarkDownText::new(cut(text, SECTION_CHARS_MAX)).with_verbatim(true)
}

// === text of foreign origin ===

/// One line of at most so many characters, escaped as Slack asks for:
/// <https://docs.slack.dev/messaging/formatting-message-text#escaping>.
fn escape(text: &str, chars_max: usize) -> String {
    one_line(text, chars_max).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The same for text between backticks, which it must not end.
fn code(text: &str) -> String {
    escape(text, NAME_CHARS_MAX).replace('`', "'")
}

/// The start of a text that is ours already; never cut in practice, and never refused for its length.
fn cut(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}

#[cfg(test)]
mod tests;
