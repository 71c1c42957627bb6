//! A desk that takes notes: what stands behind the HTTP side where only that is tested.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;
use skeg::config::{Listen, Secret, Server};
use skeg::core::pause::Pause;
use skeg::core::update::UpdateId;
use skeg::core::workload::WorkloadId;
use skeg::http::desk::{Ballot, Caller, Desk, Leader, PauseOrder, Readiness, Refusal, ResumeOrder, Saying, UpdateFilter};
use skeg::http::view::{
    ApprovalsView, CandidateView, ChangeView, ExplainView, ImageState, ImageView, LiftedView, PartState, PartView, PauseView, ReasonView,
    StatusView, UpdateView, WorkloadView,
};
use skeg::http::{Listener, Private};
use skeg::metrics::Metrics;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Notes every order and answers it with something fixed.
#[derive(Default)]
pub struct NotingDesk {
    orders: Mutex<Vec<String>>,
    /// What every order is answered with, if it is to be refused.
    pub refusal: Mutex<Option<Refusal>>,
    /// Whether nobody carries orders out.
    pub vacant: watch::Sender<bool>,
}

impl NotingDesk {
    fn note<T>(&self, order: String, answer: T) -> Result<T, Refusal> {
        self.orders.lock().unwrap().push(order);
        self.refusal.lock().unwrap().clone().map_or(Ok(answer), Err)
    }

    /// The orders so far.
    pub fn orders(&self) -> Vec<String> {
        self.orders.lock().unwrap().clone()
    }
}

fn update(id: &UpdateId) -> UpdateView {
    UpdateView {
        namespace: id.namespace.to_string(),
        name: id.name.to_string(),
        phase: "Held".into(),
        open: true,
        reason: ReasonView { code: "Approval".into(), message: "waits for approval, 0 of 1 votes given".into() },
        workload: WorkloadView { namespace: id.namespace.to_string(), kind: "Deployment".into(), name: "web".into() },
        changes: vec![ChangeView {
            container: "web".into(),
            init: false,
            repository: "registry.example.com/acme/web".into(),
            from: "registry.example.com/acme/web:1.0.0".into(),
            to: "registry.example.com/acme/web:1.0.1".into(),
            tag: "1.0.1".into(),
            digest: format!("sha256:{}", "a".repeat(64)),
        }],
        policy: "semver:^1".into(),
        trigger: "poll".into(),
        plan: "patch".into(),
        attempt: 1,
        approvals: ApprovalsView { needed: 1, given: 0, approvers: vec![], asked: None, granted: None, expires: None },
        votes: vec![],
        created: Timestamp::UNIX_EPOCH,
        since: Timestamp::UNIX_EPOCH,
        trouble: None,
        rollout: None,
        commit: None,
        binding: None,
        history: vec![],
    }
}

#[async_trait]
impl Desk for NotingDesk {
    async fn images(&self) -> Vec<ImageView> {
        let image = ImageView {
            workload: WorkloadView { namespace: "shop".into(), kind: "Deployment".into(), name: "web".into() },
            container: "web".into(),
            image: "registry.example.com/acme/web:1.0.0".into(),
            repository: Some("registry.example.com/acme/web".into()),
            tag: Some("1.0.0".into()),
            policy: Some("semver:^1".into()),
            state: ImageState::Updating,
            reason: None,
            candidate: Some(CandidateView { tag: "1.0.1".into(), digest: None }),
            update: Some("web-0123456789".into()),
            errors: vec![],
            listed: None,
        };
        let workload = WorkloadView { namespace: "billing".into(), ..image.workload.clone() };
        let wrong = ImageView {
            workload,
            policy: None,
            state: ImageState::Degraded,
            candidate: None,
            update: None,
            errors: vec!["skeg.dev/polcy: there is no such directive; did you mean policy?\u{1b}[2J".into()],
            ..image.clone()
        };
        vec![wrong, image]
    }

    async fn updates(&self, filter: &UpdateFilter) -> Vec<UpdateView> {
        self.note(format!("updates {filter:?}"), ()).unwrap();
        (0..3).map(|number| update(&UpdateId { namespace: "shop".into(), name: format!("web-{number}").into() })).collect()
    }

