//! The composition root: configuration → adapters → engine → listeners. It alone names concrete adapters.

mod adapt;
pub mod connect;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::broadcast;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::adapters::clock::SystemClock;
use crate::adapters::cluster::{
    ApiServer, ClusterLease, ClusterPullSecrets, ConfigMapFirstSeen, ConfigMapPauses, KubernetesEvents, Scope, Watches,
};
use crate::adapters::git::GitRemotes;
use crate::adapters::journal::ClusterJournal;
use crate::adapters::log_approver::LogApprover;
use crate::adapters::registry::{RegistryClient, Seen};
use crate::adapters::slack::Slack;
use crate::adapters::tasks::Tasks;
use crate::config::{Config, Credential, Listen, Mode, Platforms};
use crate::core::leadership::{Me, Peer, Timing};
use crate::core::schedule::{after, backoff};
use crate::flow::agent::Options;
use crate::flow::ballots::BallotBox;
use crate::flow::desk::{EngineDesk, Parts};
use crate::flow::engine::Settings;
use crate::flow::guard::guarded;
use crate::flow::leadership::{Beside, Candidate, Fault, Parts as ReplicaParts, Replica};
use crate::flow::message::AuditLine;
use crate::flow::{KeptListings, KnownBuilds, Ports, Prompts, RecentDigests, Recorder, Shelf, TagShelf, Term, UnreadOffers};
use crate::http::desk::Desk;
use crate::http::view::{PartState, PartView};
use crate::http::{Listener, Peers, Private, Webhooks};
use crate::metrics::Metrics;
use crate::ports::approver::{Approver, Votes};
use crate::ports::clock::Clock;
use crate::ports::cluster::Workloads as _;
use crate::ports::spawn::Spawn as _;
use crate::shutdown::DRAIN_LIMIT;
use crate::sources::{Hint, HintQueue};

/// Events that a listener in this process may be behind by. A demo reads them at once; who falls further behind misses some.
const HAPPENED_MAX: usize = 1_024;

/// The longest wait before the cluster is followed again after a panic.
const FOLLOW_AGAIN_MAX: Duration = Duration::from_secs(15);

/// A running skeg.
pub struct Skeg {
    /// Where webhooks and probes are served.
    pub public: SocketAddr,
    /// Where the API and metrics are served.
    pub private: SocketAddr,
    happened: broadcast::Sender<Arc<AuditLine>>,
    serving: JoinSet<()>,
    agent: JoinHandle<Result<(), Fault>>,
    stop: CancellationToken,
    /// Watches and effects; they end with this.
    _tasks: Arc<Tasks>,
}

impl Skeg {
    /// Starts everything the configuration asks for. Only what no retry can mend is an error: a wrong kubeconfig, an address in use. A
    /// cluster, registry or remote that does not answer is a degraded state.
    ///
    /// `approver` is where people are asked; without one it is Slack, or the log where Slack is not configured.
    pub async fn start(config: Config, approver: Option<Arc<dyn Approver>>, stop: CancellationToken) -> anyhow::Result<Self> {
        Self::start_by(Arc::new(SystemClock), config, approver, stop).await
    }

