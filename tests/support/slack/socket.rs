//! Socket Mode, Slack's side: <https://docs.slack.dev/apis/events-api/using-socket-mode>.

use std::sync::Arc;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, accept_async};

use super::Shared;

/// An open socket. It is closed when this is dropped.
pub struct Open {
    id: usize,
    frames: mpsc::UnboundedSender<String>,
    /// Whether it was announced that it will be closed.
    pub is_leaving: bool,
}

impl Open {
    /// Sends a frame.
    pub fn send(&self, frame: &Value) {
        // A socket that the other side has closed is no place to send to; the test finds out by what does not happen.
        let _ = self.frames.send(frame.to_string());
    }
}

/// Takes connections for ever.
pub async fn accept(shared: Arc<Shared>, listener: std::net::TcpListener) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(Arc::clone(&shared), stream));
    }
}

async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    if shared.state().is_down {
        return;
    }
    let Ok(mut socket) = accept_async(stream).await else { return };
    let (frames, mut to_send) = mpsc::unbounded_channel();
    let (id, number) = {
        let mut state = shared.state();
        state.opened += 1;
        (state.opened, state.sockets.len() + 1)
    };
    let hello = json!({
        "type": "hello",
        "num_connections": number,
        "debug_info": {"host": "fake", "build_number": 1, "approximate_connection_time": 18060},
        "connection_info": {"app_id": "A0000000001"},
    });
    if socket.send(Message::text(hello.to_string())).await.is_err() {
        return;
    }
    shared.state().sockets.push(Open { id, frames, is_leaving: false });
    exchange(&shared, &mut socket, &mut to_send).await;
    shared.state().sockets.retain(|open| open.id != id);
    let _ = socket.close(None).await;
}

async fn exchange(shared: &Shared, socket: &mut WebSocketStream<TcpStream>, to_send: &mut mpsc::UnboundedReceiver<String>) {
    loop {
        tokio::select! {
            frame = to_send.recv() => {
                let Some(frame) = frame else { return };
                if socket.send(Message::text(frame)).await.is_err() {
                    return;
                }
            }
            received = socket.next() => match received {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).unwrap_or_default();
                    if let Some(id) = frame["envelope_id"].as_str() {
                        shared.state().acknowledged.push(id.to_owned());
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
}
