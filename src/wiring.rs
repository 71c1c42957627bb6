//! The composition root: configuration → adapters → engine → listeners. It alone names concrete adapters.

mod adapt;
pub mod connect;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::adapters::clock::SystemClock;
use crate::adapters::cluster::{ApiServer, ConfigMapPauses, KubernetesEvents, Scope, Watches};
use crate::adapters::git::GitRemotes;
use crate::adapters::journal::ClusterJournal;
use crate::adapters::log_approver::LogApprover;
use crate::adapters::registry::{RegistryClient, Seen};
use crate::adapters::tasks::Tasks;
use crate::config::{Config, Listen, Mode};
use crate::core::schedule::after;
use crate::flow::agent::{Agent, Options};
use crate::flow::desk::{EngineDesk, Parts};
use crate::flow::engine::{AuditLine, Settings};
use crate::flow::{Health, Ports, Prompts, Recorder};
use crate::http::desk::Desk;
use crate::http::view::{PartState, PartView};
use crate::http::{Listener, Private, Webhooks};
use crate::metrics::Metrics;
use crate::ports::approver::Approver;
use crate::ports::clock::Clock;
use crate::ports::spawn::Spawn as _;
use crate::sources::{Hint, HintQueue};

/// Events that a listener in this process may be behind by. A demo reads them at once; who falls further behind misses some.
const HAPPENED_MAX: usize = 1_024;

/// A running skeg.
pub struct Skeg {
    /// Where webhooks and probes are served.
    pub public: SocketAddr,
    /// Where the API and metrics are served.
    pub private: SocketAddr,
    happened: broadcast::Sender<Arc<AuditLine>>,
    serving: JoinSet<()>,
    agent: tokio::task::JoinHandle<()>,
    /// Watches and effects; they end with this.
    _tasks: Arc<Tasks>,
}

impl Skeg {
    /// Starts everything the configuration asks for. Only what no retry can mend is an error: a wrong kubeconfig, an address in use. A
    /// cluster, registry or remote that does not answer is a degraded state.
    ///
    /// `approver` is where people are asked; without one it is the log.
    pub async fn start(config: Config, approver: Option<Arc<dyn Approver>>, stop: CancellationToken) -> anyhow::Result<Self> {
        // A second start in one process finds the provider installed; any other provider would have been a choice of the caller.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let started = clock.now();
        let tasks = Arc::new(Tasks::default());
        let api = ApiServer::connect(&adapt::connection(&config)).await.context("[cluster]")?;
        let scope = adapt::scope(&config);
        let watches = Arc::new(Watches::new(&scope, adapt::defaults(&config), Arc::clone(&clock)));
        let ports = Arc::new(ports(&config, &api, &scope, &watches, &clock, approver)?);
        let hints = Arc::new(HintQueue::default());
        let options = options(&config);
        let (agent, mailbox) = Agent::new(options, Arc::clone(&ports), Arc::clone(&hints), tasks.clone());
        let ask_parts = parts(&config, &ports, &watches);
        let desk: Arc<dyn Desk> = Arc::new(EngineDesk { mailbox, ports: Arc::clone(&ports), parts: ask_parts, started });

        let public = bind("listen", config.server.listen).await?;
        let private = bind("private_listen", config.server.private_listen).await?;
        let addresses = (public.address()?, private.address()?);
        let queue = queue(&config, &hints, &clock);
        let webhooks = Webhooks::new(Arc::clone(&desk), Arc::clone(&ports.metrics), queue, &config.receivers);
        let routes = Private::new(desk, Arc::clone(&ports.metrics), &config.server);
        let mut serving = JoinSet::new();
        serving.spawn(public.serve(webhooks.routes(), stop.clone()));
        serving.spawn(private.serve(routes.routes(), stop.clone()));
        tasks.spawn(Box::pin(async move { watches.run(&api).await }));
        let agent = tokio::spawn(agent.run(stop));
        tracing::info!(public = %addresses.0, private = %addresses.1, mode = config.cluster.mode.as_str(), "skeg has started");
        let happened = ports.happened.clone();
        Ok(Self { public: addresses.0, private: addresses.1, happened, serving, agent, _tasks: tasks })
    }

