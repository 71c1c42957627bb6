//! Ports that panic or fail for long where a test asks for it, around a real agent and engine, on a clock that goes faster. Everything else
//! goes by protocols: from there a panic inside skeg cannot be caused, and a minute lasts a minute.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use skeg::adapters::tasks::Tasks;
use skeg::core::directives::{Approver as Named, Defaults, skeg as keys};
use skeg::core::failure::Failure;
use skeg::core::first_sight::Record;
use skeg::core::image::{Digest, Repository, Tag};
use skeg::core::pause::{Change, Pause};
use skeg::core::provenance::Provenance;
use skeg::core::rollout::{ImageIndex, RolloutFacts};
use skeg::core::schedule::after;
use skeg::core::update::{Prompt, Update, UpdateId};
use skeg::core::workload::{Container, Puller, Workload, WorkloadId, WorkloadKind};
use skeg::flow::agent::{Agent, Mailbox, NotRecorded, Options};
use skeg::flow::ballots::BallotBox;
use skeg::flow::desk::{EngineDesk, Parts};
use skeg::flow::engine::Settings;
use skeg::flow::seat::Seat;
use skeg::flow::{KeptListings, KnownBuilds, Ports, Prompts, RecentDigests, Recorder, Shelf, TagShelf, Term, UnreadOffers};
use skeg::metrics::Metrics;
use skeg::ports::approver::Approver;
use skeg::ports::clock::Clock;
use skeg::ports::cluster::{Changes, Cluster, ClusterError, Gone, ImagePatch, Reading, Workloads};
use skeg::ports::events::{Events, Told};
use skeg::ports::first_seen::{self, FirstSeen};
use skeg::ports::git::{Git, GitEdit, GitError, GitOutcome};
use skeg::ports::journal::{Journal, Kept, Records, Unreadable, Version};
use skeg::ports::pauses::Pauses;
use skeg::ports::registry::{Access, Registry, RegistryError};
use skeg::sources::HintQueue;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

const REPOSITORY: &str = "registry.example/shop/web";
/// How much faster than the real one the clock goes: a backoff of seconds passes in milliseconds.
const FASTER: u32 = 500;
/// The longest a test waits.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a panic may happen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
    Load,
    Tags,
    Create,
    Replace,
    Read,
    Rollout,
    Show,
    Repositories,
}

/// A world of one Deployment, `web`, for which the registry has a newer image.
#[derive(Clone)]
pub struct Outside {
    state: Arc<Mutex<State>>,
    began: (Timestamp, Instant),
    approvals: &'static str,
    metrics: Arc<Metrics>,
    pub hints: Arc<HintQueue>,
}

#[derive(Default)]
struct State {
    panics: BTreeMap<Place, u32>,
    met: BTreeMap<Place, u32>,
    records: BTreeMap<UpdateId, Option<Update>>,
    version: u32,
    image: String,
    mark: Option<Box<str>>,
    patches: u32,
    was_told: bool,
    is_taken: bool,
    full: bool,
    unwatched: Option<Timestamp>,
}

impl Outside {
    /// Panics so many times at each of these places, and then no more.
    pub fn new(panics: &[(Place, u32)]) -> Self {
        let image = format!("{REPOSITORY}:1.0.0");
        let state = State { panics: panics.iter().copied().collect(), image, ..State::default() };
        Self {
            state: Arc::new(Mutex::new(state)),
            began: (Timestamp::UNIX_EPOCH, Instant::now()),
            approvals: "0",
            metrics: Arc::new(Metrics::new([])),
            hints: Arc::default(),
        }
    }

    /// The update needs a vote.
    pub fn with_approval(self) -> Self {
        Self { approvals: "1", ..self }
    }

    /// The name of the first update is taken by a record that cannot be read.
    pub fn with_unreadable_record(self) -> Self {
        self.state.lock().unwrap().is_taken = true;
        self
    }

    /// A person removes the records that cannot be read.
    pub fn remove_unreadable_records(&self) {
        let mut state = self.state.lock().unwrap();
        state.is_taken = false;
        state.records.retain(|_, record| record.is_some());
    }

    /// How often skeg was at the place.
    pub fn met(&self, place: Place) -> u32 {
        self.state.lock().unwrap().met.get(&place).copied().unwrap_or_default()
    }

