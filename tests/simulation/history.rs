//! What somebody outside of skeg can see and write down: the only thing that the checker knows.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use skeg::core::hold::voter::Ballot;
use skeg::core::image::{Digest, Repository, Tag};
use skeg::core::pause::Scope;
use skeg::core::update::{Phase, Update, UpdateId, Verdict};
use skeg::core::workload::{Container, WorkloadId};

/// One start of one replica.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Process {
    /// Which replica.
    pub replica: usize,
    /// Which start of it, from 1.
    pub start: u32,
}

/// Who did something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// skeg, with a request that it sent at this time.
    Skeg(Process, Timestamp),
    /// A person, by this means.
    Person(&'static str),
}

/// An image of a container that became another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Moved {
    /// The container.
    pub container: Box<str>,
    /// What it was.
    pub before: Box<str>,
    /// What it is now.
    pub after: Box<str>,
}

/// Something that happened outside.
#[derive(Clone, Debug)]
pub enum Fact {
    /// A tag was pushed, moved or deleted.
    Tag { repository: Repository, tag: Tag, digest: Option<Digest> },
    /// A workload was made, with these containers and annotations.
    Made { id: WorkloadId, uid: Box<str>, containers: Vec<Container>, annotations: Vec<(String, String)> },
    /// A workload was deleted.
    Deleted { id: WorkloadId, uid: Box<str> },
    /// A person wrote annotations, and nothing else; these are all of them now.
    Annotated { id: WorkloadId, annotations: Vec<(String, String)> },
    /// A person changed something of a workload that is none of skeg's business.
    Touched { id: WorkloadId, what: &'static str },
    /// Images of a workload were set. `annotations` are all of them afterwards.
    Images { id: WorkloadId, uid: Box<str>, by: By, moved: Vec<Moved>, mark: Option<Box<str>>, annotations: Vec<(String, String)> },
    /// The API server refused a patch.
    PatchRefused { id: WorkloadId, process: Process, mark: Box<str>, why: String },
    /// A record was written.
    Written { update: Arc<Update>, by: Process, is_new: bool },
    /// The API server refused to write a record.
    WriteRefused { id: UpdateId, by: Process, why: String },
    /// A record was removed.
    Removed { id: UpdateId, by: By },
    /// A person wrote something into a record; whether it can still be read.
    Tampered { id: UpdateId, is_readable: bool },
    /// A commit is on a branch.
    Committed { remote: Box<str>, number: usize, by: By, updates: Vec<Box<str>>, moved: Vec<(WorkloadId, Moved)> },
    /// A push was refused, because the branch has moved or by a hook.
    PushRefused { remote: Box<str>, process: Process, why: &'static str },
    /// A request was posted, by what skeg sent under this number.
    Posted { update: UpdateId, message: u64, by: Process, sent: Timestamp, request: u64, content: Box<str> },
    /// A posted request got its answer to the one who posted it.
    PostAnswered { message: u64 },
    /// A message was edited.
    Edited { update: UpdateId, message: u64, asks: bool },
    /// Somebody deleted a message.
    MessageDeleted { update: UpdateId, message: u64 },
    /// A vote was brought to skeg.
    Voted { number: u64, update: UpdateId, ballot: Ballot },
    /// skeg answered a vote: whether it counts, or `None` when it could not say.
    VoteAnswered { number: u64, update: UpdateId, ballot: Ballot, counts: Option<bool>, told: String },
    /// The lease passed to somebody, or to nobody.
    Leased { holder: Option<Box<str>>, epoch: u64, by: Process },
    /// A person gave an order.
    Ordered { number: u64, order: Order },
    /// skeg answered an order.
    OrderAnswered { number: u64, order: Order, is_done: bool, told: String },
    /// A replica started, died, was stopped, and so on.
    Replica { process: Process, what: String },
    /// A request of skeg's went astray.
    Astray { process: Process, what: String },
    /// Something was brought to skeg twice that happened once.
    Twice { what: String },
    /// A part of the world went away, or came back.
    Weather { what: String },
    /// From here on nothing is disturbed any more.
    Calm,
}

/// What a person may order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Order {
    /// Stop applying.
    Pause { scope: Scope, until: Option<Timestamp> },
    /// Go on, and lift what is held back.
    Resume { scope: Scope },
    /// Try again.
    Retry { update: UpdateId, workload: WorkloadId },
}

/// A fact, and when.
#[derive(Clone, Debug)]
pub struct Told {
    /// When.
    pub at: Timestamp,
    /// What.
    pub fact: Fact,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = char::from(b'A' + u8::try_from(self.replica).unwrap_or(25));
        write!(f, "skeg {letter}{}", self.start)
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skeg(process, sent) => write!(f, "{process} (sent {})", clock(*sent)),
            Self::Person(means) => write!(f, "a person ({means})"),
        }
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {}", self.container, short(&self.before), short(&self.after))
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pause { scope, until: Some(until) } => write!(f, "pause {scope} until {}", clock(*until)),
            Self::Pause { scope, until: None } => write!(f, "pause {scope}"),
            Self::Resume { scope } => write!(f, "resume {scope}"),
            Self::Retry { update, .. } => write!(f, "retry {}", update.name),
        }
    }
}

/// An image or digest as short as it can be told apart in a story.
pub fn short(text: &str) -> String {
    let text = text.rsplit_once('/').map_or(text, |(_, last)| last);
    match text.split_once("sha256:") {
        Some((before, digest)) => format!("{before}{}", digest.get(..6).unwrap_or(digest)),
        None => text.to_owned(),
    }
}

