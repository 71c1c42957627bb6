//! A whole skeg against far ends of its own, and the verbs a test speaks in.
//!
//! skeg runs on a runtime of its own, so that it can be killed: the runtime is shut down, every task of skeg ends where it stands, and
//! nothing is drained. The far ends are not touched by that, and the next start finds them as they were left.

/// A clock that a test moves.
mod clock;
/// The far ends, and the files that skeg starts from.
mod stage;
/// What runs in the cluster and is declared in Git.
mod workload;

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use skeg::embedded::git::Commit;
use skeg::embedded::kube::RequestRecord;
use skeg::flow::message::AuditLine;
use skeg::wiring::Skeg;
use tokio::runtime::Runtime;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

pub use clock::MovedClock;
pub use stage::{API_TOKEN, HOOK_TOKEN, NAMESPACE, PERSON, SLACK_APP_TOKEN, SLACK_BOT_TOKEN, SLACK_CHANNEL, Setup, Stage};
pub use workload::Workload;

/// The longest a test waits for anything. A rollout that fails takes about ten seconds, a retry as long again; the rest is for machines
/// that are busy.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at the API, which cannot be asked to say when something has changed.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// skeg with its far ends.
pub struct Agent {
    /// The far ends.
    pub stage: Stage,
    /// skeg's clock.
    pub clock: Arc<MovedClock>,
    client: Client,
    running: Option<Running>,
}

/// One life of skeg.
struct Running {
    runtime: Runtime,
    skeg: Skeg,
    stop: CancellationToken,
}

impl Agent {
    /// Builds the far ends, starts skeg and waits until it is ready.
    pub async fn start(setup: Setup) -> Self {
        Self::start_by(setup, Arc::default()).await
    }

    /// The same by a clock that others see too.
    pub async fn start_by(setup: Setup, clock: Arc<MovedClock>) -> Self {
        let agent = Self::start_unready_by(Stage::build(&setup), clock).await;
        agent.until("skeg is ready", async || agent.is_ready().await).await;
        agent
    }

    /// The same, with a lease of this length.
    pub async fn start_with_lease(setup: Setup, lease: Duration) -> Self {
        let mut stage = Stage::build(&setup);
        stage.lease = Some(lease);
        let agent = Self::start_unready(stage).await;
        agent.until("skeg is ready", async || agent.is_ready().await).await;
        agent
    }

    /// Starts skeg on far ends that may be out of order, and does not wait for it.
    pub async fn start_unready(stage: Stage) -> Self {
        Self::start_unready_by(stage, Arc::default()).await
    }

    async fn start_unready_by(stage: Stage, clock: Arc<MovedClock>) -> Self {
        // Whoever starts first installs it for all.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        let mut agent = Self { stage, clock, client, running: None };
        agent.begin().await;
        agent
    }

    /// Starts skeg on the same far ends.
    pub async fn begin(&mut self) {
        assert!(self.running.is_none(), "skeg runs already");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let stop = CancellationToken::new();
        let skeg = runtime.spawn(Skeg::start_by(self.clock.clone(), self.stage.config(), None, stop.clone())).await.unwrap().unwrap();
        self.running = Some(Running { runtime, skeg, stop });
    }