    /// Does the same by another clock.
    pub async fn start_by(
        clock: Arc<dyn Clock>,
        config: Config,
        approver: Option<Arc<dyn Approver>>,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        // A second start in one process finds the provider installed; any other provider would have been a choice of the caller.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let started = clock.now();
        let tasks = Arc::new(Tasks::default());
        let api = ApiServer::connect(&adapt::connection(&config)).await.context("[cluster]")?;
        let scope = adapt::scope(&config);
        let watches = Watches::new(&scope, config.defaults(), Arc::clone(&clock));
        let watches = Arc::new(if config.cluster.platforms == Platforms::Auto { watches.with_nodes() } else { watches });
        let slack = config.slack.as_ref().map(|section| Slack::new(adapt::slack(section), Arc::clone(&clock))).transpose()?.map(Arc::new);
        let approver = approver.or_else(|| slack.clone().map(|slack| slack as Arc<dyn Approver>));
        let ports = Arc::new(ports(&config, &api, &scope, &watches, &clock, approver)?);
        let hints = Arc::new(HintQueue::default());
        let public = bind("listen", config.server.listen).await?;
        let private = bind("private_listen", config.server.private_listen).await?;
        let addresses = (public.address()?, private.address()?);
        let (replica, seat) = Replica::new(ReplicaParts {
            options: options(&config),
            ports: Arc::clone(&ports),
            hints: Arc::clone(&hints),
            tasks: tasks.clone(),
            beside: beside(slack.clone().filter(|_| config.cluster.mode == Mode::Act), &ports),
            lease: (config.cluster.mode == Mode::Act).then(|| candidate(&config, &api, addresses)),
        });
        let ask_parts = parts(&config, &ports, &watches, slack);
        let desk: Arc<dyn Desk> = Arc::new(EngineDesk {
            seat,
            ports: Arc::clone(&ports),
            parts: ask_parts,
            started,
            shelf: Shelf::default(),
            tags: TagShelf::default(),
        });

        let queue = queue(&config, &hints, &watches, &clock);
        let peers = Arc::new(Peers::new(config.server.reached_at(addresses.1)));
        let webhooks = Webhooks::new(Arc::clone(&desk), Arc::clone(&ports.metrics), queue, &config.receivers).among(Arc::clone(&peers));
        let webhooks = Arc::new(webhooks);
        let routes = Private::new(desk, Arc::clone(&ports.metrics), &config.server).among(peers);
        tasks.spawn(Box::pin(Arc::clone(&webhooks).bring_on()));
        let mut serving = JoinSet::new();
        serving.spawn(public.serve(webhooks.routes(), stop.clone()));
        serving.spawn(private.serve(routes.routes(), stop.clone()));
        let happened = ports.happened.clone();
        let api_address = api.address().to_owned();
        if config.cluster.mode == Mode::Act {
            config.remotes.iter().for_each(|remote| tasks.spawn(greet(Arc::clone(&ports), remote.name.clone())));
        }
        tasks.spawn(Box::pin(async move { follow(&watches, &api, &ports).await }));
        let agent = tokio::spawn(replica.run(stop.clone()));
        tracing::info!(public = %addresses.0, private = %addresses.1, cluster = api_address, mode = config.cluster.mode.as_str(), "skeg has started");
        Ok(Self { public: addresses.0, private: addresses.1, happened, serving, agent, stop, _tasks: tasks })
    }

    /// What happens to updates from now on.
    pub fn listen(&self) -> broadcast::Receiver<Arc<AuditLine>> {
        self.happened.subscribe()
    }

    /// Waits for the end that the stop token asks for: what is under way is finished or recorded, and requests in hand are answered, all
    /// within [`DRAIN_LIMIT`]. An error is what could not be recorded, or a part that ended by itself and took the others along.
    pub async fn ended(self) -> anyhow::Result<()> {
        // The tasks are kept until everything else has ended.
        let Self { mut serving, agent, stop, _tasks, .. } = self;
        ended(agent, &mut serving, &stop, DRAIN_LIMIT).await
    }
}

async fn ended(
    mut agent: JoinHandle<Result<(), Fault>>,
    serving: &mut JoinSet<()>,
    stop: &CancellationToken,
    limit: Duration,
) -> anyhow::Result<()> {
    let mut late = pin!(async {
        stop.cancelled().await;
        tokio::time::sleep(limit).await;
    });
    let (mut agent_end, mut fault) = (None, None);
    tokio::select! { biased;
        () = stop.cancelled() => {}
        end = &mut agent => agent_end = Some(end),
        Some(end) = serving.join_next() => fault = Some(anyhow!("a listener ended by itself{}", panicked(end))),
    }
    stop.cancel();
    if agent_end.is_none() {
        tokio::select! { biased;
            end = &mut agent => agent_end = Some(end),
            () = &mut late => {}
        }
    }
    if agent_end.is_some() {
        tokio::select! { biased;
            () = async { while serving.join_next().await.is_some() {} } => {}
            () = &mut late => tracing::warn!("requests were cut off"),
        }
    }
    match (fault, agent_end) {
        (Some(fault), _) => Err(fault),
        (None, Some(Ok(recorded))) => Ok(recorded?),
        (None, Some(Err(panic))) => Err(anyhow!("the agent ended by itself: {panic}")),
        (None, None) => Err(anyhow!("the agent did not end within {} s of being told to", limit.as_secs())),
    }
}

fn panicked(end: Result<(), JoinError>) -> String {
    end.err().map(|panic| format!(": {panic}")).unwrap_or_default()
}

/// This replica as one that wants to lead.
fn candidate(config: &Config, api: &ApiServer, (public, private): (SocketAddr, SocketAddr)) -> Candidate {
    let reached = config.server.reached_at(public).zip(config.server.reached_at(private));
    let peer = reached.map(|(public, private)| Peer { public, private });
    Candidate {
        lease: Arc::new(ClusterLease::new(api.apart(), &config.cluster.own_namespace())),
        me: Me { name: config.cluster.own_name(), process: format!("{:016x}", fastrand::u64(..)).into(), peer },
        timing: Timing::lasting(config.cluster.lease),
    }
}