    async fn update(&self, id: &UpdateId) -> Option<UpdateView> {
        (&*id.name == "web-0123456789").then(|| update(id))
    }

    async fn explain(&self, workload: &WorkloadId, all: bool) -> Result<ExplainView, Refusal> {
        let view = ExplainView::new(workload, vec!["skeg.dev/polcy: there is no such directive\u{1b}[2J".into()]);
        self.note(format!("explain {workload} all={all}"), view)
    }

    async fn status(&self) -> StatusView {
        StatusView {
            version: "0.1.0".into(),
            mode: "act".into(),
            started: Timestamp::UNIX_EPOCH,
            ready: false,
            leader: true,
            lead: None,
            workloads: 0,
            updates: [].into(),
            watches: vec![],
            registries: vec![],
            remotes: vec![],
            receivers: vec![PartView { state: PartState::Closed, ..PartView::degraded("/v1/webhooks/native", "it has no credential") }],
            pauses: vec![],
            degraded: vec![],
        }
    }

    fn leader(&self) -> Leader {
        if *self.vacant.borrow() { Leader::Nobody } else { Leader::Here }
    }

    async fn led(&self) -> Leader {
        self.vacant.subscribe().wait_for(|vacant| !vacant).await.unwrap();
        Leader::Here
    }

    fn readiness(&self) -> Readiness {
        Readiness::NotReady { why: "the first listing is not complete".into() }
    }

    async fn vote(&self, caller: &Caller, id: &UpdateId, ballot: Ballot) -> Result<UpdateView, Refusal> {
        self.note(format!("{} {:?} {id} {:?}", caller.as_str(), ballot.verdict, ballot.saying.reason), update(id))
    }

    async fn retry(&self, caller: &Caller, id: &UpdateId, saying: Saying) -> Result<UpdateView, Refusal> {
        self.note(format!("{} retry {id} override={}", caller.as_str(), saying.override_gates), update(id))
    }

    async fn pause(&self, caller: &Caller, order: PauseOrder) -> Result<PauseView, Refusal> {
        let pause = Pause {
            scope: order.scope.clone(),
            until: None,
            by: caller.as_str().into(),
            at: Timestamp::UNIX_EPOCH,
            reason: order.reason.clone(),
        };
        self.note(format!("{} pause {} {:?}", caller.as_str(), order.scope, order.lasting), PauseView::from(&pause))
    }

    async fn resume(&self, caller: &Caller, order: ResumeOrder) -> Result<LiftedView, Refusal> {
        self.note(format!("{} resume {}", caller.as_str(), order.scope), LiftedView::default())
    }
}

/// Any port of this machine's own address.
pub const LOOPBACK: Listen = Listen { address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), port: 0 };

/// A private listener in front of a noting desk.
pub struct Served {
    /// Where it listens.
    pub address: SocketAddr,
    /// What is behind it.
    pub desk: Arc<NotingDesk>,
    /// Ends it.
    pub stop: CancellationToken,
    /// Ends when it has ended.
    pub done: JoinHandle<()>,
    /// The folder with the file `secret`.
    pub folder: tempfile::TempDir,
}

/// A secret in the file `secret` of a folder: `s3cret` and a newline.
pub fn secret(folder: &tempfile::TempDir) -> Secret {
    let path = folder.path().join("secret");
    std::fs::write(&path, "s3cret\n").unwrap();
    Secret::File(path)
}

/// Serves the API; its callers are `user:ann` by the token `s3cret`, or nobody.
pub async fn private(with_token: bool) -> Served {
    let folder = tempfile::tempdir().unwrap();
    let settings = Server { token: with_token.then(|| secret(&folder)), user: "ann".into(), ..Server::default() };
    let (desk, stop) = (Arc::new(NotingDesk::default()), CancellationToken::new());
    let routes = Private::new(desk.clone(), Arc::new(Metrics::new([])), &settings).routes();
    let listener = Listener::bind(LOOPBACK).await.unwrap();
    let address = listener.address().unwrap();
    let done = tokio::spawn(listener.serve(routes, stop.clone()));
    Served { address, desk, stop, done, folder }
}