/// The time of day; the day is always the first.
pub fn clock(at: Timestamp) -> String {
    format!("{:.3}", at.strftime("%H:%M:%S%.3f"))
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.at.strftime("%H:%M:%S%.3f"), self.fact)
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |moved: &[Moved]| moved.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Self::Tag { repository, tag, digest: Some(digest) } => {
                write!(f, "registry    {}:{tag} points at {}", short(repository.as_str()), short(digest.as_str()))
            }
            Self::Tag { repository, tag, digest: None } => write!(f, "registry    {}:{tag} is deleted", short(repository.as_str())),
            Self::Made { id, uid, containers, annotations } => {
                let images: Vec<String> = containers.iter().map(|one| format!("{} {}", one.name, short(&one.image))).collect();
                write!(f, "cluster     {} is made ({uid}): {}; {}", id.name, images.join(", "), asked(annotations))
            }
            Self::Deleted { id, uid } => write!(f, "cluster     {} ({uid}) is deleted", id.name),
            Self::Annotated { id, annotations } => write!(f, "cluster     {} is annotated: {}", id.name, asked(annotations)),
            Self::Touched { id, what } => write!(f, "cluster     {}: {what}", id.name),
            Self::Images { id, by, moved, mark, .. } => {
                write!(f, "cluster     {}: {} by {by}; mark: {}", id.name, joined(moved), short(mark.as_deref().unwrap_or("none")))
            }
            Self::PatchRefused { id, process, mark, why } => {
                write!(f, "cluster     {}: patch of {process} for {} refused: {why}", id.name, short(mark))
            }
            Self::Written { update, by, is_new } => {
                let verb = if *is_new { "created" } else { "written" };
                write!(f, "record      {} {verb} by {by}: {}", update.id.name, standing(update))
            }
            Self::WriteRefused { id, by, why } => write!(f, "record      {} not written for {by}: {why}", id.name),
            Self::Removed { id, by } => write!(f, "record      {} removed by {by}", id.name),
            Self::Tampered { id, is_readable: true } => write!(f, "record      {} edited by a person", id.name),
            Self::Tampered { id, is_readable: false } => write!(f, "record      {} spoilt by a person", id.name),
            Self::Committed { remote, number, by, updates, moved } => {
                let files: Vec<String> = moved.iter().map(|(id, moved)| format!("{} {moved}", id.name)).collect();
                write!(f, "git         {remote} #{number} by {by}: {} [{}]", files.join(", "), updates.join(", "))
            }
            Self::PushRefused { remote, process, why } => write!(f, "git         {remote}: push of {process} refused: {why}"),
            Self::Posted { update, message, by, content, .. } => {
                write!(f, "chat        message {message} posted by {by}: {} for {}", update.name, short(content))
            }
            Self::PostAnswered { message } => write!(f, "chat        the post of message {message} is answered"),
            Self::Edited { update, message, asks } => {
                write!(f, "chat        message {message} of {} edited, {}", update.name, if *asks { "asks" } else { "asks no more" })
            }
            Self::MessageDeleted { update, message } => write!(f, "chat        message {message} of {} deleted by a person", update.name),
            Self::Voted { number, update, ballot } => {
                write!(f, "vote        #{number} {} {} {}", ballot.voter.name(), verb(ballot.verdict), update.name)
            }
            Self::VoteAnswered { number, counts, told, .. } => {
                let answer = match counts {
                    Some(true) => "counts",
                    Some(false) => "refused",
                    None => "in doubt",
                };
                write!(f, "vote        #{number} answered: {answer} {told}")
            }
            Self::Leased { holder, epoch, by } => {
                write!(f, "lease       held by {}, epoch {epoch}, by {by}", holder.as_deref().unwrap_or("nobody"))
            }
            Self::Ordered { number, order } => write!(f, "order       #{number} {order}"),
            Self::OrderAnswered { number, order, is_done, told } => {
                write!(f, "order       #{number} {order}: {} {told}", if *is_done { "done" } else { "not done:" })
            }
            Self::Replica { process, what } => write!(f, "process     {process} {what}"),
            Self::Astray { process, what } => write!(f, "network     {process}: {what}"),
            Self::Twice { what } => write!(f, "network     {what}, twice"),
            Self::Weather { what } => write!(f, "weather     {what}"),
            Self::Calm => f.write_str("weather     calm from here on: every fault is over, nobody does anything any more"),
        }
    }
}

fn verb(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Approve => "approves",
        Verdict::Reject => "rejects",
    }
}

fn asked(annotations: &[(String, String)]) -> String {
    let key = |key: &str| key.strip_prefix("skeg.dev/").unwrap_or(key).to_owned();
    annotations.iter().map(|(name, value)| format!("{}={}", key(name), short(value))).collect::<Vec<_>>().join(" ")
}

fn standing(update: &Update) -> String {
    let changes: Vec<String> =
        update.spec.changes.iter().map(|change| format!("{} {} -> {}", change.container, short(&change.from), short(&change.to))).collect();
    let last = update.history.iter().last().map(|entry| format!("{} {}", entry.event, short(&entry.detail))).unwrap_or_default();
    let rest = match &update.phase {
        Phase::Closed(closed) if closed.binding.is_some() => " (binds)".to_owned(),
        Phase::Held(_) => format!(" ({} of {} votes)", update.approvals(), update.spec.rules.approvals),
        Phase::Closed(_) | Phase::Applying(_) | Phase::Verifying(_) | Phase::Recording(_) | Phase::Restoring(_) => String::new(),
    };
    format!("{}, epoch {}, {}; {last}{rest}", update.phase.as_str(), update.epoch, changes.join(", "))
}
