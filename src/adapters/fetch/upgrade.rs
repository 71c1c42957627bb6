//! A connection that begins as an HTTP request and goes on as a WebSocket (RFC 6455, section 4.1).

use std::time::Duration;

use http::StatusCode;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use url::Url;

use super::{CONNECT_DEADLINE, FetchError, SetupError, failure};

/// Time for connection and handshake.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(15);

/// An open WebSocket.
pub type WebSocket = WebSocketStream<reqwest::Upgraded>;

/// Opens sockets with the TLS, the roots and the proxies of every other request, for hosts that the configuration trusts.
#[derive(Clone, Debug)]
pub struct WebSockets {
    client: reqwest::Client,
    message_bytes_max: usize,
}

impl WebSockets {
    /// Opens sockets that take messages up to this size.
    pub fn new(message_bytes_max: usize) -> Result<Self, SetupError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder().user_agent(concat!("skeg/", env!("CARGO_PKG_VERSION")));
        // HTTP/2 has no such upgrade, and a redirect would take the ticket in the address elsewhere.
        let builder = builder.redirect(reqwest::redirect::Policy::none()).referer(false).http1_only();
        Ok(Self { client: builder.connect_timeout(CONNECT_DEADLINE).build()?, message_bytes_max })
    }

    /// Opens a WebSocket at a `ws:` or `wss:` address. No error repeats the address.
    pub async fn open(&self, address: &Url) -> Result<WebSocket, FetchError> {
        let opened = tokio::time::timeout(HANDSHAKE_DEADLINE, self.shake_hands(address)).await;
        opened.unwrap_or(Err(FetchError::TimedOut(HANDSHAKE_DEADLINE)))
    }

    async fn shake_hands(&self, address: &Url) -> Result<WebSocket, FetchError> {
        let refused = |what: &str| FetchError::Unreachable(what.to_owned());
        let mut url = address.clone();
        let scheme = if address.scheme() == "wss" { "https" } else { "http" };
        url.set_scheme(scheme).map_err(|()| refused("not the address of a WebSocket"))?;
        let key = generate_key();
        let request = self.client.get(url).header(CONNECTION, "Upgrade").header(UPGRADE, "websocket");
        let request = request.header(SEC_WEBSOCKET_VERSION, "13").header(SEC_WEBSOCKET_KEY, &key);
        let response = request.send().await.map_err(|error| failure(&error))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(FetchError::Unreachable(format!("answers {} in place of a WebSocket", response.status())));
        }
        let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT).map(http::HeaderValue::as_bytes);
        if accepted != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
            return Err(refused("the other side speaks no WebSocket"));
        }
        let stream = response.upgrade().await.map_err(|error| failure(&error))?;
        let bounds = WebSocketConfig::default().max_message_size(Some(self.message_bytes_max)).max_frame_size(Some(self.message_bytes_max));
        Ok(WebSocketStream::from_raw_socket(stream, Role::Client, Some(bounds)).await)
    }
}