/// What runs beside the agent while this replica leads: of two that listen to Slack each would hear a part of the clicks.
fn beside(slack: Option<Arc<Slack>>, ports: &Arc<Ports>) -> Beside {
    let ports = Arc::clone(ports);
    Arc::new(move |mailbox| {
        let (slack, ports) = (slack.clone(), Arc::clone(&ports));
        let listening = slack.map(|slack| {
            let votes = Arc::new(BallotBox { mailbox, clock: Arc::clone(&ports.clock) });
            async move { listen(&slack, votes, &ports).await }.boxed()
        });
        listening.into_iter().collect()
    })
}

/// Takes clicks in Slack, again after a panic.
async fn listen(slack: &Arc<Slack>, votes: Arc<dyn Votes>, ports: &Ports) {
    for tries in 1.. {
        guarded(ports, "listening to Slack", Arc::clone(slack).listen(Arc::clone(&votes))).await;
        ports.clock.sleep_until(backoff(ports.clock.now(), tries, FOLLOW_AGAIN_MAX, "slack", None)).await;
    }
}

/// Follows the cluster, again after a panic: an index that stands still would be taken for a cluster where nothing happens.
async fn follow(watches: &Watches, api: &ApiServer, ports: &Ports) {
    for tries in 1.. {
        if guarded(ports, "following the workloads", watches.run(api)).await.is_some() {
            return;
        }
        ports.clock.sleep_until(backoff(ports.clock.now(), tries, FOLLOW_AGAIN_MAX, "watches", None)).await;
    }
}

fn greet(ports: Arc<Ports>, remote: Box<str>) -> BoxFuture<'static, ()> {
    async move {
        guarded(&ports, "asking a Git remote", ports.recorder.greet(&ports, &remote)).await;
    }
    .boxed()
}

async fn bind(key: &str, listen: Listen) -> anyhow::Result<Listener> {
    Listener::bind(listen).await.with_context(|| format!("[server] {key} {listen}"))
}

fn ports(
    config: &Config,
    api: &ApiServer,
    scope: &Scope,
    watches: &Arc<Watches>,
    clock: &Arc<dyn Clock>,
    approver: Option<Arc<dyn Approver>>,
) -> anyhow::Result<Ports> {
    let metrics = Arc::new(Metrics::new(config.registries.iter().map(|registry| registry.host.clone())));
    let counted = Arc::clone(&metrics);
    let observer = Arc::new(move |host: &str, seen: Seen<'_>| match seen {
        Seen::Answer(status) => counted.registry_request(host, status.parse().ok()),
        Seen::Wait(waited) => counted.registry_waited(host, waited),
    });
    let pull_secrets = ClusterPullSecrets::new(api, &config.cluster.pull_secrets);
    let registry = RegistryClient::new(adapt::registries(config), Arc::clone(clock), observer)?.with_pull_secrets(Arc::new(pull_secrets));
    let registry = registry.allowing(config.registries_asked.allow.clone());
    let git = GitRemotes::new(adapt::remotes(config), &config.server.cache_dir.join("git"), clock)?;
    let (happened, _) = broadcast::channel(HAPPENED_MAX);
    Ok(Ports {
        registry: Arc::new(registry),
        cluster: Arc::new(api.clone()),
        workloads: watches.clone(),
        journal: Arc::new(ClusterJournal::new(api.clone(), scope.clone())),
        pauses: Arc::new(ConfigMapPauses::new(api.clone(), &config.cluster.own_namespace())),
        first_seen: Arc::new(ConfigMapFirstSeen::new(api.clone(), &config.cluster.own_namespace())),
        events: Arc::new(KubernetesEvents::new(api.clone(), Arc::clone(clock))),
        git: Arc::new(git),
        approver: approver.unwrap_or_else(|| Arc::new(LogApprover)),
        prompts: Prompts::default(),
        clock: Arc::clone(clock),
        listings: KeptListings::new(config.poll.interval),
        builds: KnownBuilds::default(),
        sights: Arc::default(),
        unread_offers: UnreadOffers::default(),
        recent: RecentDigests::default(),
        recorder: Recorder::default(),
        metrics,
        health: Arc::default(),
        happened,
        term: Term::alone(Arc::clone(clock)),
    })
}

fn options(config: &Config) -> Options {
    let engine = Settings {
        acts: config.cluster.mode == Mode::Act,
        in_flight: adapt::count(config.limits.in_flight),
        history_per_workload: adapt::count(config.history.per_workload),
        history_age: config.history.age,
        history_total: adapt::count(config.history.total),
    };
    Options { engine, poll_interval: config.poll.interval, settle: config.settle.window }
}

