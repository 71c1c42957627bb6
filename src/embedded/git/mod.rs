//! A Git remote in this process: one bare repository, served over smart HTTP on a loopback port of its own choosing.
//!
//! The protocol's work is done by `git upload-pack` and `git receive-pack`; so clones, shallow fetches and pushes behave as
//! on any server, hooks and refusals included. Only the directory it was given outlives it.

mod faults;
mod program;
mod repository;
mod service;
mod smart_http;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use tokio::sync::watch;

use super::loopback::{Bound, Loopback};
use super::requests::RequestLog;

pub use super::login::Login;
pub use super::requests::Seen;
pub use faults::{GitFault, GitRequest};
pub use program::GitError;
pub use repository::{BareRepository, Change, Commit};

/// What the handlers share.
struct Shared {
    repository: BareRepository,
    /// The last part of the repository's path, which is its path in URLs.
    name: String,
    login: Mutex<Option<Login>>,
    plans: faults::Plans,
    log: RequestLog,
}

impl Shared {
    fn admits(&self, given: Option<&str>) -> bool {
        let login = self.login.lock().unwrap_or_else(PoisonError::into_inner);
        login.as_ref().is_none_or(|login| given == Some(login.authorization().as_str()))
    }
}

/// A running remote. Dropping it stops the server and waits for its end; the repository stays in its directory.
pub struct GitRemote {
    shared: Arc<Shared>,
    server: Loopback,
}

impl GitRemote {
    /// Serves a repository, under the last part of its path (which a URL must be able to hold), to everybody or only to
    /// `login`. Fails if no loopback port or thread is to be had.
    pub fn serve(repository: BareRepository, login: Option<Login>) -> io::Result<Self> {
        let name = repository.directory().file_name();
        let name = name.and_then(|name| name.to_str());
        let name = name.ok_or(io::ErrorKind::InvalidFilename)?.to_owned();
        let shared =
            Arc::new(Shared { repository, name, login: Mutex::new(login), plans: faults::Plans::default(), log: RequestLog::new() });
        let handled = Arc::clone(&shared);
        let server = Bound::new()?.serve("embedded-git", move |request| smart_http::answer(Arc::clone(&handled), request).boxed())?;
        Ok(Self { shared, server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The URL to clone from, without a login.
    pub fn url(&self) -> String {
        format!("http://{}/{}", self.address(), self.shared.name)
    }

    /// The repository behind it, to commit to and to look into as a person would.
    pub fn repository(&self) -> &BareRepository {
        &self.shared.repository
    }

    /// Stops the server; the port refuses connections from then on.
    pub fn stop(&self) {
        self.server.stop();
    }

    /// Plans a fault for the next such request. Faults for the same kind of request are met one after the other.
    pub fn fail_next(&self, request: GitRequest, fault: GitFault) {
        self.shared.plans.fail_next(request, fault);
    }

    /// Plans a call to be made when the next such request has arrived, before it is served: a person's push that comes
    /// between another's reading of the refs and its own push.
    pub fn before_next(&self, request: GitRequest, call: impl FnOnce(&BareRepository) + Send + 'static) {
        self.shared.plans.before_next(request, Box::new(call));
    }

    /// Forgets the faults and calls that no request has met yet.
    pub fn clear_plans(&self) {
        self.shared.plans.clear();
    }

    /// Changes who may come in, as when a password is rotated.
    pub fn set_login(&self, login: Option<Login>) {
        *self.shared.login.lock().unwrap_or_else(PoisonError::into_inner) = login;
    }

    /// The last requests, oldest first (ten thousand are kept).
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.log.seen()
    }

    /// Forgets the requests kept.
    pub fn clear_requests(&self) {
        self.shared.log.clear();
    }

    /// The number of requests since the start, to wait on.
    pub fn request_count(&self) -> watch::Receiver<u64> {
        self.shared.log.count()
    }
}

#[cfg(test)]
mod tests;