    /// Ends skeg where it stands, as `kill -9` does.
    pub async fn kill(&mut self) {
        let Running { runtime, skeg, .. } = self.running.take().expect("skeg runs");
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE)).await.unwrap();
        drop(skeg);
    }

    /// Asks skeg to end, as SIGTERM does, and waits for it. Returns how long it took. The end is a good one.
    pub async fn stop(&mut self) -> Duration {
        let (took, ended) = self.stop_in_any_way().await;
        ended.expect("everything that was decided is recorded");
        took
    }

    /// Asks skeg to end and waits for it. Returns how long it took, and what `skeg run` would end with.
    pub async fn stop_in_any_way(&mut self) -> (Duration, Result<(), String>) {
        let Running { runtime, skeg, stop } = self.running.take().expect("skeg runs");
        let begun = Instant::now();
        stop.cancel();
        let ended = tokio::time::timeout(PATIENCE, runtime.spawn(skeg.ended())).await.expect("skeg ends").unwrap();
        let took = begun.elapsed();
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE)).await.unwrap();
        (took, ended.map_err(|error| format!("{error:#}")))
    }

    /// The audit from now on.
    pub fn listen(&self) -> broadcast::Receiver<Arc<AuditLine>> {
        self.running().skeg.listen()
    }

    /// Asks skeg to end without waiting; [`Agent::stop`] waits.
    pub fn ask_to_stop(&self) {
        self.running().stop.cancel();
    }

    /// Ends skeg in good order, starts it again and waits until it is ready.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.begin_and_wait().await;
    }

    /// Ends skeg where it stands, starts it again and waits until it is ready.
    pub async fn kill_and_begin(&mut self) {
        self.kill().await;
        self.begin_and_wait().await;
    }

    /// Starts skeg again and waits until it is ready.
    pub async fn begin_and_wait(&mut self) {
        self.begin().await;
        self.until("skeg is ready again", async || self.is_ready().await).await;
    }

    // === the world ===

    /// Pushes an image that runs, as CI would; gives its digest.
    pub fn push(&self, repository: &str, tag: &str) -> String {
        self.stage.push(repository, tag)
    }

    /// Pushes an image that never gets ready wherever it is started.
    pub fn push_broken(&self, repository: &str, tag: &str) -> String {
        let digest = self.push(repository, tag);
        self.stage.break_image(&digest);
        digest
    }

    /// Tells skeg by webhook that a tag was pushed; the answer's status.
    pub async fn deliver_webhook(&self, repository: &str, tag: &str) -> StatusCode {
        let url = format!("http://{}/v1/webhooks/native", self.running().skeg.public);
        let body = json!({"name": format!("{}/{repository}", self.stage.registry.address()), "tag": tag}).to_string();
        self.client.post(url).bearer_auth(HOOK_TOKEN).body(body).send().await.unwrap().status()
    }

    /// The image text of a container of a Deployment.
    pub fn image_of(&self, name: &str, container: usize) -> String {
        let deployment = self.deployment(name);
        let image = deployment.pointer(&format!("/spec/template/spec/containers/{container}/image"));
        image.and_then(Value::as_str).expect("the container has an image").to_owned()
    }

    /// The image text of a Deployment's first container.
    pub fn deployment_image(&self, name: &str) -> String {
        self.image_of(name, 0)
    }

    /// A Deployment.
    pub fn deployment(&self, name: &str) -> Value {
        self.stage.kube.get("apps/v1", "Deployment", NAMESPACE, name).expect("the Deployment is there")
    }

    /// Merges into a Deployment, as a person with `kubectl patch` does.
    pub fn person_merges(&self, name: &str, patch: Value) {
        self.stage.kube.merge("apps/v1", "Deployment", NAMESPACE, name, patch).unwrap();
    }

    /// Sets the image of a Deployment's only container, as a person with `kubectl set image` does.
    pub fn person_sets_image(&self, name: &str, image: &str) {
        self.person_merges(name, json!({"spec": {"template": {"spec": {"containers": [{"name": name, "image": image}]}}}}));
    }

    /// What skeg committed, newest first.
    pub fn commits(&self) -> Vec<Commit> {
        let mut log = self.stage.remote.repository().log().unwrap();
        log.retain(|commit| commit.author.starts_with("skeg "));
        log
    }

    /// PATCH requests on Deployments, oldest first. People of these tests do not come by HTTP, so all of them are skeg's.
    pub fn patches(&self) -> Vec<RequestRecord> {
        let is_patch = |request: &RequestRecord| request.method == "PATCH" && request.path.contains("/deployments/");
        self.stage.kube.requests().into_iter().filter(is_patch).collect()
    }

    /// How many of them were carried out.
    pub fn patches_done(&self) -> usize {
        self.patches().iter().filter(|patch| patch.status == 200).count()
    }

    /// Every record of an update in the cluster.
    pub fn records(&self) -> Vec<Value> {
        self.stage.kube.all("skeg.dev/v1alpha1", "ImageUpdate")
    }

    /// How often a repository was listed so far.
    pub fn listings(&self, repository: &str) -> usize {
        let path = format!("/v2/{repository}/tags/list");
        self.stage.registry.requests().iter().filter(|request| request.path == path).count()
    }

    /// Waits until the repository was listed so many more times and what was found is decided. A request is seen before its answer, so
    /// one more than asked for has begun when this returns.
    pub async fn polls(&self, repository: &str, times: usize) {
        let before = self.listings(repository);
        self.until("the repository is polled", async || self.listings(repository) > before + times).await;
    }

    // === skeg's API ===

    /// Where it is.
    pub fn private(&self) -> std::net::SocketAddr {
        self.running().skeg.private
    }

    /// What a path of the API answers.
    pub async fn get(&self, path: &str) -> Value {
        let url = format!("http://{}{path}", self.running().skeg.private);
        let answer = self.client.get(url).bearer_auth(API_TOKEN).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json().await.unwrap()
    }

    /// The lines of `/metrics` that begin with this.
    pub async fn metrics(&self, start: &str) -> Vec<String> {
        let url = format!("http://{}/metrics", self.running().skeg.private);
        let text = self.client.get(url).bearer_auth(API_TOKEN).send().await.unwrap().text().await.unwrap();
        text.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect()
    }

    /// Gives an order; the answer's status and body.
    pub async fn order(&self, path: &str, body: Value) -> (StatusCode, Value) {
        let url = format!("http://{}{path}", self.running().skeg.private);
        let answer = self.client.post(url).bearer_auth(API_TOKEN).json(&body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    /// Votes `approve` or `reject`, or gives the order `retry`, for the newest update to this tag.
    pub async fn vote(&self, tag: &str, word: &str) -> (StatusCode, Value) {
        let update = self.update_to(tag).await.expect("there is such an update");
        self.order(&format!("/v1/updates/{NAMESPACE}/{}/{word}", text(&update, "/name")), json!({})).await
    }

    /// Every update that skeg knows, the newest first.
    pub async fn updates(&self) -> Vec<Value> {
        self.get("/v1/updates").await["updates"].as_array().unwrap().clone()
    }

    /// The newest update to this tag.
    pub async fn update_to(&self, tag: &str) -> Option<Value> {
        self.updates().await.into_iter().find(|update| update["changes"].as_array().unwrap().iter().any(|change| change["tag"] == tag))
    }

    /// Waits until the newest update to this tag is in a phase.
    pub async fn wait_for_phase(&self, tag: &str, phase: &str) -> Value {
        let what = format!("the update to {tag} is {phase}");
        self.wait_for(&what, async || self.update_to(tag).await.filter(|update| update["phase"] == phase)).await
    }

    /// Waits until an update of this workload is in a phase.
    pub async fn wait_for_workload(&self, name: &str, phase: &str) -> Value {
        let is_it = |update: &Value| update["workload"]["name"] == name && update["phase"] == phase;
        self.wait_for(&format!("an update of {name} is {phase}"), async || self.updates().await.into_iter().find(is_it)).await
    }

    /// The line of `/v1/images` about a workload's first container.
    pub async fn image_view(&self, name: &str) -> Value {
        let images = self.get("/v1/images").await["images"].as_array().unwrap().clone();
        images.into_iter().find(|image| image["workload"]["name"] == name).expect("the image is tracked")
    }

    /// Waits until the line of `/v1/images` about a workload shows this state.
    pub async fn wait_for_image(&self, name: &str, state: &str) -> Value {
        let what = format!("{name} is {state}");
        self.wait_for(&what, async || Some(self.image_view(name).await).filter(|view| view["state"] == state)).await
    }

    /// Whether `/readyz` says so.
    pub async fn is_ready(&self) -> bool {
        let url = format!("http://{}/readyz", self.running().skeg.private);
        self.client.get(url).send().await.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    /// Waits until something is there.
    pub async fn wait_for<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let found = tokio::time::timeout(PATIENCE, async {
            let mut ticks = tokio::time::interval(LOOK_EVERY);
            loop {
                ticks.tick().await;
                if let Some(found) = look().await {
                    return found;
                }
            }
        });
        if let Ok(found) = found.await {
            return found;
        }
        panic!("in vain: {what}\n{}", self.story().await)
    }

    /// Waits until something holds.
    pub async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        self.wait_for(what, async || holds().await.then_some(())).await;
    }

    /// What a failed test shows.
    async fn story(&self) -> String {
        if !self.is_ready().await {
            return format!("skeg is not ready; the cluster was asked {:#?}", self.stage.kube.requests());
        }
        let (images, updates) = (self.get("/v1/images").await, self.updates().await);
        format!("images: {images:#}\nupdates: {updates:#?}\npatches: {:#?}\nstatus: {:#}", self.patches(), self.get("/v1/status").await)
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("skeg runs")
    }
}

impl Drop for Agent {
    /// A runtime must not wait for its tasks inside another one.
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.runtime.shutdown_background();
        }
    }
}

/// Waits for something that happens on other threads or in other processes.
#[track_caller]
pub fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The text at a JSON pointer; empty where there is none.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