    /// Patches made.
    pub fn patches(&self) -> u32 {
        self.state.lock().unwrap().patches
    }

    /// What `/metrics` would show.
    pub fn metrics(&self) -> String {
        self.metrics.render()
    }

    /// Whether the cluster has no room for records.
    pub fn set_full(&self, full: bool) {
        self.state.lock().unwrap().full = full;
    }

    /// Whether the workloads can be watched.
    pub fn set_watched(&self, watched: bool) {
        let now = self.now();
        self.state.lock().unwrap().unwatched = if watched { None } else { Some(now) };
    }

    fn room(&self, id: &UpdateId) -> Result<(), ClusterError> {
        let full = || ClusterError::Unreachable { object: id.to_string(), detail: "mvcc: database space exceeded".to_owned() };
        if self.state.lock().unwrap().full { Err(full()) } else { Ok(()) }
    }

    fn at(&self, place: Place) {
        let mut state = self.state.lock().unwrap();
        *state.met.entry(place).or_default() += 1;
        let left = state.panics.entry(place).or_default();
        let is_due = *left > 0;
        *left = left.saturating_sub(1);
        drop(state);
        assert!(!is_due, "asked for at {place:?}");
    }

    fn version(&self, update: &Update) -> Version {
        let mut state = self.state.lock().unwrap();
        state.version += 1;
        state.records.insert(update.id.clone(), Some(update.clone()));
        Version(state.version.to_string().into())
    }

    fn workload(&self) -> Workload {
        let image = self.state.lock().unwrap().image.clone();
        let containers = vec![Container { name: "web".into(), image: image.into(), init: false }];
        let defaults = Defaults { approvers: Named::parse("user:ann").into_iter().collect(), ..Defaults::default() };
        let annotations = [("skeg.dev/policy", "patch"), ("skeg.dev/approvals", self.approvals)];
        let directives = keys::parse(annotations, &containers, &defaults).unwrap().unwrap();
        let id = WorkloadId { namespace: "shop".into(), kind: WorkloadKind::Deployment, name: "web".into() };
        Workload::plain(id, "uid".into(), containers, Ok(directives))
    }

    fn reading(&self) -> Reading {
        let Workload { id, uid, containers, .. } = self.workload();
        let mark = self.state.lock().unwrap().mark.clone();
        Reading { id, uid, resource_version: "1".into(), generation: 1, containers, mark, has_annotations: true }
    }
}

#[async_trait]
impl Clock for Outside {
    fn now(&self) -> Timestamp {
        after(self.began.0, self.began.1.elapsed() * FASTER)
    }
    async fn sleep_until(&self, deadline: Timestamp) {
        let left = Duration::try_from(deadline.duration_since(self.now())).unwrap_or_default();
        tokio::time::sleep(left / FASTER).await;
    }
    fn steady(&self) -> Duration {
        self.began.1.elapsed() * FASTER
    }
    async fn sleep_until_steady(&self, moment: Duration) {
        tokio::time::sleep(moment.saturating_sub(self.steady()) / FASTER).await;
    }
}

impl Outside {
    /// The time here.
    pub fn now(&self) -> Timestamp {
        Clock::now(self)
    }
}

#[async_trait]
impl Workloads for Outside {
    fn get(&self, id: &WorkloadId) -> Option<Arc<Workload>> {
        Some(Arc::new(self.workload())).filter(|workload| workload.id == *id)
    }
    fn is_there(&self, id: &WorkloadId) -> bool {
        self.workload().id == *id
    }
    fn all(&self) -> Vec<Arc<Workload>> {
        self.at(Place::Repositories);
        vec![Arc::new(self.workload())]
    }
    fn using(&self, repository: &Repository) -> Vec<Arc<Workload>> {
        if repository.as_str() == REPOSITORY { vec![Arc::new(self.workload())] } else { Vec::new() }
    }
    fn repositories(&self) -> Vec<Repository> {
        vec![REPOSITORY.parse().unwrap()]
    }
    fn knows(&self, _: &str) -> bool {
        true
    }
    fn is_filled(&self) -> bool {
        true
    }
    fn gone(&self) -> Option<Gone> {
        self.state.lock().unwrap().unwatched.map(|since| Gone { since, why: "Deployments are not followed".to_owned() })
    }
    async fn filled(&self) {}
    async fn changed(&self) -> Changes {
        let is_new = !std::mem::replace(&mut self.state.lock().unwrap().was_told, true);
        if is_new {
            return Changes { workloads: [self.workload().id].into(), repositories: self.repositories().into_iter().collect() };
        }
        std::future::pending().await
    }
}