/// Takes hints from webhooks, due when the settle window has passed. Those for repositories that no workload uses are done with at once:
/// whoever may post could fill the queue with made-up names.
fn queue(
    config: &Config,
    hints: &Arc<HintQueue>,
    watches: &Arc<Watches>,
    clock: &Arc<dyn Clock>,
) -> Arc<dyn Fn(Hint) -> bool + Send + Sync> {
    let (hints, watches, clock, window) = (Arc::clone(hints), Arc::clone(watches), Arc::clone(clock), config.settle.window);
    Arc::new(move |hint| {
        let is_idle = watches.is_filled() && watches.using(&hint.repository).is_empty();
        is_idle || hints.push(hint, after(clock.now(), window))
    })
}

/// Asks the adapters how they are.
fn parts(config: &Config, ports: &Arc<Ports>, watches: &Arc<Watches>, slack: Option<Arc<Slack>>) -> Arc<dyn Fn() -> Parts + Send + Sync> {
    let (ports, watches) = (Arc::clone(ports), Arc::clone(watches));
    let remotes: Vec<Box<str>> = config.remotes.iter().map(|remote| remote.name.clone()).collect();
    let receivers = config.receivers.clone();
    Arc::new(move || Parts {
        watches: watches.states().iter().map(adapt::watch).chain(watches.nodes().map(adapt::nodes)).collect(),
        remotes: remotes.iter().map(|name| remote(name, &ports)).collect(),
        receivers: receivers.iter().map(receiver).collect(),
        degraded: watches
            .mistakes()
            .into_iter()
            .map(adapt::wrong_namespace)
            .chain(slack.as_ref().map(|slack| slack.troubles()).unwrap_or_default().into_iter().map(away))
            .collect(),
    })
}

fn away((since, why): (Timestamp, Box<str>)) -> PartView {
    PartView::degraded("slack", format!("since {since:.0}: {why}"))
}

fn receiver(receiver: &crate::config::Receiver) -> PartView {
    let closed = match &receiver.credential {
        None => (!receiver.insecure).then(|| "no credential is configured".to_owned()),
        Some(Credential::Bearer(secret) | Credential::Basic { password: secret, .. }) => secret.read().err().map(|error| error.to_string()),
    };
    let state = if closed.is_some() { PartState::Closed } else { PartState::Ok };
    PartView { name: format!("{} at {}", receiver.source, receiver.path), state, detail: closed.unwrap_or_default(), last_ok: None }
}

fn remote(name: &str, ports: &Ports) -> PartView {
    let (state, detail, last_ok): (PartState, String, Option<Timestamp>) = match ports.recorder.answered().remove(name) {
        None => (PartState::Unknown, "not asked yet".to_owned(), None),
        Some((at, None)) => (PartState::Ok, String::new(), Some(at)),
        Some((at, Some(trouble))) => (PartState::Degraded, format!("since {at:.0}: {trouble}"), None),
    };
    PartView { name: name.to_owned(), state, detail, last_ok }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// What an operator waits for in these tests.
    const LIMIT: Duration = Duration::from_millis(500);

    async fn end(agent: impl Future<Output = Result<(), Fault>> + Send + 'static, stop: &CancellationToken) -> (Duration, String) {
        let mut serving = JoinSet::new();
        serving.spawn(std::future::pending());
        let begun = Instant::now();
        let ended = ended(tokio::spawn(agent), &mut serving, stop, LIMIT).await;
        (begun.elapsed(), ended.err().map(|error| error.to_string()).unwrap_or_default())
    }

    #[tokio::test]
    async fn agent_and_listeners_share_the_time_that_a_stop_has() {
        let stop = CancellationToken::new();
        stop.cancel();
        let slow = async {
            tokio::time::sleep(LIMIT * 4 / 5).await;
            Ok(())
        };
        let (took, error) = end(slow, &stop).await;
        assert!(error.is_empty() && took >= LIMIT && took < LIMIT * 3 / 2, "{took:?} {error}");
        let (took, error) = end(std::future::pending(), &stop).await;
        assert!(error.contains("did not end") && took < LIMIT * 3 / 2, "{took:?} {error}");
    }

    #[tokio::test]
    async fn an_agent_that_panics_ends_the_whole_and_is_told() {
        let stop = CancellationToken::new();
        let (_, error) = end(async { panic!("a fault of its own") }, &stop).await;
        assert!(error.contains("ended by itself") && error.contains("a fault of its own"), "{error}");
        assert!(stop.is_cancelled(), "the listeners are told to end");
    }
}
