//! Why a workload is or is not updated, as the API shows it: for each container what is asked for and by whom, what runs, the candidate,
//! every gate's answer, and what became of each tag.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ReasonView, WorkloadView};
use crate::core::directives::{Directives, Origin, Told};
use crate::core::hold::{GATES, Gate, opens};
use crate::core::image::ImageRef;
use crate::core::policy::{Evaluation, Group, Selection};
use crate::core::update::UpdateId;
use crate::core::workload::{Container, OfKeel, WorkloadId};

/// How many tags of each group are shown with the group.
pub const GROUP_TAGS: usize = 8;

/// The answer to `GET /v1/explain/{ns}/{kind}/{name}`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainView {
    /// The workload.
    pub workload: WorkloadView,
    /// Every mistake in its directives; with one it is held.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub errors: Vec<String>,
    /// What holds for all of it.
    pub directives: Vec<DirectiveView>,
    /// Its containers.
    pub containers: Vec<ExplainedView>,
    /// What the reader has to know beside it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub notes: Vec<String>,
}

/// One directive.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectiveView {
    /// Its name, without `skeg.dev/`.
    pub name: String,
    /// What holds.
    pub value: String,
    /// Who says so.
    pub origin: OriginView,
}

/// Who says what a directive says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OriginView {
    /// `annotation`, `label`, `namespace` (an annotation on it), `rule`, `bound` (an enforced rule that raised or narrowed what was said),
    /// `field`, `config` or `default`.
    pub kind: String,
    /// The key, field or rule; absent for what is built in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
}

/// One container.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedView {
    /// Its name.
    pub container: String,
    /// Whether it is an init container.
    pub init: bool,
    /// The policy; absent where none speaks for it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub policy: Option<DirectiveView>,
    /// What would be chosen rather, were it old enough, the best first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub waiting: Vec<WaitingView>,
    /// What else holds for it.
    pub directives: Vec<DirectiveView>,
    /// What it runs.
    pub runs: RunsView,
    /// What the policy chooses now, when it is not what runs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub candidate: Option<ImageOfTagView>,
    /// Why the policy chooses that, or nothing.
    pub reason: String,
    /// The open update that changes it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub update: Option<OpenView>,
    /// Every gate's answer, in the order they are looked at.
    pub gates: Vec<GateView>,
    /// The credential that the registry is read with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub access: Option<String>,
    /// When the tags were read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub listed: Option<Timestamp>,
    /// How many there are.
    pub tags: usize,
    /// What the last look that skeg decided by found.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last: Option<LastLookView>,
    /// Why its image or its repository could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub errors: Vec<String>,
    /// The tags in groups of one verdict and reason.
    pub groups: Vec<GroupView>,
    /// Every tag, unless less was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub verdicts: Vec<VerdictView>,
}

/// What a container runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunsView {
    /// The text of its image field.
    pub image: String,
    /// The repository in full; absent when the image field cannot be read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub repository: Option<String>,
    /// The tag.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tag: Option<String>,
    /// The digest.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<String>,
    /// Whether the image names the digest. Otherwise it is what the tag points at now.
    pub pinned: bool,
    /// When it was built, when that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub built: Option<Timestamp>,
}

/// A tag and what it points at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageOfTagView {
    /// The tag.
    pub tag: String,
    /// Its digest, when it was read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<String>,
    /// When it was built, when that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub built: Option<Timestamp>,
}

/// A tag that waits until it is old enough.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitingView {
    /// The tag.
    pub tag: String,
    /// Its digest when it was seen.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub digest: Option<String>,
    /// When it was built, when that was read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub built: Option<Timestamp>,
    /// When it was seen first at that digest; absent until the next look.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first_seen: Option<Timestamp>,
    /// When it is old enough.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub old_enough_at: Option<Timestamp>,
}

/// An open update.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenView {
    /// Its name.
    pub name: String,
    /// The tag that it changes the container to.
    pub tag: String,
    /// Its phase.
    pub phase: String,
    /// What it waits for, or what is being done.
    pub reason: ReasonView,
}

/// One gate's answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateView {
    /// Its name: `mode`, `pause`, `workload`, `binding`, `approval`, `limits`.
    pub gate: String,
    /// `open`, `asks` (people will be asked), `closed`, `refused` (will not open again), `unknown`.
    pub answer: String,
    /// Why, unless it is open.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<ReasonView>,
    /// What opens it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub opens: Option<String>,
}

/// What was found when the container was last decided about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastLookView {
    /// When.
    pub at: Timestamp,
    /// The tag that was chosen then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub candidate: Option<String>,
    /// Why it came to no update.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<ReasonView>,
}

/// The tags that one verdict was given for one reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupView {
    /// `chosen`, `eligible` or `refused`.
    pub verdict: String,
    /// Why.
    pub reason: String,
    /// How many.
    pub count: usize,
    /// The best few of them.
    pub tags: Vec<String>,
}

/// What became of one tag.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerdictView {
    /// The tag.
    pub tag: String,
    /// `chosen`, `eligible` or `refused`.
    pub verdict: Cow<'static, str>,
    /// Why.
    pub reason: Cow<'static, str>,
}

impl From<Told> for DirectiveView {
    fn from(Told { name, value, origin }: Told) -> Self {
        Self { name: name.to_owned(), value, origin: OriginView::from(&origin) }
    }
}

impl From<&Origin> for OriginView {
    fn from(origin: &Origin) -> Self {
        Self { kind: origin.kind().to_owned(), key: origin.key().map(str::to_owned) }
    }
}