fn digest() -> Digest {
    format!("sha256:{}", "b".repeat(64)).parse().unwrap()
}

#[async_trait]
impl Registry for Outside {
    fn access(&self, _: &Repository, _: &Puller<'_>) -> Access {
        Access::Anonymous
    }
    async fn tags(&self, _: &Repository, _: &Access) -> Result<Vec<Tag>, RegistryError> {
        self.at(Place::Tags);
        Ok(["1.0.0", "1.0.1"].map(|tag| tag.parse().unwrap()).to_vec())
    }
    async fn index(&self, _: &Repository, _: &Digest, _: &Access) -> Result<Option<ImageIndex>, RegistryError> {
        Ok(None)
    }
    async fn digest(&self, _: &Repository, _: &Tag, _: &Access) -> Result<Option<Digest>, RegistryError> {
        Ok(Some(digest()))
    }
    async fn built(&self, _: &Repository, _: &Digest, _: &Access) -> Result<Option<Timestamp>, RegistryError> {
        Ok(None)
    }
}

#[async_trait]
impl Cluster for Outside {
    async fn read(&self, _: &WorkloadId) -> Result<Option<Reading>, ClusterError> {
        self.at(Place::Read);
        Ok(Some(self.reading()))
    }
    async fn patch(&self, patch: &ImagePatch) -> Result<Reading, ClusterError> {
        let mut state = self.state.lock().unwrap();
        state.patches += 1;
        state.image = patch.images[0].1.to_string();
        state.mark = Some(patch.mark.to_string().into());
        drop(state);
        Ok(self.reading())
    }
    async fn rollout(&self, _: &WorkloadId) -> Result<Option<RolloutFacts>, ClusterError> {
        self.at(Place::Rollout);
        let Workload { uid, containers, .. } = self.workload();
        Ok(Some(RolloutFacts { uid, containers, ..RolloutFacts::default() }))
    }
}

#[async_trait]
impl Journal for Outside {
    async fn load(&self) -> Result<Records, ClusterError> {
        self.at(Place::Load);
        Ok(Records::default())
    }
    async fn all(&self) -> Result<Records, ClusterError> {
        Ok(Records::default())
    }
    async fn get(&self, id: &UpdateId) -> Result<Option<Result<Kept, Unreadable>>, ClusterError> {
        let state = self.state.lock().unwrap();
        let version = Version(state.version.to_string().into());
        Ok(state.records.get(id).map(|record| match record {
            Some(update) => Ok(Kept { update: update.clone(), version }),
            None => Err(Unreadable { id: id.clone(), workload: None, problem: "status.since: no time".to_owned() }),
        }))
    }
    async fn create(&self, update: &Update) -> Result<Version, ClusterError> {
        self.at(Place::Create);
        self.room(&update.id)?;
        let mut state = self.state.lock().unwrap();
        if state.is_taken || state.records.contains_key(&update.id) {
            state.records.entry(update.id.clone()).or_insert(None);
            return Err(ClusterError::Exists { object: update.id.to_string() });
        }
        drop(state);
        Ok(self.version(update))
    }
    async fn replace(&self, update: &Update, version: &Version) -> Result<Version, ClusterError> {
        self.at(Place::Replace);
        self.room(&update.id)?;
        let present = self.state.lock().unwrap().version.to_string();
        if *version.0 != *present {
            return Err(ClusterError::Conflict { object: update.id.to_string(), detail: format!("it is at {present}") });
        }
        Ok(self.version(update))
    }
    async fn remove(&self, _: &UpdateId) -> Result<(), ClusterError> {
        Ok(())
    }
}

#[async_trait]
impl Pauses for Outside {
    async fn load(&self) -> Result<Vec<Pause>, ClusterError> {
        Ok(Vec::new())
    }
    async fn save(&self, change: &Change) -> Result<Vec<Pause>, ClusterError> {
        Ok(change.made(Vec::new()))
    }
}

