//! The way from a registry to skeg.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use tokio::net::{TcpListener, TcpStream};

/// Passes connections on to an address that is not known yet when its own has to be: a registry is told at its start where to post
/// notifications, and skeg is told at its own where the registry is.
pub struct Relay {
    /// Its own address.
    pub address: SocketAddr,
    /// The address to pass on to. Until it is set, connections are closed at once, and a registry posts again.
    pub to: Arc<OnceLock<SocketAddr>>,
    task: tokio::task::JoinHandle<()>,
}

impl Relay {
    /// Begins to listen.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let to: Arc<OnceLock<SocketAddr>> = Arc::default();
        let known = Arc::clone(&to);
        let task = tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let Some(address) = known.get().copied() else { continue };
                tokio::spawn(async move {
                    if let Ok(mut to) = TcpStream::connect(address).await {
                        let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                    }
                });
            }
        });
        Self { address, to, task }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}
