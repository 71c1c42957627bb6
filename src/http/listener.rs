//! One listening socket: accepts within bounds, serves, and ends in order.
//!
//! warp answers the requests. The connections below it are driven here, because bounds on connections and on request heads are set on the
//! server, and warp's own has none.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use warp::{Filter, Reply};

use crate::config::Listen;

/// Connections at the same time; further ones wait in the system's queue. At the most they hold buffers of 4 MiB together.
const CONNECTIONS_MAX: usize = 256;
/// Bytes of a request's head: tokens of cloud providers take some kilobytes, nothing takes more.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Time for a request's head, and for which an idle connection is kept.
const HEAD_DEADLINE: Duration = Duration::from_secs(30);
/// Time for which a connection is kept at all, so that a client which never reads its answers does not hold its place for ever.
const CONNECTION_DEADLINE: Duration = Duration::from_mins(5);
/// Pause after a failed accept: mostly no descriptor is left, and trying again at once would not free one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// A bound socket that serves nothing yet.
pub struct Listener {
    socket: TcpListener,
}

impl Listener {
    /// Binds the first address of `listen` that the machine has.
    pub async fn bind(listen: Listen) -> io::Result<Self> {
        let socket = TcpListener::bind(listen.candidates().as_slice()).await?;
        Ok(Self { socket })
    }

    /// The address it is bound to.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until `stop` is cancelled, then lets the requests in hand end. To be given up on after the drain limit: dropping the future
    /// ends every connection.
    pub async fn serve<F>(self, routes: F, stop: CancellationToken)
    where
        F: Filter<Error = warp::Rejection> + Clone + Send + Sync + 'static,
        F::Extract: Reply,
    {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let (open, mut connections) = (GracefulShutdown::new(), JoinSet::new());
        loop {
            while connections.try_join_next().is_some() {}
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = accept(&self.socket, &places) => accepted,
            };
            let (stream, place) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(error.kind = %error.kind(), "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let service = TowerToHyperService::new(warp::service(routes.clone()));
            let connection = server().serve_connection(TokioIo::new(stream), service).into_owned();
            let watched = open.watch(connection);
            connections.spawn(async move {
                // A connection that breaks is the client's business; what it asked for was answered or not.
                drop(tokio::time::timeout(CONNECTION_DEADLINE, watched).await);
                drop(place);
            });
        }
        drop(self.socket);
        open.shutdown().await;
    }
}

async fn accept(socket: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = socket.accept().await?;
    Ok((stream, place))
}

fn server() -> Builder<TokioExecutor> {
    let mut server = Builder::new(TokioExecutor::new()).http1_only();
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_DEADLINE).max_buf_size(HEAD_BYTES_MAX);
    server
}