#[async_trait]
impl FirstSeen for Outside {
    async fn load(&self) -> Result<first_seen::Kept, ClusterError> {
        Ok(first_seen::Kept::default())
    }
    async fn save(&self, _: &Record) -> Result<(), ClusterError> {
        Ok(())
    }
}

#[async_trait]
impl Events for Outside {
    async fn tell(&self, _: &Told) -> Result<(), ClusterError> {
        Ok(())
    }
}

#[async_trait]
impl Git for Outside {
    async fn write_back(&self, _: &str, edits: &[GitEdit]) -> Result<Vec<GitOutcome>, GitError> {
        Ok(edits.iter().map(|_| GitOutcome::NotDeclared).collect())
    }

    async fn check(&self, _: &str) -> Result<(), GitError> {
        Ok(())
    }
}

#[async_trait]
impl Approver for Outside {
    fn channel(&self) -> &'static str {
        "outside"
    }

    async fn show(&self, _: &Update, _: &[Provenance]) -> Result<Option<Prompt>, Failure> {
        self.at(Place::Show);
        Ok(None)
    }
}

/// A running agent.
pub struct Running {
    agent: JoinHandle<Result<(), NotRecorded>>,
    mailbox: Mailbox,
    /// What the probes ask.
    pub desk: EngineDesk,
    stop: CancellationToken,
    _tasks: Arc<Tasks>,
}

impl Running {
    /// Starts an agent in this world.
    pub fn start(outside: &Outside) -> Self {
        let port = Arc::new(outside.clone());
        let ports = Ports {
            registry: port.clone(),
            cluster: port.clone(),
            workloads: port.clone(),
            journal: port.clone(),
            pauses: port.clone(),
            first_seen: port.clone(),
            events: port.clone(),
            git: port.clone(),
            approver: port.clone(),
            prompts: Prompts::default(),
            clock: port.clone(),
            listings: KeptListings::new(Duration::from_hours(1)),
            builds: KnownBuilds::default(),
            sights: Arc::default(),
            unread_offers: UnreadOffers::default(),
            recent: RecentDigests::default(),
            recorder: Recorder::default(),
            metrics: outside.metrics.clone(),
            health: Arc::default(),
            happened: tokio::sync::broadcast::channel(16).0,
            term: Term::alone(port),
        };
        let history_age = Duration::from_hours(24_000);
        let engine = Settings { acts: true, in_flight: 10, history_per_workload: 3, history_age, history_total: 100 };
        let options = Options { engine, poll_interval: Duration::from_hours(1), settle: Duration::ZERO };
        let tasks = Arc::new(Tasks::default());
        let ports = Arc::new(ports);
        let (agent, mailbox) = Agent::new(options, ports.clone(), outside.hints.clone(), tasks.clone());
        let desk = EngineDesk {
            seat: Seat::taken(mailbox.clone()),
            ports,
            parts: Arc::new(Parts::default),
            started: outside.now(),
            shelf: Shelf::default(),
            tags: TagShelf::default(),
        };
        let stop = CancellationToken::new();
        Self { agent: tokio::spawn(agent.run(stop.clone())), mailbox, desk, stop, _tasks: tasks }
    }

    /// Where clicks arrive.
    pub fn ballots(&self) -> BallotBox {
        BallotBox { mailbox: self.mailbox.clone(), clock: self.desk.ports.clock.clone() }
    }

    /// Waits until the updates show something.
    pub async fn wait_for<T>(&self, look: impl Fn(&[Update]) -> Option<T>) -> T {
        let found = async {
            loop {
                let updates: Vec<Update> = self.mailbox.read(|engine, _| engine.updates().cloned().collect()).await.expect("it runs");
                if let Some(found) = look(&updates) {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("it shows in time")
    }

    /// Stops the agent; how it ended.
    pub async fn stop(self) -> Result<(), NotRecorded> {
        self.stop.cancel();
        self.ended().await.unwrap()
    }

    /// Waits for the agent's end.
    pub async fn ended(self) -> Result<Result<(), NotRecorded>, JoinError> {
        tokio::time::timeout(PATIENCE, self.agent).await.expect("it ends")
    }
}