impl ExplainView {
    /// Nothing but the workload's name and what is wrong with its directives.
    pub fn new(workload: &WorkloadId, errors: Vec<String>) -> Self {
        Self { workload: WorkloadView::from(workload), errors, directives: Vec::new(), containers: Vec::new(), notes: Vec::new() }
    }

    /// Adds what Keel's keys say beside the directives: what no directive of skeg's says, and what Keel or skeg passes over.
    pub fn add_keel(&mut self, keel: &OfKeel) {
        self.directives.extend(keel.said.iter().cloned().map(DirectiveView::from));
        self.notes.extend(keel.warnings.iter().map(ToString::to_string));
    }
}

impl ExplainedView {
    /// A container as it is written, before anything is asked.
    pub fn of(container: &Container) -> Self {
        let image: Option<ImageRef> = container.image.parse().ok();
        let digest = image.as_ref().and_then(|image| image.digest().map(ToString::to_string));
        let runs = RunsView {
            image: container.image.to_string(),
            repository: image.as_ref().map(|image| image.repository().to_string()),
            tag: image.as_ref().and_then(|image| image.effective_tag().map(|tag| tag.to_string())),
            pinned: digest.is_some(),
            digest,
            built: None,
        };
        Self {
            container: container.name.to_string(),
            init: container.init,
            policy: None,
            directives: Vec::new(),
            runs,
            candidate: None,
            waiting: Vec::new(),
            reason: String::new(),
            update: None,
            gates: Vec::new(),
            access: None,
            listed: None,
            tags: 0,
            last: None,
            errors: Vec::new(),
            groups: Vec::new(),
            verdicts: Vec::new(),
        }
    }

    /// Takes up what the directives say for the container, with the configured interval of polls, and gives how its tag is chosen; `None`
    /// where no policy speaks for it, which is the reason then, in the words of whoever's keys say so: Keel's, if they are `of_keel`.
    pub fn ask<'a>(
        &mut self,
        directives: &'a Directives,
        container: &Container,
        interval: Duration,
        of_keel: bool,
    ) -> Option<&'a Selection> {
        self.policy = directives.told_policy(container).map(DirectiveView::from);
        self.directives = directives.told_of(container, interval).into_iter().map(DirectiveView::from).collect();
        let selection = directives.selection_of(container);
        if selection.is_none() {
            let name = &container.name;
            self.reason = match of_keel {
                true if container.init && !directives.init_containers => "an init container: keel.sh/initContainers is not true".to_owned(),
                true => "its name does not match keel.sh/monitorContainers".to_owned(),
                false if container.init && directives.selection.is_some() => {
                    "an init container: skeg.dev/init-containers is not true".to_owned()
                }
                false => format!("no policy speaks for it: set skeg.dev/policy.{name}, or skeg.dev/policy for all"),
            };
        }
        selection
    }

    /// Takes up the answer to every tag; each of them by itself only when `all` are asked for.
    pub fn judged(&mut self, evaluation: &Evaluation<'_>, all: bool) {
        let groups = evaluation.groups();
        self.reason = evaluation.reason();
        self.tags = groups.iter().map(|group| group.tags.len()).sum();
        if all {
            self.verdicts = groups.iter().flat_map(verdicts).collect();
        }
        self.groups = groups.iter().map(GroupView::from).collect();
    }
}

impl From<&Group<'_>> for GroupView {
    fn from(group: &Group<'_>) -> Self {
        Self {
            verdict: group.verdict.as_str().to_owned(),
            reason: group.reason.to_string(),
            count: group.tags.len(),
            tags: group.tags.iter().take(GROUP_TAGS).map(|tag| (*tag).to_owned()).collect(),
        }
    }
}

fn verdicts(group: &Group<'_>) -> impl Iterator<Item = VerdictView> {
    let view = |tag: &&str| VerdictView { tag: (*tag).to_owned(), verdict: group.verdict.as_str().into(), reason: group.reason.clone() };
    group.tags.iter().map(view)
}

impl GateView {
    /// What the gate called `name` says of the workload and its update.
    pub fn new(name: &str, gate: &Gate, workload: &WorkloadId, update: Option<&UpdateId>) -> Self {
        let (answer, reason) = match gate {
            Gate::Open => ("open", None),
            Gate::Ask => ("asks", None),
            Gate::Waits(reason) => ("closed", Some(reason)),
            Gate::Refused(reason) => ("refused", Some(reason)),
        };
        Self {
            gate: name.to_owned(),
            answer: answer.to_owned(),
            reason: reason.map(ReasonView::from),
            opens: reason.and_then(|reason| opens(reason, workload, update)),
        }
    }

    /// Whether updates are admitted and carried out at all.
    pub fn mode(acts: bool) -> Self {
        let message = "skeg only observes: nothing is asked, patched or committed".to_owned();
        Self {
            gate: "mode".to_owned(),
            answer: if acts { "open" } else { "closed" }.to_owned(),
            reason: (!acts).then(|| ReasonView { code: "Observing".to_owned(), message }),
            opens: (!acts).then(|| "[cluster] mode = \"act\"".to_owned()),
        }
    }

    /// Every gate, when nobody here knows what it says.
    pub fn unknown(why: &str) -> Vec<Self> {
        ["mode"].into_iter().chain(GATES).map(|name| Self::unknown_one(name, why)).collect()
    }

    /// One such gate.
    pub fn unknown_one(name: &str, why: &str) -> Self {
        let reason = ReasonView { code: "Unknown".to_owned(), message: why.to_owned() };
        Self { gate: name.to_owned(), answer: "unknown".to_owned(), reason: Some(reason), opens: None }
    }
}