    /// What happens to updates from now on.
    pub fn listen(&self) -> broadcast::Receiver<Arc<AuditLine>> {
        self.happened.subscribe()
    }

    /// Waits for the end that the stop token asks for: what is under way is finished or recorded, requests in hand are answered.
    pub async fn ended(mut self) {
        if let Err(error) = self.agent.await {
            tracing::error!(error = %error, "the agent ended by itself");
        }
        let served = crate::shutdown::drained(async { while self.serving.join_next().await.is_some() {} });
        if served.await.is_none() {
            tracing::warn!("requests were cut off");
        }
    }
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
    metrics.set_leader(config.cluster.mode == Mode::Act);
    let counted = Arc::clone(&metrics);
    let observer = Arc::new(move |host: &str, seen: Seen<'_>| match seen {
        Seen::Answer(status) => counted.registry_request(host, status.parse().ok()),
        Seen::Wait(waited) => counted.registry_waited(host, waited),
    });
    let registry = RegistryClient::new(adapt::registries(config), Arc::clone(clock), observer)?;
    let git = GitRemotes::new(adapt::remotes(config), &config.server.cache_dir.join("git"), clock)?;
    let (happened, _) = broadcast::channel(HAPPENED_MAX);
    Ok(Ports {
        registry: Arc::new(registry),
        cluster: Arc::new(api.clone()),
        workloads: watches.clone(),
        journal: Arc::new(ClusterJournal::new(api.clone(), scope.clone())),
        pauses: Arc::new(ConfigMapPauses::new(api.clone(), &config.cluster.own_namespace())),
        events: Arc::new(KubernetesEvents::new(api.clone(), Arc::clone(clock))),
        git: Arc::new(git),
        approver: approver.unwrap_or_else(|| Arc::new(LogApprover)),
        prompts: Prompts::default(),
        clock: Arc::clone(clock),
        recorder: Recorder::default(),
        metrics,
        health: Health::default(),
        happened,
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
    Options { engine, poll_interval: config.poll.interval }
}

/// Takes hints from webhooks: for repositories that a workload uses, due when the settle window has passed.
fn queue(config: &Config, hints: &Arc<HintQueue>, clock: &Arc<dyn Clock>) -> Arc<dyn Fn(Hint) -> bool + Send + Sync> {
    let (hints, clock, window) = (Arc::clone(hints), Arc::clone(clock), config.settle.window);
    Arc::new(move |hint| hints.push(hint, after(clock.now(), window)))
}

/// Asks the adapters how they are.
fn parts(config: &Config, ports: &Arc<Ports>, watches: &Arc<Watches>) -> Arc<dyn Fn() -> Parts + Send + Sync> {
    let (ports, watches) = (Arc::clone(ports), Arc::clone(watches));
    let remotes: Vec<Box<str>> = config.remotes.iter().map(|remote| remote.name.clone()).collect();
    let receivers: Vec<PartView> = config.receivers.iter().map(receiver).collect();
    Arc::new(move || Parts {
        watches: watches.states().iter().map(adapt::watch).collect(),
        remotes: remotes.iter().map(|name| remote(name, &ports)).collect(),
        receivers: receivers.clone(),
    })
}

fn receiver(receiver: &crate::config::Receiver) -> PartView {
    let is_open = receiver.insecure || receiver.credential.is_some();
    let (state, detail) = if is_open { (PartState::Ok, "") } else { (PartState::Closed, "no credential is configured") };
    PartView { name: format!("{} at {}", receiver.source, receiver.path), state, detail: detail.to_owned(), last_ok: None }
}

fn remote(name: &str, ports: &Ports) -> PartView {
    let (state, detail, last_ok): (PartState, String, Option<Timestamp>) = match ports.recorder.answered().remove(name) {
        None => (PartState::Unknown, "not written to yet".to_owned(), None),
        Some((at, None)) => (PartState::Ok, String::new(), Some(at)),
        Some((at, Some(trouble))) => (PartState::Degraded, format!("since {at:.0}: {trouble}"), None),
    };
    PartView { name: name.to_owned(), state, detail, last_ok }
}
